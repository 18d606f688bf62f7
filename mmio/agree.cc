#include "mmio/agree.h"

#include "decode/mops.h"
#include "mmio/transaction.h"

namespace trapline {
namespace {

bool direction_agrees(Op op, bool wnr) {
  if (op == Op::kCacheMaintenance) return wnr;  // WnR is 1 for cache maintenance by VA
  return wnr ? writes_memory(op) : reads_memory(op);
}

// The bytes within which FAR lies.
struct Extent {
  uint64_t low, size;
};

Extent extent_of(const Access& access, uint64_t va, bool wnr, const CpuView& view) {
  switch (access.op) {
    case Op::kZeroBlock:
    case Op::kZeroBlockTags:
    case Op::kZeroBlockBoth:
    case Op::kStoreTagZeroMultiple: {
      const uint64_t size = emulation::zero_block_bytes(view);
      return {va & ~(size - 1), size};
    }
    case Op::kLoadTagMultiple:
    case Op::kStoreTagMultiple:
      return {va & ~(emulation::kTagBlockBytes - 1), emulation::kTagBlockBytes};
    case Op::kCacheMaintenance:
      return {va, 1};  // FAR is the register's value
    default:
      if (is_mops(access.op)) {
        const emulation::MopsExtent extent = emulation::mops_extent(access, view, !wnr);
        return {extent.low, extent.size};
      }
      return {va, access.bytes()};
  }
}

}  // namespace

bool agrees_with_syndrome(const Access& access, uint64_t va, bool wnr, bool far_valid, uint64_t far,
                          const CpuView& view) {
  if (!direction_agrees(access.op, wnr)) return false;
  if (!far_valid) return true;
  if (access.size_log2 > 4) return false;  // nothing that decode() makes
  const Extent extent = extent_of(access, va, wnr, view);
  return emulation::strip_tag(far, view) - emulation::strip_tag(extent.low, view) < extent.size;
}

bool agrees_with_ipa(const Access& access, uint64_t va, bool wnr, uint64_t ipa, CpuView& view) {
  if (!direction_agrees(access.op, wnr) || access.size_log2 > 4) return false;
  const Extent extent = extent_of(access, va, wnr, view);
  // Translation keeps the offset in the page: of the access's bytes, the first with that of `ipa`.
  const uint64_t at = (ipa - extent.low) & (emulation::kPageBytes - 1);
  if (at >= extent.size) return false;
  const uint64_t far = extent.low + at;
  const Translation found =
      view.translate(far, 1, wnr ? Direction::kWrite : Direction::kRead, access.unprivileged != 0);
  if (found.status != Translation::Status::kOk || found.ipa != ipa) return false;
  view.known_va_page = far & ~(emulation::kPageBytes - 1);
  view.known_ipa_page = ipa & ~(emulation::kPageBytes - 1);
  return true;
}

}  // namespace trapline
