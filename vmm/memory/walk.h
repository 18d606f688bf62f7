// The stage-1 translation-table walk (D8.2), written once: the software CPU's MMU and the exit path
// (which must find the trapped instruction) both instantiate it; so does the C library.
// Freestanding.
#ifndef TRAPLINE_VMM_MEMORY_WALK_H_
#define TRAPLINE_VMM_MEMORY_WALK_H_

#include <cstdint>

#include "vmm/vcpu/stage1_walk.h"
#include "vmm/vcpu/translation_regs.h"

namespace trapline {

// The width of an IPA of our own machine: Stage2's, and what ID_AA64MMFR0_EL1.PARange says.
inline constexpr unsigned kIpaBits = 40;

// What a translation table may make use of: what the software CPU shows in its ID registers.
struct SoftWalkFeatures {
  static constexpr unsigned kAddressBits = kIpaBits;  // of output addresses
  static constexpr unsigned kMaxTnsz = 39;            // 48 with FEAT_TTST
  static constexpr bool kHafdbs = false;              // access and dirty flags set by hardware
  static constexpr bool kHpds = false;                // hierarchical permissions can be disabled
  static constexpr bool kLarge = false;               // LVA, LPA, LPA2: input and output of 52 bits
};

// What a host's own processors have and may show; what a guest does not turn on has no effect.
struct HostWalkFeatures {
  static constexpr unsigned kAddressBits = 52;
  static constexpr unsigned kMaxTnsz = 48;
  static constexpr bool kHafdbs = true;
  static constexpr bool kHpds = true;
  static constexpr bool kLarge = true;
};

// Walks `va` by stage 1 of regs.regime for EL0 (`el0`) or the regime's privileged level. `read(ipa,
// uint64_t& descriptor) -> bool` reads one table entry through stage 2 (little- or big-endian as
// SCTLR_ELx.EE says is the walker's business). With SCTLR_ELx.M == 0 the output is `va` itself:
// Device-nGnRnE for data (Normal by HCR_EL2.DC), Normal for fetches (by I). The definition stands
// in vmm/memory/walk_inl.h; includers instantiate it with their reader.
// Where regs.guest_stage2 says that a hypervisor's stage 2 follows, walk_nested() of
// vmm/memory/nested_walk.h is the whole translation.
template <typename Features = SoftWalkFeatures, typename ReadDescriptor>
Stage1Walk walk_stage1(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
                       ReadDescriptor&& read);
// The same into `out`, as made.
template <typename Features = SoftWalkFeatures, typename ReadDescriptor>
void walk_stage1_into(Stage1Walk& out, const TranslationRegs& regs, uint64_t va, WalkFor purpose,
                      bool el0, ReadDescriptor&& read);

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_WALK_H_
