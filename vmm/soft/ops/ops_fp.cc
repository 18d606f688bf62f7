// "Data Processing -- Scalar Floating-Point and Advanced SIMD": the arithmetic is fp*.cc's; here
// its words become ops.
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

// The op has no room for word, table index and handler apart: the index lies in d and n.
[[gnu::always_inline]] inline FpFunction function_of(const Op* op) {
  return fp_functions[op->d | op->n << 8];
}
bool uses_flags(uint32_t word) {
  if ((word & 0xff200000) != 0x1e200000) return false;  // floating-point, scalar
  unsigned low = bits(word, 11, 10);
  return low == 1 || low == 3 || bits(word, 15, 10) == 8 || (word & 0xfffffc00) == 0x1e7e0000;
}

}  // namespace

TL_OP(op_fp) {
  function_of(op)(*cpu, op->word);
  TL_NEXT;
}
// FCMP, FCCMP and FJCVTZS set NZCV, FCCMP and FCSEL read it.
TL_OP(op_fp_flags) {
  cpu->nzcv = e->flags.pack();
  function_of(op)(*cpu, op->word);
  e->flags.unpack(cpu->nzcv);
  TL_NEXT;
}

Predecoded predecode_fp(uint32_t word, PredecodeContext& context, Op& op) {
  uint16_t index = fp_lookup(word, context.model);
  if (index == 0) return predecode_undefined(word, op);
  if ((context.mode & kModeFp) == 0) {
    op.fn = op_fp_disabled;
    return Predecoded::kNext;
  }
  op.word = word;
  op.d = static_cast<uint8_t>(index);
  op.n = static_cast<uint8_t>(index >> 8);
  op.fn = uses_flags(word) ? op_fp_flags : op_fp;
  return Predecoded::kNext;
}

Predecoded predecode(uint32_t word, PredecodeContext& context, Op& op) {
  switch (bits(word, 28, 25)) {
    case 8:
    case 9:
      return predecode_immediate(word, context, op);
    case 10:
    case 11:
      return predecode_branch(word, context, op);
    case 4:
    case 6:
    case 12:
    case 14:
      return predecode_memory(word, context, op);
    case 5:
    case 13:
      return predecode_register(word, context, op);
    case 7:
    case 15:
      return predecode_fp(word, context, op);
    default:
      return predecode_undefined(word, op);  // reserved, SVE, SME
  }
}

}  // namespace trapline::soft
