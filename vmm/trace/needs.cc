#include "vmm/trace/needs.h"

#include "vmm/vcpu/syndrome.h"

namespace trapline::trace {
namespace {

constexpr uint64_t bit(unsigned slot) { return uint64_t{1} << slot; }
constexpr uint64_t general(unsigned r) { return r < 31 ? bit(r) : 0; }

// The registers that an instruction names.
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

// Those of them whose values nothing depends on.
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

Needs needs_of(const Exit& exit) {
  switch (exit.kind) {
    case ExitKind::kDataAbort: {
      const DataAbort abort{exit.esr};
      const uint64_t rt = general(abort.rt());
      return {rt, abort.write() ? 0 : rt};
    }
    case ExitKind::kSysreg: {
      const uint64_t rt = general(exit.sysreg_rt);
      return {rt, exit.sysreg_write ? 0 : rt};
    }
    case ExitKind::kHvc:
      return {0xff};
    default:
      return {};
  }
}

}  // namespace trapline::trace
