#include "mmio/agree.h"

#include "mmio/transaction.h"

namespace trapline {
namespace {

bool direction_agrees(Op op, bool wnr) {
  if (op == Op::kCacheMaintenance) return wnr;  // WnR is 1 for cache maintenance by VA
  return wnr ? writes_memory(op) : reads_memory(op);
}

}  // namespace

bool agrees_with_syndrome(const Access& access, uint64_t va, bool wnr, bool far_valid, uint64_t far,
                          const CpuView& view) {
  if (!direction_agrees(access.op, wnr)) return false;
  if (!far_valid) return true;
  if (access.size_log2 > 4) return false;  // nothing that decode() makes
  uint64_t low = va, size = access.bytes();
  switch (access.op) {
    case Op::kZeroBlock:
    case Op::kZeroBlockTags:
    case Op::kZeroBlockBoth:
    case Op::kStoreTagZeroMultiple:
      size = emulation::zero_block_bytes(view);
      low = va & ~(size - 1);
      break;
    case Op::kLoadTagMultiple:
    case Op::kStoreTagMultiple:
      size = emulation::kTagBlockBytes;
      low = va & ~(size - 1);
      break;
    case Op::kCacheMaintenance:
      size = 1;  // FAR is the register's value
      break;
    default:
      if (access.op >= Op::kCopyForwardProlog && access.op <= Op::kSetTagEpilog) {
        const emulation::MopsExtent extent = emulation::mops_extent(access, view, !wnr);
        low = extent.low;
        size = extent.size;
      }
      break;
  }
  return emulation::strip_tag(far, view) - emulation::strip_tag(low, view) < size;
}

}  // namespace trapline
