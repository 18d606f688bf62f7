// Conversions of floating point, C4.1.96: between the precisions, to and from integers and fixed
// point, to integral values. What is the handler's: as translate_fp.cc says.
#include <initializer_list>

#include "vmm/soft/jit/x64/fp_opcodes.h"
#include "vmm/soft/jit/x64/translate_x64.h"

namespace trapline::soft {
namespace {

// Of ROUNDSD and its kin.
uint8_t rounding_of(FpOp op) {
  switch (op) {
    case FpOp::kFrintm:
    case FpOp::kFcvtms:
    case FpOp::kFcvtmu:
      return 1;
    case FpOp::kFrintp:
    case FpOp::kFcvtps:
    case FpOp::kFcvtpu:
      return 2;
    case FpOp::kFrintz:
    case FpOp::kFcvtzs:
    case FpOp::kFcvtzu:
    case FpOp::kFcvtzsFixed:
    case FpOp::kFcvtzuFixed:
    case FpOp::kFrinta:  // of what add_away() leaves
    case FpOp::kFcvtas:
    case FpOp::kFcvtau:
      return 3;
    default:
      return 0;
  }
}
constexpr unsigned kRoundScalar = 0x0f3a0a, kRoundPacked = 0x0f3a08;  // and doubles: one more

bool from_or_to_general(uint32_t word) { return (word & 0x5f000000) == 0x1e000000; }
unsigned fraction_bits(uint32_t word, bool is_double) {
  return from_or_to_general(word) ? 64 - bits(word, 15, 10)
                                  : (is_double ? 128 : 64) - bits(word, 22, 16);
}

}  // namespace

// Nearly one half is added to the magnitudes in xmm0: towards zero they are then rounded to
// nearest, ties away.
void X64Translator::add_away(const Shape& shape) {
  movaps(xmm1, xmm0);
  sse(0, kSseAnd, xmm1, pool(offsetof(Pool, sign) + 16 * shape.is_double));
  sse(0, kSseOr, xmm1, pool(offsetof(Pool, below_half) + 16 * shape.is_double));
  sse(shape.prefix, kSseAdd, xmm0, xmm1);
}
// xmm0 by a power of two.
void X64Translator::scale(int power, const Shape& shape) {
  const int biased = power + (shape.is_double ? 1023 : 127);
  const auto exponent = static_cast<u64>(biased);
  fill(xmm1, shape.is_double ? exponent << 52 : twice(static_cast<uint32_t>(exponent) << 23));
  sse(shape.prefix, kSseMul, xmm0, xmm1);
}

X64Translator::Emitted X64Translator::fp_round(uint32_t word, FpOp op, const Shape& shape) {
  if (!host_.sse41) return Emitted::kNot;
  need(op == FpOp::kFrintx ? kPlainFpcr | kInexactSeen : kPlainFpcr);
  load_lanes(xmm0, rn(word), shape);
  check_ordered(xmm0, xmm2, v(rn(word)), shape);
  if (op == FpOp::kFrinta) add_away(shape);
  const unsigned opcode = (shape.scalar ? kRoundScalar : kRoundPacked) + shape.is_double;
  sse(0x66, opcode, xmm0, xmm0, rounding_of(op));
  store_lanes(rd(word), shape);
  return Emitted::kCanDefer;
}

// To a general register, or to lanes of the same size.
X64Translator::Emitted X64Translator::fp_to_integer(uint32_t word, FpOp op, const Shape& shape) {
  const bool to_general = from_or_to_general(word);
  const bool is_fixed = op == FpOp::kFcvtzsFixed || op == FpOp::kFcvtzuFixed;
  const bool is_unsigned = op == FpOp::kFcvtnu || op == FpOp::kFcvtmu || op == FpOp::kFcvtpu ||
                           op == FpOp::kFcvtau || op == FpOp::kFcvtzu || op == FpOp::kFcvtzuFixed;
  const uint8_t rounding = rounding_of(op);
  if (rounding != 3 && !host_.sse41) return Emitted::kNot;
  need(kPlainFpcr | kInexactSeen);
  load_lanes(xmm0, rn(word), shape);
  if (op == FpOp::kFcvtas || op == FpOp::kFcvtau) add_away(shape);
  if (is_fixed) scale(static_cast<int>(fraction_bits(word, shape.is_double)), shape);
  if (rounding != 3) {
    const unsigned opcode = (shape.scalar ? kRoundScalar : kRoundPacked) + shape.is_double;
    sse(0x66, opcode, xmm0, xmm0, rounding);
  }
  if (!shape.scalar && !shape.is_double && is_unsigned) {
    // What is above 2^31 less that, too; below the signed number has its sign clear.
    movaps(xmm1, xmm0);
    sse(0, kSseSub, xmm1, pool(offsetof(Pool, two31)));
    movups(xmm2, pool(offsetof(Pool, minus_one)));
    movaps(xmm3, xmm0);
    sse(0, kSseCmp, xmm2, xmm0, kCmpNotLt);
    sse(0, kSseCmp, xmm3, pool(offsetof(Pool, two32)), kCmpNotLt);
    sse(0, kSseOr, xmm2, xmm3);
    check_lanes(xmm2, shape);
    sse(0xf3, kSseCvttToWords, xmm0, xmm0);
    sse(0xf3, kSseCvttToWords, xmm1, xmm1);
    movaps(xmm2, xmm0);
    shift_lanes(0x0f72, 4, xmm2, 31);
    sse(0, kSseAnd, xmm1, xmm2);
    sse(0, kSseOr, xmm0, xmm1);
    store_lanes(rd(word), shape);
    return Emitted::kCanDefer;
  }
  if (!shape.scalar && !shape.is_double) {
    sse(0xf3, kSseCvttToWords, xmm0, xmm0);
    movaps(xmm1, xmm0);
    sse(0x66, kSsePcmpeqd, xmm1, pool(offsetof(Pool, indefinite)));
    check_lanes(xmm1, shape);
    store_lanes(rd(word), shape);
    return Emitted::kCanDefer;
  }
  if (!shape.scalar) {
    mov(r8, u64{1} << 63);
    for (const Gp to : {rax, r9}) {
      if (to.code == r9.code) sse(0x66, kSseUnpckh, xmm0, xmm0);
      cvt_to_integer(true, to, xmm0);
      is_unsigned ? cmp(to, 0) : cmp(to, r8);
      defer(is_unsigned ? kS : kE);
    }
    movd(xmm0, rax);
    movd(xmm1, r9);
    sse(0x66, kSsePunpcklqdq, xmm0, xmm1);
    store_lanes(rd(word), shape);
    return Emitted::kCanDefer;
  }
  const bool wide = to_general ? word >> 31 != 0 : shape.is_double;
  if (is_unsigned) {
    cvt_to_integer(shape.is_double, rax, xmm0);
    if (wide) {
      cmp(rax, 0);
      defer(kS);
    } else {
      mov(r8d, eax);
      cmp(rax, r8);
      defer(kNe);
    }
  } else {
    cvt_to_integer(shape.is_double, sized(rax, wide), xmm0);
    if (wide) {
      mov(r8, u64{1} << 63);
      cmp(rax, r8);
    } else {
      cmp(eax, INT32_MIN);
    }
    defer(kE);
  }
  if (to_general) {
    store(dest_slot(word), rax);
  } else {
    movd(xmm0, sized(rax, wide));
    movups(v(rd(word)), xmm0);
  }
  return Emitted::kCanDefer;
}

X64Translator::Emitted X64Translator::fp_from_integer(uint32_t word, FpOp op, const Shape& shape) {
  const bool from_general = from_or_to_general(word);
  const bool is_unsigned = op == FpOp::kUcvtf || op == FpOp::kUcvtfFixed;
  const bool is_fixed = op == FpOp::kScvtfFixed || op == FpOp::kUcvtfFixed;
  const int power = is_fixed ? -static_cast<int>(fraction_bits(word, shape.is_double)) : 0;
  if (!shape.scalar) {
    need(kPlainFpcr | kInexactSeen);
    if (is_unsigned) {  // both halves exactly, then their sum
      movups(xmm0, v(rn(word)));
      movaps(xmm1, xmm0);
      shift_lanes(shape.is_double ? 0x0f73 : 0x0f72, 2, xmm0, shape.is_double ? 32 : 16);
      if (shape.is_double) {
        shift_lanes(0x0f73, 6, xmm1, 32);
        shift_lanes(0x0f73, 2, xmm1, 32);
        sse(0, kSseOr, xmm0, pool(offsetof(Pool, high_exponent)));
        sse(0, kSseOr, xmm1, pool(offsetof(Pool, low_exponent)));
        sse(0x66, kSseSub, xmm0, pool(offsetof(Pool, exponents)));
      } else {
        shift_lanes(0x0f72, 6, xmm1, 16);
        shift_lanes(0x0f72, 2, xmm1, 16);
        sse(0, kSseCvtFromWords, xmm0, xmm0);
        sse(0, kSseCvtFromWords, xmm1, xmm1);
        sse(0, kSseMul, xmm0, pool(offsetof(Pool, two16)));
      }
      sse(shape.prefix, kSseAdd, xmm0, xmm1);
    } else if (shape.is_double) {
      mov(rax, v(rn(word)));
      mov(r8, v(rn(word), 8));
      sse(0, kSseXor, xmm0, xmm0);
      sse(0, kSseXor, xmm1, xmm1);
      cvt_from_integer(true, xmm0, rax);
      cvt_from_integer(true, xmm1, r8);
      sse(0x66, kSsePunpcklqdq, xmm0, xmm1);
    } else {
      sse(0, kSseCvtFromWords, xmm0, v(rn(word)));
    }
    if (is_fixed) scale(power, shape);
    store_lanes(rd(word), shape);
    return Emitted::kCanDefer;
  }
  const bool wide = from_general ? word >> 31 != 0 : shape.is_double;
  const bool exact = !wide && shape.is_double;
  if (!exact) need(kPlainFpcr | kInexactSeen);
  mov(sized(rax, wide), from_general ? x(rn(word)) : v(rn(word)));
  if (is_unsigned && wide) {
    cmp(rax, 0);
    defer(kS);
  }
  sse(0, kSseXor, xmm0, xmm0);
  cvt_from_integer(shape.is_double, xmm0, sized(rax, wide || is_unsigned));
  if (is_fixed) scale(power, shape);
  movups(v(rd(word)), xmm0);
  flags_kept_ = exact;
  return exact ? Emitted::kDone : Emitted::kCanDefer;
}

// Between the precisions.
X64Translator::Emitted X64Translator::fp_convert(uint32_t word, FpOp op) {
  const bool q = (word >> 30 & 1) != 0;
  switch (op) {
    case FpOp::kFcvtToDouble: {
      constexpr Shape kResult{.scalar = true, .is_double = true};
      need(kPlainFpcr);
      sse(0, kSseXor, xmm0, xmm0);
      sse(0xf3, kSseCvtSize, xmm0, v(rn(word)));
      check(kResult, kFinite);
      movups(v(rd(word)), xmm0);
      return Emitted::kCanDefer;
    }
    case FpOp::kFcvtToSingle: {
      constexpr Shape kResult{.scalar = true};
      need(kPlainFpcr | kInexactSeen);
      sse(0, kSseXor, xmm0, xmm0);
      sse(0xf2, kSseCvtSize, xmm0, v(rn(word)));
      check(kResult, kOrdinary);
      movups(v(rd(word)), xmm0);
      return Emitted::kCanDefer;
    }
    case FpOp::kFcvtl: {
      constexpr Shape kResult{.is_double = true, .q = true, .lanes = 0xa};
      need(kPlainFpcr);
      sse(0, kSseCvtSize, xmm0, v(rn(word), q ? 8 : 0));
      check(kResult, kFinite);
      movups(v(rd(word)), xmm0);
      return Emitted::kCanDefer;
    }
    default: {  // FCVTN; with Q it keeps the lower half
      constexpr Shape kResult{.lanes = 3};
      need(kPlainFpcr | kInexactSeen);
      sse(0x66, kSseCvtSize, xmm0, v(rn(word)));
      check(kResult, kOrdinary);
      if (q) {
        movsd(xmm1, v(rd(word)));
        sse(0x66, kSsePunpcklqdq, xmm1, xmm0);
        movaps(xmm0, xmm1);
      }
      movups(v(rd(word)), xmm0);
      return Emitted::kCanDefer;
    }
  }
}

// Subroutine: the singles in xmm0 to halves, the upper ones to zero. ZF: they are normal numbers
// above the smallest, or exact; and not those that FPCR.AHP takes for numbers.
void X64Translator::emit_to_half() {
  single_to_half(xmm1, xmm0);
  half_to_single(xmm2, xmm1);
  sse(0, kSseCmp, xmm2, xmm0, kCmpEq);
  sse(0x66, kSsePackssdw, xmm2, xmm2);  // exact
  movaps(xmm0, xmm1);
  sse(0, kSseAnd, xmm1, pool(offsetof(Pool, half_magnitude)));
  movaps(xmm3, xmm1);
  sse(0x66, kSsePcmpgtw, xmm3, pool(offsetof(Pool, half_normal)));
  sse(0x66, kSsePcmpgtw, xmm1, pool(offsetof(Pool, half_largest)));
  sse(0, kSseOr, xmm2, xmm3);
  sse(0, kSseAndn, xmm1, xmm2);
  sse(0x66, kSsePmovmskb, Xmm{0}, xmm1);  // to eax
  not_(eax);
  test(al, 0xff);
  ret();
}

// From and to half precision, by F16C. FPCR.FZ is not for halves, and of them what is finite is so
// with and without AHP.
X64Translator::Emitted X64Translator::fp_half(uint32_t word, FpOp op) {
  if (!host_.f16c) return Emitted::kNot;
  const bool q = (word >> 30 & 1) != 0;
  constexpr unsigned kHalfBytes = 2;
  switch (op) {
    case FpOp::kFcvtHalfToSingle:
    case FpOp::kFcvtHalfToDouble: {
      const bool is_double = op == FpOp::kFcvtHalfToDouble;
      load_operand(xmm0, rn(word), kHalfBytes);
      half_to_single(xmm0, xmm0);
      check({.scalar = true}, kFinite);
      if (is_double) sse(0xf3, kSseCvtSize, xmm0, xmm0);
      keep_vector(rd(word), is_double ? 8 : 4);
      return Emitted::kCanDefer;
    }
    case FpOp::kFcvtlHalf:
      half_to_single(xmm0, v(rn(word), q ? 8 : 0));
      check({.q = true, .lanes = 0xf}, kFinite);
      keep_vector(rd(word));
      return Emitted::kCanDefer;
    case FpOp::kFcvtSingleToHalf:
      need(kPlainFpcr | kInexactSeen);
      load_vector(xmm0, rn(word), 4);
      break;
    case FpOp::kFcvtDoubleToHalf:
      // By a single, whose last bit says whether anything was cut off: rounded once.
      need(kPlainFpcr | kInexactSeen);
      mov(rax, v(rn(word)));
      mov(r8d, eax);
      and_(r8d, 0x1fff'ffff);
      add(r8d, 0x1fff'ffff);
      and_(r8d, 0x2000'0000);
      and_(rax, -0x2000'0000);
      or_(rax, r8);
      movd(xmm1, rax);
      sse(0, kSseXor, xmm0, xmm0);
      sse(0xf2, kSseCvtSize, xmm0, xmm1);
      sse(0xf3, kSseCvtSize, xmm2, xmm0);
      sse(0x66, kSseUcomis, xmm2, xmm1);  // not those outside a single's range
      defer(kNe);
      defer(kP);
      break;
    default:  // FCVTN; with Q it keeps the lower half
      need(kPlainFpcr | kInexactSeen);
      load_vector(xmm0, rn(word));
      break;
  }
  call_routine(to_half_);
  defer(kNe);
  if (op != FpOp::kFcvtnHalf) {
    keep_vector(rd(word), kHalfBytes);
  } else {
    store_narrow(rd(word), q);
  }
  return Emitted::kCanDefer;
}

}  // namespace trapline::soft
