// A file descriptor and who closes it.
#ifndef TRAPLINE_VMM_HOST_DESCRIPTOR_H_
#define TRAPLINE_VMM_HOST_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace trapline {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }  // -1: none
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_DESCRIPTOR_H_
