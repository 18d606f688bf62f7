// Tables of a guest under our hypervisor, and of an L2 guest under an L1 hypervisor under ours, and
// the walks through them. For bench_walk, and for nested_model, which counts what L1 must do.
#ifndef TRAPLINE_BENCH_WALK_RIG_H_
#define TRAPLINE_BENCH_WALK_RIG_H_

#include <cstdint>

#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::bench {

// Descriptors read by one translation.
struct WalkCounts {
  uint32_t stage1 = 0, l1_stage2 = 0, l0_stage2 = 0;
  uint32_t total() const { return stage1 + l1_stage2 + l0_stage2; }
};

// L2 VA -> L2 IPA -> L1 IPA -> host. L2's memory is L1's at another address.
class WalkRig {
 public:
  static constexpr uint32_t kWord = 0xb8400401;  // ldr w1, [x0], #0
  static constexpr uint64_t kCodeVa = 0xffff'8000'0020'0000;

  WalkRig();

  // Each returns the instruction word at kCodeVa, 0 on a fault, and leaves counts().
  uint32_t stage1();
  uint32_t two_dim();
  uint32_t nested();
  // What L1 does itself to find L2's word: L2's stage 1 and its own stage 2, in its own memory.
  uint32_t by_l1();
  const WalkCounts& counts() const { return counts_; }

  // The registers that translate kCodeVa in two_dim(), and what reads their tables.
  const TranslationRegs& regs() const { return regs_; }
  bool read_descriptor(uint64_t l1_ipa, uint64_t& descriptor) const;

 private:
  template <typename Reach>
  uint32_t fetch_l2(Reach&& reach);
  const uint8_t* through_l0(uint64_t l1_ipa);
  const uint8_t* direct(uint64_t l1_ipa) const;
  template <typename Reach>
  bool l1_stage2(uint64_t l2_ipa, uint64_t& l1_ipa, Reach& reach);
  void store(uint64_t l1_ipa, uint64_t value);
  void map_page(uint64_t root, uint64_t va, uint64_t out, uint64_t offset, unsigned& next_table);

  GuestMemory memory_;
  uint8_t* host_ = nullptr;
  Stage2 l0_;
  TranslationRegs regs_;         // tables hold L1 IPAs
  TranslationRegs l2_regs_;      // tables hold L2 IPAs
  TranslationRegs stage2_regs_;  // L1's stage 2: L2 IPA -> L1 IPA
  WalkCounts counts_;
};

}  // namespace trapline::bench

#endif  // TRAPLINE_BENCH_WALK_RIG_H_
