/* Preloaded: a KVM without KVM_CAP_ARM_NISV_TO_USER. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>

int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  if (request == KVM_ENABLE_CAP) {
    errno = EINVAL;
    return -1;
  }
  int (*next)(int, unsigned long, void*) =
      (int (*)(int, unsigned long, void*))dlsym(RTLD_NEXT, "ioctl");
  return next(fd, request, argument);
}
