#include "devices/virtio/nbd_link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "devices/virtio/nbd_dial.h"
#include "devices/virtio/nbd_library.h"

namespace trapline::virtio {
namespace {

// A host that is gone without a word is found out: seconds until the first question, between two,
// and how many. On a unix socket this does nothing.
void keep_alive(int fd) {
  const auto set = [fd](int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

// The value of `key` in the query of a URI, its %XX undone; empty: it is not there.
std::string query_value(const std::string& uri, const std::string& key) {
  size_t at = uri.find('?');
  while (at != std::string::npos && uri.compare(at + 1, key.size() + 1, key + "=") != 0) {
    at = uri.find('&', at + 1);
  }
  if (at == std::string::npos) return {};
  std::string out;
  for (size_t i = at + key.size() + 2; i < uri.size() && uri[i] != '&' && uri[i] != '#'; ++i) {
    if (uri[i] == '%' && i + 2 < uri.size()) {
      out += static_cast<char>(std::strtoul(uri.substr(i + 1, 2).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += uri[i];
    }
  }
  return out;
}

// By certificates libnbd checks the server's only if it finds ca-cert.pem
// (nbd_set_tls_certificates(3) says where); before 1.20.3 it is content with any without.
bool checks_server(const std::string& uri) {
  if (!uri.starts_with("nbds") || !query_value(uri, "tls-psk-file").empty()) return true;
  std::vector<std::string> folders;
  const char* const home = std::getenv("HOME");
  if (const std::string named = query_value(uri, "tls-certificates"); !named.empty()) {
    folders = {named};
  } else if (geteuid() == 0) {
    folders = {"/etc/pki/libnbd"};
  } else if (home != nullptr) {
    folders = {std::string(home) + "/.pki/libnbd", std::string(home) + "/.config/pki/libnbd"};
  }
  return std::any_of(folders.begin(), folders.end(), [](const std::string& folder) {
    return access((folder + "/ca-cert.pem").c_str(), R_OK) == 0;
  });
}

}  // namespace

bool NbdLink::fail(const char* what) {
  const char* why = libnbd().get_error();
  error_ = why != nullptr ? why : what;
  if (error_.find("certificate verification") != std::string::npos) {
    error_ =
        "the server's certificate is not good: not by an authority of ca-cert.pem, not for this "
        "host, "
        "or out of date";
  }
  drop();
  return false;
}

bool NbdLink::make(const NbdTarget& target) {
  drop();
  handle_ = libnbd().create();
  if (handle_ == nullptr) return fail("libnbd: no handle");
  // Bounds and alignment are ours to check; a server that does not say what it takes is asked.
  libnbd().set_strict_mode(handle_, LIBNBD_STRICT_COMMANDS | LIBNBD_STRICT_FLAGS);
  return target.export_name.empty() ||
         libnbd().set_export_name(handle_, target.export_name.c_str()) == 0 || fail("export name");
}

bool NbdLink::begin_uri(const NbdTarget& target) {
  if (!checks_server(target.uri)) {
    error_ =
        "there is no ca-cert.pem to check the server's certificate by: add "
        "`?tls-certificates=FOLDER` with it in there, or `?tls-psk-file=FILE`";
    return false;
  }
  if (!make({})) return false;
  libnbd().set_uri_allow_local_file(handle_, true);  // the user's own keys
  if (libnbd().aio_connect_uri(handle_, target.uri.c_str()) != 0) return fail("cannot connect");
  state_ = State::kGreeting;
  look();
  return state_ != State::kDown;
}

bool NbdLink::begin_socket(const NbdTarget& target, int socket) {
  keep_alive(socket);
  if (!make(target)) {
    close(socket);
    return false;
  }
  if (libnbd().aio_connect_socket(handle_, socket) != 0) return fail("cannot connect");
  state_ = State::kGreeting;
  look();
  return state_ != State::kDown;
}

bool NbdLink::begin_dial(const NbdTarget& target) {
  if (target.by_uri_only) return begin_uri(target);
  if (!make(target)) return false;
  socket_ = nbd_dial()(target.address);
  if (socket_ < 0) {
    error_ = std::strerror(errno);
    drop();
    return false;
  }
  state_ = State::kDialing;
  return true;
}

pollfd NbdLink::wanted() const {
  if (state_ == State::kDown) return {.fd = -1, .events = 0, .revents = 0};
  if (state_ == State::kDialing) return {.fd = socket_, .events = POLLOUT, .revents = 0};
  const unsigned direction = libnbd().aio_get_direction(handle_);
  short events = 0;
  if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) events |= POLLIN;
  if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) events |= POLLOUT;
  return {.fd = libnbd().aio_get_fd(handle_), .events = events, .revents = 0};
}

void NbdLink::dispatch(short events) {
  if (events == 0 || state_ == State::kDown) return;
  if (state_ == State::kDialing) {
    // Whether it is connected or refused, the first read tells.
    keep_alive(socket_);
    if (libnbd().aio_connect_socket(handle_, std::exchange(socket_, -1)) != 0) {
      fail("cannot connect");
      return;
    }
    state_ = State::kGreeting;
    return look();
  }
  const unsigned direction = libnbd().aio_get_direction(handle_);
  int result = 0;
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 &&
      (direction & LIBNBD_AIO_DIRECTION_READ) != 0) {
    result = libnbd().aio_notify_read(handle_);
  } else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) {
    result = libnbd().aio_notify_write(handle_);
  }
  if (result != 0) {
    fail("the connection broke");
  } else {
    look();
  }
}

void NbdLink::look() {
  if (libnbd().aio_is_dead(handle_) > 0 || libnbd().aio_is_closed(handle_) > 0) {
    fail("the server closed the connection");
  } else if (state_ == State::kGreeting && libnbd().aio_is_ready(handle_) > 0) {
    keep_alive(libnbd().aio_get_fd(handle_));
    state_ = State::kUp;
  }
}

void NbdLink::drop() {
  if (state_ == State::kUp && in_flight == 0) libnbd().aio_disconnect(handle_, 0);
  if (socket_ >= 0) close(std::exchange(socket_, -1));
  if (handle_ != nullptr) libnbd().close(std::exchange(handle_, nullptr));
  state_ = State::kDown;
}

NbdExport NbdLink::about() const {
  const auto block = [this](int kind) {
    return static_cast<uint64_t>(std::max<int64_t>(libnbd().get_block_size(handle_, kind), 0));
  };
  NbdExport out;
  out.bytes = static_cast<uint64_t>(std::max<int64_t>(libnbd().get_size(handle_), 0));
  out.least = std::max<uint64_t>(block(LIBNBD_SIZE_MINIMUM), 1);
  out.most = block(LIBNBD_SIZE_MAXIMUM);
  out.read_only = libnbd().is_read_only(handle_) > 0;
  out.flush = libnbd().can_flush(handle_) > 0;
  out.fua = libnbd().can_fua(handle_) > 0;
  out.trim = libnbd().can_trim(handle_) > 0;
  out.zero = libnbd().can_zero(handle_) > 0;
  out.multi = libnbd().can_multi_conn(handle_) > 0;
  return out;
}

NbdTarget NbdLink::reached(std::string uri) const {
  NbdTarget out;
  out.by_uri_only = uri.starts_with("nbds");
  if (char* name = libnbd().get_export_name(handle_); name != nullptr) {
    out.export_name = name;
    std::free(name);  // NOLINT(*-no-malloc): libnbd(3), the caller's
  }
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  const int fd = libnbd().aio_get_fd(handle_);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 && !uri.empty()) {
    out.address.assign(reinterpret_cast<const char*>(&peer), size);
    // A unix socket's peer has the name that it was bound to, which may be relative to elsewhere.
    if (peer.ss_family == AF_UNIX) {
      const std::string path = query_value(uri, "socket");
      out.address.resize(sizeof peer.ss_family);
      out.address.append(path).push_back('\0');
    }
  }
  out.uri = std::move(uri);
  return out;
}

}  // namespace trapline::virtio
