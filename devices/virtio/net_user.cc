// A network in user space: libslirp turns the guest's frames into sockets of this process. The
// guest gets 10.0.2.15 by DHCP; 10.0.2.2 is the host, 10.0.2.3 forwards DNS.
#include <arpa/inet.h>
#include <slirp/libslirp.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_features.h"

namespace trapline::virtio {
namespace {

in_addr address(uint32_t host_order) { return {.s_addr = htonl(host_order)}; }

constexpr uint32_t kNetwork = 0x0a000200;
constexpr uint32_t kGuest = kNetwork + 15;

// Sockets live in the host's time, whatever the guest's clock does.
int64_t host_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * int64_t{1'000'000'000} + t.tv_nsec;
}

// Completes the checksum that the driver left to the device (5.1.6.2): the field holds the pseudo
// header's sum. A TCP packet for segmentation stays whole; libslirp takes up to 64 KiB at once.
bool complete_checksum(const NetHeader& header, uint8_t* frame, size_t size) {
  const size_t start = header.csum_start;
  const size_t field = start + header.csum_offset;
  if (field + 2 > size) return false;
  uint64_t sum = 0;
  for (size_t i = start; i + 1 < size; i += 2) sum += uint32_t{frame[i]} << 8 | frame[i + 1];
  if ((size - start) % 2 != 0) sum += uint32_t{frame[size - 1]} << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  uint16_t check = static_cast<uint16_t>(~sum);
  if (check == 0) check = 0xffff;  // UDP's 0 means "none"; for TCP both are the same
  frame[field] = static_cast<uint8_t>(check >> 8);
  frame[field + 1] = static_cast<uint8_t>(check);
  return true;
}

class UserBackend final : public NetBackend {
 public:
  ~UserBackend() override {
    if (slirp_ != nullptr) slirp_cleanup(slirp_);
  }

  std::string open(const NetOptions& options);

  uint64_t offloads() const override {
    return net::kCsum | net::kGuestCsum | net::kHostTso4 | net::kHostTso6;
  }
  void set_offloads(uint64_t features) override { features_ = features; }

  void send(const NetHeader& header, uint8_t* frame, size_t size) override {
    if ((header.flags & net::kNeedsCsum) != 0 && !complete_checksum(header, frame, size)) return;
    slirp_input(slirp_, frame, static_cast<int>(size));
  }

  void fill(std::vector<pollfd>& fds, int& timeout_ms) override;
  void dispatch(const std::vector<pollfd>& fds, size_t first) override;

 private:
  struct Timer {
    SlirpTimerCb callback;
    void* opaque;
    int64_t deadline_ms = -1;  // -1: not set
  };

  static UserBackend& self(void* opaque) { return *static_cast<UserBackend*>(opaque); }
  static ssize_t on_packet(const void* frame, size_t size, void* opaque);
  static void* new_timer(SlirpTimerCb callback, void* cb_opaque, void* opaque);
  static void free_timer(void* timer, void* opaque);
  static void set_timer(void* timer, int64_t deadline_ms, void*) {
    static_cast<Timer*>(timer)->deadline_ms = deadline_ms;
  }
  void run_timers();

  Slirp* slirp_ = nullptr;
  uint64_t features_ = 0;
  std::vector<std::unique_ptr<Timer>> timers_;
};

ssize_t UserBackend::on_packet(const void* frame, size_t size, void* opaque) {
  UserBackend& backend = self(opaque);
  NetHeader header;
  // libslirp computed the checksums itself: the guest need not.
  if ((backend.features_ & net::kGuestCsum) != 0) header.flags = net::kDataValid;
  // A refused frame is lost, and TCP slows down.
  if (backend.receive_) backend.receive_(header, static_cast<const uint8_t*>(frame), size);
  return static_cast<ssize_t>(size);
}

void* UserBackend::new_timer(SlirpTimerCb callback, void* cb_opaque, void* opaque) {
  auto& timers = self(opaque).timers_;
  timers.push_back(std::make_unique<Timer>(Timer{callback, cb_opaque}));
  return timers.back().get();
}

void UserBackend::free_timer(void* timer, void* opaque) {
  std::erase_if(self(opaque).timers_, [&](auto& t) { return t.get() == timer; });
}

void UserBackend::run_timers() {
  const int64_t now = host_ns() / 1'000'000;
  // By index: a callback may add timers.
  for (size_t i = 0; i < timers_.size(); ++i) {
    Timer& t = *timers_[i];
    if (t.deadline_ms < 0 || t.deadline_ms > now) continue;
    t.deadline_ms = -1;
    t.callback(t.opaque);
  }
}

std::string UserBackend::open(const NetOptions& options) {
  static const SlirpCb callbacks = {
      .send_packet = on_packet,
      .guest_error = [](const char*, void*) {},
      .clock_get_ns = [](void*) { return host_ns(); },
      .timer_new = new_timer,
      .timer_free = free_timer,
      .timer_mod = set_timer,
      .register_poll_fd = [](int, void*) {},
      .unregister_poll_fd = [](int, void*) {},
      .notify = [](void*) {},
      .init_completed = nullptr,
      .timer_new_opaque = nullptr,
  };
  SlirpConfig config = {};
  config.version = 3;
  config.in_enabled = true;
  config.vnetwork = address(kNetwork);
  config.vnetmask = address(0xffffff00);
  config.vhost = address(kNetwork + 2);
  config.vnameserver = address(kNetwork + 3);
  config.vdhcp_start = address(kGuest);
  config.vhostname = "trapline";
  slirp_ = slirp_new(&config, &callbacks, this);
  if (slirp_ == nullptr) return "--net: cannot start the user-mode network";
  for (const HostForward& f : options.forwards) {
    const uint32_t guest = f.guest_address != 0 ? f.guest_address : kGuest;
    if (slirp_add_hostfwd(slirp_, f.udp ? 1 : 0, address(f.host_address), f.host_port,
                          address(guest), f.guest_port) != 0) {
      return "--net: cannot forward host port " + std::to_string(f.host_port) + ": " +
             std::strerror(errno);
    }
  }
  return {};
}

void UserBackend::fill(std::vector<pollfd>& fds, int& timeout_ms) {
  uint32_t timeout = timeout_ms < 0 ? UINT32_MAX : static_cast<uint32_t>(timeout_ms);
  const auto add = [](int fd, int events, void* opaque) {
    auto& list = *static_cast<std::vector<pollfd>*>(opaque);
    short wanted = 0;
    if ((events & SLIRP_POLL_IN) != 0) wanted |= POLLIN;
    if ((events & SLIRP_POLL_OUT) != 0) wanted |= POLLOUT;
    if ((events & SLIRP_POLL_PRI) != 0) wanted |= POLLPRI;
    list.push_back({.fd = fd, .events = wanted, .revents = 0});
    return static_cast<int>(list.size()) - 1;
  };
  slirp_pollfds_fill(slirp_, &timeout, add, &fds);
  const int64_t now = host_ns() / 1'000'000;
  for (const auto& t : timers_) {
    if (t->deadline_ms < 0) continue;
    timeout = std::min<int64_t>(timeout, std::max<int64_t>(t->deadline_ms - now, 0));
  }
  timeout_ms = timeout > INT32_MAX ? -1 : static_cast<int>(timeout);
}

void UserBackend::dispatch(const std::vector<pollfd>& fds, size_t) {
  const auto events = [](int index, void* opaque) {
    const auto& list = *static_cast<const std::vector<pollfd>*>(opaque);
    const short got = list[static_cast<size_t>(index)].revents;
    int result = 0;
    if ((got & POLLIN) != 0) result |= SLIRP_POLL_IN;
    if ((got & POLLOUT) != 0) result |= SLIRP_POLL_OUT;
    if ((got & POLLPRI) != 0) result |= SLIRP_POLL_PRI;
    if ((got & POLLERR) != 0) result |= SLIRP_POLL_ERR;
    if ((got & POLLHUP) != 0) result |= SLIRP_POLL_HUP;
    return result;
  };
  slirp_pollfds_poll(slirp_, 0, events, const_cast<std::vector<pollfd>*>(&fds));
  run_timers();
}

}  // namespace

NetBackendResult make_user_backend(const NetOptions& options) {
  auto backend = std::make_unique<UserBackend>();
  NetBackendResult result;
  result.error = backend->open(options);
  if (result.error.empty()) result.backend = std::move(backend);
  return result;
}

}  // namespace trapline::virtio
