// What an emulation must know of the current regime (CpuView), from the registers that make it.
#ifndef TRAPLINE_VMM_MEMORY_REGIME_VIEW_H_
#define TRAPLINE_VMM_MEMORY_REGIME_VIEW_H_

#include "mmio/cpu_view.h"
#include "vmm/memory/walk_inl.h"

namespace trapline {

template <typename Features = SoftWalkFeatures>
void describe_regime(const TranslationRegs& mmu, CpuView& view) {
  const bool el0 = mmu.el == 0;
  view.big_endian = (mmu.sctlr & (el0 ? kSctlrE0e : kSctlrEe)) != 0;
  view.sp_alignment_check = (mmu.sctlr & (el0 ? kSctlrSa0 : kSctlrSa)) != 0;
  view.alignment_check = (mmu.sctlr & kSctlrA) != 0;
  const TranslationRegion lower = translation_region<Features>(mmu, false);
  const TranslationRegion upper = translation_region<Features>(mmu, true);
  view.tbi_lower = lower.top_byte_ignore;
  view.tbi_upper = upper.top_byte_ignore;
  view.va_bits_lower = lower.input_bits;
  view.va_bits_upper = upper.input_bits;
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_REGIME_VIEW_H_
