// Design rule 1, "never emulate what did not trap": whether a decoded access can be the one that
// the syndrome describes. Another vCPU may have rewritten the instruction since, or a cached entry
// may be stale.
#ifndef TRAPLINE_MMIO_AGREE_H_
#define TRAPLINE_MMIO_AGREE_H_

#include <cstdint>

#include "decode/access.h"
#include "mmio/cpu_view.h"

namespace trapline {

// `va` is effective_address(access, view); `wnr` is ESR_EL2.WnR; `far` counts if `far_valid`. True
// if the access goes in the direction of WnR (a read-modify-write may show either: 0 where a read
// would fault too, D17.2.37) and FAR, its tag stripped, lies within the bytes of one element (DC
// ZVA: within the block; MOPS: within what is left to move, on the side that WnR names).
//
// That the page of FAR translates to the fault's IPA is the third part of the rule: emulate() uses
// the hardware's own translation for that page (CpuView::known_va_page).
bool agrees_with_syndrome(const Access& access, uint64_t va, bool wnr, bool far_valid, uint64_t far,
                          const CpuView& view);

// The same where the fault's IPA is known, its low 12 bits included, and FAR is not (KVM): whether
// the access has a byte that translates to `ipa`. If so that page is known_va_page of the view.
bool agrees_with_ipa(const Access& access, uint64_t va, bool wnr, uint64_t ipa, CpuView& view);

}  // namespace trapline

#endif  // TRAPLINE_MMIO_AGREE_H_
