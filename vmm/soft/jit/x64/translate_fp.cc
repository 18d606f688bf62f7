// Floating point, scalar and vector, by the host's SSE and FMA: C4.1.96.
//
// Host code does what raises no flag but Inexact, and only where FPSR.IXC is set already: MXCSR's
// own flags are never read, so nothing has to keep them apart from those of the C++ around. Else
// the handler decides, from the unchanged operands: results that are NaNs (whose choice differs:
// Arm takes the first signalling one, then the first quiet one, and its default NaN is positive),
// infinite (overflow, division by zero), or at most the smallest normal number (Arm finds tininess
// before rounding, SSE after it); FPCR other than to nearest without FZ; ties away; rounding to
// odd.
#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>

#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

using u64 = uint64_t;

constexpr u64 twice(uint32_t word) { return u64{word} << 32 | word; }
struct Lane128 {
  u64 lo, hi;
};
constexpr Lane128 both(u64 half) { return {half, half}; }

constexpr u64 kInf64 = 0x7ff0'0000'0000'0000, kMin64 = 0x0010'0000'0000'0000;
constexpr uint32_t kInf32 = 0x7f80'0000, kMin32 = 0x0080'0000;

// Constants that host code reads: by precision (single, double) where there are two. `first` of a
// range is twice the smallest magnitude that is in it, `size` how far twice the largest is off.
// Lanes are compared as signed numbers: `bias` is added to twice the magnitude (of doubles its high
// half), above `limit` it is outside.
struct Pool {
  Lane128 magnitude[2], sign[2], scalar_sign[2];
  Lane128 bias[2][2], limit[2][2];  // by Range, by precision
  u64 first, size, infinite;        // of a double
  u64 unused;
  Lane128 two[2], three[2], half[2];
  Lane128 indefinite;                      // what CVTTPS2DQ gives for what it cannot convert
  Lane128 below_half[2];                   // the largest number below 0.5
  Lane128 two16, two31, two32, minus_one;  // singles
  Lane128 low_exponent, high_exponent;     // of doubles: 2^52; 2^84 above 32 bits
  Lane128 exponents;                       // 2^84 + 2^52
  Lane128 half_magnitude, half_largest, half_normal;  // of half precision; normal ones are above
};
constexpr uint32_t high(u64 value) { return static_cast<uint32_t>(value >> 32); }
constexpr Lane128 bias_from(uint32_t first) { return both(twice(0x8000'0000u - first)); }
constexpr Lane128 limit_from(uint32_t first, uint32_t last) {
  return both(twice(last - first + 0x8000'0000u));
}
constexpr uint32_t kFirst[2] = {2 * (kMin32 + 1), 2 * (high(kMin64) + 1)};
constexpr uint32_t kLast[2] = {2 * kInf32 - 2, 2 * high(kInf64) - 2};
constexpr Pool kPool = {
    .magnitude = {both(twice(0x7fff'ffff)), both(~u64{0} >> 1)},
    .sign = {both(twice(0x8000'0000)), both(u64{1} << 63)},
    .scalar_sign = {{0x8000'0000, 0}, {u64{1} << 63, 0}},
    .bias = {{bias_from(0), bias_from(0)}, {bias_from(kFirst[0]), bias_from(kFirst[1])}},
    .limit = {{limit_from(0, kLast[0]), limit_from(0, kLast[1])},
              {limit_from(kFirst[0], kLast[0]), limit_from(kFirst[1], kLast[1])}},
    .first = 2 * (kMin64 + 1),
    .size = 2 * (kInf64 - kMin64 - 1),
    .infinite = 2 * kInf64,
    .unused = 0,
    .two = {both(twice(0x4000'0000)), both(0x4000'0000'0000'0000)},
    .three = {both(twice(0x4040'0000)), both(0x4008'0000'0000'0000)},
    .half = {both(twice(0x3f00'0000)), both(0x3fe0'0000'0000'0000)},
    .indefinite = both(twice(0x8000'0000)),
    .below_half = {both(twice(0x3eff'ffff)), both(0x3fdf'ffff'ffff'ffff)},
    .two16 = both(twice(0x4780'0000)),
    .two31 = both(twice(0x4f00'0000)),
    .two32 = both(twice(0x4f80'0000)),
    .minus_one = both(twice(0xbf80'0000)),
    .low_exponent = both(0x4330'0000'0000'0000),
    .high_exponent = both(0x4530'0000'0000'0000),
    .exponents = both(0x4530'0000'0010'0000),
    .half_magnitude = both(twice(0x7fff'7fff)),
    .half_largest = both(twice(0x7bff'7bff)),
    .half_normal = both(twice(0x0400'0400)),
};
static_assert(sizeof(Pool) % 16 == 0 && offsetof(Pool, two) % 16 == 0);

constexpr uint8_t dest_slot(uint32_t word) { return slot_zr_dest(bits(word, 4, 0)); }
constexpr unsigned rd(uint32_t word) { return bits(word, 4, 0); }
constexpr unsigned rn(uint32_t word) { return bits(word, 9, 5); }
constexpr unsigned rm(uint32_t word) { return bits(word, 20, 16); }
constexpr unsigned ra(uint32_t word) { return bits(word, 14, 10); }

// Opcodes, packed and scalar alike.
enum SseOp : unsigned {
  kSseUcomis = 0x0f2e,
  kSseMovmskps = 0x0f50,
  kSseSqrt = 0x0f51,
  kSseAnd = 0x0f54,
  kSseAndn = 0x0f55,
  kSseOr = 0x0f56,
  kSseXor = 0x0f57,
  kSseAdd = 0x0f58,
  kSseMul = 0x0f59,
  kSseCvtFromWords = 0x0f5b,  // CVTDQ2PS
  kSseCvttToWords = 0x0f5b,   // CVTTPS2DQ, with 0xf3
  kSseCvtSize = 0x0f5a,       // between the precisions
  kSseSub = 0x0f5c,
  kSseMin = 0x0f5d,
  kSseDiv = 0x0f5e,
  kSseMax = 0x0f5f,
  kSseCmp = 0x0fc2,
  kSseShuf = 0x0fc6,
  kSseUnpckl = 0x0f14,
  kSseUnpckh = 0x0f15,
  kSseMovhps = 0x0f16,
  kSsePunpcklqdq = 0x0f6c,
  kSsePaddd = 0x0ffe,
  kSsePshufd = 0x0f70,
  kSsePcmpgtw = 0x0f65,
  kSsePcmpgtd = 0x0f66,
  kSsePackssdw = 0x0f6b,
  kSsePmovmskb = 0x0fd7,
  kSsePcmpeqd = 0x0f76,
  kSseMovq = 0x0f7e,  // with 0xf3: the upper half becomes zero
};
enum : uint8_t { kCmpEq, kCmpLt, kCmpLe, kCmpUnordered, kCmpNotEq, kCmpNotLt };

}  // namespace

void X64Translator::emit_pool() {
  align(16);
  pool_ = here();
  u64 words[sizeof(Pool) / 8];
  std::memcpy(words, &kPool, sizeof words);
  for (const u64 word : words) put64(word);
  estimates_ = here();
  u64 tables[sizeof(fp::Estimates) / 8];
  std::memcpy(tables, &fp::kEstimates, sizeof tables);
  for (const u64 word : tables) put64(word);
}

X64Translator::Shape X64Translator::shape_of(uint32_t word, unsigned size_log2) {
  Shape s{};
  s.scalar = (word >> 28 & 1) != 0;
  s.is_double = size_log2 == 3;
  s.q = (word >> 30 & 1) != 0;
  s.element = ((word & 0x9f000400) == 0x0f000000) || ((word & 0xdf000400) == 0x5f000000);
  if (s.scalar) {
    s.prefix = s.is_double ? 0xf2 : 0xf3;
    s.lanes = s.is_double ? 2 : 1;
  } else {
    s.prefix = s.is_double ? 0x66 : 0;
    s.lanes = s.is_double ? 0xa : s.q ? 0xf : 3;
  }
  return s;
}

// A guest register, of 16 bytes, or 8 or 4 with zeros above: before xmm0 is written otherwise,
// since it may be there. A chain of instructions does not wait for its stores to be loaded.
void X64Translator::load_vector(Xmm to, unsigned reg, unsigned bytes) {
  if (is_kept(reg, bytes)) {
    used_vector_ = static_cast<uint8_t>(reg);
    if (to.code != xmm0.code) movaps(to, xmm0);
    return;
  }
  bytes == 16 ? movups(to, v(reg)) : bytes == 8 ? movsd(to, v(reg)) : movss(to, v(reg));
  if (to.code == xmm0.code) kept_for_ = kMaxBlockLen + 1;
}

// The result of an instruction, in xmm0: it ends with this.
void X64Translator::keep_vector(unsigned reg, unsigned bytes) {
  movups(v(reg), xmm0);
  kept_for_ = index_ + 1;
  kept_vector_ = reg;
  kept_bytes_ = bytes;
}

// The second operand: in memory, or in `to` if it is in xmm0, which comes to be written, or one
// element for all lanes.
Mem X64Translator::load_operand2(Xmm to, uint32_t word, const Shape& shape) {
  const Mem in_to = in_register(Gp{to.code, 128});
  if (!shape.element) {
    if (!is_kept(rm(word), bytes_of(shape))) return v(rm(word));
    load_lanes(to, rm(word), shape);
    return in_to;
  }
  const unsigned h = word >> 11 & 1, l = word >> 21 & 1;
  const Mem element = v(rm(word), shape.is_double ? 8 * h : 4 * (h << 1 | l));
  if (shape.scalar) return element;
  shape.is_double ? movsd(to, element) : movss(to, element);
  sse(0, kSseShuf, to, to, shape.is_double ? 0x44 : 0);
  return in_to;
}

void X64Translator::store_lanes(unsigned reg, const Shape& shape) {
  if (!shape.scalar && !shape.q) sse(0xf3, kSseMovq, xmm0, xmm0);
  keep_vector(reg, shape.scalar || shape.q ? bytes_of(shape) : 8);
}

// Of the lanes in `bad` that are all ones the sign alone is looked at.
void X64Translator::check_lanes(Xmm bad, const Shape& shape) {
  sse(0, kSseMovmskps, Xmm{0}, bad);  // to eax
  test(al, shape.lanes);
  defer(kNe);
}

// The result in xmm0 is in `range`, each lane of it.
void X64Translator::check(const Shape& shape, Range range) {
  if (!shape.scalar) {
    const unsigned at = 16 * (2 * range + shape.is_double);
    movaps(xmm5, xmm0);
    sse(0x66, kSsePaddd, xmm5, xmm5);
    sse(0x66, kSsePaddd, xmm5, pool(offsetof(Pool, bias) + at));
    sse(0x66, kSsePcmpgtd, xmm5, pool(offsetof(Pool, limit) + at));
    return check_lanes(xmm5, shape);
  }
  if (shape.is_double) {
    movd(rax, xmm0);
    add(rax, rax);
    if (range == kFinite) {
      cmp(rax, pool(offsetof(Pool, infinite)));
    } else {
      sub(rax, pool(offsetof(Pool, first)));
      cmp(rax, pool(offsetof(Pool, size)));
    }
  } else {
    movd(eax, xmm0);
    add(eax, eax);
    if (range == kOrdinary) sub(eax, static_cast<int32_t>(kFirst[0]));
    const uint32_t size = range == kFinite ? 2 * kInf32 : 2 * (kInf32 - kMin32 - 1);
    cmp(eax, static_cast<int32_t>(size));
  }
  defer(kAe);
}

// No lane of a and b is a NaN.
void X64Translator::check_ordered(Xmm a, Xmm scratch, const Mem& b, const Shape& shape) {
  if (shape.scalar) {
    sse(shape.is_double ? 0x66 : 0, kSseUcomis, a, b);
    return defer(kP);
  }
  movaps(scratch, a);
  sse(shape.prefix, kSseCmp, scratch, b, kCmpUnordered);
  check_lanes(scratch, shape);
}

X64Translator::Emitted X64Translator::fp_arithmetic(uint32_t word, FpOp op, const Shape& shape) {
  const bool is_double = shape.is_double;
  const uint8_t p = shape.prefix;
  switch (op) {
    case FpOp::kFabs:
    case FpOp::kFneg: {
      load_lanes(xmm0, rn(word), shape);
      if (op == FpOp::kFabs) {
        sse(0, kSseAnd, xmm0, pool(offsetof(Pool, magnitude) + 16 * is_double));
      } else {
        const size_t sign = shape.scalar ? offsetof(Pool, scalar_sign) : offsetof(Pool, sign);
        sse(0, kSseXor, xmm0, pool(sign + 16 * is_double));
      }
      store_lanes(rd(word), shape);
      flags_kept_ = true;
      return Emitted::kDone;
    }
    case FpOp::kFaddp:
      need(kPlainFpcr | kInexactSeen);
      load_lane_pairs(word, shape);
      sse(p, kSseAdd, xmm0, xmm1);
      check(shape, kFinite);
      store_lanes(rd(word), shape);
      return Emitted::kCanDefer;
    default:
      break;
  }
  need(kPlainFpcr | kInexactSeen);
  if (op == FpOp::kFsqrt) {
    load_lanes(xmm0, rn(word), shape);
    sse(p, kSseSqrt, xmm0, xmm0);
    check(shape, kOrdinary);
    store_lanes(rd(word), shape);
    return Emitted::kCanDefer;
  }
  const unsigned opcode = op == FpOp::kFadd                        ? kSseAdd
                          : op == FpOp::kFsub || op == FpOp::kFabd ? kSseSub
                          : op == FpOp::kFdiv                      ? kSseDiv
                                                                   : kSseMul;
  const Mem b = load_operand2(xmm1, word, shape);
  load_lanes(xmm0, rn(word), shape);
  sse(p, opcode, xmm0, b);
  // Sums below the normal range are exact.
  check(shape, opcode == kSseAdd || opcode == kSseSub ? kFinite : kOrdinary);
  if (op == FpOp::kFnmul) sse(0, kSseXor, xmm0, pool(offsetof(Pool, scalar_sign) + 16 * is_double));
  if (op == FpOp::kFabd) sse(0, kSseAnd, xmm0, pool(offsetof(Pool, magnitude) + 16 * is_double));
  store_lanes(rd(word), shape);
  return Emitted::kCanDefer;
}

// Of pairs the one lane to xmm0, the other to xmm1.
void X64Translator::load_lane_pairs(uint32_t word, const Shape& shape) {
  if (shape.scalar) {
    load_lanes(xmm0, rn(word), shape);
    const Mem second = v(rn(word), shape.is_double ? 8 : 4);
    return shape.is_double ? movsd(xmm1, second) : movss(xmm1, second);
  }
  if (shape.q) {
    movups(xmm0, v(rn(word)));
    movups(xmm1, v(rm(word)));
  } else {
    movsd(xmm0, v(rn(word)));
    sse(0, kSseMovhps, xmm0, v(rm(word)));
    movaps(xmm1, xmm0);
  }
  movaps(xmm2, xmm0);
  if (shape.is_double) {
    sse(0x66, kSseUnpckl, xmm0, xmm1);
    sse(0x66, kSseUnpckh, xmm2, xmm1);
  } else {
    sse(0, kSseShuf, xmm0, xmm1, 0x88);
    sse(0, kSseShuf, xmm2, xmm1, 0xdd);
  }
  movaps(xmm1, xmm2);
}

// Of xmm0 and xmm1, to xmm0: numbers. The host's gives the second of two equal operands: done both
// ways round, the signs of zeros are combined.
void X64Translator::extremum(bool maximum, uint8_t prefix) {
  movaps(xmm2, xmm0);
  sse(prefix, maximum ? kSseMax : kSseMin, xmm0, xmm1);
  sse(prefix, maximum ? kSseMax : kSseMin, xmm1, xmm2);
  sse(0, maximum ? kSseAnd : kSseOr, xmm0, xmm1);
}

X64Translator::Emitted X64Translator::fp_extremum(uint32_t word, FpOp op, const Shape& shape) {
  constexpr FpOp kMaxima[] = {FpOp::kFmax,   FpOp::kFmaxp,   FpOp::kFmaxv,
                              FpOp::kFmaxnm, FpOp::kFmaxnmp, FpOp::kFmaxnmv};
  const bool maximum = std::find(std::begin(kMaxima), std::end(kMaxima), op) != std::end(kMaxima);
  need(kPlainFpcr);
  switch (op) {
    case FpOp::kFmaxv:
    case FpOp::kFminv:
    case FpOp::kFmaxnmv:
    case FpOp::kFminnmv:
      load_lanes(xmm0, rn(word), shape);
      check_ordered(xmm0, xmm2, v(rn(word)), shape);
      for (const uint8_t order : {uint8_t{0x4e}, uint8_t{0xb1}}) {
        sse(0x66, kSsePshufd, xmm1, xmm0, order);
        extremum(maximum, shape.prefix);
      }
      movd(eax, xmm0);
      movd(xmm0, eax);
      keep_vector(rd(word), 4);
      return Emitted::kCanDefer;
    case FpOp::kFmaxp:
    case FpOp::kFminp:
    case FpOp::kFmaxnmp:
    case FpOp::kFminnmp:
      load_lane_pairs(word, shape);
      check_ordered(xmm0, xmm2, in_register(Gp{xmm1.code, 128}), shape);
      break;
    default:
      load_lanes(xmm0, rn(word), shape);
      load_lanes(xmm1, rm(word), shape);
      check_ordered(xmm0, xmm2, v(rm(word)), shape);
      break;
  }
  extremum(maximum, shape.prefix);
  store_lanes(rd(word), shape);
  return Emitted::kCanDefer;
}

// addend +- n * m, rounded once.
X64Translator::Emitted X64Translator::fp_fused(uint32_t word, FpOp op, const Shape& shape) {
  if (!host_.fma) return Emitted::kNot;
  const bool is_double = shape.is_double;
  constexpr uint8_t kAddProduct = 0xb8, kFromAddend = 0xbc, kSubAddend = 0xba, kNegateBoth = 0xbe;
  need(kPlainFpcr | kInexactSeen);
  const Mem m = load_operand2(xmm2, word, shape);
  load_lanes(xmm1, rn(word), shape);
  uint8_t opcode = kAddProduct;
  switch (op) {
    case FpOp::kFmadd:
    case FpOp::kFmsub:
    case FpOp::kFnmadd:
    case FpOp::kFnmsub:
      opcode = op == FpOp::kFmadd    ? kAddProduct
               : op == FpOp::kFmsub  ? kFromAddend
               : op == FpOp::kFnmadd ? kNegateBoth
                                     : kSubAddend;
      load_lanes(xmm0, ra(word), shape);
      break;
    case FpOp::kFmls:
      opcode = kFromAddend;
      [[fallthrough]];
    case FpOp::kFmla:
      load_lanes(xmm0, rd(word), shape);
      break;
    default: {  // FRECPS: 2 - n * m; FRSQRTS: (3 - n * m) / 2
      opcode = kFromAddend;
      const size_t addend = op == FpOp::kFrecps ? offsetof(Pool, two) : offsetof(Pool, three);
      const Mem from = pool(addend + 16 * is_double);
      if (shape.scalar) {
        is_double ? movsd(xmm0, from) : movss(xmm0, from);
      } else {
        movups(xmm0, from);
      }
    }
  }
  if (shape.scalar) ++opcode;
  fma(opcode, is_double, xmm0, xmm1, m);
  if (op == FpOp::kFrsqrts) {
    sse(shape.prefix, kSseMul, xmm0, pool(offsetof(Pool, half) + 16 * is_double));
  }
  check(shape, kOrdinary);
  store_lanes(rd(word), shape);
  return Emitted::kCanDefer;
}

// To lanes of ones and zeros.
X64Translator::Emitted X64Translator::fp_compare(uint32_t word, FpOp op, const Shape& shape) {
  bool with_zero = false, swap = false, magnitudes = false;
  uint8_t predicate = kCmpLe;
  switch (op) {
    case FpOp::kFcmeqZero:
      with_zero = true;
      [[fallthrough]];
    case FpOp::kFcmeq:
      predicate = kCmpEq;
      break;
    case FpOp::kFacge:
      magnitudes = true;
      [[fallthrough]];
    case FpOp::kFcmge:
      swap = true;
      break;
    case FpOp::kFcmgeZero:
      with_zero = swap = true;
      break;
    case FpOp::kFacgt:
      magnitudes = true;
      [[fallthrough]];
    case FpOp::kFcmgt:
      swap = true;
      predicate = kCmpLt;
      break;
    case FpOp::kFcmgtZero:
      with_zero = swap = true;
      predicate = kCmpLt;
      break;
    case FpOp::kFcmltZero:
      predicate = kCmpLt;
      [[fallthrough]];
    default:  // FCMLE
      with_zero = true;
      break;
  }
  need(kPlainFpcr);
  load_lanes(xmm0, rn(word), shape);
  if (with_zero) {
    sse(0, kSseXor, xmm1, xmm1);
    check_ordered(xmm0, xmm2, v(rn(word)), shape);
  } else {
    load_lanes(xmm1, rm(word), shape);
    check_ordered(xmm0, xmm2, v(rm(word)), shape);
  }
  if (magnitudes) {
    const Mem mask = pool(offsetof(Pool, magnitude) + 16 * shape.is_double);
    sse(0, kSseAnd, xmm0, mask);
    sse(0, kSseAnd, xmm1, mask);
  }
  if (swap) {
    sse(shape.prefix, kSseCmp, xmm1, xmm0, predicate);
    movaps(xmm0, xmm1);
  } else {
    sse(shape.prefix, kSseCmp, xmm0, xmm1, predicate);
  }
  store_lanes(rd(word), shape);
  return Emitted::kCanDefer;
}

// FCMP, FCMPE. Less: N. Equal: Z, C. Greater: C. Unordered: the handler.
X64Translator::Emitted X64Translator::fp_compare_flags(uint32_t word, FpOp op, bool is_double) {
  need(kPlainFpcr);
  load_vector(xmm1, rn(word), is_double ? 8 : 4);
  if (op == FpOp::kFcmpZero) sse(0, kSseXor, xmm0, xmm0);
  // One number is both flags: its sign is N, zero is Z.
  mov(eax, 1);
  mov(r8d, 0);
  mov(r9, ~u64{0});
  const uint8_t prefix = is_double ? 0x66 : 0;
  op == FpOp::kFcmpZero ? sse(prefix, kSseUcomis, xmm1, xmm0)
                        : sse(prefix, kSseUcomis, xmm1, v(rm(word)));
  defer(kP);
  cmov(kE, rax, r8);
  cmov(kB, rax, r9);
  mov(ptr[rcx + flag_n_], rax);
  mov(ptr[rcx + flag_z_], rax);
  set(kAe, byte[rcx + flag_c_]);
  mov(byte[rcx + flag_v_], 0);
  host_flags_ = HostFlags::kFloat;
  flags_kept_ = true;
  return Emitted::kCanDefer;
}

X64Translator::Emitted X64Translator::fp_compare_conditionally(uint32_t word, bool is_double) {
  const unsigned cond = bits(word, 15, 12);
  need(kPlainFpcr);  // before the flags are looked at, which it changes
  host_flags_ = HostFlags::kUnknown;
  uint32_t fails = 0;
  if (cond < 14) fails = jump(static_cast<Cc>(condition(cond) ^ 1));
  fp_compare_flags(word, FpOp::kFcmp, is_double);
  if (cond < 14) {
    const uint32_t over = jump();
    bind(fails);
    store_flags(word << 28);
    bind(over);
    flags_kept_ = false;
  }
  return Emitted::kCanDefer;
}

X64Translator::Emitted X64Translator::fp_select(uint32_t word, bool is_double) {
  const unsigned cond = bits(word, 15, 12);
  const bool known = host_flags_ != HostFlags::kUnknown;
  const Gp taken = sized(r8, is_double), other = sized(r9, is_double);
  mov(taken, v(rn(word)));
  if (cond < 14) {
    mov(other, v(rm(word)));
    flags_kept_ = known;
    cmov(static_cast<Cc>(condition(cond) ^ 1), taken, other);
  } else {
    flags_kept_ = true;
  }
  movd(xmm0, taken);
  movups(v(rd(word)), xmm0);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::fp_move(uint32_t word, FpOp op, bool is_double) {
  flags_kept_ = true;
  switch (op) {
    case FpOp::kFmovImmediate:
      mov(rax, fp::expand_fp_imm(bits(word, 20, 13), is_double));
      movd(xmm0, rax);
      break;
    case FpOp::kFmovToGeneral:
      mov(sized(rax, is_double), v(rn(word)));
      store(dest_slot(word), rax);
      return Emitted::kDone;
    case FpOp::kFmovHighToGeneral:
      mov(rax, v(rn(word), 8));
      store(dest_slot(word), rax);
      return Emitted::kDone;
    case FpOp::kFmovFromGeneral:
      mov(sized(rax, is_double), x(rn(word)));
      movd(xmm0, sized(rax, is_double));
      break;
    case FpOp::kFmovHighFromGeneral:
      movsd(xmm0, v(rd(word)));
      sse(0, kSseMovhps, xmm0, x_memory(rn(word)));
      break;
    default:
      load_vector(xmm0, rn(word), is_double ? 8 : 4);
      break;
  }
  const bool whole = op == FpOp::kFmovHighFromGeneral;
  keep_vector(rd(word), whole ? 16 : is_double || op == FpOp::kFmovImmediate ? 8 : 4);
  return Emitted::kDone;
}

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
  const auto exponent = static_cast<u64>(power + (shape.is_double ? 1023 : 127));
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

// Subroutine: the estimate of what is in rax, to rax. ZF: it is plain, with no flag to raise. The
// operand must be normal, positive for a root, and the reciprocal normal. xmm0 is kept.
void X64Translator::emit_estimate(bool rsqrt, bool is_double) {
  const unsigned fraction = is_double ? 52 : 23;
  const int bias = is_double ? 1023 : 127;
  mov(r8, rax);
  shr(r8, fraction);  // sign and exponent
  if (!rsqrt) {
    mov(r10, r8);
    and_(r8d, 2 * bias + 1);
    xor_(r10, r8);  // the sign where it was
    shl(r10, fraction);
  }
  lea(r9d, ptr[r8 + -1]);
  // The largest exponent of all is an infinity's or a NaN's.
  cmp(r9d, rsqrt ? 2 * bias - 1 : 2 * bias - 3);
  const uint32_t special = jump(kA);
  shr(rax, fraction - 8);
  and_(eax, rsqrt ? 0x1ff : 0xff);
  const auto table = static_cast<uint32_t>(rsqrt ? offsetof(fp::Estimates, rsqrt)
                                                 : offsetof(fp::Estimates, recip));
  lea(r9, ptr[rip + at(estimates_ + table)]);
  movzx(eax, byte[r9 + rax]);
  shl(rax, fraction - 8);
  mov(r9d, static_cast<u64>(rsqrt ? 3 * bias - 1 : 2 * bias - 1));
  sub(r9d, r8d);
  if (rsqrt) shr(r9d, 1);
  shl(r9, fraction);
  or_(rax, r9);
  if (!rsqrt) or_(rax, r10);
  xor_(r9d, r9d);
  ret();
  bind(special);
  or_(r9d, 1);
  ret();
}

X64Translator::Emitted X64Translator::fp_estimate(uint32_t word, FpOp op, const Shape& shape) {
  const unsigned bytes = shape.is_double ? 8 : 4;
  const unsigned lanes = shape.scalar ? 1 : (shape.q ? 16 : 8) / bytes;
  for (unsigned i = lanes; i-- > 0;) {
    mov(sized(rax, shape.is_double), v(rn(word), i * bytes));
    call_routine(estimate_[op == FpOp::kFrsqrte][shape.is_double]);
    defer(kNe);
    if (i == lanes - 1) {
      movd(xmm0, rax);
    } else if (shape.is_double) {
      movd(xmm1, rax);
      sse(0x66, kSsePunpcklqdq, xmm1, xmm0);
      movaps(xmm0, xmm1);
    } else {
      shift_lanes(0x0f73, 7, xmm0, 4);
      movd(xmm1, rax);
      sse(0, kSseOr, xmm0, xmm1);
    }
  }
  movups(v(rd(word)), xmm0);
  return Emitted::kCanDefer;
}

X64Translator::Emitted X64Translator::fp(uint32_t word) {
  if (op_->fn != op_fp && op_->fn != op_fp_flags) return Emitted::kNot;
  const FpForm form = fp_form(static_cast<uint16_t>(op_->d | op_->n << 8));
  const Shape shape = shape_of(word, form.size_log2);
  switch (form.op) {
    case FpOp::kFmov:
    case FpOp::kFmovImmediate:
    case FpOp::kFmovToGeneral:
    case FpOp::kFmovFromGeneral:
    case FpOp::kFmovHighToGeneral:
    case FpOp::kFmovHighFromGeneral:
      return fp_move(word, form.op, shape.is_double);
    case FpOp::kFcsel:
      return fp_select(word, shape.is_double);
    case FpOp::kFabs:
    case FpOp::kFneg:
    case FpOp::kFsqrt:
    case FpOp::kFadd:
    case FpOp::kFsub:
    case FpOp::kFmul:
    case FpOp::kFnmul:
    case FpOp::kFdiv:
    case FpOp::kFabd:
    case FpOp::kFaddp:
      return fp_arithmetic(word, form.op, shape);
    case FpOp::kFmax:
    case FpOp::kFmin:
    case FpOp::kFmaxnm:
    case FpOp::kFminnm:
    case FpOp::kFmaxp:
    case FpOp::kFminp:
    case FpOp::kFmaxnmp:
    case FpOp::kFminnmp:
    case FpOp::kFmaxv:
    case FpOp::kFminv:
    case FpOp::kFmaxnmv:
    case FpOp::kFminnmv:
      return fp_extremum(word, form.op, shape);
    case FpOp::kFmadd:
    case FpOp::kFmsub:
    case FpOp::kFnmadd:
    case FpOp::kFnmsub:
    case FpOp::kFmla:
    case FpOp::kFmls:
    case FpOp::kFrecps:
    case FpOp::kFrsqrts:
      return fp_fused(word, form.op, shape);
    case FpOp::kFrecpe:
    case FpOp::kFrsqrte:
      return fp_estimate(word, form.op, shape);
    case FpOp::kFcmp:
    case FpOp::kFcmpZero:
      return fp_compare_flags(word, form.op, shape.is_double);
    case FpOp::kFccmp:
      return fp_compare_conditionally(word, shape.is_double);
    case FpOp::kFcmeq:
    case FpOp::kFcmge:
    case FpOp::kFcmgt:
    case FpOp::kFacge:
    case FpOp::kFacgt:
    case FpOp::kFcmeqZero:
    case FpOp::kFcmgeZero:
    case FpOp::kFcmgtZero:
    case FpOp::kFcmleZero:
    case FpOp::kFcmltZero:
      return fp_compare(word, form.op, shape);
    case FpOp::kFcvtToDouble:
    case FpOp::kFcvtToSingle:
    case FpOp::kFcvtl:
    case FpOp::kFcvtn:
      return fp_convert(word, form.op);
    case FpOp::kFcvtHalfToSingle:
    case FpOp::kFcvtHalfToDouble:
    case FpOp::kFcvtSingleToHalf:
    case FpOp::kFcvtDoubleToHalf:
    case FpOp::kFcvtlHalf:
    case FpOp::kFcvtnHalf:
      return fp_half(word, form.op);
    case FpOp::kFrintn:
    case FpOp::kFrintm:
    case FpOp::kFrintp:
    case FpOp::kFrintz:
    case FpOp::kFrinta:
    case FpOp::kFrintx:
    case FpOp::kFrinti:
      return fp_round(word, form.op, shape);
    case FpOp::kFcvtas:
    case FpOp::kFcvtau:
    case FpOp::kFcvtns:
    case FpOp::kFcvtnu:
    case FpOp::kFcvtms:
    case FpOp::kFcvtmu:
    case FpOp::kFcvtps:
    case FpOp::kFcvtpu:
    case FpOp::kFcvtzs:
    case FpOp::kFcvtzu:
    case FpOp::kFcvtzsFixed:
    case FpOp::kFcvtzuFixed:
      return fp_to_integer(word, form.op, shape);
    case FpOp::kScvtf:
    case FpOp::kUcvtf:
    case FpOp::kScvtfFixed:
    case FpOp::kUcvtfFixed:
      return fp_from_integer(word, form.op, shape);
    case FpOp::kNone:
      return Emitted::kNot;
    default:
      return simd(word, form);
  }
}

}  // namespace trapline::soft
