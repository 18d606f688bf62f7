#include "mmio/needs.h"

#include "mmio/cpu_view.h"

namespace trapline {
namespace {

constexpr uint64_t bit(unsigned slot) { return uint64_t{1} << slot; }
constexpr uint64_t general(unsigned r) { return r < 31 ? bit(r) : 0; }

uint64_t registers_of(const Access& access) {
  uint64_t mask = access.rn == kRegZr ? bit(kSlotSp) : general(access.rn);
  mask |= general(access.rm) | general(access.rs);
  if (access.vector) return mask;
  mask |= general(access.rt) | general(access.rt2);
  if (access.op == Op::kCompareAndSwap && access.count == 2) {
    mask |= general(access.rs + 1u) | general(access.rt + 1u);
  }
  if (access.op >= Op::kLoad64B && access.op <= Op::kStore64BV0) {
    for (unsigned i = 0; i < 8; ++i) mask |= general(access.rt + i);
  }
  return mask;
}

uint64_t results_of(const Access& access) {
  if (access.op != Op::kLoad || access.vector) return 0;
  const uint64_t address = general(access.rn) | general(access.rm) | general(access.rs);
  return (general(access.rt) | general(access.rt2)) & ~address;
}

}  // namespace

Needs needs_of(const Access& access) {
  const bool state = access.op == Op::kLoadExclusive || access.op == Op::kStoreExclusive ||
                     access.op >= Op::kCopyForwardProlog;
  return {registers_of(access), results_of(access), access.vector != 0, state};
}

VectorNeeds vectors_of(const Access& access) {
  if (!access.vector) return {};
  uint32_t named = 1u << access.rt % 32;
  if (access.rt2 < 31 || access.count == 2) named |= 1u << access.rt2 % 32;
  for (unsigned i = 1; i < access.regs(); ++i) named |= 1u << (access.rt + i) % 32;
  const bool whole = access.op == Op::kLoad || access.op == Op::kLoadMultiple ||
                     access.op == Op::kLoadReplicate;
  return {named, whole ? named : 0};
}

}  // namespace trapline
