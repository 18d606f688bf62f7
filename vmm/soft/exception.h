// Exceptions beyond the seam in cpu.h: debug exceptions and the software-step state machine.
#ifndef TRAPLINE_VMM_SOFT_EXCEPTION_H_
#define TRAPLINE_VMM_SOFT_EXCEPTION_H_

#include <cstdint>

#include "vmm/soft/cpu.h"
#include "vmm/soft/el2.h"

namespace trapline::soft {

inline constexpr uint64_t kPstateDit = uint64_t{1} << 24;  // of SPSR_ELx and the register DIT

// MDSCR_EL1, D17.3.20.
enum Mdscr : uint64_t {
  kMdscrSs = 1 << 0,
  kMdscrTdcc = 1 << 12,
  kMdscrKde = 1 << 13,
  kMdscrMde = 1 << 15,
};

// Debug exceptions other than BRK are enabled from `el` with PSTATE.D as given (D2.4): the OS lock
// is open and, from the level that takes them, MDSCR_EL1.KDE is set and D is clear.
inline bool debug_exceptions_enabled_from(const Cpu& cpu, unsigned el, bool d_masked) {
  if (cpu.sys.oslar_locked != 0) return false;
  const unsigned target = cpu.has_el2 && debug_is_routed_to_el2(cpu) ? 2 : 1;
  if (el != target) return el < target;
  return (cpu.sys.mdscr_el1 & kMdscrKde) != 0 && !d_masked;
}
inline bool debug_exceptions_enabled(const Cpu& cpu) {
  return debug_exceptions_enabled_from(cpu, cpu.ps.el, (cpu.ps.daif & 8) != 0);
}

// Software step (D2.12): active-not-pending lets one instruction execute, active-pending takes the
// exception before the next. The engine asks before each instruction while step_enabled().
inline bool step_enabled(const Cpu& cpu) {
  return (cpu.sys.mdscr_el1 & kMdscrSs) != 0 && debug_exceptions_enabled(cpu);
}
inline bool step_pending(const Cpu& cpu) { return step_enabled(cpu) && !cpu.ps.ss; }
// An instruction completed (SSAdvance).
inline void step_advance(Cpu& cpu) {
  if ((cpu.sys.mdscr_el1 & kMdscrSs) == 0) return;
  cpu.ps.stepped = cpu.ps.ss;
  cpu.ps.ss = false;
}
// HCR_EL2.VSE's, once PSTATE.A lets it through: at cpu.pc.
void take_virtual_serror(Cpu& cpu);
// Takes the Software Step exception at cpu.pc; `exclusive`: the stepped instruction was a load
// exclusive (ISS.EX) if the monitor does not say so itself.
void take_software_step(Cpu& cpu, bool exclusive);

// EC 0x18: an MSR, MRS or System instruction trapped to EL1.
constexpr uint32_t sysreg_iss(uint32_t word) {
  const uint32_t op0 = word >> 19 & 3, op1 = word >> 16 & 7, crn = word >> 12 & 15;
  const uint32_t crm = word >> 8 & 15, op2 = word >> 5 & 7, rt = word & 31;
  const uint32_t read = word >> 21 & 1;
  return op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | rt << 5 | crm << 1 | read;
}

constexpr uint64_t make_esr(Ec ec, uint32_t iss) {
  return uint64_t{static_cast<uint8_t>(ec)} << 26 | uint64_t{1} << 25 | iss;
}

// This many consecutive synchronous exceptions with nothing retired: the vectors themselves fault.
inline constexpr unsigned kCrashThreshold = 1000;

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_EXCEPTION_H_
