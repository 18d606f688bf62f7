// A vCPU of the VMM's. Follow an exit from run().
#ifndef TRAPLINE_VMM_NISV_VCPU_H_
#define TRAPLINE_VMM_NISV_VCPU_H_

#include <linux/kvm.h>
#include <pthread.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "vmm/nisv/emulator.h"
#include "vmm/nisv/object.h"
#include "vmm/nisv/vm.h"

namespace trapline::nisv {

class Vcpu final : public Object {
 public:
  // Takes over a reference of the VM's.
  explicit Vcpu(Vm& vm_given);

  // On the helper's thread. False: the system refuses.
  bool start(int fd);
  bool start_thread() { return emulator_ != nullptr && emulator_->start_thread(); }
  // False: it is running.
  bool stop_thread();

  // KVM_RUN. As a system call.
  long run(int fd, void* argument);
  // KVM_ARM_VCPU_INIT is about to be performed: an access under way is dropped.
  void reset();
  // A register is about to be read from outside; has been written.
  void registers_read();
  void register_written(const kvm_one_reg& reg);

  // For Gate::Hold.
  void leave_kvm();
  bool inside() const { return inside_.load(std::memory_order_seq_cst); }

  void forget_memory() {
    if (emulator_ != nullptr) emulator_->forget_memory();
  }
  const Counts& counts() const { return counts_; }

 protected:
  void retire() override;

 private:
  long enter(int fd, void* argument);
  long show(const Element& element);
  void drop_pending();

  Vm& vm_;
  Counts counts_;
  kvm_run* run_ = nullptr;
  std::unique_ptr<Emulator> emulator_;

  std::mutex one_runner_;
  std::atomic<bool> pending_{false};  // the VMM has an element to answer
  bool seen_ = false;                 // of the pending access: somebody has read registers
  bool interrupted_ = false;          // during the access
  uint32_t exit_reason_ = 0;          // that KVM had left

  // Other vCPUs' emulators, which want this one out.
  std::mutex kick_mutex_;
  std::atomic<bool> inside_{false};  // KVM_RUN
  pthread_t thread_{};
  bool kicked_ = false;
};

template <typename Work>
void Vm::with_all_outside(Work&& work) {
  std::vector<Vcpu*> all;
  {
    const std::lock_guard lock(vcpus_mutex);
    all = vcpus;
  }
  const kvm::Gate::Hold hold(gate, all);
  work();
}

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_VCPU_H_
