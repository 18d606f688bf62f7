// What a stage-1 translation-table walk finds (D8.2). Freestanding.
#ifndef TRAPLINE_VMM_VCPU_STAGE1_WALK_H_
#define TRAPLINE_VMM_VCPU_STAGE1_WALK_H_

#include <cstdint>

#include "mmio/cpu_view.h"

namespace trapline {

enum class WalkFor : uint8_t { kRead, kWrite, kReadWrite, kFetch };
constexpr WalkFor walk_for(Direction dir) {
  return dir == Direction::kRead    ? WalkFor::kRead
         : dir == Direction::kWrite ? WalkFor::kWrite
                                    : WalkFor::kReadWrite;
}

struct Stage1Walk {
  enum class Status : uint8_t {
    kOk,
    kFault,       // stage 1 refuses: fsc, level
    kTableFault,  // a table could not be read: stage 2 refused it at table_ipa (S1PTW)
  };
  Status status = Status::kFault;
  uint8_t fsc = 0;  // DFSC/IFSC of a stage-1 fault
  int8_t level = 0;
  uint8_t attr_index = 0;
  bool device = false;    // by MAIR
  bool global = true;     // nG == 0
  bool readable = false;  // at the EL asked for
  bool writable = false;
  bool executable = false;
  uint8_t page_log2 = 12;
  uint64_t ipa = 0;  // output address of the byte asked for
  uint64_t table_ipa = 0;
  uint8_t table_loads = 0;
  uint64_t descriptor_ipa[5] = {};  // where the descriptors were read
  uint64_t descriptor[5] = {};
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_STAGE1_WALK_H_
