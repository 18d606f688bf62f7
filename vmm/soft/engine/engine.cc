// The run loop: everything between two blocks that is not a direct jump.
#include "vmm/soft/engine/engine.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "vmm/soft/el2.h"
#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/machine.h"
#include "vmm/soft/mmu.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace trapline::soft {
namespace {

constexpr uint64_t kLongestRun = uint64_t{1} << 62;

// The guest's arithmetic is the host's: to nearest, with denormals, whatever the thread that calls
// has set, or a library that was linked with -ffast-math for it. The thread's own mode and flags
// are back afterwards.
class HostArithmetic {
 public:
  HostArithmetic(const HostArithmetic&) = delete;
  HostArithmetic& operator=(const HostArithmetic&) = delete;
#if defined(__x86_64__)
  HostArithmetic() : was_(_mm_getcsr()) {
    constexpr unsigned kAllMasked = 0x1f80;
    _mm_setcsr(kAllMasked);
  }
  ~HostArithmetic() { _mm_setcsr(was_); }

 private:
  const unsigned was_;
#else
  HostArithmetic() {}
  ~HostArithmetic() {}
#endif
};

// What has no instruction: the sink hears of it, and run() returns.
void tell(Cpu& cpu, EngineState& e, ExitKind kind) {
  Exit& exit = cpu.exit;
  exit.kind = kind;
  exit.vcpu = static_cast<uint8_t>(cpu.index);
  exit.valid_mask = 0;
  exit.pc = cpu.pc;
  e.view.refresh(cpu.pc);
  ask_sink(cpu, e);
}

// The PC of these is on the instruction; that of the others already past it.
bool steps_past(ExitKind kind) { return kind == ExitKind::kDataAbort || kind == ExitKind::kSysreg; }
void step_past(Cpu& cpu, EngineState& e) {
  retire_one(&cpu, &e);
  cpu.pc += 4;
}

// Of the instruction that exited: its predecoded block, and the TLB entries that led to its data.
void forget(Cpu& cpu, EngineState& e, const Exit& exit) {
  tlb_flush_va(e, {cpu.sys.mmu.regime}, exit.far);
  MmuResult fault;
  if (e.context_dirty) tlb_update_context(cpu);
  if (const uint8_t* page = tlb_exec(cpu, exit.pc & ~kPageMask, fault)) {
    blocks_drop_line(e, page + (exit.pc & kPageMask & ~uint64_t{63}));
  }
}

// Of those that are let through the first: FIQ before IRQ, those of EL2's own before virtual ones.
void take_interrupts(Cpu& cpu, EngineState& e, uint32_t pending) {
  const auto physical_el = [&cpu](Hcr routed) {
    return cpu.ps.el == 2 || (cpu.sys.el2.hcr & (routed | kHcrTge)) != 0 ? 2u : 1u;
  };
  if (pending == 0) return;
  if ((pending & Cpu::kFiq) != 0) {
    take_interrupt(cpu, VectorKind::kFiq, physical_el(kHcrFmo));
  } else if ((pending & Cpu::kIrq) != 0) {
    take_interrupt(cpu, VectorKind::kIrq, physical_el(kHcrImo));
  } else if ((pending & (Cpu::kVfiq | Cpu::kSetVfiq)) != 0) {
    take_interrupt(cpu, VectorKind::kFiq, 1);
  } else if ((pending & (Cpu::kVirq | Cpu::kSetVirq)) != 0) {
    take_interrupt(cpu, VectorKind::kIrq, 1);
  } else if ((pending & Cpu::kSetVserror) != 0) {
    take_virtual_serror(cpu);
  } else {
    return;
  }
  note_exception(cpu, e);
}

// Deals with everything that is due before the instruction at cpu.pc. True: run() returns.
bool look_around(Cpu& cpu, EngineState& e) {
  uint32_t attention = cpu.attention.load(std::memory_order_seq_cst);
  if ((attention & Cpu::kMaintenance) != 0) maintenance_drain(cpu, e);
  if ((attention & Cpu::kKick) != 0) {
    cpu.attention.fetch_and(~uint32_t{Cpu::kKick}, std::memory_order_seq_cst);
    tell(cpu, e, ExitKind::kKicked);
    return true;
  }
  if (e.stop_after_exception) return false;  // a debugger's step
  take_interrupts(cpu, e, attention & cpu.interrupt_bits[cpu.ps.daif & 7]);
  return false;
}

// Exceptions that the instruction address or PSTATE cause before anything is fetched. True: one was
// taken.
bool pc_faults(Cpu& cpu, EngineState& e) {
  if (cpu.ps.il) {
    take_sync(cpu, Ec::kIllegalState, 0, cpu.pc);
  } else if ((cpu.pc & 3) != 0) {
    take_abort(cpu, Ec::kPcAlignment, 0, cpu.pc, cpu.pc);
  } else {
    return false;
  }
  note_exception(cpu, e);
  return true;
}

// A link found missing is set, unless the way to its target was not a plain one.
void resolve_link(EngineState& e, Block* b) {
  Block** link = e.pending_link;
  e.pending_link = nullptr;
  if (!b->linkable || b->pc != e.pending_pc) return;
  const Block* source = e.pending_source;
  if (source->token == 0 || source->mode != b->mode) return;
  if (e.pending_local &&
      ((reinterpret_cast<uintptr_t>(source->host) ^ reinterpret_cast<uintptr_t>(b->host)) &
       ~kPageMask) != 0) {
    return;
  }
  *link = b;
}

// cpu.exit is filled in, outside a block. True: the run goes on.
bool take_exit_here(Cpu& cpu, EngineState& e) {
  if (cpu.exit.kind == ExitKind::kDebug) {
    e.view.refresh(cpu.pc);
    ask_sink(cpu, e);
    return false;
  }
  e.leave = Leave::kLookup;
  e.keeps_step = !steps_past(cpu.exit.kind);
  if (take_exit(cpu, e) && !e.keeps_step) step_past(cpu, e);
  if (e.leave == Leave::kLookup && !e.keeps_step) step_advance(cpu);
  return e.leave != Leave::kReturn;
}

void run_loop(Cpu& cpu, EngineState& e) {
  const ExitKind used_up = e.stop_after_exception ? ExitKind::kDebug : ExitKind::kBudget;
  for (;;) {
    if (cpu.futile_exceptions >= kCrashThreshold) return tell(cpu, e, ExitKind::kCrashed);
    if (cpu.retired >= cpu.pmu.deadline) [[unlikely]]
      pmu_sync(cpu);
    update_attention_mask(cpu, e);  // an exception's return may have changed PSTATE
    // Exceptions and ERET synchronise and come by here; see op_isb().
    std::atomic_thread_fence(std::memory_order_acquire);
    if ((cpu.attention.load(std::memory_order_relaxed) & e.attention_mask) != 0) {
      if (look_around(cpu, e)) return;
      update_attention_mask(cpu, e);
    }
    if (e.context_dirty) tlb_update_context(cpu);
    if (e.icount <= 0) return tell(cpu, e, used_up);
    // Not beyond the instruction with which a counter of the PMU interrupts.
    uint64_t limit = std::min(static_cast<uint64_t>(e.icount), cpu.pmu.deadline - cpu.retired);

    const bool stepping = step_enabled(cpu);
    if (stepping && step_pending(cpu)) {
      take_software_step(cpu, false);
      note_exception(cpu, e);
      continue;
    }
    cpu.pc = strip_tag(cpu.sys.mmu, cpu.pc);  // AArch64.BranchAddr, of an indirect branch
    if (pc_faults(cpu, e)) continue;
    if (e.blocks_stale) {
      blocks_flush(e);
      e.blocks_stale = false;
    }
    if (!e.breakpoints.empty() || e.hw_breakpoints) {
      bool exits = false;
      if (debug_check(cpu, e, exits)) {
        if (exits) return tell(cpu, e, ExitKind::kDebug);
        continue;
      }
    }
    if (stepping) limit = 1;

    Block* b = find_block(cpu, e, limit);
    if (b != nullptr) {
      if (e.pending_link != nullptr) resolve_link(e, b);
      e.leave = Leave::kLookup;
      e.keeps_step = false;
      e.flags.unpack(cpu.nzcv);
      e.block = b;
      // A step ends after one instruction, though it may be a jump to a known block.
      const int64_t withheld = e.icount - static_cast<int64_t>(limit);
      e.icount -= withheld;
      e.retire_base -= static_cast<uint64_t>(withheld);
      b->ops[0].fn(&cpu, b->ops, e.icount - b->len, &e);
      e.icount += withheld;
      e.retire_base += static_cast<uint64_t>(withheld);
      if (stepping && e.leave == Leave::kLookup && !e.keeps_step) step_advance(cpu);
    }
    switch (e.leave) {
      case Leave::kLookup:
        break;
      case Leave::kExit:
        e.pending_link = nullptr;
        if (!take_exit_here(cpu, e)) return;
        if (e.leave != Leave::kException) break;
        [[fallthrough]];
      case Leave::kException:
        e.pending_link = nullptr;
        if (e.stop_after_exception) return tell(cpu, e, ExitKind::kDebug);
        break;
      case Leave::kReturn:
        e.pending_link = nullptr;
        return;
    }
  }
}

}  // namespace

void note_exception(Cpu& cpu, EngineState& e) {
  (void)cpu;
  e.context_dirty = true;
  e.leave = Leave::kException;
}

bool carry_out(Cpu& cpu, EngineState& e, Answer answer) {
  e.leave = Leave::kLookup;
  if (cpu.exit.kind == ExitKind::kHvc) {  // its preferred return address
    step_past(cpu, e);
    cpu.ps.ss = false;  // the step is over: SPSR_EL2 would say so
    e.keeps_step = true;
  }
  switch (answer.how) {
    case Resume::kGoOn:
      cpu.nzcv = e.view.nzcv;
      if (!answer.then_leave && cpu.exit.kind != ExitKind::kHvc && block_goes_on(cpu, e) &&
          cpu.nzcv == e.flags.pack()) {
        return true;
      }
      if (steps_past(cpu.exit.kind)) step_past(cpu, e);
      if (answer.then_leave && !e.keeps_step) step_advance(cpu);
      break;
    case Resume::kAgain:
      cpu.nzcv = e.view.nzcv;
      forget(cpu, e, cpu.exit);
      e.keeps_step = true;
      break;
    case Resume::kFault:
      deliver(cpu, e.sink->fault, cpu.exit.pc);
      note_exception(cpu, e);
      break;
    case Resume::kLeave:
    case Resume::kWhole:  // only a brief exit's
      e.leave = Leave::kReturn;
      break;
  }
  if (answer.then_leave) e.leave = Leave::kReturn;
  return false;
}

void engine_create(Cpu& cpu) {
  auto made = std::make_unique<EngineState>(cpu);
  EngineState* const e = made.get();
  blocks_init(*e);  // which the host may refuse
  cpu.engine = made.release();
  cpu.exit.vcpu = static_cast<uint8_t>(cpu.index);
  e->translate_after = cpu.translate_after;
  if (e->translate_after != 0) e->translator = make_translator(cpu, *e);
  e->emulate_context.gate = nullptr;
  e->world_count = cpu.has_el2 ? kWorlds : 1;
  e->worlds = std::make_unique<World[]>(e->world_count);
  e->world = &e->worlds[0];
  constexpr size_t kTables = 1 + kTlbContexts;
  e->tlb_entries = zero_array<TlbEntry>(e->world_count * kTables * kTlbEntries);
  TlbEntry* entries = e->tlb_entries.get();
  for (unsigned i = 0; i < e->world_count; ++i) {
    tlb_make(e->worlds[i].privileged, std::exchange(entries, entries + kTlbEntries));
    for (TlbTable& table : e->worlds[i].user) {
      tlb_make(table, std::exchange(entries, entries + kTlbEntries));
    }
  }
  engine_reset(cpu);
  cpu.shared->cpus.push_back(&cpu);
}

void engine_destroy(Cpu& cpu) {
  auto& cpus = cpu.shared->cpus;
  cpus.erase(std::remove(cpus.begin(), cpus.end(), &cpu), cpus.end());
  blocks_free(*cpu.engine);
  delete cpu.engine;
  cpu.engine = nullptr;
}

void engine_reset(Cpu& cpu) {
  EngineState& e = *cpu.engine;
  cpu.r.x[kSlotXzr] = 0;
  update_regime(cpu);
  blocks_flush(e);
  tlb_flush_all(e);
  debug_context_changed(cpu);
  e.skip_breakpoint_pc = e.skip_watchpoint_pc = ~uint64_t{0};
  e.context_dirty = true;
}

void engine_run(Cpu& cpu, uint64_t budget, ExitSink& sink) {
  EngineState& e = *cpu.engine;
  e.sink = &sink;
  e.icount = static_cast<int64_t>(std::min(budget, kLongestRun));
  e.retire_base = cpu.retired + static_cast<uint64_t>(e.icount);
  e.pending_link = nullptr;
  update_attention_mask(cpu, e);
  // From here on other CPUs wait for us; what they asked for before is in the queue.
  enter_guest(e);
  const HostArithmetic arithmetic;
  run_loop(cpu, e);
  leave_guest_for(e, Presence::kOutside);
}

void engine_step(Cpu& cpu, ExitSink& sink) {
  EngineState& e = *cpu.engine;
  e.stop_after_exception = true;
  e.skip_breakpoint_pc = cpu.pc;
  e.skip_breakpoint_retired = cpu.retired;
  engine_run(cpu, 1, sink);
  e.stop_after_exception = false;
}

EngineStats engine_stats(const Cpu& cpu) { return cpu.engine->stats; }

}  // namespace trapline::soft
