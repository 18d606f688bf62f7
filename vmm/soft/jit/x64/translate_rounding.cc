// Advanced SIMD of integers that saturates or rounds: C4.1.96. FPSR.QC is set exactly: an operand's
// bytes beyond the arrangement are loaded as zeros, which saturate nowhere, and what is longer than
// a few instructions is a subroutine of operands in xmm0 and xmm1.
#include "vmm/soft/jit/x64/simd_opcodes.h"
#include "vmm/soft/jit/x64/translate_x64.h"

namespace trapline::soft {
namespace {

struct Lanes128 {
  u64 lo, hi;
};
// By constant and size: 1, the sign, the largest signed number, half of the narrow element's range
// (which is rounded away).
constexpr u64 constant(unsigned which, unsigned size) {
  const unsigned width = 8u << size;
  const u64 of_element[] = {1, u64{1} << (width - 1), element_mask(size) >> 1,
                            u64{1} << (width / 2 - 1)};
  return replicated(of_element[which], size);
}
enum : uint8_t { kVpsrlv = 0x45, kVpsrav = 0x46, kVpsllv = 0x47 };

constexpr unsigned right_amount(uint32_t word, unsigned size) {
  return 2 * (8u << size) - bits(word, 22, 16);
}

}  // namespace

// --- pieces --------------------------------------------------------------------------------------

Mem X64Translator::lane_constant(LaneConstant which, unsigned size) const {
  return ptr[rip + at(lane_constants_ + 16 * (4 * which + size))];
}

// As load_vector(), of 1 and 2 bytes, too.
void X64Translator::load_operand(Xmm to, unsigned reg, unsigned bytes) {
  if (bytes >= 4 || is_kept(reg, bytes)) return load_vector(to, reg, bytes);
  Mem element = v(reg);
  element.bits = static_cast<uint8_t>(8 * bytes);
  movzx(eax, element);
  movd(to, eax);
  if (to.code == xmm0.code) kept_for_ = kMaxBlockLen + 1;
}

// Of each element's sign a mask.
void X64Translator::signs_to_lanes(Xmm r, unsigned size) {
  shift_elements(kRightSigned, 2, r, 31);
  if (size == 3) sse(0x66, kPshuf, r, r, 0xf5);
}
void X64Translator::sign_mask(Xmm to, Xmm from, unsigned size) {
  if (size == 3) {
    movaps(to, from);
    return signs_to_lanes(to, 3);
  }
  zero(to);
  p(kPcmpgt[size], to, from);
}

// xmm0 by the immediate, rounded to nearest, ties up, as if by more bits: the last bit that goes is
// added.
void X64Translator::round_right(unsigned size, unsigned by, bool is_signed) {
  const unsigned width = 8u << size;
  movaps(xmm1, xmm0);
  if (size == 0) {
    shift_elements(kRight, 1, xmm1, by - 1);
    p(kPand, xmm1, lane_constant(kLaneOne, 0));
  } else {
    shift_elements(kLeft, size, xmm1, width - by);
    shift_elements(kRight, size, xmm1, width - 1);
  }
  shift_right(xmm0, size, by, is_signed, xmm2);
  p(kPadd[size], xmm0, xmm1);
}

// Products of bytes, of xmm0 and xmm1, to xmm0: those of even number and the others.
void X64Translator::multiply_bytes() {
  movaps(xmm2, xmm0);
  movaps(xmm3, xmm1);
  shift_elements(kRight, 1, xmm2, 8);
  shift_elements(kRight, 1, xmm3, 8);
  p(kPmull[1], xmm0, xmm1);
  p(kPmull[1], xmm2, xmm3);
  shift_elements(kLeft, 1, xmm0, 8);
  shift_elements(kRight, 1, xmm0, 8);
  shift_elements(kLeft, 1, xmm2, 8);
  p(kPor, xmm0, xmm2);
}

// QC, if eax is not zero: without a branch, since who saturates does so now and then.
void X64Translator::set_saturated() {
  neg(eax);
  sbb(eax, eax);
  and_(eax, static_cast<int32_t>(kQc));
  or_(ptr[rdi + fpsr_at_], eax);
}

// --- subroutines ---------------------------------------------------------------------------------

void X64Translator::emit_rounding() {
  align(16);
  lane_constants_ = here();
  for (unsigned which = 0; which < kLaneConstants; ++which) {
    for (unsigned size = 0; size < 4; ++size) {
      put64(constant(which, size));
      put64(constant(which, size));
    }
  }
  const auto routine = [this](uint32_t& at, auto&& emit) {
    align(16);
    at = here();
    emit();
    ret();
  };
  // QC, if xmm2 and xmm0 differ.
  routine(note_difference_, [&] {
    p(kPcmpeq[0], xmm2, xmm0);
    p(kPmovmskb, Xmm{0}, xmm2);
    xor_(eax, 0xffff);
    set_saturated();
  });
  for (const bool first : {false, true}) {
    for (unsigned i = 0; i < 2; ++i) {
      for (const bool subtract : {false, true}) {
        routine(saturating_sum_[first][subtract][i],
                [&] { emit_saturating_sum(first, subtract, i + 2); });
      }
      routine(double_high_[first][i], [&] { emit_double_high(first, i + 1); });
      routine(double_long_[first][i], [&] { emit_double_long(first, i + 1); });
    }
  }
  for (const Saturation kind : {kSigned, kUnsigned, kToUnsigned}) {
    for (unsigned size = 0; size < 4; ++size) {
      if (size < 3) {
        routine(saturating_narrow_[kind][size], [&] { emit_saturating_narrow(kind, size); });
      }
      routine(saturating_shift_[kind][size], [&] { emit_saturating_shift(kind, size); });
    }
  }
  for (unsigned i = 0; i < 8; ++i) {
    const ShiftEach how{(i & 1) != 0, (i & 2) != 0, (i & 4) != 0};
    for (unsigned size = 4; size-- > 0;) {  // the narrow ones are made of the wide ones
      routine(shift_by_register_[how.is_signed][how.rounding][how.saturating][size],
              [&] { size < 2 ? emit_shift_narrow(how, size) : emit_shift_by_register(how, size); });
    }
  }
}

// xmm0 +- xmm1, of words and doublewords: the host has bytes and halfwords only. The sign of what
// is computed in xmm3 says that an element overflows.
void X64Translator::emit_saturating_sum(bool is_signed, bool subtract, unsigned size) {
  movaps(xmm2, xmm0);  // a
  p((subtract ? kPsub : kPadd)[size], xmm0, xmm1);
  movaps(xmm3, xmm2);
  if (is_signed) {  // the result's sign is not a's, though b's is a's, or is not, if subtracted
    p(kPxor, xmm3, xmm0);
    p(kPxor, xmm1, subtract ? xmm2 : xmm0);
    p(kPand, xmm3, xmm1);
  } else if (subtract) {  // the borrow
    p(kPandn, xmm3, xmm1);
    p(kPxor, xmm2, xmm1);
    p(kPandn, xmm2, xmm0);
    p(kPor, xmm3, xmm2);
  } else {  // the carry
    p(kPand, xmm3, xmm1);
    p(kPor, xmm2, xmm1);
    movaps(xmm4, xmm0);
    p(kPandn, xmm4, xmm2);
    p(kPor, xmm3, xmm4);
  }
  sse(0, kMovmskps, Xmm{0}, xmm3);
  test(al, size == 2 ? 0xf : 0xa);
  const uint32_t saturated = jump(kNe);
  ret();
  bind(saturated);
  signs_to_lanes(xmm3, size);
  if (is_signed) {
    signs_to_lanes(xmm2, size);
    p(kPxor, xmm2, lane_constant(kLaneLargest, size));
    p(kPand, xmm2, xmm3);
    p(kPandn, xmm3, xmm0);
    p(kPor, xmm3, xmm2);
    movaps(xmm0, xmm3);
  } else if (subtract) {
    p(kPandn, xmm3, xmm0);
    movaps(xmm0, xmm3);
  } else {
    p(kPor, xmm0, xmm3);
  }
  or_(byte[rdi + (fpsr_at_ + 3)], kQc >> 24);
}

// The wide elements in xmm0, to its lower half; zeros above. `size`: the narrow one's.
void X64Translator::emit_saturating_narrow(Saturation kind, unsigned size) {
  const bool packs = size == 0 ? kind != kUnsigned : size == 1 && kind == kSigned;
  if (packs) {  // and widened again it is the same
    movaps(xmm1, xmm0);
    p(size == 1 ? kPackssdw : kind == kSigned ? kPacksswb : kPackuswb, xmm0, xmm0);
    sse(0xf3, kMovq, xmm0, xmm0);
    movaps(xmm2, xmm0);
    widen_register(xmm2, size, kind == kSigned);
    p(kPcmpeq[size + 1], xmm2, xmm1);
    p(kPmovmskb, Xmm{0}, xmm2);
    xor_(eax, 0xffff);
    return set_saturated();
  }
  // By the upper halves, xmm2, which must be zero, or the lower one's sign.
  movaps(xmm2, xmm0);
  if (size == 2) {
    sse(0x66, kPshuf, xmm0, xmm0, 0x08);
    sse(0x66, kPshuf, xmm2, xmm2, 0x0d);
  } else {
    movaps(xmm1, xmm0);
    movaps(xmm3, xmm0);
    unzip(xmm0, xmm1, size, 0);
    unzip(xmm2, xmm3, size, 1);
  }
  sse(0xf3, kMovq, xmm0, xmm0);
  sse(0xf3, kMovq, xmm2, xmm2);
  // xmm3: ones where it fits; xmm1: what it is where it does not, by the wide element's sign.
  if (kind == kUnsigned) {
    ones(xmm1);
  } else {
    sign_mask(xmm1, xmm2, size);
  }
  if (kind == kSigned) {
    sign_mask(xmm3, xmm0, size);
    p(kPxor, xmm1, lane_constant(kLaneLargest, size));
  } else {
    zero(xmm3);
  }
  p(kPcmpeq[size], xmm3, xmm2);
  if (kind == kToUnsigned) {
    ones(xmm2);
    p(kPxor, xmm1, xmm2);
  }
  p(kPmovmskb, Xmm{0}, xmm3);
  p(kPand, xmm0, xmm3);
  p(kPandn, xmm3, xmm1);
  p(kPor, xmm0, xmm3);
  xor_(eax, 0xffff);
  set_saturated();
}

// xmm2 shifted left is xmm0, and that shifted back xmm1: an element that is another one overflows.
void X64Translator::emit_saturating_shift(Saturation kind, unsigned size) {
  p(kPcmpeq[size], xmm1, xmm2);  // ones where it fits
  if (kind == kSigned) {
    sign_mask(xmm3, xmm2, size);
    p(kPxor, xmm3, lane_constant(kLaneLargest, size));
  } else {
    ones(xmm3);
    if (kind == kToUnsigned) {
      sign_mask(xmm4, xmm2, size);
      p(kPandn, xmm4, xmm1);
      movaps(xmm1, xmm4);
      sign_mask(xmm4, xmm2, size);
      p(kPandn, xmm4, xmm3);
      movaps(xmm3, xmm4);
    }
  }
  p(kPmovmskb, Xmm{0}, xmm1);
  p(kPand, xmm0, xmm1);
  p(kPandn, xmm1, xmm3);
  p(kPor, xmm0, xmm1);
  xor_(eax, 0xffff);
  set_saturated();
}

// Twice the product of xmm0 and xmm1, its upper half. The one that overflows, of two smallest
// numbers, is the only one to become the smallest.
void X64Translator::emit_double_high(bool rounding, unsigned size) {
  if (size == 1 && rounding) {
    p(kPmulhrsw, xmm0, xmm1);
  } else if (size == 1) {
    movaps(xmm2, xmm0);
    p(kPmulhw, xmm0, xmm1);
    p(kPmull[1], xmm2, xmm1);
    shift_elements(kRight, 1, xmm2, 15);
    p(kPadd[1], xmm0, xmm0);
    p(kPor, xmm0, xmm2);
  } else {
    movaps(xmm2, xmm0);
    movaps(xmm3, xmm1);
    shift_elements(kRight, 3, xmm2, 32);
    shift_elements(kRight, 3, xmm3, 32);
    p(kPmuldq, xmm0, xmm1);
    p(kPmuldq, xmm2, xmm3);
    for (const Xmm product : {xmm0, xmm2}) {
      p(kPadd[3], product, product);
      if (rounding) p(kPadd[3], product, lane_constant(kLaneHalf, 3));
      shift_elements(kRight, 3, product, 32);
    }
    shift_elements(kLeft, 3, xmm2, 32);
    p(kPor, xmm0, xmm2);
  }
  movaps(xmm2, xmm0);
  p(kPcmpeq[size], xmm2, lane_constant(kLaneSign, size));
  p(kPxor, xmm0, xmm2);
  p(kPmovmskb, Xmm{0}, xmm2);
  set_saturated();
}

// The lower or upper half of xmm0 and xmm1: products as wide as two elements, doubled. Again that
// of two smallest numbers becomes the smallest, and is the only one that overflows.
void X64Translator::emit_double_long(bool upper, unsigned size) {
  const unsigned unpack = (upper ? kPunpckh : kPunpckl)[size];
  if (size == 1) {
    movaps(xmm2, xmm0);
    p(kPmull[1], xmm0, xmm1);
    p(kPmulhw, xmm2, xmm1);
    p(unpack, xmm0, xmm2);
  } else {
    p(unpack, xmm0, xmm0);
    p(unpack, xmm1, xmm1);
    p(kPmuldq, xmm0, xmm1);
  }
  p(kPadd[size + 1], xmm0, xmm0);
  movaps(xmm2, xmm0);
  p(kPcmpeq[size + 1], xmm2, lane_constant(kLaneSign, size + 1));
  p(kPxor, xmm0, xmm2);
  p(kPmovmskb, Xmm{0}, xmm2);
  set_saturated();
}

// xmm0, each element by the signed lowest byte of xmm1's, to the left or, negative, to the right.
// By a number that is too large, as an unsigned one, the host shifts everything out: so of the two
// shifts one gives nothing.
void X64Translator::emit_shift_by_register(ShiftEach how, unsigned size) {
  const auto [is_signed, rounding, saturating] = how;
  const bool quad = size == 3;
  shift_left(xmm1, size, (8u << size) - 8, xmm2);
  shift_right(xmm1, size, (8u << size) - 8, true, xmm2);
  zero(xmm2);
  p(kPsub[size], xmm2, xmm1);  // to the right by
  shift_each(kVpsllv, quad, xmm3, xmm0, xmm1);
  if (saturating) saturate_shifted(is_signed, size);
  if (rounding) {  // to the right by one less
    ones(xmm5);
    p(kPxor, xmm5, xmm1);
  }
  if (is_signed) signs_to_lanes(xmm1, size);  // where it is to the right
  if (is_signed && quad) {                    // by an unsigned shift of what is made positive
    movaps(xmm4, xmm0);
    signs_to_lanes(xmm4, size);
    p(kPxor, xmm0, xmm4);
  }
  const uint8_t right = is_signed && !quad ? kVpsrav : kVpsrlv;
  for (const Xmm by : {xmm2, xmm5}) {
    if (by.code == xmm5.code && !rounding) break;
    shift_each(right, quad, by, xmm0, by);
    if (is_signed && quad) p(kPxor, by, xmm4);
    if (is_signed) p(kPand, by, xmm1);
  }
  movaps(xmm0, xmm3);
  p(kPor, xmm0, xmm2);
  if (rounding) {
    p(kPand, xmm5, lane_constant(kLaneOne, size));
    p(kPadd[size], xmm0, xmm5);
  }
}

// xmm3 is xmm0 shifted to the left by xmm1: what is another number, shifted back, overflows.
void X64Translator::saturate_shifted(bool is_signed, unsigned size) {
  const bool quad = size == 3;
  if (is_signed && quad) {
    movaps(xmm12, xmm3);
    signs_to_lanes(xmm12, size);
    movaps(xmm4, xmm3);
    p(kPxor, xmm4, xmm12);
    shift_each(kVpsrlv, quad, xmm4, xmm4, xmm1);
    p(kPxor, xmm4, xmm12);
  } else {
    shift_each(is_signed ? kVpsrav : kVpsrlv, quad, xmm4, xmm3, xmm1);
  }
  p(kPcmpeq[size], xmm4, xmm0);  // ones where it fits
  movaps(xmm12, xmm1);
  signs_to_lanes(xmm12, size);
  p(kPor, xmm4, xmm12);
  if (is_signed) {
    movaps(xmm12, xmm0);
    signs_to_lanes(xmm12, size);
    p(kPxor, xmm12, lane_constant(kLaneLargest, size));
  } else {
    ones(xmm12);
  }
  p(kPmovmskb, Xmm{0}, xmm4);
  p(kPand, xmm3, xmm4);
  p(kPandn, xmm4, xmm12);
  p(kPor, xmm3, xmm4);
  xor_(eax, 0xffff);
  set_saturated();
}

// Bytes and halfwords: as elements twice as wide, which are narrowed.
void X64Translator::emit_shift_narrow(ShiftEach how, unsigned size) {
  const auto [is_signed, rounding, saturating] = how;
  const Xmm value = size == 0 ? xmm9 : xmm6, by = size == 0 ? xmm10 : xmm7,
            low = size == 0 ? xmm11 : xmm8;
  movaps(value, xmm0);
  movaps(by, xmm1);
  for (const bool upper : {false, true}) {
    const unsigned unpack = (upper ? kPunpckh : kPunpckl)[size];
    movaps(xmm0, value);
    if (is_signed) {
      sign_mask(xmm1, xmm0, size);
    } else {
      zero(xmm1);
    }
    p(unpack, xmm0, xmm1);
    movaps(xmm1, by);
    p(unpack, xmm1, xmm1);
    call_routine(shift_by_register_[is_signed][rounding][saturating][size + 1]);
    if (saturating) call_routine(saturating_narrow_[is_signed ? kSigned : kUnsigned][size]);
    if (!upper) movaps(low, xmm0);
  }
  if (saturating) {
    p(kPunpckl[3], low, xmm0);
  } else {
    unzip(low, xmm0, size, 0);
  }
  movaps(xmm0, low);
}

// --- families ------------------------------------------------------------------------------------

X64Translator::Emitted X64Translator::simd_saturating_sum(uint32_t word, FpOp op, unsigned size,
                                                          unsigned bytes) {
  const bool is_signed = op != FpOp::kUqadd && op != FpOp::kUqsub;
  const bool subtract = op != FpOp::kUqadd && op != FpOp::kSqadd;
  switch (op) {
    case FpOp::kSqneg:  // from zero
      load_operand(xmm1, rn(word), bytes);
      zero(xmm0);
      break;
    case FpOp::kSqabs:  // of negative numbers the complement, one more
      load_operand(xmm0, rn(word), bytes);
      sign_mask(xmm1, xmm0, size);
      p(kPxor, xmm0, xmm1);
      break;
    default:
      load_operand(xmm1, rm(word), bytes);
      load_operand(xmm0, rn(word), bytes);
      break;
  }
  if (size < 2) {
    const BySize& saturating = is_signed  ? (subtract ? kPsubSigned : kPaddSigned)
                               : subtract ? kPsubUnsigned
                                          : kPaddUnsigned;
    movaps(xmm2, xmm0);
    p(saturating[size], xmm0, xmm1);
    p((subtract ? kPsub : kPadd)[size], xmm2, xmm1);
    call_routine(note_difference_);
  } else {
    call_routine(saturating_sum_[is_signed][subtract][size - 2]);
  }
  keep_vector(rd(word), bytes);
  return Emitted::kDone;
}

// SUQADD, USQADD: Rd, and a number that is signed where Rd's is not.
X64Translator::Emitted X64Translator::simd_mixed_sum(uint32_t word, FpOp op, unsigned size,
                                                     unsigned bytes) {
  if (size > 1) return Emitted::kNot;
  load_operand(xmm1, rn(word), bytes);
  load_operand(xmm0, rd(word), bytes);
  movaps(xmm2, xmm0);
  p(kPadd[size], xmm2, xmm1);
  if (op == FpOp::kSuqadd) {  // as unsigned numbers, half a range further up
    p(kPxor, xmm0, lane_constant(kLaneSign, size));
    p(kPaddUnsigned[size], xmm0, xmm1);
    p(kPxor, xmm0, lane_constant(kLaneSign, size));
  } else {  // the positive ones are added, the others' magnitudes subtracted
    sign_mask(xmm3, xmm1, size);
    movaps(xmm4, xmm3);
    p(kPandn, xmm4, xmm1);
    p(kPaddUnsigned[size], xmm0, xmm4);
    p(kPand, xmm1, xmm3);
    zero(xmm4);
    p(kPsub[size], xmm4, xmm1);
    p(kPsubUnsigned[size], xmm0, xmm4);
  }
  call_routine(note_difference_);
  keep_vector(rd(word), bytes);
  return Emitted::kDone;
}

// SHADD and its kin: the halves of sums and differences, which have a bit more. Signed bytes are
// made unsigned ones by adding half the range to both.
X64Translator::Emitted X64Translator::simd_halving(uint32_t word, FpOp op, unsigned size, bool q) {
  const bool is_signed = op == FpOp::kShadd || op == FpOp::kSrhadd || op == FpOp::kShsub;
  const bool subtract = op == FpOp::kShsub || op == FpOp::kUhsub;
  const bool rounding = op == FpOp::kSrhadd || op == FpOp::kUrhadd;
  const bool biased = is_signed && (size == 0 || (size == 1 && rounding));
  load_vector(xmm1, rm(word));
  load_vector(xmm0, rn(word));
  if (biased) {
    for (const Xmm r : {xmm0, xmm1}) p(kPxor, r, lane_constant(kLaneSign, size));
  }
  movaps(xmm2, xmm0);
  if (rounding && size < 2) {
    p(kPavg[size], xmm0, xmm1);
  } else if (!subtract && size == 0) {
    p(kPavg[0], xmm0, xmm1);
    p(kPxor, xmm2, xmm1);
    p(kPand, xmm2, lane_constant(kLaneOne, 0));
    p(kPsub[0], xmm0, xmm2);
  } else {
    // a + b is twice a & b and a ^ b, or twice a | b without a ^ b; a - b is a ^ b without twice
    // ~a & b.
    p(subtract ? kPandn : rounding ? kPor : kPand, xmm0, xmm1);
    p(kPxor, xmm2, xmm1);
    shift_right(xmm2, size, 1, is_signed && !biased, xmm3);
    if (rounding || subtract) {
      const Xmm from = subtract ? xmm2 : xmm0, less = subtract ? xmm0 : xmm2;
      p(kPsub[size], from, less);
      if (subtract) movaps(xmm0, xmm2);
    } else {
      p(kPadd[size], xmm0, xmm2);
    }
  }
  if (biased && !subtract) p(kPxor, xmm0, lane_constant(kLaneSign, size));
  store_result(rd(word), q);
  flags_kept_ = true;
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_double_high(uint32_t word, FpOp op, unsigned size,
                                                       unsigned bytes) {
  const bool rounding = op == FpOp::kSqrdmulh, by_element = (word & 1 << 10) == 0;
  if (size == 2 ? !host_.sse41 : rounding && !host_.ssse3) return Emitted::kNot;
  if (by_element) {
    load_element_operand(xmm1, word, size);
  } else {
    load_operand(xmm1, rm(word), bytes);
  }
  load_operand(xmm0, rn(word), bytes);
  call_routine(double_high_[rounding][size - 1]);
  keep_vector(rd(word), bytes);
  return Emitted::kDone;
}

// XTN, SHRN and those that round and saturate.
X64Translator::Emitted X64Translator::simd_narrow(uint32_t word, FpOp op, unsigned size,
                                                  bool scalar, bool q) {
  struct Form {
    bool shifts = false, is_signed = false, rounds = false, saturates = false;
    Saturation kind = kSigned;
  };
  const Form form = [op]() -> Form {
    switch (op) {
      case FpOp::kShrn:
        return {true};
      case FpOp::kRshrn:
        return {true, false, true};
      case FpOp::kSqshrn:
        return {true, true, false, true, kSigned};
      case FpOp::kSqrshrn:
        return {true, true, true, true, kSigned};
      case FpOp::kSqshrun:
        return {true, true, false, true, kToUnsigned};
      case FpOp::kSqrshrun:
        return {true, true, true, true, kToUnsigned};
      case FpOp::kUqshrn:
        return {true, false, false, true, kUnsigned};
      case FpOp::kUqrshrn:
        return {true, false, true, true, kUnsigned};
      case FpOp::kSqxtn:
        return {false, true, false, true, kSigned};
      case FpOp::kSqxtun:
        return {false, true, false, true, kToUnsigned};
      case FpOp::kUqxtn:
        return {false, false, false, true, kUnsigned};
      default:
        return {};
    }
  }();
  load_operand(xmm0, rn(word), scalar ? 2u << size : 16);
  if (form.shifts) {
    const unsigned by = right_amount(word, size);
    if (form.rounds) {
      round_right(size + 1, by, form.is_signed);
    } else {
      shift_right(xmm0, size + 1, by, form.is_signed, xmm2);
    }
  }
  if (form.saturates) {
    call_routine(saturating_narrow_[form.kind][size]);
  } else {
    movaps(xmm1, xmm0);
    unzip(xmm0, xmm1, size, 0);
    flags_kept_ = true;
  }
  if (scalar) {
    keep_vector(rd(word), 1u << size);
  } else {
    store_narrow(rd(word), q);
  }
  return Emitted::kDone;
}

// ADDHN, SUBHN and those that round: the upper halves.
X64Translator::Emitted X64Translator::simd_high_narrow(uint32_t word, FpOp op, unsigned size,
                                                       bool q) {
  const bool subtract = op == FpOp::kSubhn || op == FpOp::kRsubhn;
  load_vector(xmm0, rn(word));
  p((subtract ? kPsub : kPadd)[size + 1], xmm0, v(rm(word)));
  if (op == FpOp::kRaddhn || op == FpOp::kRsubhn) {
    p(kPadd[size + 1], xmm0, lane_constant(kLaneHalf, size + 1));
  }
  movaps(xmm1, xmm0);
  unzip(xmm0, xmm1, size, 1);
  store_narrow(rd(word), q);
  return Emitted::kDone;
}

// SQSHL, UQSHL and SQSHLU by an immediate.
X64Translator::Emitted X64Translator::simd_saturating_shift(uint32_t word, FpOp op, unsigned size,
                                                            unsigned bytes) {
  if (size == 3 && !host_.sse41) return Emitted::kNot;
  const unsigned by = bits(word, 22, 16) - (8u << size);
  const Saturation kind = op == FpOp::kSqshlImmediate   ? kSigned
                          : op == FpOp::kUqshlImmediate ? kUnsigned
                                                        : kToUnsigned;
  load_operand(xmm0, rn(word), bytes);
  movaps(xmm2, xmm0);
  shift_left(xmm0, size, by, xmm3);
  movaps(xmm1, xmm0);
  if (by != 0) shift_right(xmm1, size, by, kind == kSigned, xmm3);
  call_routine(saturating_shift_[kind][size]);
  keep_vector(rd(word), bytes);
  return Emitted::kDone;
}

// SSHL and its kin.
X64Translator::Emitted X64Translator::simd_shift_by_register(uint32_t word, FpOp op, unsigned size,
                                                             unsigned bytes) {
  if (!host_.avx2) return Emitted::kNot;
  const bool is_signed =
      op == FpOp::kSshl || op == FpOp::kSrshl || op == FpOp::kSqshl || op == FpOp::kSqrshl;
  const bool rounding =
      op == FpOp::kSrshl || op == FpOp::kUrshl || op == FpOp::kSqrshl || op == FpOp::kUqrshl;
  const bool saturating = op >= FpOp::kSqshl && op <= FpOp::kUqrshl;
  load_operand(xmm1, rm(word), bytes);
  load_operand(xmm0, rn(word), bytes);
  call_routine(shift_by_register_[is_signed][rounding][saturating][size]);
  keep_vector(rd(word), bytes);
  flags_kept_ = !saturating;
  return Emitted::kDone;
}

// SQDMULL, SQDMLAL, SQDMLSL: the size is the narrow element's.
X64Translator::Emitted X64Translator::simd_double_long(uint32_t word, FpOp op, unsigned size,
                                                       bool scalar, bool q) {
  const bool by_element = (word & 1 << 24) != 0;
  const unsigned bytes = scalar ? 1u << size : 16;
  if (size == 2 && !host_.sse41) return Emitted::kNot;
  if (by_element) {
    load_element_operand(xmm1, word, size);
  } else {
    load_operand(xmm1, rm(word), bytes);
  }
  load_operand(xmm0, rn(word), bytes);
  call_routine(double_long_[q][size - 1]);
  if (op != FpOp::kSqdmull) {
    movaps(xmm1, xmm0);
    const Mem d = v(rd(word));
    !scalar ? movups(xmm0, d) : size == 2 ? movsd(xmm0, d) : movss(xmm0, d);
    call_routine(saturating_sum_[1][op == FpOp::kSqdmlsl][size - 1]);
  }
  keep_vector(rd(word), scalar ? 2 * bytes : 16);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::simd_rounding(uint32_t word, const FpForm& form, bool scalar,
                                                    bool q) {
  const unsigned size = form.size_log2, bytes = scalar ? 1u << size : q ? 16 : 8;
  flags_kept_ = false;
  switch (form.op) {
    case FpOp::kSqadd:
    case FpOp::kUqadd:
    case FpOp::kSqsub:
    case FpOp::kUqsub:
    case FpOp::kSqabs:
    case FpOp::kSqneg:
      return simd_saturating_sum(word, form.op, size, bytes);
    case FpOp::kSuqadd:
    case FpOp::kUsqadd:
      return simd_mixed_sum(word, form.op, size, bytes);
    case FpOp::kShadd:
    case FpOp::kUhadd:
    case FpOp::kSrhadd:
    case FpOp::kUrhadd:
    case FpOp::kShsub:
    case FpOp::kUhsub:
      return simd_halving(word, form.op, size, q);
    case FpOp::kSqdmulh:
    case FpOp::kSqrdmulh:
      return simd_double_high(word, form.op, size, bytes);
    case FpOp::kSqshlImmediate:
    case FpOp::kUqshlImmediate:
    case FpOp::kSqshlu:
      return simd_saturating_shift(word, form.op, size, bytes);
    case FpOp::kSshl:
    case FpOp::kUshl:
    case FpOp::kSrshl:
    case FpOp::kUrshl:
    case FpOp::kSqshl:
    case FpOp::kUqshl:
    case FpOp::kSqrshl:
    case FpOp::kUqrshl:
      return simd_shift_by_register(word, form.op, size, bytes);
    case FpOp::kSqdmull:
    case FpOp::kSqdmlal:
    case FpOp::kSqdmlsl:
      return simd_double_long(word, form.op, size, scalar, q);
    case FpOp::kXtn:
    case FpOp::kShrn:
    case FpOp::kRshrn:
    case FpOp::kSqshrn:
    case FpOp::kSqrshrn:
    case FpOp::kSqshrun:
    case FpOp::kSqrshrun:
    case FpOp::kUqshrn:
    case FpOp::kUqrshrn:
    case FpOp::kSqxtn:
    case FpOp::kSqxtun:
    case FpOp::kUqxtn:
      return simd_narrow(word, form.op, size, scalar, q);
    default:
      return Emitted::kNot;
  }
}

}  // namespace trapline::soft
