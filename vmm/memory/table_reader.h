// What walk_stage1() reads descriptors with.
#ifndef TRAPLINE_VMM_MEMORY_TABLE_READER_H_
#define TRAPLINE_VMM_MEMORY_TABLE_READER_H_

#include <cstdint>

#include "vmm/memory/stage2.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

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

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_TABLE_READER_H_
