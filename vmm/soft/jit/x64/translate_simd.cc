// Advanced SIMD of integers by the host's SSE: C4.1.96. All of it works with SSE2 but where a later
// extension is asked for; what neither has is the handler's.
#include <initializer_list>

#include "vmm/soft/jit/x64/simd_opcodes.h"
#include "vmm/soft/jit/x64/translate_x64.h"

namespace trapline::soft {
bool X64Translator::host_has(unsigned opcode) const {
  switch (needs(opcode)) {
    case Needs::kSse2:
      return opcode != 0;
    case Needs::kSsse3:
      return host_.ssse3;
    case Needs::kSse41:
      return host_.sse41;
    default:
      return host_.sse42;
  }
}

// --- pieces --------------------------------------------------------------------------------------

void X64Translator::p(unsigned opcode, Xmm to, Xmm from) { sse(0x66, opcode, to, from); }
void X64Translator::p(unsigned opcode, Xmm to, const Mem& from) { sse(0x66, opcode, to, from); }

void X64Translator::fill(Xmm to, uint64_t half) {
  mov(rax, half);
  movd(to, rax);
  p(kPunpckl[3], to, to);
}
void X64Translator::ones(Xmm to) { p(kPcmpeq[2], to, to); }
void X64Translator::zero(Xmm to) { p(kPxor, to, to); }
// By 8, 16, 32 or 64 bits' own shift; none by 0.
void X64Translator::shift_elements(unsigned digit, unsigned size_log2, Xmm r, unsigned by) {
  if (by != 0) shift_lanes(kShiftImmediate[size_log2], digit, r, by);
}

// The same of every size, up to an element's width; bytes are shifted as parts of words.
void X64Translator::shift_left(Xmm r, unsigned size, unsigned by, Xmm scratch) {
  shift_elements(kLeft, size == 0 ? 1 : size, r, by);
  if (size != 0 || by == 0) return;
  fill(scratch, replicated(element_mask(0) << by & element_mask(0), 0));
  p(kPand, r, scratch);
}
void X64Translator::shift_right(Xmm r, unsigned size, unsigned by, bool is_signed, Xmm scratch) {
  if (is_signed && (size == 1 || size == 2)) return shift_elements(kRightSigned, size, r, by);
  // A signed shift is one without sign, then extended.
  const unsigned width = 8u << size, amount = is_signed && by == width ? width - 1 : by;
  shift_elements(kRight, size == 0 ? 1 : size, r, amount);
  if (size == 0 && amount != 0) {
    fill(scratch, replicated(element_mask(0) >> amount, 0));
    p(kPand, r, scratch);
  }
  if (is_signed && amount != 0) {
    fill(scratch, replicated(u64{1} << (width - 1 - amount), size));
    p(kPxor, r, scratch);
    p(kPsub[size], r, scratch);
  }
}

void X64Translator::store_result(unsigned reg, bool q) {
  if (!q) sse(0xf3, kMovq, xmm0, xmm0);
  keep_vector(reg, q ? 16 : 8);
}
// The "2" forms keep the lower half.
void X64Translator::store_narrow(unsigned reg, bool q) {
  if (q) {
    movsd(xmm1, v(reg));
    p(kPunpckl[3], xmm1, xmm0);
    movups(v(reg), xmm1);
  } else {
    store_result(reg, false);
  }
}

void X64Translator::insert_lane(unsigned reg, unsigned lane, unsigned size_log2) {
  if (size_log2 == 1 || host_.sse41) {  // whole registers are forwarded from store to load
    movups(xmm0, v(reg));
    constexpr unsigned kPinsr[] = {0x0f3a20, 0x0fc4, 0x0f3a22, 0x0f3a22};
    insert(kPinsr[size_log2], xmm0, sized(r11, size_log2 == 3), static_cast<uint8_t>(lane));
    movups(v(reg), xmm0);
    return;
  }
  const Place at = rdi + (vectors_ + static_cast<int>(16 * reg + (lane << size_log2)));
  mov(ptr[at], r11.cut(static_cast<uint8_t>(8u << size_log2)));
}

void X64Translator::replicate(unsigned size_log2, bool q) {
  if (size_log2 == 0) p(kPunpckl[0], xmm0, xmm0);
  if (size_log2 < 2) sse(0xf2, kPshuf, xmm0, xmm0, 0);
  if (size_log2 < 3) {
    sse(0x66, kPshuf, xmm0, xmm0, 0);
  } else {
    p(kPunpckl[3], xmm0, xmm0);
  }
  if (!q) sse(0xf3, kMovq, xmm0, xmm0);
}

// One element of a register, zero-extended, to r11, to xmm.
void X64Translator::load_lane(unsigned reg, unsigned lane, unsigned size_log2, bool is_signed,
                              bool wide) {
  const Place at = rdi + (vectors_ + static_cast<int>(16 * reg + (lane << size_log2)));
  const Gp to = sized(r11, wide);
  switch (size_log2) {
    case 0:
      return is_signed ? movsx(to, byte[at]) : movzx(r11d, byte[at]);
    case 1:
      return is_signed ? movsx(to, x64::word[at]) : movzx(r11d, x64::word[at]);
    case 2:
      return is_signed ? movsxd(r11, dword[at]) : mov(r11d, ptr[at]);
    default:
      return mov(r11, ptr[at]);
  }
}

// The half of `reg` that Q chooses, its elements twice as wide; xmm4 is scratch.
void X64Translator::widen(Xmm to, unsigned reg, bool upper, unsigned size_log2, bool is_signed) {
  movsd(to, v(reg, upper ? 8 : 0));
  widen_register(to, size_log2, is_signed);
}
void X64Translator::widen_register(Xmm to, unsigned size_log2, bool is_signed) {
  zero(xmm4);
  if (is_signed) p(kPcmpgt[size_log2], xmm4, to);
  p(kPunpckl[size_log2], to, xmm4);
}

// Of a and b, 16 bytes each, the elements of even (part 0) or odd number: to a. b is clobbered.
void X64Translator::unzip(Xmm a, Xmm b, unsigned size_log2, unsigned part) {
  switch (size_log2) {
    case 0:
      for (const Xmm r : {a, b}) {
        if (part == 0) shift_elements(kLeft, 1, r, 8);
        shift_elements(kRight, 1, r, 8);
      }
      return p(kPackuswb, a, b);
    case 1:
      for (const Xmm r : {a, b}) {
        if (part == 0) shift_elements(kLeft, 2, r, 16);
        shift_elements(kRightSigned, 2, r, 16);
      }
      return p(kPackssdw, a, b);
    case 2:
      return sse(0, kShufps, a, b, part == 0 ? 0x88 : 0xdd);
    default:
      return p(part == 0 ? kPunpckl[3] : kPunpckh[3], a, b);
  }
}

// Rn and Rm to xmm0 and xmm1: of 64-bit vectors one after the other, in both.
void X64Translator::load_pairs(uint32_t word, bool q) {
  if (q) {
    load_vector(xmm0, rn(word));
    movups(xmm1, v(rm(word)));
  } else {
    load_vector(xmm0, rn(word), 8);
    movsd(xmm1, v(rm(word)));
    p(kPunpckl[3], xmm0, xmm1);
    movaps(xmm1, xmm0);
  }
}

// |a - b| of each element, to xmm0; a and b are in xmm0 and xmm1.
void X64Translator::absolute_difference(unsigned size_log2, bool is_signed) {
  if (!is_signed && size_log2 < 2) {
    movaps(xmm2, xmm0);
    p(kPsubUnsigned[size_log2], xmm0, xmm1);
    p(kPsubUnsigned[size_log2], xmm1, xmm2);
    p(kPor, xmm0, xmm1);
    return;
  }
  movaps(xmm2, xmm0);
  p((is_signed ? kPmaxSigned : kPmaxUnsigned)[size_log2], xmm0, xmm1);
  p((is_signed ? kPminSigned : kPminUnsigned)[size_log2], xmm1, xmm2);
  p(kPsub[size_log2], xmm0, xmm1);
}

// --- families ------------------------------------------------------------------------------------

// Two operands by one instruction of the host.
X64Translator::Emitted X64Translator::simd_two(uint32_t word, unsigned opcode, bool q) {
  if (!host_has(opcode)) return Emitted::kNot;
  load_vector(xmm0, rn(word));
  p(opcode, xmm0, v(rm(word)));
  store_result(rd(word), q);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_bits(uint32_t word, FpOp op, bool q) {
  const Mem d = v(rd(word)), n = v(rn(word)), m = v(rm(word));
  switch (op) {
    case FpOp::kBic:
      movups(xmm0, m);
      p(kPandn, xmm0, n);
      break;
    case FpOp::kOrn:
      ones(xmm0);
      p(kPxor, xmm0, m);
      p(kPor, xmm0, n);
      break;
    case FpOp::kBsl:
      movups(xmm0, n);
      p(kPxor, xmm0, m);
      p(kPand, xmm0, d);
      p(kPxor, xmm0, m);
      break;
    case FpOp::kBit:
      movups(xmm0, n);
      p(kPxor, xmm0, d);
      p(kPand, xmm0, m);
      p(kPxor, xmm0, d);
      break;
    case FpOp::kBif:
      movups(xmm1, n);
      p(kPxor, xmm1, d);
      movups(xmm0, m);
      p(kPandn, xmm0, xmm1);
      p(kPxor, xmm0, d);
      break;
    case FpOp::kOrr:
      movups(xmm0, n);
      if (rn(word) != rm(word)) p(kPor, xmm0, m);
      break;
    default:  // NOT
      ones(xmm0);
      p(kPxor, xmm0, n);
      break;
  }
  store_result(rd(word), q);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_immediate(uint32_t word, FpOp op, bool q) {
  const u64 imm = fp::expand_simd_imm(word);
  switch (op) {
    case FpOp::kImmediate:
    case FpOp::kImmediateNot: {
      const u64 value = op == FpOp::kImmediate ? imm : ~imm;
      if (value == 0) {
        zero(xmm0);
      } else if (value == ~u64{0}) {
        ones(xmm0);
      } else {
        fill(xmm0, value);
      }
      break;
    }
    case FpOp::kOrrImmediate:
      fill(xmm0, imm);
      p(kPor, xmm0, v(rd(word)));
      break;
    default:
      fill(xmm0, ~imm);
      p(kPand, xmm0, v(rd(word)));
      break;
  }
  store_result(rd(word), q);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_compare(uint32_t word, FpOp op, unsigned size, bool q) {
  const bool with_zero = op >= FpOp::kCmeqZero;
  const bool is_equal = op == FpOp::kCmeq || op == FpOp::kCmeqZero || op == FpOp::kCmtst;
  if (!host_has(is_equal ? kPcmpeq[size] : kPcmpgt[size])) return Emitted::kNot;
  bool negate = false, swap = false;
  switch (op) {
    case FpOp::kCmge:
    case FpOp::kCmgeZero:
    case FpOp::kCmhs:
      negate = swap = true;
      break;
    case FpOp::kCmleZero:
      negate = true;
      break;
    case FpOp::kCmltZero:
      swap = true;
      break;
    case FpOp::kCmtst:
      negate = true;
      break;
    default:
      break;
  }
  load_vector(xmm0, rn(word));
  if (with_zero) {
    zero(xmm1);
  } else {
    movups(xmm1, v(rm(word)));
  }
  if (op == FpOp::kCmhi || op == FpOp::kCmhs) {  // as signed ones
    fill(xmm2, replicated(u64{1} << ((8u << size) - 1), size));
    p(kPxor, xmm0, xmm2);
    p(kPxor, xmm1, xmm2);
  } else if (op == FpOp::kCmtst) {
    p(kPand, xmm0, xmm1);
    zero(xmm1);
  }
  const unsigned opcode = is_equal ? kPcmpeq[size] : kPcmpgt[size];
  if (swap) {
    p(opcode, xmm1, xmm0);
    movaps(xmm0, xmm1);
  } else {
    p(opcode, xmm0, xmm1);
  }
  if (negate) {
    ones(xmm1);
    p(kPxor, xmm0, xmm1);
  }
  store_result(rd(word), q);
  return Emitted::kDone;
}

// Rm, or one element of it in every lane, to `to`; C4.1.96, "by element".
void X64Translator::load_element_operand(Xmm to, uint32_t word, unsigned size_log2) {
  const bool by_element = (word & 0x8f000400) == 0x0f000000;
  if (!by_element) return movups(to, v(rm(word)));
  const unsigned h = word >> 11 & 1, l = word >> 21 & 1, m = word >> 20 & 1;
  if (size_log2 == 1) {
    load_lane(bits(word, 19, 16), h << 2 | l << 1 | m, 1, false, false);
    movd(to, r11d);
    sse(0xf2, kPshuf, to, to, 0);
  } else {
    movss(to, v(rm(word), 4 * (h << 1 | l)));
  }
  sse(0x66, kPshuf, to, to, 0);
}

X64Translator::Emitted X64Translator::simd_multiply(uint32_t word, FpOp op, unsigned size, bool q) {
  if (size == 0) {
    load_vector(xmm1, rm(word));
    load_vector(xmm0, rn(word));
    multiply_bytes();
  } else {
    if (!host_has(kPmull[size])) return Emitted::kNot;
    load_element_operand(xmm0, word, size);
    p(kPmull[size], xmm0, v(rn(word)));
  }
  if (op == FpOp::kMla) {
    p(kPadd[size], xmm0, v(rd(word)));
  } else if (op == FpOp::kMls) {
    movups(xmm1, v(rd(word)));
    p(kPsub[size], xmm1, xmm0);
    movaps(xmm0, xmm1);
  }
  store_result(rd(word), q);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_pairs(uint32_t word, unsigned opcode, unsigned size,
                                                 bool q) {
  if (!host_has(opcode)) return Emitted::kNot;
  load_pairs(word, q);
  movaps(xmm2, xmm0);
  movaps(xmm3, xmm1);
  unzip(xmm0, xmm1, size, 0);
  unzip(xmm2, xmm3, size, 1);
  p(opcode, xmm0, xmm2);
  store_result(rd(word), q);
  return Emitted::kDone;
}

// By an immediate; immh:immb is 2 * esize - shift, or esize + shift for the left ones.
X64Translator::Emitted X64Translator::simd_shift(uint32_t word, FpOp op, unsigned size, bool q) {
  const unsigned width = 8u << size, encoded = bits(word, 22, 16);
  const bool left = op == FpOp::kShl || op == FpOp::kSli;
  const unsigned by = left ? encoded - width : 2 * width - encoded;
  const u64 mask = element_mask(size);
  load_vector(xmm0, rn(word));
  if (left) {
    shift_left(xmm0, size, by, xmm1);
  } else if (op >= FpOp::kSrshr && op <= FpOp::kUrsra) {
    round_right(size, by, op == FpOp::kSrshr || op == FpOp::kSrsra);
  } else {
    shift_right(xmm0, size, by, op == FpOp::kSshr || op == FpOp::kSsra, xmm1);
  }
  if (op == FpOp::kSsra || op == FpOp::kUsra || op == FpOp::kSrsra || op == FpOp::kUrsra) {
    p(kPadd[size], xmm0, v(rd(word)));
  } else if (op == FpOp::kSli || op == FpOp::kSri) {
    const u64 from_n = left ? mask << by & mask : by == width ? 0 : mask >> by;
    fill(xmm1, replicated(from_n ^ mask, size));
    p(kPand, xmm1, v(rd(word)));
    p(kPor, xmm0, xmm1);
  }
  store_result(rd(word), q);
  return Emitted::kDone;
}

// SSHLL, USHLL.
X64Translator::Emitted X64Translator::simd_shift_long(uint32_t word, FpOp op, unsigned size,
                                                      bool q) {
  widen(xmm0, rn(word), q, size, op == FpOp::kSshll);
  shift_elements(kLeft, size + 1, xmm0, bits(word, 22, 16) - (8u << size));
  keep_vector(rd(word));
  return Emitted::kDone;
}

// Sums and differences of widened elements; of the "wide" ones Rn is wide already.
X64Translator::Emitted X64Translator::simd_long_sum(uint32_t word, unsigned opcode, bool wide,
                                                    bool is_signed, unsigned size, bool q) {
  if (wide) {
    load_vector(xmm0, rn(word));
  } else {
    widen(xmm0, rn(word), q, size, is_signed);
  }
  widen(xmm1, rm(word), q, size, is_signed);
  p(opcode, xmm0, xmm1);
  keep_vector(rd(word));
  return Emitted::kDone;
}

// `accumulate`: 1 adds to Rd, -1 subtracts from it.
void X64Translator::store_accumulated(unsigned reg, int accumulate, unsigned size_log2) {
  if (accumulate > 0) {
    p(kPadd[size_log2], xmm0, v(reg));
  } else if (accumulate < 0) {
    movups(xmm1, v(reg));
    p(kPsub[size_log2], xmm1, xmm0);
    movaps(xmm0, xmm1);
  }
  keep_vector(reg);
}

X64Translator::Emitted X64Translator::simd_long_multiply(uint32_t word, int accumulate,
                                                         bool is_signed, unsigned size, bool q) {
  if (size == 2 && is_signed && !host_.sse41) return Emitted::kNot;
  load_element_operand(xmm1, word, size);
  load_vector(xmm0, rn(word));
  const unsigned unpack = (q ? kPunpckh : kPunpckl)[size];
  switch (size) {
    case 0:  // of widened bytes the product fits
      if (q) {
        shift_lanes(kShiftImmediate[3], kRightBytes, xmm0, 8);
        shift_lanes(kShiftImmediate[3], kRightBytes, xmm1, 8);
      }
      widen_register(xmm0, 0, is_signed);
      widen_register(xmm1, 0, is_signed);
      p(kPmull[1], xmm0, xmm1);
      break;
    case 1:
      movaps(xmm2, xmm0);
      p(kPmull[1], xmm0, xmm1);
      p(is_signed ? kPmulhw : kPmulhuw, xmm2, xmm1);
      p(unpack, xmm0, xmm2);
      break;
    default:  // the even doublewords are multiplied
      p(unpack, xmm0, xmm0);
      p(unpack, xmm1, xmm1);
      p(is_signed ? kPmuldq : kPmuludq, xmm0, xmm1);
      break;
  }
  store_accumulated(rd(word), accumulate, size + 1);
  return Emitted::kDone;
}

// Subroutine: of the bytes in xmm0 and xmm1 products, four of which are added to a word, to xmm0.
void X64Translator::emit_dot(bool is_signed) {
  movaps(xmm2, xmm0);
  movaps(xmm3, xmm1);
  zero(xmm4);
  for (const Xmm r : {xmm0, xmm1, xmm2, xmm3}) {
    const unsigned unpack = (r.code < 2 ? kPunpckl : kPunpckh)[0];
    p(unpack, r, is_signed ? r : xmm4);
    if (is_signed) shift_elements(kRightSigned, 1, r, 8);
  }
  p(kPmaddwd, xmm0, xmm1);
  p(kPmaddwd, xmm2, xmm3);
  movaps(xmm1, xmm0);
  unzip(xmm0, xmm2, 2, 0);
  unzip(xmm1, xmm2, 2, 1);
  p(kPadd[2], xmm0, xmm1);
  ret();
}

X64Translator::Emitted X64Translator::simd_long_difference(uint32_t word, bool accumulate,
                                                           bool is_signed, unsigned size, bool q) {
  const unsigned maximum = (is_signed ? kPmaxSigned : kPmaxUnsigned)[size];
  if ((is_signed || size == 2) && !host_has(maximum)) return Emitted::kNot;
  load_vector(xmm0, rn(word));
  movups(xmm1, v(rm(word)));
  absolute_difference(size, is_signed);
  zero(xmm1);
  p((q ? kPunpckh : kPunpckl)[size], xmm0, xmm1);
  store_accumulated(rd(word), accumulate ? 1 : 0, size + 1);
  return Emitted::kDone;
}

// Sums of neighbours: SADDLP and its kin.
X64Translator::Emitted X64Translator::simd_pair_long(uint32_t word, bool accumulate, bool is_signed,
                                                     unsigned size, bool q) {
  const unsigned width = 8u << size;
  load_vector(xmm0, rn(word));
  movaps(xmm1, xmm0);
  shift_elements(kLeft, size + 1, xmm0, width);
  shift_right(xmm0, size + 1, width, is_signed, xmm2);
  shift_right(xmm1, size + 1, width, is_signed, xmm2);
  p(kPadd[size + 1], xmm0, xmm1);
  if (accumulate) p(kPadd[size + 1], xmm0, v(rd(word)));
  store_result(rd(word), q);
  return Emitted::kDone;
}

// ADDV, UADDLV, SMAXV and its kin: the result is in the lowest element.
X64Translator::Emitted X64Translator::simd_across(uint32_t word, FpOp op, unsigned size, bool q) {
  const bool is_long = op == FpOp::kSaddlv || op == FpOp::kUaddlv;
  if (op == FpOp::kAddv || is_long) {
    if (is_long && size == 2) return Emitted::kNot;
    load_vector(xmm0, rn(word), q ? 16 : 8);
    if (size == 0) {
      if (op == FpOp::kSaddlv) p(kPxor, xmm0, lane_constant(kLaneSign, 0));  // 16 times 128 more
      zero(xmm1);
      p(kPsadbw, xmm0, xmm1);
      sse(0x66, kPshuf, xmm1, xmm0, 0x4e);
      p(kPadd[2], xmm0, xmm1);
    } else {
      unsigned sums = size;
      if (is_long) {  // of halfwords
        const unsigned right = op == FpOp::kSaddlv ? kRightSigned : kRight;
        movaps(xmm1, xmm0);
        shift_elements(kLeft, 2, xmm0, 16);
        shift_elements(right, 2, xmm0, 16);
        shift_elements(right, 2, xmm1, 16);
        p(kPadd[2], xmm0, xmm1);
        sums = 2;
      }
      for (const uint8_t order : {uint8_t{0x4e}, uint8_t{0xb1}}) {
        sse(0x66, kPshuf, xmm1, xmm0, order);
        p(kPadd[sums], xmm0, xmm1);
      }
      if (sums == 1) {
        sse(0xf2, kPshuf, xmm1, xmm0, 0xb1);
        p(kPadd[1], xmm0, xmm1);
      }
    }
  } else {
    const BySize& by_size = op == FpOp::kSmaxv   ? kPmaxSigned
                            : op == FpOp::kSminv ? kPminSigned
                            : op == FpOp::kUmaxv ? kPmaxUnsigned
                                                 : kPminUnsigned;
    if (!host_has(by_size[size])) return Emitted::kNot;
    load_vector(xmm0, rn(word), q ? 16 : 8);
    if (!q) p(kPunpckl[3], xmm0, xmm0);
    for (const uint8_t order : {uint8_t{0x4e}, uint8_t{0xb1}}) {
      sse(0x66, kPshuf, xmm1, xmm0, order);
      p(by_size[size], xmm0, xmm1);
    }
    if (size < 2) {
      sse(0xf2, kPshuf, xmm1, xmm0, 0xb1);
      p(by_size[size], xmm0, xmm1);
    }
    if (size == 0) {
      movaps(xmm1, xmm0);
      shift_elements(kRight, 1, xmm1, 8);
      p(by_size[0], xmm0, xmm1);
    }
  }
  movd(eax, xmm0);
  if (op == FpOp::kSaddlv && size == 0) {
    sub(eax, 16 * 128);
    flags_kept_ = false;
  }
  const unsigned result = is_long ? size + 1 : size;
  if (result < 2) movzx(eax, eax.cut(result == 0 ? 8 : 16));
  movd(xmm0, eax);
  keep_vector(rd(word), 4);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_copy(uint32_t word, FpOp op, unsigned size, bool q) {
  const unsigned lane = bits(word, 20, 16) >> (size + 1);  // imm5
  switch (op) {
    case FpOp::kDupElement:
      load_lane(rn(word), lane, size, false, size == 3);
      movd(xmm0, sized(r11, size == 3));
      replicate(size, q);
      movups(v(rd(word)), xmm0);
      break;
    case FpOp::kDupScalar:
      load_lane(rn(word), lane, size, false, size == 3);
      movd(xmm0, sized(r11, size == 3));
      movups(v(rd(word)), xmm0);
      break;
    case FpOp::kDupGeneral:
      load(r11, rn(word), size == 3);
      movd(xmm0, sized(r11, size == 3));
      replicate(size, q);
      movups(v(rd(word)), xmm0);
      break;
    case FpOp::kInsGeneral:
      load(r11, rn(word), true);
      insert_lane(rd(word), lane, size);
      break;
    case FpOp::kInsElement:
      load_lane(rn(word), bits(word, 14, 11) >> size, size, false, size == 3);
      insert_lane(rd(word), lane, size);
      break;
    case FpOp::kUmov:
      load_lane(rn(word), lane, size, false, q);
      store(slot_zr_dest(rd(word)), r11);
      break;
    default:  // SMOV
      load_lane(rn(word), lane, size, true, q);
      store(slot_zr_dest(rd(word)), r11);
      break;
  }
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_permute(uint32_t word, FpOp op, unsigned size, bool q) {
  const unsigned width = 8u << size;
  switch (op) {
    case FpOp::kZip1:
    case FpOp::kZip2: {
      const bool second = op == FpOp::kZip2;
      load_vector(xmm0, rn(word));
      p((second && q ? kPunpckh : kPunpckl)[size], xmm0, v(rm(word)));
      if (second && !q) shift_lanes(kShiftImmediate[3], kRightBytes, xmm0, 8);
      break;
    }
    case FpOp::kUzp1:
    case FpOp::kUzp2:
      load_pairs(word, q);
      unzip(xmm0, xmm1, size, op == FpOp::kUzp2 ? 1 : 0);
      break;
    case FpOp::kTrn1:
    case FpOp::kTrn2: {
      const bool second = op == FpOp::kTrn2;
      load_vector(xmm0, rn(word));
      if (size == 3) {
        p((second ? kPunpckh : kPunpckl)[3], xmm0, v(rm(word)));
        break;
      }
      movups(xmm1, v(rm(word)));
      if (!second) shift_elements(kLeft, size + 1, xmm0, width);
      shift_elements(kRight, size + 1, xmm0, width);
      if (second) shift_elements(kRight, size + 1, xmm1, width);
      shift_elements(kLeft, size + 1, xmm1, width);
      p(kPor, xmm0, xmm1);
      break;
    }
    case FpOp::kExt: {
      const unsigned by = bits(word, 14, 11);
      load_pairs(word, q);
      shift_lanes(kShiftImmediate[3], kRightBytes, xmm0, by);
      if (q) {
        shift_lanes(kShiftImmediate[3], kLeftBytes, xmm1, 16 - by);
        p(kPor, xmm0, xmm1);
      }
      break;
    }
    case FpOp::kRev16:
    case FpOp::kRev32:
    case FpOp::kRev64:
      load_vector(xmm0, rn(word));
      if (size == 0) {
        movaps(xmm1, xmm0);
        shift_elements(kLeft, 1, xmm0, 8);
        shift_elements(kRight, 1, xmm1, 8);
        p(kPor, xmm0, xmm1);
      }
      if (op == FpOp::kRev16) break;
      if (size == 2) {
        sse(0x66, kPshuf, xmm0, xmm0, 0xb1);
      } else {
        const uint8_t order = op == FpOp::kRev64 ? 0x1b : 0xb1;
        sse(0xf2, kPshuf, xmm0, xmm0, order);
        sse(0xf3, kPshuf, xmm0, xmm0, order);
      }
      break;
    default: {  // TBL: the host's indices are out of range by their top bit
      if (!host_.ssse3) return Emitted::kNot;
      const unsigned registers = bits(word, 14, 13) + 1;
      movups(xmm1, v(rm(word)));
      fill(xmm2, replicated(0x70, 0));
      if (registers > 1) fill(xmm4, replicated(16, 0));
      for (unsigned i = 0; i < registers; ++i) {
        movaps(xmm5, xmm1);
        p(kPaddUnsigned[0], xmm5, xmm2);
        movups(xmm3, v((rn(word) + i) % 32));
        p(kPshufb, xmm3, xmm5);
        if (i == 0) {
          movaps(xmm0, xmm3);
        } else {
          p(kPor, xmm0, xmm3);
        }
        if (i + 1 < registers) p(kPsub[0], xmm1, xmm4);
      }
      break;
    }
  }
  store_result(rd(word), q);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_count(uint32_t word, bool q) {
  if (!host_.ssse3) return Emitted::kNot;
  load_vector(xmm0, rn(word));
  fill(xmm2, replicated(0x0f, 0));
  mov(rax, 0x0302'0201'0201'0100);
  mov(r8, 0x0403'0302'0302'0201);
  movd(xmm3, rax);
  movd(xmm1, r8);
  p(kPunpckl[3], xmm3, xmm1);
  movaps(xmm1, xmm0);
  shift_elements(kRight, 1, xmm1, 4);
  p(kPand, xmm0, xmm2);
  p(kPand, xmm1, xmm2);
  movaps(xmm4, xmm3);
  p(kPshufb, xmm3, xmm0);
  p(kPshufb, xmm4, xmm1);
  movaps(xmm0, xmm3);
  p(kPadd[0], xmm0, xmm4);
  store_result(rd(word), q);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd(uint32_t word, const FpForm& form) {
  const FpOp op = form.op;
  const unsigned size = form.size_log2;
  const bool scalar = (word >> 28 & 1) != 0;
  const bool q = !scalar && (word >> 30 & 1) != 0;
  const Emitted rounded = simd_rounding(word, form, scalar, q);
  if (rounded != Emitted::kNot) return rounded;
  // Of scalars only those of 64 bits: they are a vector's lower half.
  if (scalar && size != 3 && op != FpOp::kDupScalar) return Emitted::kNot;
  flags_kept_ = true;
  switch (op) {
    case FpOp::kAdd:
      return simd_two(word, kPadd[size], q);
    case FpOp::kSub:
      return simd_two(word, kPsub[size], q);
    case FpOp::kAnd:
      return simd_two(word, kPand, q);
    case FpOp::kEor:
      return simd_two(word, kPxor, q);
    case FpOp::kSmax:
      return simd_two(word, kPmaxSigned[size], q);
    case FpOp::kSmin:
      return simd_two(word, kPminSigned[size], q);
    case FpOp::kUmax:
      return simd_two(word, kPmaxUnsigned[size], q);
    case FpOp::kUmin:
      return simd_two(word, kPminUnsigned[size], q);
    case FpOp::kBic:
    case FpOp::kOrr:
    case FpOp::kOrn:
    case FpOp::kBsl:
    case FpOp::kBit:
    case FpOp::kBif:
    case FpOp::kNot:
      return simd_bits(word, op, q);
    case FpOp::kImmediate:
    case FpOp::kImmediateNot:
    case FpOp::kOrrImmediate:
    case FpOp::kBicImmediate:
      return simd_immediate(word, op, q);
    case FpOp::kMul:
    case FpOp::kMla:
    case FpOp::kMls:
      return simd_multiply(word, op, size, q);
    case FpOp::kSabd:
    case FpOp::kUabd:
    case FpOp::kSaba:
    case FpOp::kUaba: {
      const bool is_signed = op == FpOp::kSabd || op == FpOp::kSaba;
      const unsigned maximum = (is_signed ? kPmaxSigned : kPmaxUnsigned)[size];
      if ((is_signed || size == 2) && !host_has(maximum)) return Emitted::kNot;
      load_vector(xmm0, rn(word));
      movups(xmm1, v(rm(word)));
      absolute_difference(size, is_signed);
      if (op == FpOp::kSaba || op == FpOp::kUaba) p(kPadd[size], xmm0, v(rd(word)));
      store_result(rd(word), q);
      return Emitted::kDone;
    }
    case FpOp::kCmeq:
    case FpOp::kCmge:
    case FpOp::kCmgt:
    case FpOp::kCmhs:
    case FpOp::kCmhi:
    case FpOp::kCmtst:
    case FpOp::kCmeqZero:
    case FpOp::kCmgeZero:
    case FpOp::kCmgtZero:
    case FpOp::kCmleZero:
    case FpOp::kCmltZero:
      return simd_compare(word, op, size, q);
    case FpOp::kAbs:
      if (host_has(size < 3 ? kPabs[size] : 0)) {
        p(kPabs[size], xmm0, v(rn(word)));
      } else {
        load_vector(xmm0, rn(word));
        sign_mask(xmm1, xmm0, size);
        p(kPxor, xmm0, xmm1);
        p(kPsub[size], xmm0, xmm1);
      }
      store_result(rd(word), q);
      return Emitted::kDone;
    case FpOp::kNeg:
      zero(xmm0);
      p(kPsub[size], xmm0, v(rn(word)));
      store_result(rd(word), q);
      return Emitted::kDone;
    case FpOp::kCnt:
      return simd_count(word, q);
    case FpOp::kAddpScalar:
      load_vector(xmm0, rn(word));
      sse(0x66, kPshuf, xmm1, xmm0, 0xee);
      p(kPadd[3], xmm0, xmm1);
      store_result(rd(word), false);
      return Emitted::kDone;
    case FpOp::kAddp:
      return simd_pairs(word, kPadd[size], size, q);
    case FpOp::kSmaxp:
      return simd_pairs(word, kPmaxSigned[size], size, q);
    case FpOp::kSminp:
      return simd_pairs(word, kPminSigned[size], size, q);
    case FpOp::kUmaxp:
      return simd_pairs(word, kPmaxUnsigned[size], size, q);
    case FpOp::kUminp:
      return simd_pairs(word, kPminUnsigned[size], size, q);
    case FpOp::kSshr:
    case FpOp::kUshr:
    case FpOp::kSsra:
    case FpOp::kUsra:
    case FpOp::kShl:
    case FpOp::kSli:
    case FpOp::kSri:
    case FpOp::kSrshr:
    case FpOp::kUrshr:
    case FpOp::kSrsra:
    case FpOp::kUrsra:
      return simd_shift(word, op, size, q);
    case FpOp::kSshll:
    case FpOp::kUshll:
      return simd_shift_long(word, op, size, q);
    case FpOp::kShll:
      load_vector(xmm1, rn(word));
      zero(xmm0);
      p((q ? kPunpckh : kPunpckl)[size], xmm0, xmm1);
      keep_vector(rd(word));
      return Emitted::kDone;
    case FpOp::kAddhn:
    case FpOp::kRaddhn:
    case FpOp::kSubhn:
    case FpOp::kRsubhn:
      return simd_high_narrow(word, op, size, q);
    case FpOp::kSaddl:
    case FpOp::kUaddl:
      return simd_long_sum(word, kPadd[size + 1], false, op == FpOp::kSaddl, size, q);
    case FpOp::kSsubl:
    case FpOp::kUsubl:
      return simd_long_sum(word, kPsub[size + 1], false, op == FpOp::kSsubl, size, q);
    case FpOp::kSaddw:
    case FpOp::kUaddw:
      return simd_long_sum(word, kPadd[size + 1], true, op == FpOp::kSaddw, size, q);
    case FpOp::kSsubw:
    case FpOp::kUsubw:
      return simd_long_sum(word, kPsub[size + 1], true, op == FpOp::kSsubw, size, q);
    case FpOp::kSmull:
    case FpOp::kUmull:
      return simd_long_multiply(word, 0, op == FpOp::kSmull, size, q);
    case FpOp::kSmlal:
    case FpOp::kUmlal:
      return simd_long_multiply(word, 1, op == FpOp::kSmlal, size, q);
    case FpOp::kSmlsl:
    case FpOp::kUmlsl:
      return simd_long_multiply(word, -1, op == FpOp::kSmlsl, size, q);
    case FpOp::kSdot:
    case FpOp::kUdot:
      load_element_operand(xmm1, word, 2);
      load_vector(xmm0, rn(word));
      call_routine(dot_[op == FpOp::kSdot]);
      p(kPadd[2], xmm0, v(rd(word)));
      store_result(rd(word), q);
      return Emitted::kDone;
    case FpOp::kSabdl:
    case FpOp::kUabdl:
      return simd_long_difference(word, false, op == FpOp::kSabdl, size, q);
    case FpOp::kSabal:
    case FpOp::kUabal:
      return simd_long_difference(word, true, op == FpOp::kSabal, size, q);
    case FpOp::kSaddlp:
    case FpOp::kUaddlp:
      return simd_pair_long(word, false, op == FpOp::kSaddlp, size, q);
    case FpOp::kSadalp:
    case FpOp::kUadalp:
      return simd_pair_long(word, true, op == FpOp::kSadalp, size, q);
    case FpOp::kAddv:
    case FpOp::kSaddlv:
    case FpOp::kUaddlv:
    case FpOp::kSmaxv:
    case FpOp::kSminv:
    case FpOp::kUmaxv:
    case FpOp::kUminv:
      return simd_across(word, op, size, q);
    case FpOp::kDupElement:
    case FpOp::kDupScalar:
    case FpOp::kDupGeneral:
    case FpOp::kInsGeneral:
    case FpOp::kInsElement:
    case FpOp::kUmov:
    case FpOp::kSmov:
      return simd_copy(word, op, size, q);
    case FpOp::kZip1:
    case FpOp::kZip2:
    case FpOp::kUzp1:
    case FpOp::kUzp2:
    case FpOp::kTrn1:
    case FpOp::kTrn2:
    case FpOp::kExt:
    case FpOp::kTbl:
    case FpOp::kRev16:
    case FpOp::kRev32:
    case FpOp::kRev64:
      return simd_permute(word, op, size, q);
    default:
      flags_kept_ = false;
      return Emitted::kNot;
  }
}

}  // namespace trapline::soft
