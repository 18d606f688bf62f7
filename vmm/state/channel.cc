#include "vmm/state/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trapline::state {

Channel::Channel(int fd, int cancel_fd) : fd_(fd), cancel_fd_(cancel_fd) {
  struct stat info {};
  waits_ = fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
  if (waits_) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  out_.reserve(kMostKept);
  in_.resize(kMostKept);
}

Channel::~Channel() { close(fd_); }

std::string Channel::why() const {
  switch (error_) {
    case kEnded:
      return "the other side is gone";
    case kCancelled:
      return "cancelled";
    case kSilent:
      return "the other side does not answer";
    default:
      return std::strerror(error_);
  }
}

bool Channel::wait(short events, int timeout_ms) {
  if (!waits_) return true;
  pollfd fds[2] = {{fd_, events, 0}, {cancel_fd_, POLLIN, 0}};
  int ready;
  do {
    ready = poll(fds, 2, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready > 0 && fds[1].revents != 0) {
    error_ = kCancelled;
  } else if (ready == 0) {
    error_ = kSilent;
  } else if (ready < 0) {
    error_ = errno;
  } else {
    return true;
  }
  return false;
}

bool Channel::write(const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
  if (size >= kMostKept) return flush() && push(p, size);
  if (out_.size() + size > kMostKept && !flush()) return false;
  out_.insert(out_.end(), p, p + size);
  return true;
}

bool Channel::flush() {
  const bool good = push(out_.data(), out_.size());
  out_.clear();
  return good;
}

bool Channel::push(const uint8_t* data, size_t size) {
  while (size != 0) {
    if (!wait(POLLOUT, -1)) return false;
    const ssize_t n =
        waits_ ? send(fd_, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) : ::write(fd_, data, size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) {
      error_ = n == 0 || errno == EPIPE || errno == ECONNRESET ? kEnded : errno;
      return false;
    }
    data += n;
    size -= static_cast<size_t>(n);
    sent_ += static_cast<uint64_t>(n);
  }
  return true;
}

bool Channel::read(void* out, size_t size, int timeout_ms) {
  auto* to = static_cast<uint8_t*>(out);
  while (size != 0) {
    if (in_at_ < in_end_) {
      const size_t n = std::min(size, in_end_ - in_at_);
      std::memcpy(to, in_.data() + in_at_, n);
      to += n;
      size -= n;
      in_at_ += n;
      continue;
    }
    if (!wait(POLLIN, timeout_ms)) return false;
    const bool direct = size >= kMostKept;
    const ssize_t n = ::read(fd_, direct ? to : in_.data(), direct ? size : in_.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) {
      error_ = n == 0 || errno == ECONNRESET ? kEnded : errno;
      return false;
    }
    if (!direct) {
      in_at_ = 0;
      in_end_ = static_cast<size_t>(n);
      continue;
    }
    to += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace trapline::state
