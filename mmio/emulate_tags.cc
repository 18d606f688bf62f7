// FEAT_MTE on a machine without allocation tags. Devices have none, and the CPUs here do not show
// MTE; a KVM host may. Where allocation-tag access is not enabled, tags read as zero and writes to
// them are ignored (D10.4, AArch64.AllocationTagAccessIsEnabled); so it is done here for every
// location: the data part of an instruction happens, the tag part does not. Translation and
// permission checks happen for both.
#include <cstring>

#include "mmio/transaction.h"

namespace trapline::emulation {
namespace {

constexpr unsigned kGranule = 16;

// STZG, STZ2G: zeroes to the granules. STGP: the pair. STG, ST2G: nothing but the checks.
void store_granules(Transaction& t) {
  const Access& access = t.access;
  const unsigned bytes = access.bytes();
  if (access.size_log2 != 4 || access.count < 1 || access.count > 2) {
    t.unsupported();
    return;
  }
  if ((t.va & (kGranule - 1)) != 0) {
    t.fault(t.va, kFscAlignment, true);
    return;
  }
  const Range range{.va = t.va,
                    .unit = 8,
                    .bytes = static_cast<uint8_t>(bytes),
                    .align = 8,
                    .dir = Direction::kWrite,
                    .tags_only = access.op == Op::kStoreTag};
  if (!t.plan(range)) return;
  uint8_t* const data = t.work.data;
  std::memset(data, 0, 2 * kGranule);
  if (access.op == Op::kStoreTagPair) {
    store_element(data, t.x(access.rt), 8, t.view.big_endian);
    store_element(data + 8, t.x(access.rt2), 8, t.view.big_endian);
  }
  if (access.op != Op::kStoreTag && !t.write(t.work.pieces, data)) return;
  t.write_back(t.next_base());
}

}  // namespace

void tags(Transaction& t) {
  const Access& access = t.access;
  switch (access.op) {
    case Op::kStoreTag:
    case Op::kStoreTagZero:
    case Op::kStoreTagPair:
      return store_granules(t);
    case Op::kStoreTagZeroMultiple:
      return zero_block(t);
    default:
      break;
  }
  // LDG, LDGM, STGM: one granule stands for the block, which does not leave the page.
  const bool store = access.op == Op::kStoreTagMultiple;
  const Range range{.va = t.va & ~uint64_t{kGranule - 1},
                    .unit = 8,
                    .bytes = kGranule,
                    .align = 8,
                    .dir = store ? Direction::kWrite : Direction::kRead,
                    .tags_only = true};
  if (!t.plan(range)) return;
  constexpr uint64_t kLogicalTag = uint64_t{15} << 56;
  if (access.op == Op::kLoadTag) t.set_x(access.rt, t.x(access.rt) & ~kLogicalTag);
  if (access.op == Op::kLoadTagMultiple) t.set_x(access.rt, 0);
}

}  // namespace trapline::emulation
