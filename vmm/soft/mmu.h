// Translation with an explicit regime, for address-translation and cache-maintenance instructions
// that do not check what a load would; everybody else uses mmu_translate() of cpu.h.
#ifndef TRAPLINE_VMM_SOFT_MMU_H_
#define TRAPLINE_VMM_SOFT_MMU_H_

#include <cstdint>

#include "vmm/memory/walk_inl.h"
#include "vmm/soft/cpu.h"

namespace trapline::soft {

// Reads stage-1 table entries through stage 2 and keeps what a fault on the way needs.
class TableReader {
 public:
  // `noted`: where the descriptors are written down.
  explicit TableReader(const Stage2& stage2, Fetched* noted = nullptr)
      : stage2_(stage2), noted_(noted) {}

  bool operator()(uint64_t ipa, uint64_t& descriptor) {
    const auto* entry = reinterpret_cast<const uint64_t*>(stage2_.walk_for_table(ipa, fsc_));
    if (entry == nullptr) return false;
    descriptor = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
    if (noted_ != nullptr) [[unlikely]] {
      note(entry, ipa, descriptor);
    }
    return true;
  }

  uint8_t fsc() const { return fsc_; }  // of the stage-2 fault

 private:
  void note(const uint64_t* entry, uint64_t ipa, uint64_t descriptor) {
    if (noted_->loads == Fetched::kMaxLoads) return;  // more are not read
    noted_->desc_host[noted_->loads] = entry;
    noted_->desc_ipa[noted_->loads] = ipa;
    noted_->desc[noted_->loads++] = descriptor;
  }

  const Stage2& stage2_;
  uint8_t fsc_ = 0;
  Fetched* noted_;
};

// Stage 1 by `regs` and, where the guest is a hypervisor and its guest runs, its stage 2: out of
// both comes an address of our stage 2. False: `fault` is what came in the way, on a walk of stage
// 1 the level in walk.level; only what is about faults is filled in. With check_stage2 false the
// hypervisor's rights over the address do not matter.
bool walk_guest(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
                TableReader& reader, Stage1Walk& walk, MmuResult& fault, bool check_stage2 = true);

// As mmu_translate(), by `regs`. With check_stage2 false stage 2 must map the address but its
// rights are not checked.
MmuResult translate_with(const Cpu& cpu, const TranslationRegs& regs, uint64_t va, WalkFor purpose,
                         bool el0, bool check_stage2);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_MMU_H_
