// A network on a tap interface of the host.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_features.h"

namespace trapline::virtio {
namespace {

constexpr unsigned kFramesPerTurn = 64;

class TapBackend final : public NetBackend {
 public:
  ~TapBackend() override {
    if (fd_ >= 0) close(fd_);
  }

  std::string open(const std::string& interface);

  // The kernel speaks virtio's header on tap interfaces: everything passes through.
  uint64_t offloads() const override {
    return net::kCsum | net::kGuestCsum | net::kHostTso4 | net::kHostTso6 | net::kHostEcn |
           net::kGuestTso4 | net::kGuestTso6 | net::kGuestEcn;
  }

  void set_offloads(uint64_t features) override {
    unsigned flags = 0;
    if ((features & net::kGuestCsum) != 0) {
      flags = TUN_F_CSUM;
      if ((features & net::kGuestTso4) != 0) flags |= TUN_F_TSO4;
      if ((features & net::kGuestTso6) != 0) flags |= TUN_F_TSO6;
      if ((features & net::kGuestEcn) != 0 && (flags & (TUN_F_TSO4 | TUN_F_TSO6)) != 0) {
        flags |= TUN_F_TSO_ECN;
      }
    }
    ioctl(fd_, TUNSETOFFLOAD, flags);
  }

  void send(const NetHeader& header, uint8_t* frame, size_t size) override {
    NetHeader copy = header;
    iovec iov[2] = {{&copy, sizeof copy}, {frame, size}};
    // A full transmit queue, or a header that the kernel refuses: the frame is lost, as on a wire.
    [[maybe_unused]] const ssize_t n = writev(fd_, iov, 2);
  }

  void fill(std::vector<pollfd>& fds, int&) override {
    if (!waiting_) fds.push_back({.fd = fd_, .events = POLLIN, .revents = 0});
  }

  void dispatch(const std::vector<pollfd>& fds, size_t first) override {
    if (first >= fds.size() || (fds[first].revents & POLLIN) == 0) return;
    for (unsigned i = 0; i < kFramesPerTurn && !waiting_; ++i) {
      iovec iov[2] = {{&header_, sizeof header_}, {frame_.data(), frame_.size()}};
      const ssize_t n = readv(fd_, iov, 2);
      if (n <= static_cast<ssize_t>(sizeof header_)) return;
      size_ = static_cast<size_t>(n) - sizeof header_;
      // Refused frames stay here, and the rest in the kernel, until there is room.
      waiting_ = !receive_(header_, frame_.data(), size_);
    }
  }

  void ready() override {
    if (waiting_) waiting_ = !receive_(header_, frame_.data(), size_);
  }

 private:
  int fd_ = -1;
  bool waiting_ = false;
  NetHeader header_;
  size_t size_ = 0;
  std::vector<uint8_t> frame_ = std::vector<uint8_t>(kMaxFrame);
};

std::string TapBackend::open(const std::string& interface) {
  const auto failed = [&](const char* what) {
    return "--net: tap interface " + interface + ": " + what + ": " + std::strerror(errno);
  };
  fd_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) return failed("cannot open /dev/net/tun");
  ifreq request = {};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(fd_, TUNSETIFF, &request) != 0) return failed("cannot attach");
  int header_bytes = sizeof(NetHeader);
  if (ioctl(fd_, TUNSETVNETHDRSZ, &header_bytes) != 0) return failed("cannot set the header");
  return {};
}

}  // namespace

NetBackendResult make_tap_backend(const NetOptions& options) {
  auto backend = std::make_unique<TapBackend>();
  std::string error = backend->open(options.interface);
  return opened(std::move(backend), std::move(error));
}

}  // namespace trapline::virtio
