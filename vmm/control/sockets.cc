#include "vmm/control/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "vmm/config/size.h"
#include "vmm/control/names.h"
#include "vmm/host/later_files.h"

namespace trapline {
namespace {

constexpr int kBacklog = 128;
constexpr std::string_view kUnix = "unix:", kTcp = "tcp:";

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// A path of any length as an address of at most 108 bytes: by its folder's descriptor.
class UnixAddress {
 public:
  explicit UnixAddress(const std::string& path) {
    folder_ = open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    address_.sun_family = AF_UNIX;
    if (folder_ < 0) return;
    const std::string name = path.substr(path.rfind('/') + 1);
    const std::string text = fmt::format("/proc/self/fd/{}/{}", folder_, name);
    if (name.empty() || text.size() >= sizeof address_.sun_path) {
      errno = name.empty() ? EISDIR : ENAMETOOLONG;
      return;
    }
    std::memcpy(address_.sun_path, text.c_str(), text.size() + 1);
    good_ = true;
  }
  ~UnixAddress() {
    const int error = errno;
    if (folder_ >= 0) close(folder_);
    errno = error;
  }
  UnixAddress(const UnixAddress&) = delete;
  UnixAddress& operator=(const UnixAddress&) = delete;

  bool good() const { return good_; }
  int folder() const { return folder_; }
  const char* path() const { return address_.sun_path; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t size() { return sizeof(sockaddr_un); }

 private:
  int folder_ = -1;
  bool good_ = false;
  sockaddr_un address_{};
};

// What stands at the address may be replaced: nothing, or a socket that nobody listens on. Else
// errno says what it is.
bool free_to_bind(const UnixAddress& address) {
  struct stat info {};
  if (lstat(address.path(), &info) != 0) return errno == ENOENT;
  if (!S_ISSOCK(info.st_mode)) {
    errno = EEXIST;
    return false;
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool refused =
      probe >= 0 && connect(probe, address.get(), address.size()) != 0 && errno == ECONNREFUSED;
  if (probe >= 0) close(probe);
  if (refused && unlink(address.path()) == 0) return true;
  errno = EADDRINUSE;
  return false;
}

std::string absolute(const std::string& path) {
  char folder[PATH_MAX];
  if (realpath(folder_of(path).c_str(), folder) == nullptr) return path;
  return std::string(folder) + "/" + path.substr(path.rfind('/') + 1);
}

}  // namespace

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept { *this = std::move(other); }

ListeningSocket& ListeningSocket::operator=(ListeningSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

ListeningSocket::~ListeningSocket() {
  if (fd_ < 0) return;
  close(fd_);
  if (path_.empty()) return;
  remove_if_same(path_, device_, inode_);
}

Result<ListeningSocket> ListeningSocket::at_path(const std::string& path, const std::string& busy) {
  const auto failed = [&](const char* what) {
    return Error{fmt::format("{}: {}: {}", path, what, std::strerror(errno))};
  };
  const UnixAddress address(path);
  if (!address.good()) return failed("cannot listen there");
  // One at a time looks, clears away and binds; released with the descriptor.
  if (flock(address.folder(), LOCK_EX) != 0) return failed("cannot lock its folder");
  if (!free_to_bind(address)) {
    if (errno == EADDRINUSE) return Error{busy};
    return failed("cannot listen there");
  }
  ListeningSocket made;
  made.fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made.fd_ < 0) return failed("no socket");
  const mode_t mask = umask(0177);
  const bool bound = bind(made.fd_, address.get(), address.size()) == 0;
  const int error = errno;
  umask(mask);
  errno = error;
  if (!bound) return failed("cannot listen there");
  struct stat info {};
  if (lstat(address.path(), &info) != 0 || ::listen(made.fd_, kBacklog) != 0) {
    return failed("cannot listen there");
  }
  made.path_ = absolute(path);
  made.device_ = info.st_dev;
  made.inode_ = info.st_ino;
  return made;
}

Result<ListeningSocket> ListeningSocket::at_port(unsigned port) {
  ListeningSocket made;
  made.fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int one = 1;
  setsockopt(made.fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (made.fd_ < 0 || bind(made.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(made.fd_, kBacklog) != 0) {
    return Error{fmt::format("port {}: {}", port, std::strerror(errno))};
  }
  return made;
}

int ListeningSocket::accept() const {
  return accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

Result<ListeningSocket> listen_as(const std::string& name) {
  auto folder = open_runtime_folder(true);
  if (!folder) return Error{folder.error()};
  close(*folder);
  return ListeningSocket::at_path(vm_socket_path(name),
                                  fmt::format("a VM named {} is running", name));
}

std::string check_metrics_address(const std::string& where) {
  uint64_t port = 0;
  if (where.starts_with(kUnix)) {
    return where.size() == kUnix.size() ? "unix: needs a path behind it" : std::string();
  }
  if (where.starts_with(kTcp)) return parse_number(where.substr(kTcp.size()), 1, 65535, port);
  return "give unix:PATH or tcp:PORT";
}

Result<ListeningSocket> listen_for_metrics(const std::string& where) {
  if (where.starts_with(kUnix)) {
    const std::string path = where.substr(kUnix.size());
    return ListeningSocket::at_path(path, path + ": somebody listens there already");
  }
  uint64_t port = 0;
  if (std::string error = parse_number(where.substr(kTcp.size()), 1, 65535, port); !error.empty()) {
    return Error{error};
  }
  return ListeningSocket::at_port(static_cast<unsigned>(port));
}

int connect_to_path(const std::string& path, int timeout_s) {
  const UnixAddress address(path);
  if (!address.good()) return -1;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const timeval timeout{timeout_s, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (connect(fd, address.get(), address.size()) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace trapline
