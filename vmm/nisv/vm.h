// A VM of the VMM's: what its vCPUs share.
#ifndef TRAPLINE_VMM_NISV_VM_H_
#define TRAPLINE_VMM_NISV_VM_H_

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "vmm/kvm/uapi/gate.h"
#include "vmm/nisv/io_events.h"
#include "vmm/nisv/object.h"
#include "vmm/nisv/slots.h"
#include "vmm/nisv/system.h"
#include "vmm/nisv/vgic.h"

namespace trapline::nisv {

class Vcpu;

class Vm final : public Object {
 public:
  Vm(System& system_given, size_t run_bytes_given, uint64_t page_bytes)
      : Object(Kind::kVm),
        system(system_given),
        run_bytes(run_bytes_given),
        slots(page_bytes),
        vgic(system_given) {}

  System& system;
  const size_t run_bytes;
  bool can_abort = false;  // KVM_CAP_ARM_INJECT_EXT_DABT

  // Emulators share it while they may touch guest memory, which is not while they wait for the
  // VMM; who changes the map has it alone. `map_changes` counts what took memory away.
  std::shared_mutex memory;
  Slots slots;
  std::atomic<uint64_t> map_changes{0};

  std::shared_mutex events_mutex;
  IoEvents events;

  Vgic vgic;
  kvm::Gate gate;
  std::mutex vcpus_mutex;
  std::vector<Vcpu*> vcpus;  // in the order of their making

  // Atomic accesses and exclusives on devices exclude the stores that others emulate. Nobody waits:
  // who may not begin lets its guest try again, so that a VMM can always stop a vCPU.
  bool begin_store(bool alone) {
    int now = storing_.load(std::memory_order_relaxed);
    do {
      if (alone ? now != 0 : now < 0) return false;
    } while (!storing_.compare_exchange_weak(now, alone ? -1 : now + 1, std::memory_order_acquire));
    return true;
  }
  void end_store(bool alone) { storing_.fetch_add(alone ? 1 : -1, std::memory_order_release); }

  // Does the work while no vCPU is in KVM_RUN. On an emulator's thread.
  template <typename Work>
  void with_all_outside(Work&& work);

 protected:
  void retire() override;

 private:
  std::atomic<int> storing_{0};  // -1: one alone
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_VM_H_
