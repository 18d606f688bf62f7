// "Data Processing -- Register", C4.1.95.
#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {
namespace {

enum ShiftKind { kLsl, kLsr, kAsr, kRor, kNoShift };
enum LogicOp { kAnd, kOrr, kEor, kAnds };

template <typename T, int kKind>
[[gnu::always_inline]] inline T shifted(uint64_t value, unsigned amount) {
  T v = static_cast<T>(value);
  if constexpr (kKind == kLsl) return static_cast<T>(v << amount);
  if constexpr (kKind == kLsr) return static_cast<T>(v >> amount);
  if constexpr (kKind == kAsr) {
    return static_cast<T>(static_cast<std::make_signed_t<T>>(v) >> amount);
  }
  if constexpr (kKind == kRor) {
    constexpr unsigned kMask = 8 * sizeof(T) - 1;
    return static_cast<T>(v >> amount | v << ((0 - amount) & kMask));
  }
  return v;
}

// --- handlers ------------------------------------------------------------------------------------

template <typename T, int kOp, bool kInvert, int kKind>
TL_OP(op_logic) {
  T a = static_cast<T>(cpu->r.x[op->n]);
  T b = shifted<T, kKind>(cpu->r.x[op->m], op->s);
  if constexpr (kInvert) b = static_cast<T>(~b);
  T result = kOp == kOrr ? a | b : kOp == kEor ? a ^ b : a & b;
  if constexpr (kOp == kAnds) logic_flags<T>(e, result);
  cpu->r.x[op->d] = result;
  TL_NEXT;
}
template <typename T, bool kSub, bool kSetFlags, int kKind>
TL_OP(op_add) {
  T a = static_cast<T>(cpu->r.x[op->n]);
  T b = shifted<T, kKind>(cpu->r.x[op->m], op->s);
  T result;
  if constexpr (kSetFlags) {
    result = kSub ? sub_flags<T>(e, a, b) : add_flags<T>(e, a, b);
  } else {
    result = kSub ? a - b : a + b;
  }
  cpu->r.x[op->d] = result;
  TL_NEXT;
}

template <int kOption>
[[gnu::always_inline]] inline uint64_t extended(uint64_t value) {
  if constexpr (kOption == 0) return static_cast<uint8_t>(value);
  if constexpr (kOption == 1) return static_cast<uint16_t>(value);
  if constexpr (kOption == 2) return static_cast<uint32_t>(value);
  if constexpr (kOption == 4) return static_cast<uint64_t>(int64_t{static_cast<int8_t>(value)});
  if constexpr (kOption == 5) return static_cast<uint64_t>(int64_t{static_cast<int16_t>(value)});
  if constexpr (kOption == 6) return static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)});
  return value;
}
template <typename T, bool kSub, bool kSetFlags, int kOption>
TL_OP(op_add_extended) {
  T a = static_cast<T>(cpu->r.x[op->n]);
  T b = static_cast<T>(extended<kOption>(cpu->r.x[op->m]) << op->s);
  T result;
  if constexpr (kSetFlags) {
    result = kSub ? sub_flags<T>(e, a, b) : add_flags<T>(e, a, b);
  } else {
    result = kSub ? a - b : a + b;
  }
  cpu->r.x[op->d] = result;
  TL_NEXT;
}

template <typename T, bool kSub, bool kSetFlags>
TL_OP(op_adc) {
  T a = static_cast<T>(cpu->r.x[op->n]);
  T b = static_cast<T>(cpu->r.x[op->m]);
  if constexpr (kSub) b = static_cast<T>(~b);
  T carry = e->flags.c;
  T result = static_cast<T>(a + b + carry);
  if constexpr (kSetFlags) {
    e->flags.c = carry != 0 ? result <= a : result < a;
    e->flags.v = static_cast<std::make_signed_t<T>>((a ^ result) & (b ^ result)) < 0;
    set_nz<T>(e, result);
  }
  cpu->r.x[op->d] = result;
  TL_NEXT;
}

// imm holds the nzcv value in bits 3:0; kImmediate: m is the 5-bit immediate.
template <typename T, bool kSub, bool kImmediate, int kCond>
TL_OP(op_ccmp) {
  if (holds<kCond>(e)) {
    T a = static_cast<T>(cpu->r.x[op->n]);
    T b = kImmediate ? static_cast<T>(op->m) : static_cast<T>(cpu->r.x[op->m]);
    kSub ? sub_flags<T>(e, a, b) : add_flags<T>(e, a, b);
  } else {
    e->flags.unpack(op->word << 28);
  }
  TL_NEXT;
}

enum Select { kCsel, kCsinc, kCsinv, kCsneg };
template <typename T, int kOp, int kCond>
TL_OP(op_csel) {
  T a = static_cast<T>(cpu->r.x[op->n]), b = static_cast<T>(cpu->r.x[op->m]);
  if constexpr (kOp == kCsinc) b = static_cast<T>(b + 1);
  if constexpr (kOp == kCsinv) b = static_cast<T>(~b);
  if constexpr (kOp == kCsneg) b = static_cast<T>(0 - b);
  cpu->r.x[op->d] = holds<kCond>(e) ? a : b;
  TL_NEXT;
}

template <typename T, bool kSub>
TL_OP(op_madd) {
  T product = static_cast<T>(cpu->r.x[op->n]) * static_cast<T>(cpu->r.x[op->m]);
  T a = static_cast<T>(cpu->r.x[op->s]);
  cpu->r.x[op->d] = static_cast<T>(kSub ? a - product : a + product);
  TL_NEXT;
}
template <typename S, bool kSub>
TL_OP(op_madd_long) {
  using W = std::conditional_t<std::is_signed_v<S>, int64_t, uint64_t>;
  auto product = static_cast<uint64_t>(static_cast<W>(static_cast<S>(cpu->r.x[op->n])) *
                                       static_cast<W>(static_cast<S>(cpu->r.x[op->m])));
  uint64_t a = cpu->r.x[op->s];
  cpu->r.x[op->d] = kSub ? a - product : a + product;
  TL_NEXT;
}
TL_OP(op_smulh) {
  cpu->r.x[op->d] =
      static_cast<uint64_t>(static_cast<__int128>(static_cast<int64_t>(cpu->r.x[op->n])) *
                                static_cast<__int128>(static_cast<int64_t>(cpu->r.x[op->m])) >>
                            64);
  TL_NEXT;
}
TL_OP(op_umulh) {
  cpu->r.x[op->d] = static_cast<uint64_t>(
      static_cast<unsigned __int128>(cpu->r.x[op->n]) * cpu->r.x[op->m] >> 64);
  TL_NEXT;
}
template <typename T>
TL_OP(op_udiv) {
  T a = static_cast<T>(cpu->r.x[op->n]), b = static_cast<T>(cpu->r.x[op->m]);
  cpu->r.x[op->d] = b == 0 ? 0 : a / b;
  TL_NEXT;
}
template <typename T>
TL_OP(op_sdiv) {
  using S = std::make_signed_t<T>;
  S a = static_cast<S>(cpu->r.x[op->n]), b = static_cast<S>(cpu->r.x[op->m]);
  T result;
  if (b == 0) {
    result = 0;
  } else if (b == -1) {  // also the one quotient that overflows
    result = static_cast<T>(T{0} - static_cast<T>(a));
  } else {
    result = static_cast<T>(a / b);
  }
  cpu->r.x[op->d] = result;
  TL_NEXT;
}
template <typename T, int kKind>
TL_OP(op_shift_reg) {
  unsigned amount = cpu->r.x[op->m] & (8 * sizeof(T) - 1);
  cpu->r.x[op->d] = shifted<T, kKind>(cpu->r.x[op->n], amount);
  TL_NEXT;
}

// CRC-32 (polynomial 0x04c11db7) and CRC-32C (0x1edc6f41), both bit-reversed, a byte a step.
struct CrcTable {
  uint32_t step[256];
  explicit constexpr CrcTable(uint32_t polynomial) : step() {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? polynomial : 0);
      step[i] = crc;
    }
  }
};
constexpr CrcTable kCrc32(0xedb88320), kCrc32c(0x82f63b78);
template <typename M, bool kCastagnoli>
TL_OP(op_crc32) {
  const CrcTable& table = kCastagnoli ? kCrc32c : kCrc32;
  auto crc = static_cast<uint32_t>(cpu->r.x[op->n]);
  M value = static_cast<M>(cpu->r.x[op->m]);
  for (unsigned i = 0; i < sizeof(M); ++i) {
    crc = crc >> 8 ^ table.step[(crc ^ static_cast<uint32_t>(value >> (8 * i))) & 0xff];
  }
  cpu->r.x[op->d] = crc;
  TL_NEXT;
}

template <typename T>
T reverse_bits(T v) {
  v = static_cast<T>((v >> 1 & static_cast<T>(0x5555555555555555)) |
                     (v & static_cast<T>(0x5555555555555555)) << 1);
  v = static_cast<T>((v >> 2 & static_cast<T>(0x3333333333333333)) |
                     (v & static_cast<T>(0x3333333333333333)) << 2);
  v = static_cast<T>((v >> 4 & static_cast<T>(0x0f0f0f0f0f0f0f0f)) |
                     (v & static_cast<T>(0x0f0f0f0f0f0f0f0f)) << 4);
  return sizeof(T) == 8 ? static_cast<T>(__builtin_bswap64(v))
                        : static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(v)));
}
enum Unary { kRbit, kRev16, kRev32, kRev64, kClz, kCls };
template <typename T, int kOp>
TL_OP(op_unary) {
  T v = static_cast<T>(cpu->r.x[op->n]);
  T result = 0;
  constexpr unsigned kWidth = 8 * sizeof(T);
  if constexpr (kOp == kRbit) result = reverse_bits<T>(v);
  if constexpr (kOp == kRev16) {
    result = static_cast<T>((v >> 8 & static_cast<T>(0x00ff00ff00ff00ff)) |
                            (v & static_cast<T>(0x00ff00ff00ff00ff)) << 8);
  }
  if constexpr (kOp == kRev32) {
    if constexpr (sizeof(T) == 8) {
      uint64_t swapped = __builtin_bswap64(v);
      result = swapped << 32 | swapped >> 32;
    } else {
      result = __builtin_bswap32(v);
    }
  }
  if constexpr (kOp == kRev64) result = static_cast<T>(__builtin_bswap64(v));
  if constexpr (kOp == kClz || kOp == kCls) {
    if constexpr (kOp == kCls) {
      v = static_cast<T>(
          static_cast<T>(v ^ static_cast<T>(static_cast<std::make_signed_t<T>>(v) >> (kWidth - 1)))
              << 1 |
          1);
    }
    if (v == 0) {
      result = kWidth;
    } else if constexpr (sizeof(T) == 8) {
      result = static_cast<T>(__builtin_clzll(v));
    } else {
      result = static_cast<T>(__builtin_clz(v));
    }
  }
  cpu->r.x[op->d] = result;
  TL_NEXT;
}

// --- predecoding ---------------------------------------------------------------------------------

void set_dnm(uint32_t word, Op& op) {
  op.d = slot_zr_dest(bits(word, 4, 0));
  op.n = slot_zr(bits(word, 9, 5));
  op.m = slot_zr(bits(word, 20, 16));
}

template <typename T, bool kInvert>
Handler logic_handler(unsigned opc, unsigned kind) {
  return choose<4>(opc, [&]<int kOp>() {
    return choose<5>(kind,
                     [&]<int kKind>() -> Handler { return op_logic<T, kOp, kInvert, kKind>; });
  });
}

Predecoded logical(uint32_t word, Op& op) {
  bool sf = word >> 31, invert = word >> 21 & 1;
  unsigned opc = bits(word, 30, 29), kind = bits(word, 23, 22), amount = bits(word, 15, 10);
  if (!sf && amount >= 32) return predecode_undefined(word, op);
  set_dnm(word, op);
  op.s = static_cast<uint8_t>(amount);
  if (amount == 0) kind = kNoShift;
  if (opc == kOrr && !invert && kind == kNoShift && op.n == kSlotXzr) {
    op.fn = sf ? op_one<MoveRegister<uint64_t>> : op_one<MoveRegister<uint32_t>>;
    return Predecoded::kNext;
  }
  op.fn = sf ? (invert ? logic_handler<uint64_t, true>(opc, kind)
                       : logic_handler<uint64_t, false>(opc, kind))
             : (invert ? logic_handler<uint32_t, true>(opc, kind)
                       : logic_handler<uint32_t, false>(opc, kind));
  return Predecoded::kNext;
}

template <typename T>
Handler add_handler(unsigned op_s, unsigned kind) {
  return choose<5>(kind, [&]<int kKind>() -> Handler {
    constexpr Handler kHandlers[] = {op_add<T, false, false, kKind>, op_add<T, false, true, kKind>,
                                     op_add<T, true, false, kKind>, op_add<T, true, true, kKind>};
    return kHandlers[op_s];
  });
}

Predecoded add_sub_shifted(uint32_t word, Op& op) {
  bool sf = word >> 31;
  unsigned op_s = bits(word, 30, 29), kind = bits(word, 23, 22), amount = bits(word, 15, 10);
  if (kind == kRor || (!sf && amount >= 32)) return predecode_undefined(word, op);
  set_dnm(word, op);
  op.s = static_cast<uint8_t>(amount);
  if (amount == 0) kind = kNoShift;
  if (op_s == 3 && kind == kNoShift && op.d == kSlotDiscard) {
    op.fn = sf ? op_one<CompareRegister<uint64_t>> : op_one<CompareRegister<uint32_t>>;
    return Predecoded::kNext;
  }
  if (op_s == 0 && kind == kNoShift) {
    op.fn = sf ? op_one<AddRegister<uint64_t>> : op_one<AddRegister<uint32_t>>;
    return Predecoded::kNext;
  }
  op.fn = sf ? add_handler<uint64_t>(op_s, kind) : add_handler<uint32_t>(op_s, kind);
  return Predecoded::kNext;
}

template <typename T>
Handler extended_handler(unsigned op_s, unsigned option) {
  return choose<8>(option, [&]<int kOption>() -> Handler {
    constexpr Handler kHandlers[] = {
        op_add_extended<T, false, false, kOption>, op_add_extended<T, false, true, kOption>,
        op_add_extended<T, true, false, kOption>, op_add_extended<T, true, true, kOption>};
    return kHandlers[op_s];
  });
}

Predecoded add_sub_extended(uint32_t word, Op& op) {
  bool sf = word >> 31;
  unsigned op_s = bits(word, 30, 29), option = bits(word, 15, 13), amount = bits(word, 12, 10);
  if (bits(word, 23, 22) != 0 || amount > 4) return predecode_undefined(word, op);
  set_dnm(word, op);
  op.n = slot_sp(bits(word, 9, 5));
  if ((op_s & 1) == 0) op.d = slot_sp(bits(word, 4, 0));
  op.s = static_cast<uint8_t>(amount);
  op.fn = sf ? extended_handler<uint64_t>(op_s, option) : extended_handler<uint32_t>(op_s, option);
  return Predecoded::kNext;
}

template <typename T>
Handler adc_handler(unsigned op_s) {
  constexpr Handler kHandlers[] = {op_adc<T, false, false>, op_adc<T, false, true>,
                                   op_adc<T, true, false>, op_adc<T, true, true>};
  return kHandlers[op_s];
}

Predecoded add_sub_carry(uint32_t word, PredecodeContext& context, Op& op) {
  if (bits(word, 15, 10) != 0) return predecode_flag_register(word, context, op);
  set_dnm(word, op);
  unsigned op_s = bits(word, 30, 29);
  op.fn = word >> 31 ? adc_handler<uint64_t>(op_s) : adc_handler<uint32_t>(op_s);
  return Predecoded::kNext;
}

template <typename T, bool kSub, bool kImmediate>
Handler ccmp_handler(unsigned cond) {
  return choose<16>(cond,
                    [&]<int kCond>() -> Handler { return op_ccmp<T, kSub, kImmediate, kCond>; });
}

Predecoded conditional_compare(uint32_t word, Op& op) {
  bool sf = word >> 31, sub = word >> 30 & 1, immediate = word >> 11 & 1;
  if ((word >> 29 & 1) == 0 || (word >> 10 & 1) != 0 || (word >> 4 & 1) != 0) {
    return predecode_undefined(word, op);
  }
  op.n = slot_zr(bits(word, 9, 5));
  op.m = static_cast<uint8_t>(bits(word, 20, 16));
  op.word = bits(word, 3, 0);
  unsigned cond = bits(word, 15, 12);
  if (sf) {
    op.fn = sub ? (immediate ? ccmp_handler<uint64_t, true, true>(cond)
                             : ccmp_handler<uint64_t, true, false>(cond))
                : (immediate ? ccmp_handler<uint64_t, false, true>(cond)
                             : ccmp_handler<uint64_t, false, false>(cond));
  } else {
    op.fn = sub ? (immediate ? ccmp_handler<uint32_t, true, true>(cond)
                             : ccmp_handler<uint32_t, true, false>(cond))
                : (immediate ? ccmp_handler<uint32_t, false, true>(cond)
                             : ccmp_handler<uint32_t, false, false>(cond));
  }
  return Predecoded::kNext;
}

template <typename T>
Handler csel_handler(unsigned which, unsigned cond) {
  return choose<4>(which, [&]<int kOp>() {
    return choose<16>(cond, [&]<int kCond>() -> Handler { return op_csel<T, kOp, kCond>; });
  });
}

Predecoded conditional_select(uint32_t word, Op& op) {
  if ((word >> 29 & 1) != 0 || (word >> 11 & 1) != 0) return predecode_undefined(word, op);
  set_dnm(word, op);
  unsigned which = (word >> 30 & 1) * 2 + (word >> 10 & 1), cond = bits(word, 15, 12);
  op.fn = word >> 31 ? csel_handler<uint64_t>(which, cond) : csel_handler<uint32_t>(which, cond);
  return Predecoded::kNext;
}

Predecoded three_source(uint32_t word, Op& op) {
  bool sf = word >> 31;
  if (bits(word, 30, 29) != 0) return predecode_undefined(word, op);
  set_dnm(word, op);
  op.s = slot_zr(bits(word, 14, 10));
  bool sub = word >> 15 & 1;
  switch (bits(word, 23, 21)) {
    case 0:
      op.fn = sf ? (sub ? op_madd<uint64_t, true> : op_madd<uint64_t, false>)
                 : (sub ? op_madd<uint32_t, true> : op_madd<uint32_t, false>);
      return Predecoded::kNext;
    case 1:
      if (!sf) break;
      op.fn = sub ? op_madd_long<int32_t, true> : op_madd_long<int32_t, false>;
      return Predecoded::kNext;
    case 2:
      if (!sf || sub) break;
      op.fn = op_smulh;
      return Predecoded::kNext;
    case 5:
      if (!sf) break;
      op.fn = sub ? op_madd_long<uint32_t, true> : op_madd_long<uint32_t, false>;
      return Predecoded::kNext;
    case 6:
      if (!sf || sub) break;
      op.fn = op_umulh;
      return Predecoded::kNext;
  }
  return predecode_undefined(word, op);
}

template <typename T>
Handler two_source_handler(unsigned opcode) {
  switch (opcode) {
    case 2:
      return op_udiv<T>;
    case 3:
      return op_sdiv<T>;
    case 8:
      return op_shift_reg<T, kLsl>;
    case 9:
      return op_shift_reg<T, kLsr>;
    case 10:
      return op_shift_reg<T, kAsr>;
    case 11:
      return op_shift_reg<T, kRor>;
  }
  return nullptr;
}

Handler crc_handler(unsigned size, bool castagnoli) {
  constexpr Handler kHandlers[] = {op_crc32<uint8_t, false>,  op_crc32<uint16_t, false>,
                                   op_crc32<uint32_t, false>, op_crc32<uint64_t, false>,
                                   op_crc32<uint8_t, true>,   op_crc32<uint16_t, true>,
                                   op_crc32<uint32_t, true>,  op_crc32<uint64_t, true>};
  return kHandlers[size + (castagnoli ? 4 : 0)];
}

Predecoded two_source(uint32_t word, Op& op) {
  bool sf = word >> 31;
  if ((word >> 29 & 1) != 0) return predecode_undefined(word, op);
  set_dnm(word, op);
  unsigned opcode = bits(word, 15, 10);
  if ((opcode & 0x38) == 0x10) {  // CRC32*: the 8-byte one, and only it, has sf
    unsigned size = opcode & 3;
    if (sf != (size == 3)) return predecode_undefined(word, op);
    op.fn = crc_handler(size, opcode >> 2 & 1);
    return Predecoded::kNext;
  }
  op.fn = sf ? two_source_handler<uint64_t>(opcode) : two_source_handler<uint32_t>(opcode);
  return op.fn == nullptr ? predecode_undefined(word, op) : Predecoded::kNext;
}

Predecoded one_source(uint32_t word, Op& op) {
  bool sf = word >> 31;
  unsigned opcode = bits(word, 15, 10);
  if ((word >> 29 & 1) != 0 || bits(word, 20, 16) != 0 || opcode > 5 || (!sf && opcode == 3)) {
    return predecode_undefined(word, op);
  }
  set_dnm(word, op);
  constexpr Handler kWide[] = {op_unary<uint64_t, kRbit>,  op_unary<uint64_t, kRev16>,
                               op_unary<uint64_t, kRev32>, op_unary<uint64_t, kRev64>,
                               op_unary<uint64_t, kClz>,   op_unary<uint64_t, kCls>};
  constexpr Handler kNarrow[] = {op_unary<uint32_t, kRbit>,  op_unary<uint32_t, kRev16>,
                                 op_unary<uint32_t, kRev32>, op_unary<uint32_t, kRev32>,
                                 op_unary<uint32_t, kClz>,   op_unary<uint32_t, kCls>};
  op.fn = sf ? kWide[opcode] : kNarrow[opcode];
  return Predecoded::kNext;
}

}  // namespace

Predecoded predecode_register(uint32_t word, PredecodeContext& context, Op& op) {
  unsigned op2 = bits(word, 24, 21);
  if ((word >> 28 & 1) == 0) {
    if ((op2 & 8) == 0) return logical(word, op);
    return (op2 & 1) == 0 ? add_sub_shifted(word, op) : add_sub_extended(word, op);
  }
  switch (op2) {
    case 0:
      return add_sub_carry(word, context, op);
    case 2:
      return conditional_compare(word, op);
    case 4:
      return conditional_select(word, op);
    case 6:
      return word >> 30 & 1 ? one_source(word, op) : two_source(word, op);
    default:
      return op2 >= 8 ? three_source(word, op) : predecode_undefined(word, op);
  }
}

}  // namespace trapline::soft
