// Rounding to what an integer of 32 or 64 bits holds (FEAT_FRINTTS), and JavaScript's conversion to
// one modulo 2^32 (FEAT_JSCVT).
#include "vmm/soft/fp/fp_arith.h"

namespace trapline::soft::fp {
namespace {

// FPRoundIntN: what does not fit, and what is no number, becomes -2^(kWidth - 1).
template <class U, unsigned kWidth>
U round_to_width(Cpu& cpu, U a, Rounding rounding) {
  constexpr U kBound = static_cast<U>(kBias<U> + kWidth - 1) << kFrac<U>;  // 2^(kWidth - 1)
  const uint32_t fpsr = cpu.fpsr;
  if (fp_abs(a) < kInf<U>) {
    const U r = fp_round_int(cpu, a, rounding, true);
    if (fp_abs(r) < kBound || r == fp_neg(kBound)) return r;
  }
  cpu.fpsr = fpsr | kIoc;
  return fp_neg(kBound);
}
template <unsigned kWidth, bool kFpcr>
constexpr auto kRound = []<class U>(Cpu& c, U a) -> U {
  return round_to_width<U, kWidth>(c, a, kFpcr ? fpcr_rounding(c) : Rounding::kZero);
};

// FPToFixedJS. Z says that the result is the operand.
void javascript_to_int(Cpu& cpu, uint32_t w) {
  const u64 a = cpu.v[rn(w)].lo, fraction = a & kFracMask<u64>;
  const int exponent = static_cast<int>(a >> kFrac<u64> & kExpMax<u64>);
  const bool negative = (a & kSignBit<u64>) != 0;
  u32 r = 0;
  bool same = false;
  if (exponent == kExpMax<u64>) {
    cpu.fpsr |= kIoc;
  } else if (exponent == 0) {  // zero, of which the negative is none of the integers; tiny
    same = a == 0;
    if (fraction != 0) cpu.fpsr |= (cpu.fpcr & kFz) != 0 ? kIdc : kIxc;
  } else {
    const u64 significand = fraction | u64{1} << kFrac<u64>;
    const int right = kFrac<u64> - (exponent - kBias<u64>);  // shift that leaves the integer
    u64 magnitude = 0, rest = 0;
    if (right >= 64) {
      rest = significand;
    } else if (right > 0) {
      magnitude = significand >> right;
      rest = significand << (64 - right);
    } else if (right > -32) {
      magnitude = significand << -right;  // what is lost is a multiple of 2^32
    }
    r = static_cast<u32>(negative ? -magnitude : magnitude);
    const bool outside = right < 0 || magnitude > u64{0x7fff'ffff} + negative;
    if (outside) {
      cpu.fpsr |= kIoc;
    } else if (rest != 0) {
      cpu.fpsr |= kIxc;
    } else {
      same = true;
    }
  }
  cpu.r.x[dest_slot(rd(w))] = r;
  cpu.nzcv = same ? 0x4000'0000 : 0;
}

// Map2 for a scalar takes the same functions.
#define ROUND(width, fpcr, vector_u, vector_opcode, scalar_opcode)                                 \
  {"0Q" vector_u "01110 0z 10000" vector_opcode "10 nnnnn ddddd",                                  \
   kFloats<Map2<kRound<width, fpcr>>>},                                                            \
  {                                                                                                \
    "00011110 0z 1" scalar_opcode "10000 nnnnn ddddd", kFloats<Map2<kRound<width, fpcr>, kScalar>> \
  }

// clang-format off
constexpr Row kRows[] = {
    ROUND(32, false, "0", "11110", "010000"),
    ROUND(32, true, "1", "11110", "010001"),
    ROUND(64, false, "0", "11111", "010010"),
    ROUND(64, true, "1", "11111", "010011"),
    {"00011110 01 1 11 110 000000 nnnnn ddddd", {javascript_to_int}},
};
// clang-format on
#undef ROUND

}  // namespace

std::span<const Row> bounded_rows() { return kRows; }

}  // namespace trapline::soft::fp
