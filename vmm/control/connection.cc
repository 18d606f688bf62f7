#include "vmm/control/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace trapline {
namespace {

using std::chrono::seconds;
constexpr seconds kWholeRequest{10};  // from its first byte to its last
constexpr seconds kTaken{10};         // between two bytes of a reply
constexpr seconds kSilence{60};       // between requests

}  // namespace

Connection::Connection(int fd, Kind kind, Time now)
    : fd_(fd), kind_(kind), progress_(now), request_began_(now) {}

Connection::Connection(Connection&& other) noexcept : fd_(-1), kind_(other.kind_) {
  *this = std::move(other);
}

Connection& Connection::operator=(Connection&& other) noexcept {
  std::swap(fd_, other.fd_);
  kind_ = other.kind_;
  input_ = std::move(other.input_);
  output_ = std::move(other.output_);
  passed_ = std::move(other.passed_);
  sent_ = other.sent_;
  ended_ = other.ended_;
  finishing_ = other.finishing_;
  subscribed_ = other.subscribed_;
  next_event = other.next_event;
  progress_ = other.progress_;
  request_began_ = other.request_began_;
  return *this;
}

// What was sent is not lost: closing a socket with unread input resets the connection.
Connection::~Connection() {
  if (fd_ < 0) return;
  shutdown(fd_, SHUT_WR);
  char bytes[4096];
  for (int i = 0; i < 16 && recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT) > 0; ++i) continue;
  close(fd_);
}

bool Connection::receive(size_t most, Time now) {
  char bytes[4096];
  if (input_.size() >= most) return true;
  // Room for no more descriptors than a request has: the kernel closes the rest.
  alignas(cmsghdr) char beside[CMSG_SPACE(kMostPassed * sizeof(int))];
  iovec iov{bytes, std::min(sizeof bytes, most - input_.size())};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = beside;
  message.msg_controllen = sizeof beside;
  const ssize_t n = recvmsg(fd_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) {
    ended_ = true;
    return true;
  }
  keep_passed(message);
  if (input_.empty()) request_began_ = now;
  input_.append(bytes, static_cast<size_t>(n));
  return true;
}

void Connection::keep_passed(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      Descriptor passed(fd);
      if (passed_.size() < kMostPassed) passed_.push_back(std::move(passed));
    }
  }
}

void Connection::consume(size_t bytes, Time now) {
  input_.erase(0, bytes);
  request_began_ = progress_ = now;
}

void Connection::send(std::string_view bytes, Time now) {
  if (unsent() == 0) progress_ = now;
  output_ += bytes;
}

bool Connection::flush(Time now) {
  while (unsent() != 0) {
    const ssize_t n = ::send(fd_, output_.data() + sent_, unsent(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) break;
    sent_ += static_cast<size_t>(n);
    progress_ = now;
  }
  if (unsent() == 0) {
    output_.clear();
    output_.shrink_to_fit();  // a report may have been megabytes
    sent_ = 0;
  }
  return true;
}

Connection::Time Connection::deadline() const {
  if (unsent() != 0) return progress_ + kTaken;
  if (!input_.empty()) return request_began_ + kWholeRequest;
  if (subscribed_) return Time::max();
  return progress_ + (kind_ == Kind::kMetrics ? kWholeRequest : kSilence);
}

}  // namespace trapline
