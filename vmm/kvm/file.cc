#include "vmm/kvm/file.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace trapline::kvm {

File::~File() {
  if (fd_ >= 0) close(fd_);
}

int File::call(unsigned long request, void* argument) const {
  for (;;) {
    const int result = ioctl(fd_, request, argument);
    if (result >= 0 || errno != EINTR) return result;
  }
}

int File::call(unsigned long request, uint64_t argument) const {
  return call(request, reinterpret_cast<void*>(argument));
}

int File::has(unsigned capability) const {
  const int result = call(KVM_CHECK_EXTENSION, uint64_t{capability});
  return result < 0 ? 0 : result;
}

File open_kvm(std::string& why) {
  File kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) {
    why = errno == ENOENT || errno == ENXIO || errno == ENODEV
              ? "this host has no /dev/kvm: its kernel has no KVM, or was not started at EL2"
          : errno == EACCES || errno == EPERM
              ? "no permission for /dev/kvm (a member of the group kvm mostly has it)"
              : failed("/dev/kvm");
    return kvm;
  }
  constexpr int kApiVersion = 12;
  if (kvm.call(KVM_GET_API_VERSION) != kApiVersion) {
    why = "/dev/kvm is of another API version than 12";
    return File();
  }
  return kvm;
}

std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

}  // namespace trapline::kvm
