// Condition flags by themselves (FEAT_FlagM, FEAT_FlagM2), and the speculation barrier (FEAT_SB).
#include "mmio/host_barrier.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

TL_OP(op_cfinv) {
  e->flags.c = e->flags.c == 0;
  TL_NEXT;
}
// From Arm's result of a floating-point comparison to the form that others use, and back (C6.2).
TL_OP(op_axflag) {
  const bool z = e->flags.z == 0, c = e->flags.c != 0, v = e->flags.v != 0;
  e->flags.n = 0;
  e->flags.z = z || v ? 0 : 1;
  e->flags.c = c && !v;
  e->flags.v = 0;
  TL_NEXT;
}
TL_OP(op_xaflag) {
  const bool z = e->flags.z == 0, c = e->flags.c != 0;
  Flags flags;
  flags.unpack((!c && !z ? 8u : 0) << 28 | (z && c ? 4u : 0) << 28 | (c || z ? 2u : 0) << 28 |
               (!c && z ? 1u : 0) << 28);
  e->flags = flags;
  TL_NEXT;
}
// n: register, s: rotation, m: flags that change.
TL_OP(op_rmif) {
  const uint64_t x = cpu->r.x[op->n];
  const uint64_t rotated = op->s == 0 ? x : x >> op->s | x << (64 - op->s);
  const uint32_t mask = op->m;
  const uint32_t kept = e->flags.pack() >> 28 & ~mask;
  e->flags.unpack((kept | (static_cast<uint32_t>(rotated) & mask)) << 28);
  TL_NEXT;
}
template <typename T>
TL_OP(op_setf) {  // C stays
  constexpr unsigned kBits = 8 * sizeof(T);
  const uint64_t x = cpu->r.x[op->n];
  set_nz<T>(e, static_cast<T>(x));
  e->flags.v = ((x >> kBits ^ x >> (kBits - 1)) & 1) != 0;
  TL_NEXT;
}
TL_OP(op_sb) {
  speculation_barrier();
  TL_NEXT;
}

}  // namespace

// "Rotate right into flags" and "Evaluate into flags", C4.1.95.
Predecoded predecode_flag_register(uint32_t word, PredecodeContext& context, Op& op) {
  op.n = slot_zr(bits(word, 9, 5));
  if (context.model < CpuModel::kMax) return predecode_undefined(word, op);
  if ((word & 0xffe07c10) == 0xba000400) {
    op.s = static_cast<uint8_t>(bits(word, 20, 15));
    op.m = static_cast<uint8_t>(bits(word, 3, 0));
    op.fn = op_rmif;
  } else if ((word & 0xfffffc1f) == 0x3a00080d) {
    op.fn = op_setf<uint8_t>;
  } else if ((word & 0xfffffc1f) == 0x3a00480d) {
    op.fn = op_setf<uint16_t>;
  } else {
    return predecode_undefined(word, op);
  }
  return Predecoded::kNext;
}

// CFINV, XAFLAG, AXFLAG, SB; null: none of them, or not of this model.
Handler flag_instruction(uint32_t word, CpuModel model) {
  if (model < CpuModel::kMax) return nullptr;
  if (word == 0xd500401f) return op_cfinv;
  switch (word & 0xfffff0ff) {  // CRm should be zero: ignored
    case 0xd500403f:
      return op_xaflag;
    case 0xd500405f:
      return op_axflag;
    case 0xd50330ff:
      return op_sb;
    default:
      return nullptr;
  }
}

}  // namespace trapline::soft
