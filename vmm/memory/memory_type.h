// Memory types as PAR_EL1 shows them (D17.2.108): of stage 1, and of both stages together (D8.5.5,
// without FEAT_S2FWB).
#ifndef TRAPLINE_VMM_MEMORY_MEMORY_TYPE_H_
#define TRAPLINE_VMM_MEMORY_MEMORY_TYPE_H_

#include <algorithm>
#include <cstdint>

#include "vmm/memory/nested_walk.h"
#include "vmm/memory/walk_inl.h"

namespace trapline {

struct MemoryType {
  uint8_t attr = 0;          // an attribute of MAIR_ELx
  uint8_t shareability = 2;  // PAR_EL1.SH: 0 none, 2 outer, 3 inner
};

// Device and Non-cacheable are Outer Shareable whatever the descriptor says.
constexpr MemoryType memory_type(uint8_t attr, uint8_t shareability) {
  const bool outer = (attr & 0xf0) == 0 || attr == 0x44;
  return {attr, outer ? uint8_t{2} : shareability};
}

// Of a successful walk. With stage 1 off it is Device-nGnRnE, or by HCR_EL2.DC Normal write-back,
// not shareable.
constexpr MemoryType stage1_memory_type(const TranslationRegs& regs, const Stage1Walk& walk) {
  if ((regs.sctlr & kSctlrM) == 0) {
    const bool dc = (regs.guest_stage2 & kGuestStage2Dc) != 0;
    return dc ? memory_type(0xff, 0) : memory_type(0, 0);
  }
  uint64_t leaf = walk.descriptor[walk.table_loads - 1];
  if ((regs.sctlr & kSctlrEe) != 0) leaf = __builtin_bswap64(leaf);
  return memory_type(static_cast<uint8_t>(regs.mair >> (walk.attr_index * 8)),
                     static_cast<uint8_t>(leaf >> 8 & 3));
}

namespace memory_type_internal {

// Four bits of MAIR for inner or outer, and two of MemAttr: the weaker wins, and stage 1 gives the
// hints.
constexpr unsigned combined_cacheability(unsigned stage1, unsigned stage2) {
  constexpr unsigned kNonCacheable = 4, kWriteThrough = 2;
  if (stage1 == kNonCacheable || stage2 == 1) return kNonCacheable;
  const bool stage1_through = stage1 >> 2 == kWriteThrough || stage1 >> 2 == 0;  // 0: transient
  if (!stage1_through && stage2 == kWriteThrough) return kWriteThrough << 2 | (stage1 & 3);
  return stage1;
}

}  // namespace memory_type_internal

constexpr MemoryType combined_memory_type(const TranslationRegs& regs, MemoryType stage1,
                                          const GuestStage2Walk& stage2) {
  const bool device1 = (stage1.attr & 0xf0) == 0;
  const unsigned device_attr2 = stage2.mem_attr << 2;  // as MAIR's: nGnRnE, nGnRE, nGRE, GRE
  if (device1 && stage2.device) {
    return memory_type(static_cast<uint8_t>(std::min<unsigned>(stage1.attr & 0xc, device_attr2)),
                       0);
  }
  if (device1) return stage1;
  if (stage2.device) return memory_type(static_cast<uint8_t>(device_attr2), 0);
  if ((regs.guest_stage2 & kGuestStage2Cd) != 0) return memory_type(0x44, 0);
  using memory_type_internal::combined_cacheability;
  const unsigned outer = combined_cacheability(stage1.attr >> 4, stage2.mem_attr >> 2);
  const unsigned inner = combined_cacheability(stage1.attr & 15, stage2.mem_attr & 3);
  const auto either = [&](uint8_t value) {
    return stage1.shareability == value || stage2.shareability == value;
  };
  return memory_type(static_cast<uint8_t>(outer << 4 | inner), either(2)   ? uint8_t{2}
                                                               : either(3) ? uint8_t{3}
                                                                           : uint8_t{0});
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_MEMORY_TYPE_H_
