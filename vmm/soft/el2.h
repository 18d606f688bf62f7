// HCR_EL2 and the other controls of EL2, as questions. Without EL2 all of them are zero.
#ifndef TRAPLINE_VMM_SOFT_EL2_H_
#define TRAPLINE_VMM_SOFT_EL2_H_

#include <cstdint>

#include "vmm/soft/cpu.h"

namespace trapline::soft {

// HCR_EL2, D17.2.48.
enum Hcr : uint64_t {
  kHcrVm = 1 << 0,
  kHcrSwio = 1 << 1,
  kHcrPtw = 1 << 2,
  kHcrFmo = 1 << 3,
  kHcrImo = 1 << 4,
  kHcrAmo = 1 << 5,
  kHcrVf = 1 << 6,
  kHcrVi = 1 << 7,
  kHcrVse = 1 << 8,
  kHcrFb = 1 << 9,
  kHcrDc = 1 << 12,
  kHcrTwi = 1 << 13,
  kHcrTwe = 1 << 14,
  kHcrTid1 = 1 << 16,
  kHcrTid2 = 1 << 17,
  kHcrTid3 = 1 << 18,
  kHcrTsc = 1 << 19,
  kHcrTidcp = 1 << 20,
  kHcrTacr = 1 << 21,
  kHcrTsw = 1 << 22,
  kHcrTpc = 1 << 23,
  kHcrTpu = 1 << 24,
  kHcrTtlb = 1 << 25,
  kHcrTvm = 1 << 26,
  kHcrTge = 1 << 27,
  kHcrTdz = 1 << 28,
  kHcrHcd = 1 << 29,
  kHcrTrvm = 1 << 30,
  kHcrRw = uint64_t{1} << 31,
  kHcrCd = uint64_t{1} << 32,
  kHcrE2h = uint64_t{1} << 34,
};

inline bool has(const Cpu& cpu, Hcr bit) { return (cpu.sys.el2.hcr & bit) != 0; }
// EL0 is the host's: a program under a hypervisor that is an operating system, too.
inline bool host_el0(const Cpu& cpu) {
  constexpr uint64_t kBoth = kHcrE2h | kHcrTge;
  return (cpu.sys.el2.hcr & kBoth) == kBoth;
}
// Below EL2 with its traps in force. TGE alone leaves those of EL0 (D17.2.48: the bits that it
// turns off are about EL1); with E2H, too, they are off.
inline bool under_hypervisor(const Cpu& cpu) {
  return cpu.has_el2 && cpu.ps.el < 2 && !host_el0(cpu);
}

// The bits of MDCR_EL2 that something here obeys, D17.3.17.
enum Mdcr : uint64_t {
  kMdcrTde = 1 << 8,
  kMdcrTda = 1 << 9,
  kMdcrTdosa = 1 << 10,
  kMdcrTdra = 1 << 11
};
// TDE and TGE: debug exceptions of EL0 and EL1 are EL2's.
inline bool debug_is_routed_to_el2(const Cpu& cpu) {
  return has(cpu, kHcrTge) || (cpu.sys.el2.mdcr & kMdcrTde) != 0;
}

// The regime that an EL uses, D8.1.2.
inline Regime regime_of(const Cpu& cpu, unsigned el) {
  if (el == 2) return has(cpu, kHcrE2h) ? Regime::kEl20 : Regime::kEl2;
  return el == 0 && host_el0(cpu) ? Regime::kEl20 : Regime::kEl10;
}
// The registers of a regime as they act; `el` and `pan` are the caller's.
TranslationRegs regime_registers(const Cpu& cpu, Regime regime);

// Where SIMD&FP instructions trap to now: 0 if they do not. CPACR_EL1, CPTR_EL2.
unsigned fp_trap_el(const Cpu& cpu);
// Takes that trap at cpu.pc.
void take_fp_trap(Cpu& cpu);
// Which interrupts PSTATE, EL and HCR_EL2 let through: Cpu::interrupt_bits, wake_bits.
void update_interrupts(Cpu& cpu);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_EL2_H_
