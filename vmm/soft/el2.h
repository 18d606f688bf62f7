// HCR_EL2 and the other controls of EL2, as questions. Without EL2 all of them are zero.
#ifndef TRAPLINE_VMM_SOFT_EL2_H_
#define TRAPLINE_VMM_SOFT_EL2_H_

#include <cstdint>

#include "vmm/memory/hypervisor.h"
#include "vmm/soft/cpu.h"

namespace trapline::soft {

inline bool has(const Cpu& cpu, Hcr bit) { return (cpu.sys.el2.hcr & bit) != 0; }
// EL0 is the host's: a program under a hypervisor that is an operating system, too.
inline bool host_el0(const Cpu& cpu) { return el0_is_the_hosts(cpu.sys.el2.hcr); }
// Below EL2 with its traps in force. TGE alone leaves those of EL0 (D17.2.48: the bits that it
// turns off are about EL1); with E2H, too, they are off.
inline bool under_hypervisor(const Cpu& cpu) {
  return cpu.has_el2 && cpu.ps.el < 2 && !host_el0(cpu);
}

// The bits of MDCR_EL2 that something here obeys, D17.3.17.
enum Mdcr : uint64_t {
  kMdcrHpmn = 0x1f,
  kMdcrTpmcr = 1 << 5,
  kMdcrTpm = 1 << 6,
  kMdcrHpme = 1 << 7,
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
inline Regime regime_of(const Cpu& cpu, unsigned el) { return regime_at(el, cpu.sys.el2.hcr); }
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
