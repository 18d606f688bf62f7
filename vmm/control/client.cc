#include "vmm/control/client.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "vmm/control/names.h"
#include "vmm/control/sockets.h"

namespace trapline {
namespace {

constexpr size_t kMaxReply = size_t{512} << 20;  // bytes

// Names of VMs that somebody listens for, as an error's end.
std::string who_runs() {
  std::vector<std::string> alive;
  for (const std::string& name : vm_names()) {
    const int fd = connect_to_path(vm_socket_path(name), 1);
    if (fd < 0) continue;
    close(fd);
    alive.push_back(name);
  }
  return alive.empty() ? "none is running" : fmt::format("running: {}", fmt::join(alive, ", "));
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::string& name, int timeout_s) {
  if (std::string error = check_vm_name(name); !error.empty()) return Error{error};
  const int fd = connect_to_path(vm_socket_path(name), timeout_s);
  if (fd >= 0) return ControlClient(name, fd);
  if (errno == ENOENT) return Error{fmt::format("no VM named {} ({})", name, who_runs())};
  if (errno == ECONNREFUSED) {
    return Error{fmt::format("the VM named {} is gone: it was killed ({})", name, who_runs())};
  }
  return Error{fmt::format("{}: {}", vm_socket_path(name), std::strerror(errno))};
}

ControlClient::ControlClient(ControlClient&& other) noexcept : fd_(-1) { *this = std::move(other); }

ControlClient& ControlClient::operator=(ControlClient&& other) noexcept {
  name_ = std::move(other.name_);
  std::swap(fd_, other.fd_);
  input_ = std::move(other.input_);
  searched_ = other.searched_;
  return *this;
}

ControlClient::~ControlClient() {
  if (fd_ >= 0) close(fd_);
}

Error ControlClient::gone() const {
  return Error{errno == EAGAIN ? fmt::format("the VM named {} does not answer", name_)
                               : fmt::format("the VM named {} is gone", name_)};
}

namespace {

// As send(); `passed`, of at most two, beside the first of the bytes.
ssize_t send_with(int fd, const char* bytes, size_t size, std::span<const int> passed) {
  constexpr size_t kMost = 2;
  alignas(cmsghdr) char beside[CMSG_SPACE(kMost * sizeof(int))] = {};
  iovec iov{const_cast<char*>(bytes), size};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (!passed.empty() && passed.size() <= kMost) {
    message.msg_control = beside;
    message.msg_controllen = CMSG_SPACE(passed.size_bytes());
    cmsghdr* const c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(passed.size_bytes());
    std::memcpy(CMSG_DATA(c), passed.data(), passed.size_bytes());
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

}  // namespace

Result<nlohmann::json> ControlClient::request(const nlohmann::json& request,
                                              std::span<const int> passed) {
  const std::string line = request.dump() + "\n";
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t n = send_with(fd_, line.data() + sent, line.size() - sent,
                                sent == 0 ? passed : std::span<const int>());
    if (n < 0 && errno == EINTR) continue;
    // A VM that has closed may have said why before: that is read below.
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) break;
    if (n <= 0) return gone();
    sent += static_cast<size_t>(n);
  }
  std::string answer;
  nlohmann::json reply;
  do {  // events of a subscriber may come before
    if (!next_line(answer, false)) return gone();
    reply = nlohmann::json::parse(answer, nullptr, false);
  } while (reply.is_object() && reply.contains("event"));
  if (!reply.is_object() || !reply.contains("ok") || !reply["ok"].is_boolean()) {
    return Error{fmt::format("the VM named {} answers what is no reply", name_)};
  }
  if (reply["ok"].get<bool>()) return reply;
  const auto error = reply.find("error");
  return Error{error != reply.end() && error->is_string() ? error->get<std::string>()
                                                          : "refused, without a reason"};
}

bool ControlClient::next_line(std::string& line, bool wait_for_ever) {
  for (;;) {
    const size_t end = input_.find('\n', searched_);
    if (end != std::string::npos) {
      line = input_.substr(0, end);
      input_.erase(0, end + 1);
      searched_ = 0;
      return true;
    }
    searched_ = input_.size();
    char bytes[65536];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EINTR || (errno == EAGAIN && wait_for_ever))) continue;
    if (n == 0) errno = ECONNRESET;
    if (n <= 0) return false;
    if (input_.size() > kMaxReply) {
      errno = EMSGSIZE;
      return false;
    }
    input_.append(bytes, static_cast<size_t>(n));
  }
}

}  // namespace trapline
