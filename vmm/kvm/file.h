// A descriptor of KVM's, and its ioctls.
#ifndef TRAPLINE_VMM_KVM_FILE_H_
#define TRAPLINE_VMM_KVM_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

namespace trapline::kvm {

class File {
 public:
  explicit File(int fd = -1) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File();

  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  // As ioctl(2), which is repeated where a signal came between: -1 and errno.
  int call(unsigned long request, void* argument) const;
  int call(unsigned long request, uint64_t argument = 0) const;
  // KVM_CHECK_EXTENSION: 0 if it is not there.
  int has(unsigned capability) const;

 private:
  int fd_;
};

// /dev/kvm. On failure no descriptor, and `why` in words.
File open_kvm(std::string& why);
// "KVM_CREATE_VM: Cannot allocate memory", of errno.
std::string failed(const char* what);

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_FILE_H_
