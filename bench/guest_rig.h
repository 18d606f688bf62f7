// The benchmark guest (bench/guest) on the software CPU alone: RAM, no devices, and the guest's
// loops called one by one. For bench_cpu.
#ifndef TRAPLINE_BENCH_GUEST_RIG_H_
#define TRAPLINE_BENCH_GUEST_RIG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/machine/clocks.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/soft/engine/engine.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline::bench {

class GuestRig {
 public:
  // `image`: the file guest.bin. What goes wrong ends the program with a line that says so.
  GuestRig(const std::string& image, bool mmu, uint16_t translate_after = soft::kTranslateAfter);

  // Instructions retired by `times` rounds of the guest's loop of this name, to its return.
  uint64_t call(std::string_view loop, uint64_t times);
  // The same, with whom to ask at its exits.
  void enter(std::string_view loop, uint64_t times, ExitSink& sink);

  soft::SoftVcpu& vcpu() { return machine_->vcpu(0); }
  soft::EngineStats stats() { return soft::engine_stats(vcpu().cpu()); }

 private:
  uint64_t loop(std::string_view name);
  std::string text(uint64_t address);

  GuestMemory memory_;
  Stage2 stage2_;
  HostClock clock_;
  std::unique_ptr<soft::SoftMachine> machine_;
  struct Loop {
    std::string name;
    uint64_t entry;
  };
  std::vector<Loop> loops_;
  uint64_t return_address_ = 0;
};

}  // namespace trapline::bench

#endif  // TRAPLINE_BENCH_GUEST_RIG_H_
