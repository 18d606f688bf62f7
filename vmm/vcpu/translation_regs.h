// The registers by which an address of the guest is translated. Freestanding.
#ifndef TRAPLINE_VMM_VCPU_TRANSLATION_REGS_H_
#define TRAPLINE_VMM_VCPU_TRANSLATION_REGS_H_

#include <cstdint>

namespace trapline {

// The translation regimes of AArch64 without EL3, D8.1.2.
enum class Regime : uint8_t {
  kEl10,  // EL1&0; with EL2 its stage 1 may be followed by the hypervisor's stage 2
  kEl2,   // EL2 without E2H: one address range, no ASID
  kEl20,  // EL2&0, E2H: two ranges as EL1&0, and EL2 is the privileged level
};

// What HCR_EL2 and SCTLR_EL2 say of a hypervisor's stage 2. It is used in EL1&0 alone.
enum GuestStage2Bits : uint8_t {
  kGuestStage2On = 1,         // HCR_EL2.VM, or DC, which implies it
  kGuestStage2BigEndian = 2,  // SCTLR_EL2.EE
  kGuestStage2Ptw = 4,        // HCR_EL2.PTW: no stage-1 table lies in Device memory
  kGuestStage2Dc = 8,         // HCR_EL2.DC: what stage 1 does not translate is Normal memory
  kGuestStage2Cd = 16,        // HCR_EL2.CD: Normal memory is Non-cacheable; AT shows it
};

// The registers that decide how a PC is translated; also the cache key's context. They are those of
// the current regime, as they act: SCTLR.M is clear where HCR_EL2.DC or TGE turns stage 1 off, and
// TCR_EL2 without E2H is given in the layout of TCR_EL1 (tcr_of_el2()).
struct TranslationRegs {
  uint64_t sctlr = 0;
  uint64_t tcr = 0;
  uint64_t ttbr0 = 0;
  uint64_t ttbr1 = 0;
  uint64_t mair = 0;
  uint64_t vttbr = 0;  // with kGuestStage2On
  uint64_t vtcr = 0;
  uint16_t vmid = 0;
  uint8_t el = 1;  // current: 0, 1 or 2
  bool pan = false;
  Regime regime = Regime::kEl10;
  uint8_t guest_stage2 = 0;  // GuestStage2Bits; 0 in EL2 and EL2&0
  // Names the values of all the others but `pan`: while it stays the same, so do they. 0: the
  // backend cannot tell; compare.
  uint64_t serial = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_TRANSLATION_REGS_H_
