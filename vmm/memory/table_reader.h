// What walk_stage1() reads descriptors with.
#ifndef TRAPLINE_VMM_MEMORY_TABLE_READER_H_
#define TRAPLINE_VMM_MEMORY_TABLE_READER_H_

#include <cstdint>

#include "vmm/memory/stage2.h"

namespace trapline {

// Reads stage-1 table entries through stage 2 and keeps what a fault on the way needs.
class TableReader {
 public:
  explicit TableReader(const Stage2& stage2) : stage2_(stage2) {}

  bool operator()(uint64_t ipa, uint64_t& descriptor) {
    const auto* entry = reinterpret_cast<const uint64_t*>(stage2_.walk_for_table(ipa, fsc_));
    if (entry == nullptr) return false;
    descriptor = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
    if (loads_ < kMostLoads) hosts_[loads_++] = entry;
    return true;
  }

  uint8_t fsc() const { return fsc_; }  // of the stage-2 fault
  const uint64_t* host(unsigned load) const { return hosts_[load]; }

 private:
  const Stage2& stage2_;
  uint8_t fsc_ = 0;
  static constexpr unsigned kMostLoads = 5;
  unsigned loads_ = 0;
  const uint64_t* hosts_[kMostLoads] = {};
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_TABLE_READER_H_
