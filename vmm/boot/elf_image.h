// AArch64 ELF kernels: where their segments go and where they are entered.
#ifndef TRAPLINE_VMM_BOOT_ELF_IMAGE_H_
#define TRAPLINE_VMM_BOOT_ELF_IMAGE_H_

#include <cstdint>
#include <vector>

#include "vmm/boot/boot_file.h"
#include "vmm/config/result.h"

namespace trapline {

// `size` bytes at guest-physical address `ipa`: from `bytes`, or zeroes if that is null.
struct Placement {
  uint64_t ipa = 0, size = 0;
  const uint8_t* bytes = nullptr;
};

struct ElfImage {
  // In ascending order, without overlaps: where segments overlap the later one wins, as if they
  // were loaded in their order. However many they are, all together are no larger than memory.
  std::vector<Placement> placements;
  Bytes content;                // what the placements point to: no larger than the file or memory
  uint64_t start = 0, end = 0;  // of what is loaded
  uint64_t entry = 0;           // guest-physical
};

// Loads the segments at their physical addresses, which must lie in [ram_base, ram_end). The entry
// point is a virtual address of a segment, or else a physical one.
Result<ElfImage> load_elf(const BootFile& file, uint64_t ram_base, uint64_t ram_end);

}  // namespace trapline

#endif  // TRAPLINE_VMM_BOOT_ELF_IMAGE_H_
