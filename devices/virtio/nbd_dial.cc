#include "devices/virtio/nbd_dial.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "devices/virtio/nbd.h"

namespace trapline::virtio {
namespace {

std::atomic<Dial> dial{dial_here};

}  // namespace

int dial_here(const std::string& address) {
  sockaddr_storage to{};
  if (address.size() < sizeof to.ss_family || address.size() > sizeof to) {
    errno = EINVAL;
    return -1;
  }
  std::memcpy(&to, address.data(), address.size());
  const int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const auto size = static_cast<socklen_t>(address.size());
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), size) == 0 || errno == EINPROGRESS) {
    return fd;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

bool is_nbd_uri(std::string_view text) {
  const std::string_view scheme = text.substr(0, text.find("://"));
  return scheme.size() < text.size() && (scheme == "nbd" || scheme == "nbds" ||
                                         scheme.starts_with("nbd+") || scheme.starts_with("nbds+"));
}

void set_nbd_dial(Dial other) { dial = other; }
Dial nbd_dial() { return dial; }

}  // namespace trapline::virtio
