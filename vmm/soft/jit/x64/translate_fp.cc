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

#include "vmm/soft/jit/x64/fp_opcodes.h"
#include "vmm/soft/jit/x64/translate_x64.h"

namespace trapline::soft {
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
      if (is_kept(rn(word))) {
        used_vector_ = static_cast<uint8_t>(rn(word));
        movd(sized(rax, is_double), xmm0);
      } else {
        mov(sized(rax, is_double), v(rn(word)));
      }
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
