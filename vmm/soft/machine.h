// What the software CPUs of one machine share.
#ifndef TRAPLINE_VMM_SOFT_MACHINE_H_
#define TRAPLINE_VMM_SOFT_MACHINE_H_

#include <atomic>
#include <vector>

#include "vmm/memory/guest_memory.h"
#include "vmm/soft/cpu.h"

namespace trapline::soft {

// Owned by the machine; outlives the CPUs. Hears of writes to pages that hold predecoded
// instructions, whoever makes them.
struct SharedState final : public GuestMemory::Observer {
  explicit SharedState(GuestMemory& guest_memory) : memory(guest_memory) {
    guest_memory.add_observer(this);
  }

  // Drops the predecoded instructions of the pages on all CPUs. Does not wait: the CPUs do it
  // before they take the interrupt that announces a DMA, or at their next block.
  void memory_written(uint64_t ipa, uint64_t size) override;

  GuestMemory& memory;
  // Calls of memory_written() between taking a page's kHasCode and having told all CPUs.
  std::atomic<unsigned> code_pages_leaving{0};
  std::vector<Cpu*> cpus;  // entered by engine_create(); constant while the machine runs
};

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_MACHINE_H_
