// What the room asks of the operating system; tests put a KVM of their own behind it.
#ifndef TRAPLINE_VMM_NISV_SYSTEM_H_
#define TRAPLINE_VMM_NISV_SYSTEM_H_

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace trapline::nisv {

class System {
 public:
  virtual ~System() = default;

  // As ioctl(2), but -errno on failure.
  virtual long ioctl(int fd, unsigned long request, void* argument) = 0;
  // A vCPU's struct kvm_run; null on failure.
  virtual void* map_run(int vcpu, size_t bytes) = 0;
  virtual void unmap_run(void* run, size_t bytes) = 0;
  // A descriptor of our own; negative on failure. Not inherited by programs that are executed.
  virtual int duplicate(int fd) = 0;
  virtual void close(int fd) = 0;
  // Adds 1 to an eventfd.
  virtual void signal_event(int fd) = 0;
  // Memory of this process that may not be mapped. False: it is not.
  virtual bool read_memory(uint64_t address, void* to, size_t bytes) = 0;
  // Gets a thread out of KVM_RUN, unless it has not begun yet.
  virtual void kick(pthread_t thread) = 0;
  // Whether both are one open file; what /proc/self/fd calls it.
  virtual bool same_file(int fd, int other) = 0;
  virtual std::string name_of(int fd) = 0;
  // One line on standard error.
  virtual void message(const std::string& text) = 0;
  // log2 of the bytes that DC ZVA writes here.
  virtual unsigned zero_block_log2() = 0;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_SYSTEM_H_
