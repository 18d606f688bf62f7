#include "mmio/named_registers.h"

namespace trapline {
namespace {

constexpr uint64_t bit(unsigned slot) { return uint64_t{1} << slot; }
constexpr uint64_t general(unsigned r) { return r < 31 ? bit(r) : 0; }

uint64_t general_registers(const Access& access) {
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

uint64_t general_results(const Access& access) {
  if (access.op != Op::kLoad || access.vector) return 0;
  const uint64_t address = general(access.rn) | general(access.rm) | general(access.rs);
  return (general(access.rt) | general(access.rt2)) & ~address;
}

uint32_t vector_registers(const Access& access) {
  if (!access.vector) return 0;
  const bool structure = access.op >= Op::kLoadMultiple && access.op <= Op::kLoadReplicate;
  if (!structure) {
    return uint32_t{1} << (access.rt & 31) |
           (access.count == 2 ? uint32_t{1} << (access.rt2 & 31) : 0);
  }
  uint32_t mask = 0;
  for (unsigned i = 0; i < access.regs(); ++i) mask |= uint32_t{1} << ((access.rt + i) & 31);
  return mask;
}

// LD1 of one lane keeps the other lanes.
bool fills_vectors(Op op) {
  return op == Op::kLoad || op == Op::kLoadMultiple || op == Op::kLoadReplicate;
}

}  // namespace

NamedRegisters named_registers(const Access& access) {
  const uint32_t vectors = vector_registers(access);
  return {general_registers(access), general_results(access), vectors,
          fills_vectors(access.op) ? vectors : 0};
}

}  // namespace trapline
