// What the VMM's calls tell, and what it gets back. One a process; preload.cc is the C library's
// names for it.
#ifndef TRAPLINE_VMM_NISV_INTERPOSER_H_
#define TRAPLINE_VMM_NISV_INTERPOSER_H_

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "vmm/nisv/descriptors.h"
#include "vmm/nisv/helper.h"
#include "vmm/nisv/statistics.h"
#include "vmm/nisv/system.h"
#include "vmm/nisv/vcpu.h"
#include "vmm/nisv/vm.h"

namespace trapline::nisv {

class Interposer {
 public:
  Interposer(System& system, uint64_t page_bytes);
  // Threads are gone.
  ~Interposer();
  Interposer(const Interposer&) = delete;
  Interposer& operator=(const Interposer&) = delete;

  // At load. `statistics` may be null.
  void load(const char* statistics);

  // ioctl(2) with a request of KVM's. As a system call: -errno on failure.
  long ioctl(int fd, unsigned long request, void* argument);

  // After the call succeeded.
  void duplicated(int from, int to) { descriptors_.copy(from, to); }
  bool known(int fd) const { return descriptors_.known(fd); }
  // Before the call: its number may be another's at once.
  void closing(int fd);
  void closing_range(unsigned first, unsigned last);
  // Whether a descriptor is one of our own, which the VMM knows nothing of; it wants the number.
  bool is_ours(int fd) const;
  void vacate(int fd);

  // munmap(2) of what may be guest memory is about to be performed.
  void unmapping(uint64_t address, uint64_t size);

  // Around what fails in a process with threads. False: a vCPU is running, and all are still there.
  bool threads_away();
  void threads_back();

  // Around fork(); in the child, and in one that nobody announced (a clone of the VMM's own),
  // forget_everything().
  void before_fork();
  void after_fork_in_parent();
  void forget_everything();

  // Every second; not while another thread writes them.
  void write_statistics();
  // At the process's end: they are in the file when it returns, and nobody writes it any more.
  void write_last_statistics();
  // Of all vCPUs that ever were, in the order of their making.
  std::vector<const Counts*> counts();

  static constexpr unsigned kOurs = 4096;  // descriptors below it can be ours

 private:
  struct Device;

  long create_vm(int fd, void* argument);
  long vm_ioctl(Vm& vm, int fd, unsigned long request, void* argument);
  long vcpu_ioctl(Vcpu& vcpu, int fd, unsigned long request, void* argument);
  long create_vcpu(Vm& vm, int fd, void* argument);
  long create_device(Vm& vm, int fd, void* argument);
  long set_memory(Vm& vm, int fd, unsigned long request, void* argument);
  long dirty_log(Vm& vm, int fd, void* argument);
  long io_event(Vm& vm, int fd, void* argument);
  long set_signal_mask(int fd, void* argument);
  long device_ioctl(Device& device, int fd, unsigned long request, void* argument);
  Ref<Object> adopt(int fd, unsigned long request);
  template <typename Visit>
  void each_vm(Visit&& visit);
  void memory_changed(Vm& vm);
  void keep(int fd, bool ours);
  void write_counts();

  System& system_;
  const uint64_t page_bytes_;
  Descriptors descriptors_;
  Helper helper_;
  Statistics statistics_;

  std::mutex vms_mutex_;
  std::vector<Vm*> vms_;      // all that ever were
  std::vector<Vcpu*> vcpus_;  // as well
  std::atomic<unsigned> vms_made_{0};
  std::timed_mutex writing_;

  std::atomic<uint64_t> ours_[kOurs / 64]{};  // descriptors of our own
};

// The signal by which a vCPU is got out of KVM_RUN for a moment.
int kick_signal();

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_INTERPOSER_H_
