// The software CPU's engine: runs guest instructions from predecoded blocks. What SoftVcpu calls.
#ifndef TRAPLINE_VMM_SOFT_ENGINE_ENGINE_H_
#define TRAPLINE_VMM_SOFT_ENGINE_ENGINE_H_

#include <cstdint>

#include "vmm/soft/cpu.h"

namespace trapline::soft {

// Assembly time, on one thread: allocates the TLB and the block arena and enters `cpu` into
// cpu.shared. memory, stage2, clock, shared and index of `cpu` must be set before.
void engine_create(Cpu& cpu);
void engine_destroy(Cpu& cpu);
// After any change of the state from outside (power-on reset, snapshot load): forgets every
// translation and every block.
void engine_reset(Cpu& cpu);

// Runs, at most `budget` instructions, until the sink lets it leave, or kBudget (after exactly that
// many), kKicked, kCrashed or kDebug was told to it. Interrupts are taken when unmasked; kKick is
// consumed and told before any instruction. cpu.retired and cpu.pc are exact on return, and for the
// sink. Of a kHvc, kWfi or kWfe the instruction counts as retired when the sink hears of it.
// After kWfe nobody says when another CPU's store opens the exclusive monitor: the caller asks
// event_pending(), and bounds its wait.
void engine_run(Cpu& cpu, uint64_t budget, ExitSink& sink);
// One instruction (or one synchronous exception entry), then kDebug, unless its exit leaves. No
// interrupt is taken.
void engine_step(Cpu& cpu, ExitSink& sink);

// run() exits by kDebug with pc on the breakpoint, before its instruction. The next run() from
// there goes on past it.
void engine_set_breakpoints(Cpu& cpu, const uint64_t* pcs, unsigned count);
// Likewise before an access that a watchpoint covers, far being its first byte that is watched.
void engine_set_watchpoints(Cpu& cpu, const Watchpoint* list, unsigned count);

struct EngineStats {
  uint64_t blocks_built = 0, blocks_translated = 0, blocks_dropped = 0, arena_flushes = 0;
  uint64_t tlb_fills = 0, tlb_flushes = 0, slow_accesses = 0, block_lookups = 0;
  uint64_t maintenance_requests = 0;
};
EngineStats engine_stats(const Cpu& cpu);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_ENGINE_ENGINE_H_
