// "Data Processing -- Immediate", C4.1.92.
#include <array>

#include "decode/bitmask.h"
#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {
namespace {

// --- handlers ------------------------------------------------------------------------------------

template <typename T>
TL_OP(op_adds_imm) {
  cpu->r.x[op->d] = add_flags<T>(e, static_cast<T>(cpu->r.x[op->n]), static_cast<T>(op->imm));
  TL_NEXT;
}
template <typename T>
TL_OP(op_subs_imm) {
  cpu->r.x[op->d] = sub_flags<T>(e, static_cast<T>(cpu->r.x[op->n]), static_cast<T>(op->imm));
  TL_NEXT;
}

// decode_bitmask() of every N:immr:imms.
struct BitmaskTable {
  uint64_t value[8192] = {};
  constexpr BitmaskTable() {
    for (unsigned i = 0; i < 8192; ++i) value[i] = decode_bitmask(i);
  }
};
constexpr BitmaskTable kBitmasks;

enum LogicOp { kAnd, kOrr, kEor, kAnds };

// kTable: imm is an index into the table, for values that are no sign-extended 32-bit number.
template <typename T, int kOp, bool kTable>
TL_OP(op_logic_imm) {
  T mask = kTable ? static_cast<T>(kBitmasks.value[op->imm])
                  : static_cast<T>(static_cast<int64_t>(op->imm));
  T a = static_cast<T>(cpu->r.x[op->n]);
  T result = kOp == kOrr ? a | mask : kOp == kEor ? a ^ mask : a & mask;
  if constexpr (kOp == kAnds) logic_flags<T>(e, result);
  cpu->r.x[op->d] = result;
  TL_NEXT;
}

TL_OP(op_mov_imm) {  // sign-extended
  cpu->r.x[op->d] = static_cast<uint64_t>(static_cast<int64_t>(op->imm));
  TL_NEXT;
}
TL_OP(op_movz) {
  cpu->r.x[op->d] = uint64_t{op->word} << op->s;
  TL_NEXT;
}
TL_OP(op_movn) {
  cpu->r.x[op->d] = ~(uint64_t{op->word} << op->s);
  TL_NEXT;
}
template <typename T>
TL_OP(op_movk) {
  uint64_t old = cpu->r.x[op->d] & ~(uint64_t{0xffff} << op->s);
  cpu->r.x[op->d] = static_cast<T>(old | uint64_t{op->word} << op->s);
  TL_NEXT;
}
TL_OP(op_adr) {
  cpu->r.x[op->d] = e->block->pc + static_cast<int64_t>(op->imm);
  TL_NEXT;
}

// Both bit-field moves are a left shift by m and a right shift by s.
template <typename T>
TL_OP(op_bitfield) {
  cpu->r.x[op->d] = static_cast<T>(static_cast<T>(cpu->r.x[op->n]) << op->m) >> op->s;
  TL_NEXT;
}
template <typename T>
TL_OP(op_bitfield_signed) {
  using S = std::make_signed_t<T>;
  T high = static_cast<T>(static_cast<T>(cpu->r.x[op->n]) << op->m);
  cpu->r.x[op->d] = static_cast<T>(static_cast<S>(high) >> op->s);
  TL_NEXT;
}
template <typename T>
TL_OP(op_lsl_imm) {
  cpu->r.x[op->d] = static_cast<T>(static_cast<T>(cpu->r.x[op->n]) << op->m);
  TL_NEXT;
}
template <typename T>
TL_OP(op_lsr_imm) {
  cpu->r.x[op->d] = static_cast<T>(cpu->r.x[op->n]) >> op->s;
  TL_NEXT;
}
TL_OP(op_sxtw) {
  cpu->r.x[op->d] = static_cast<uint64_t>(
      static_cast<int64_t>(static_cast<int32_t>(static_cast<uint32_t>(cpu->r.x[op->n]))));
  TL_NEXT;
}
template <typename M>
TL_OP(op_uxt) {
  cpu->r.x[op->d] = static_cast<M>(cpu->r.x[op->n]);
  TL_NEXT;
}
// BFM: of Rn rotated right by imm, the field of s bits at bit m goes to the same place of Rd.
template <typename T>
TL_OP(op_bfm) {
  constexpr unsigned kWidth = 8 * sizeof(T);
  T source = static_cast<T>(cpu->r.x[op->n]);
  unsigned r = op->word;
  source = static_cast<T>(source >> r | source << ((kWidth - r) & (kWidth - 1)));
  T mask = static_cast<T>(static_cast<T>(~T{0}) >> (kWidth - op->s) << op->m);
  cpu->r.x[op->d] = (static_cast<T>(cpu->r.x[op->d]) & ~mask) | (source & mask);
  TL_NEXT;
}
template <typename T>
TL_OP(op_extr) {  // s is 1 .. width - 1
  T high = static_cast<T>(cpu->r.x[op->n]), low = static_cast<T>(cpu->r.x[op->m]);
  cpu->r.x[op->d] = static_cast<T>(low >> op->s | high << (8 * sizeof(T) - op->s));
  TL_NEXT;
}

// --- predecoding ---------------------------------------------------------------------------------

Predecoded add_sub(uint32_t word, Op& op) {
  bool sf = word >> 31, sub = word >> 30 & 1, flags = word >> 29 & 1;
  int32_t imm = static_cast<int32_t>(bits(word, 21, 10) << (word >> 22 & 1 ? 12 : 0));
  op.n = slot_sp(bits(word, 9, 5));
  op.imm = imm;
  if (!flags) {
    op.d = slot_sp(bits(word, 4, 0));
    if (sub) op.imm = -imm;
    if (imm == 0) {
      op.fn = sf ? op_one<MoveSp<uint64_t>> : op_one<MoveSp<uint32_t>>;
    } else {
      op.fn = sf ? op_one<AddImmediate<uint64_t>> : op_one<AddImmediate<uint32_t>>;
    }
    return Predecoded::kNext;
  }
  op.d = slot_zr_dest(bits(word, 4, 0));
  if (!sub) {
    op.fn = sf ? op_adds_imm<uint64_t> : op_adds_imm<uint32_t>;
  } else if (op.d == kSlotDiscard) {
    op.fn = sf ? op_one<CompareImmediate<uint64_t>> : op_one<CompareImmediate<uint32_t>>;
  } else {
    op.fn = sf ? op_subs_imm<uint64_t> : op_subs_imm<uint32_t>;
  }
  return Predecoded::kNext;
}

template <typename T, bool kTable>
Handler logic_handler(unsigned opc) {
  constexpr Handler kHandlers[] = {op_logic_imm<T, kAnd, kTable>, op_logic_imm<T, kOrr, kTable>,
                                   op_logic_imm<T, kEor, kTable>, op_logic_imm<T, kAnds, kTable>};
  return kHandlers[opc];
}

Predecoded logical(uint32_t word, Op& op) {
  bool sf = word >> 31;
  unsigned opc = bits(word, 30, 29), encoded = bits(word, 22, 10);
  uint64_t mask = kBitmasks.value[encoded];
  if (mask == 0 || (!sf && (encoded & 0x1000) != 0)) return predecode_undefined(word, op);
  op.n = slot_zr(bits(word, 9, 5));
  op.d = opc == kAnds ? slot_zr_dest(bits(word, 4, 0)) : slot_sp(bits(word, 4, 0));
  bool table =
      sf && mask != static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(mask)));
  op.imm = table ? static_cast<int32_t>(encoded) : static_cast<int32_t>(mask);
  if (opc == kOrr && op.n == kSlotXzr && !table) {  // MOV (bitmask immediate)
    op.fn = sf ? op_mov_imm : op_one<MoveImmediate>;
    return Predecoded::kNext;
  }
  if (opc == kAnds && op.d == kSlotDiscard && !table) {
    op.fn = sf ? op_one<TestImmediate<uint64_t>> : op_one<TestImmediate<uint32_t>>;
    return Predecoded::kNext;
  }
  op.fn = !sf     ? logic_handler<uint32_t, false>(opc)
          : table ? logic_handler<uint64_t, true>(opc)
                  : logic_handler<uint64_t, false>(opc);
  return Predecoded::kNext;
}

Predecoded move_wide(uint32_t word, Op& op) {
  bool sf = word >> 31;
  unsigned opc = bits(word, 30, 29), hw = bits(word, 22, 21);
  if (opc == 1 || (!sf && hw >= 2)) return predecode_undefined(word, op);
  uint32_t imm = bits(word, 20, 5);
  op.d = slot_zr_dest(bits(word, 4, 0));
  op.s = static_cast<uint8_t>(16 * hw);
  op.word = imm;
  if (opc == 3) {
    op.fn = sf ? op_movk<uint64_t> : op_movk<uint32_t>;
  } else if (hw < 2) {
    uint32_t value = imm << op.s;
    op.word = opc == 2 ? value : ~value;
    // MOVN of 64 bits has 32 ones on top: for hw < 2 the sign extension supplies them if bit 31 of
    // the complement is set.
    if (opc == 2 || !sf) {
      op.fn = op_one<MoveImmediate>;
    } else if ((value & 0x80000000u) == 0) {
      op.fn = op_mov_imm;
    } else {
      op.word = imm;
      op.fn = op_movn;
    }
  } else {
    op.fn = opc == 2 ? op_movz : op_movn;
  }
  return Predecoded::kNext;
}

Predecoded bitfield(uint32_t word, Op& op) {
  bool sf = word >> 31;
  unsigned opc = bits(word, 30, 29), r = bits(word, 21, 16), s = bits(word, 15, 10);
  unsigned width = sf ? 64 : 32;
  if (opc == 3 || (word >> 22 & 1) != sf || r >= width || s >= width) {
    return predecode_undefined(word, op);
  }
  op.d = slot_zr_dest(bits(word, 4, 0));
  op.n = slot_zr(bits(word, 9, 5));
  if (opc == 1) {
    op.word = r;
    op.m = static_cast<uint8_t>(s >= r ? 0 : width - r);
    op.s = static_cast<uint8_t>(s >= r ? s - r + 1 : s + 1);
    op.fn = sf ? op_bfm<uint64_t> : op_bfm<uint32_t>;
    return Predecoded::kNext;
  }
  unsigned left = width - 1 - s;
  op.m = static_cast<uint8_t>(left);
  op.s = static_cast<uint8_t>(s >= r ? left + r : r - 1 - s);
  if (opc == 0) {
    if (sf && r == 0 && s == 31) {
      op.fn = op_sxtw;
    } else {
      op.fn = sf ? op_bitfield_signed<uint64_t> : op_bitfield_signed<uint32_t>;
    }
  } else if (op.s == 0) {
    op.fn = sf ? op_lsl_imm<uint64_t> : op_lsl_imm<uint32_t>;
  } else if (left == 0) {
    op.fn = sf ? op_lsr_imm<uint64_t> : op_lsr_imm<uint32_t>;
  } else if (r == 0 && s == 7) {
    op.fn = op_uxt<uint8_t>;
  } else if (r == 0 && s == 15) {
    op.fn = op_uxt<uint16_t>;
  } else {
    op.fn = sf ? op_bitfield<uint64_t> : op_bitfield<uint32_t>;
  }
  return Predecoded::kNext;
}

Predecoded extract(uint32_t word, Op& op) {
  bool sf = word >> 31;
  unsigned lsb = bits(word, 15, 10);
  if (bits(word, 30, 29) != 0 || (word >> 21 & 1) != 0 || (word >> 22 & 1) != sf ||
      (!sf && lsb >= 32)) {
    return predecode_undefined(word, op);
  }
  op.d = slot_zr_dest(bits(word, 4, 0));
  op.n = slot_zr(bits(word, 9, 5));
  op.m = slot_zr(bits(word, 20, 16));
  op.s = static_cast<uint8_t>(lsb);
  if (lsb == 0) {
    op.n = op.m;
    op.fn = sf ? op_one<MoveSp<uint64_t>> : op_one<MoveSp<uint32_t>>;
  } else {
    op.fn = sf ? op_extr<uint64_t> : op_extr<uint32_t>;
  }
  return Predecoded::kNext;
}

}  // namespace

uint64_t bitmask_immediate(unsigned encoded) { return kBitmasks.value[encoded]; }

Predecoded predecode_immediate(uint32_t word, PredecodeContext& context, Op& op) {
  switch (bits(word, 25, 23)) {
    case 0:
    case 1: {  // ADR, ADRP
      op.d = slot_zr_dest(bits(word, 4, 0));
      int32_t imm = static_cast<int32_t>(sbits(word, 23, 5) * 4 + bits(word, 30, 29));
      if (word >> 31) {
        op.imm = imm;
        op.fn = op_one<Adrp>;
      } else {
        op.imm = imm + 4 * static_cast<int32_t>(context.index);
        op.fn = op_adr;
      }
      return Predecoded::kNext;
    }
    case 2:
      return add_sub(word, op);
    case 3:  // ADDG, SUBG: FEAT_MTE
      return predecode_undefined(word, op);
    case 4:
      return logical(word, op);
    case 5:
      return move_wide(word, op);
    case 6:
      return bitfield(word, op);
    default:
      return extract(word, op);
  }
}

}  // namespace trapline::soft
