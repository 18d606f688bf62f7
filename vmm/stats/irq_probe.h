// When interrupt lines rose: for the time until the guest reads their INTID from IAR.
#ifndef TRAPLINE_VMM_STATS_IRQ_PROBE_H_
#define TRAPLINE_VMM_STATS_IRQ_PROBE_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "vmm/vcpu/host_clock.h"

namespace trapline {

class IrqProbe {
 public:
  static constexpr unsigned kPrivate = 32;  // INTIDs below are a CPU's own

  IrqProbe(unsigned cpus, unsigned spis) : cpus_(cpus), raised_(cpus * kPrivate + spis) {}
  // While nobody profiles, a line that rises costs one look.
  void watch(bool on) {
    for (auto& at : raised_) at.store(0, std::memory_order_relaxed);
    on_.store(on, std::memory_order_relaxed);
  }
  // Any thread: the line rises, and falls. What fell untaken is forgotten, else a timer that was
  // set anew in time would seem to have waited since.
  void raised(unsigned cpu, unsigned intid) {
    if (!on_.load(std::memory_order_relaxed)) return;
    std::atomic<uint64_t>* at = slot(cpu, intid);
    uint64_t never = 0;
    if (at != nullptr && at->load(std::memory_order_relaxed) == 0) {
      at->compare_exchange_strong(never, host_cycles(), std::memory_order_relaxed);
    }
  }
  void lowered(unsigned cpu, unsigned intid) {
    if (!on_.load(std::memory_order_relaxed)) return;
    if (std::atomic<uint64_t>* at = slot(cpu, intid); at != nullptr) {
      at->store(0, std::memory_order_relaxed);
    }
  }
  // Of an INTID that the guest has just acknowledged: host cycles since it was raised; 0: not
  // known.
  uint64_t taken(unsigned cpu, unsigned intid) {
    std::atomic<uint64_t>* at = slot(cpu, intid);
    if (at == nullptr) return 0;
    const uint64_t raised = at->exchange(0, std::memory_order_relaxed);
    return raised != 0 ? cycles_between(raised, host_cycles()) : 0;
  }

 private:
  std::atomic<uint64_t>* slot(unsigned cpu, unsigned intid) {
    const size_t at = intid < kPrivate ? cpu * kPrivate + intid : (cpus_ - 1) * kPrivate + intid;
    return at < raised_.size() ? &raised_[at] : nullptr;
  }
  size_t cpus_;
  std::vector<std::atomic<uint64_t>> raised_;
  std::atomic<bool> on_{false};
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_IRQ_PROBE_H_
