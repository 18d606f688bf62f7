// Breakpoints and watchpoints: gdb's, and the guest's own debug registers (D2.8 to D2.12).
#include <algorithm>
#include <utility>

#include "vmm/soft/el2.h"
#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/id_registers.h"
#include "vmm/soft/mmu.h"

namespace trapline::soft {
namespace {

// DBGBCR.{PMC}, DBGWCR.{PAC}: bit 0 is EL1, bit 1 EL0. HMC is EL2 (SSC concerns other states).
bool el_matches(uint64_t control, unsigned shift, unsigned el) {
  if (el == 2) return (control >> 13 & 1) != 0;
  const uint64_t privilege = control >> shift & 3;
  return (privilege & (el == 0 ? 2 : 1)) != 0;
}

// DBGBCR.BT (D17.3.2), those that need neither EL2 nor AArch32. The others, a context match in a
// breakpoint that has none, and a link to no linked context match never match.
enum BreakpointType : unsigned { kAddress, kLinkedAddress, kContext, kLinkedContext };

unsigned type_of(uint64_t control) { return control >> 20 & 15; }
bool compares_address(uint64_t control) {
  return (control & 1) != 0 && type_of(control) <= kLinkedAddress && (control >> 5 & 15) != 0;
}
bool compares_context(uint64_t control, unsigned i, BreakpointType type) {
  return (control & 1) != 0 && type_of(control) == type && i < id::kBreakpoints &&
         i + id::kContextBreakpoints >= id::kBreakpoints;
}
// May match by itself.
bool active_breakpoint(const Cpu& cpu, unsigned i) {
  const uint64_t control = cpu.sys.dbgbcr[i];
  return compares_address(control) || compares_context(control, i, kContext);
}
// AArch64.BreakpointValueMatch: at EL2 without E2H there is no context.
bool same_context(const Cpu& cpu, unsigned i) {
  const auto wanted = static_cast<uint32_t>(cpu.sys.dbgbvr[i]);
  const bool host = cpu.ps.el == 2 ? has(cpu, kHcrE2h) : cpu.ps.el == 0 && host_el0(cpu);
  if (host) return wanted == cpu.sys.el2.contextidr;
  return cpu.ps.el != 2 && wanted == cpu.sys.contextidr_el1;
}
// LBN of a linked breakpoint or watchpoint. The state that the context match names does not count.
bool link_matches(const Cpu& cpu, uint64_t control) {
  const unsigned linked = control >> 16 & 15;
  return compares_context(cpu.sys.dbgbcr[linked], linked, kLinkedContext) &&
         same_context(cpu, linked);
}
bool same_address(uint64_t a, uint64_t b) {  // VA[48:2] and its sign
  constexpr uint64_t kCompared = ((uint64_t{1} << 49) - 1) & ~uint64_t{3};
  return ((a ^ b) & kCompared) == 0;
}

bool breakpoint_here(const Cpu& cpu, uint64_t pc) {
  for (unsigned i = 0; i < id::kBreakpoints; ++i) {
    const uint64_t control = cpu.sys.dbgbcr[i];
    if (!active_breakpoint(cpu, i) || !el_matches(control, 1, cpu.ps.el)) continue;
    const bool value =
        type_of(control) == kContext ? same_context(cpu, i) : same_address(cpu.sys.dbgbvr[i], pc);
    if (value && (type_of(control) != kLinkedAddress || link_matches(cpu, control))) return true;
  }
  return false;
}

struct Watched {
  uint64_t base, size;
};
// The bytes a watchpoint covers: a mask of up to 2 GiB, or the byte-address select.
Watched watched_bytes(uint64_t value, uint64_t control) {
  const unsigned mask = control >> 24 & 31;
  const uint64_t base = value & ~uint64_t{7};
  if (mask >= 3) {
    const uint64_t size = uint64_t{1} << mask;
    return {base & ~(size - 1), size};
  }
  const unsigned select = control >> 5 & 0xff;
  if (select == 0) return {base, 0};
  const auto first = static_cast<unsigned>(__builtin_ctz(select));
  const auto last = 31 - static_cast<unsigned>(__builtin_clz(select));
  return {base + first, last - first + 1};
}

constexpr uint64_t kCompared = (uint64_t{1} << 49) - 1;

bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

}  // namespace

void debug_context_changed(Cpu& cpu) {
  EngineState& e = *cpu.engine;
  const bool enabled = (cpu.sys.mdscr_el1 & kMdscrMde) != 0;
  const bool had_breakpoints = e.hw_breakpoints, had_watchpoints = e.hw_watchpoints;
  e.hw_breakpoints = e.hw_watchpoints = false;
  if (enabled) {
    for (unsigned i = 0; i < id::kBreakpoints; ++i) {
      e.hw_breakpoints |= active_breakpoint(cpu, i);
    }
    for (unsigned i = 0; i < id::kWatchpoints; ++i) {
      e.hw_watchpoints |= (cpu.sys.dbgwcr[i] & 1) != 0;
    }
  }
  e.watching = e.hw_watchpoints || !e.watchpoints.empty();
  // Called at every change of EL, too: only the registers themselves make anything stale.
  uint64_t sum = 0;
  for (unsigned i = 0; i < 16; ++i) {
    for (uint64_t v :
         {cpu.sys.dbgbvr[i], cpu.sys.dbgbcr[i], cpu.sys.dbgwvr[i], cpu.sys.dbgwcr[i]}) {
      sum = (sum ^ v) * 0x100000001b3u;
    }
  }
  if (sum == e.debug_sum && had_breakpoints == e.hw_breakpoints &&
      had_watchpoints == e.hw_watchpoints) {
    return;
  }
  e.debug_sum = sum;
  if (had_breakpoints || e.hw_breakpoints) e.blocks_stale = true;
  if (had_watchpoints || e.hw_watchpoints) tlb_flush_all(e);
  e.context_dirty = true;
}

bool debug_needs_breakpoint(const Cpu& cpu, const EngineState& e, uint64_t pc) {
  if (std::binary_search(e.breakpoints.begin(), e.breakpoints.end(), pc)) return true;
  if (!e.hw_breakpoints) return false;
  for (unsigned i = 0; i < id::kBreakpoints; ++i) {
    if (compares_context(cpu.sys.dbgbcr[i], i, kContext)) return true;  // any instruction
    if (compares_address(cpu.sys.dbgbcr[i]) && same_address(cpu.sys.dbgbvr[i], pc)) return true;
  }
  return false;
}

bool debug_check(Cpu& cpu, EngineState& e, bool& exits) {
  exits = false;
  if (std::binary_search(e.breakpoints.begin(), e.breakpoints.end(), cpu.pc)) {
    if (e.skip_breakpoint_pc != cpu.pc || e.skip_breakpoint_retired != cpu.retired) {
      e.skip_breakpoint_pc = cpu.pc;
      e.skip_breakpoint_retired = cpu.retired;
      exits = true;
      return true;
    }
  }
  if (e.hw_breakpoints && debug_exceptions_enabled(cpu) && breakpoint_here(cpu, cpu.pc)) {
    take_sync(cpu, Ec::kBreakpointLower, kFscDebug, cpu.pc);
    note_exception(cpu, e);
    return true;
  }
  return false;
}

bool debug_page_watched(const Cpu& cpu, uint64_t va_page) {
  if (!cpu.engine->watching) return false;
  const uint64_t page = va_page & kCompared & ~kPageMask;
  for (const Watchpoint& w : cpu.engine->watchpoints) {
    if (overlap(w.va & kCompared, w.size, page, kPageSize)) return true;
  }
  if (!cpu.engine->hw_watchpoints) return false;
  for (unsigned i = 0; i < id::kWatchpoints; ++i) {
    if ((cpu.sys.dbgwcr[i] & 1) == 0) continue;
    const Watched w = watched_bytes(cpu.sys.dbgwvr[i] & kCompared, cpu.sys.dbgwcr[i]);
    if (w.size != 0 && overlap(w.base, w.size, page, kPageSize)) return true;
  }
  return false;
}

bool debug_watchpoint(Cpu& cpu, uint64_t va, uint64_t size, bool read, bool write,
                      bool unprivileged) {
  if (!debug_exceptions_enabled(cpu)) return false;
  const unsigned el = unprivileged ? 0 : cpu.ps.el;
  const uint64_t start = va & kCompared;
  for (unsigned i = 0; i < id::kWatchpoints; ++i) {
    const uint64_t control = cpu.sys.dbgwcr[i];
    if ((control & 1) == 0 || !el_matches(control, 1, el)) continue;
    if ((control >> 20 & 1) != 0 && !link_matches(cpu, control)) continue;  // WT
    const bool wanted = (read && (control >> 3 & 1) != 0) || (write && (control >> 4 & 1) != 0);
    const Watched w = watched_bytes(cpu.sys.dbgwvr[i] & kCompared, control);
    if (!wanted || w.size == 0 || !overlap(w.base, w.size, start, size)) continue;
    // FAR: an address within the access, at or above the watched one.
    const uint64_t far = w.base > start ? va + (w.base - start) : va;
    const bool by_write = write && !(read && (control >> 3 & 1) != 0);
    take_abort(cpu, Ec::kWatchpointLower, kFscDebug | (by_write ? 1u << 6 : 0), far, cpu.pc);
    return true;
  }
  return false;
}

// gdb's: by address in whatever address space, as the guest's are, but at any EL and whether debug
// exceptions are enabled or not.
bool debug_gdb_watchpoint(Cpu& cpu, EngineState& e, uint64_t va, uint64_t size, bool read,
                          bool write) {
  const uint64_t start = va & kCompared;
  for (const Watchpoint& w : e.watchpoints) {
    const uint64_t base = w.va & kCompared;
    if (!((read && w.read) || (write && w.write)) || !overlap(base, w.size, start, size)) continue;
    if (e.skip_watchpoint_pc == cpu.pc && e.skip_watchpoint_retired == cpu.retired) return false;
    e.skip_watchpoint_pc = cpu.pc;
    e.skip_watchpoint_retired = cpu.retired;
    Exit& exit = cpu.exit;
    exit = Exit{};
    exit.kind = ExitKind::kDebug;
    exit.vcpu = static_cast<uint8_t>(cpu.index);
    exit.pc = cpu.pc;
    exit.valid_mask = Exit::kEsr | Exit::kFar;
    exit.esr = make_esr(Ec::kWatchpointLower, kFscDebug | (write && w.write ? 1u << 6 : 0));
    exit.far = w.va + (start > base ? start - base : 0);  // without the access's tag
    e.leave = Leave::kExit;
    return true;
  }
  return false;
}

// What does not change costs nothing. After a change every stop counts anew: of several CPUs that
// stopped at once the debugger may not have been told of all when it took the breakpoints away, to
// step one over them, and put them back.
void engine_set_breakpoints(Cpu& cpu, const uint64_t* pcs, unsigned count) {
  EngineState& e = *cpu.engine;
  std::vector<uint64_t> sorted(pcs, pcs + count);
  std::sort(sorted.begin(), sorted.end());
  if (sorted == e.breakpoints) return;
  e.breakpoints = std::move(sorted);
  e.skip_breakpoint_pc = ~uint64_t{0};
  e.blocks_stale = true;
}

void engine_set_watchpoints(Cpu& cpu, const Watchpoint* list, unsigned count) {
  EngineState& e = *cpu.engine;
  if (std::equal(list, list + count, e.watchpoints.begin(), e.watchpoints.end())) return;
  e.watchpoints.assign(list, list + count);
  e.skip_watchpoint_pc = ~uint64_t{0};
  e.watching = e.hw_watchpoints || count != 0;
  tlb_flush_all(e);
}

}  // namespace trapline::soft
