// What HCR_EL2 says of translation, where a guest is a hypervisor.
#ifndef TRAPLINE_VMM_MEMORY_HYPERVISOR_H_
#define TRAPLINE_VMM_MEMORY_HYPERVISOR_H_

#include <cstdint>

#include "vmm/memory/walk_inl.h"
#include "vmm/vcpu/translation_regs.h"

namespace trapline {

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

// EL0 is the host's: a program under a hypervisor that is an operating system, too.
constexpr bool el0_is_the_hosts(uint64_t hcr) {
  constexpr uint64_t kBoth = kHcrE2h | kHcrTge;
  return (hcr & kBoth) == kBoth;
}

// The regime that an EL uses, D8.1.2.
constexpr Regime regime_at(unsigned el, uint64_t hcr) {
  if (el == 2) return (hcr & kHcrE2h) != 0 ? Regime::kEl20 : Regime::kEl2;
  return el == 0 && el0_is_the_hosts(hcr) ? Regime::kEl20 : Regime::kEl10;
}

// EL1&0, whose own registers `regs` has, below a hypervisor.
inline void put_below_hypervisor(TranslationRegs& regs, uint64_t hcr, uint64_t sctlr_el2,
                                 uint64_t vttbr, uint64_t vtcr) {
  // TGE turns stage 1 off (without E2H, where EL0 is left), and with E2H stage 2; DC turns stage 1
  // off, too.
  const bool host = el0_is_the_hosts(hcr), dc = (hcr & kHcrDc) != 0 && !host;
  if ((hcr & kHcrTge) != 0 || dc) regs.sctlr &= ~uint64_t{kSctlrM};
  if (!host && ((hcr & kHcrVm) != 0 || dc)) {
    regs.guest_stage2 = kGuestStage2On;
    if ((sctlr_el2 & kSctlrEe) != 0) regs.guest_stage2 |= kGuestStage2BigEndian;
    if ((hcr & kHcrPtw) != 0) regs.guest_stage2 |= kGuestStage2Ptw;
    if (dc) regs.guest_stage2 |= kGuestStage2Dc;
    if ((hcr & kHcrCd) != 0) regs.guest_stage2 |= kGuestStage2Cd;
    regs.vttbr = vttbr;
    regs.vtcr = vtcr;
  }
  const auto vmid = static_cast<uint16_t>(vttbr >> 48);
  regs.vmid = (vtcr >> 19 & 1) != 0 ? vmid : vmid & 0xff;  // VTCR_EL2.VS
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_HYPERVISOR_H_
