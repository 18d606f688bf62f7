// The guest's stage-2 translation tables (D8.2): real VMSAv8-64 descriptors, 4 KiB granule, built
// by the VMM and walked by the CPU. For the software CPU a "physical address" is a host virtual
// address: both fit 48 bits, and a finished walk is a host pointer.
#ifndef TRAPLINE_VMM_MEMORY_STAGE2_H_
#define TRAPLINE_VMM_MEMORY_STAGE2_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "vmm/memory/walk.h"

namespace trapline {

// Rights of a mapping. kS2Walk (a software bit of the descriptor): stage-1 table walks and the
// VMM's own instruction fetches may read the memory though explicit data reads may not (`--flash
// trapped`).
enum S2Perm : uint8_t { kS2Read = 1, kS2Write = 2, kS2Exec = 4, kS2Walk = 8 };

struct Stage2Walk {
  bool ok = false;
  uint8_t level = 0;  // of the leaf, or of the fault
  uint8_t fsc = 0;    // translation 0b0001LL, access flag 0b0010LL; never permission: the
                      // caller checks r/w/x against what it does
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool walkable = false;    // readable, or kS2Walk
  bool device = false;      // MemAttr says Device: combined with stage 1, the stricter wins
  uint8_t page_log2 = 12;   // size of the leaf
  uint8_t* host = nullptr;  // of the byte at the IPA asked for

  bool allows(bool read, bool write) const {
    return ok && (!read || readable) && (!write || writable);
  }
};

class Stage2 {
 public:
  static constexpr unsigned kIpaBits = trapline::kIpaBits;

  Stage2();
  ~Stage2();

  // 4 KiB-aligned. 2 MiB and 1 GiB blocks are used where alignment allows and splits on demand.
  // Callers that change a live mapping must broadcast a TLB invalidation afterwards.
  void map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms);
  void unmap(uint64_t ipa, uint64_t size);

  // Lock-free; safe against concurrent map()/unmap().
  Stage2Walk walk(uint64_t ipa) const;
  // The same for a read by a stage-1 table walk: the host address, or null and the fault status
  // (a permission fault, too).
  const uint8_t* walk_for_table(uint64_t ipa, uint8_t& fsc) const;

  uint64_t vttbr() const;  // root table, VMID 1
  uint64_t vtcr() const;   // T0SZ, SL0, TG0, PS as VTCR_EL2

 private:
  struct Table;
  Table* new_table();
  uint64_t* descriptor(uint64_t ipa, unsigned level, bool create);
  uint64_t leaf(uint64_t ipa, unsigned& level) const;

  mutable std::mutex mutex_;  // writers only
  std::vector<std::unique_ptr<Table>> tables_;
  Table* root_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_STAGE2_H_
