// The unpacked form that the complete arithmetic works on. Private to fp_arith.cc, fp_convert.cc
// and fp_estimate.cc.
#ifndef TRAPLINE_VMM_SOFT_FP_FP_SOFT_H_
#define TRAPLINE_VMM_SOFT_FP_FP_SOFT_H_

#include "vmm/soft/fp/fp_arith.h"

namespace trapline::soft::fp {

struct Unpacked {
  enum Class : uint8_t { kZero, kFinite, kInfinity, kQuietNan, kSignalingNan };
  Class cls;
  bool sign;
  int exp;  // finite: sig * 2^(exp-63), bit 63 of sig is set
  u64 sig;
  bool nan() const { return cls >= kQuietNan; }
  bool inf() const { return cls == kInfinity; }
  bool zero() const { return cls == kZero; }
};

// FPUnpack. Half precision occurs in conversions only, where FZ16 does not apply (FPUnpackCV).
template <class U>
Unpacked unpack(Cpu& cpu, U v) {
  Unpacked r{};
  r.sign = v & kSignBit<U>;
  const int e = static_cast<int>(v >> kFrac<U> & U{kExpMax<U>});
  const u64 frac = v & kFracMask<U>;
  if (e == 0) {
    if (frac == 0) return r;
    if (sizeof(U) > 2 && (cpu.fpcr & kFz)) {
      cpu.fpsr |= kIdc;
      return r;
    }
    const int lead = std::countl_zero(frac);
    r.cls = Unpacked::kFinite;
    r.sig = frac << lead;
    r.exp = 63 - lead - kFrac<U> + 1 - kBias<U>;
  } else if (e == kExpMax<U> && !(sizeof(U) == 2 && (cpu.fpcr & kAhp))) {
    r.cls = frac == 0             ? Unpacked::kInfinity
            : frac & kQuietBit<U> ? Unpacked::kQuietNan
                                  : Unpacked::kSignalingNan;
  } else {
    r.cls = Unpacked::kFinite;
    r.sig = u64{1} << 63 | frac << (63 - kFrac<U>);
    r.exp = e - kBias<U>;
  }
  return r;
}

// Splits sig (a 0.64 fraction scaled by 2^-shift) into the integer part and what decides rounding.
struct Split {
  u64 whole;
  bool inexact;
  bool half_or_more, exactly_half;
};
inline Split split(u64 sig, int shift) {  // shift >= 0
  if (shift == 0) return {sig, false, false, false};
  if (shift > 64) return {0, sig != 0, false, false};
  const u64 whole = shift == 64 ? 0 : sig >> shift;
  const u64 rest = sig << (64 - shift);  // the fraction, as 0.64
  constexpr u64 kHalf = u64{1} << 63;
  return {whole, rest != 0, rest >= kHalf, rest == kHalf};
}
inline bool round_up(const Split& s, bool sign, Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest:
      return s.half_or_more && (!s.exactly_half || (s.whole & 1));
    case Rounding::kAway:
      return s.half_or_more;
    case Rounding::kUp:
      return s.inexact && !sign;
    case Rounding::kDown:
      return s.inexact && sign;
    case Rounding::kZero:
    case Rounding::kOdd:
      break;
  }
  return false;
}
inline bool overflow_to_inf(bool sign, Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest:
    case Rounding::kAway:
      return true;
    case Rounding::kUp:
      return !sign;
    case Rounding::kDown:
      return sign;
    case Rounding::kZero:
    case Rounding::kOdd:
      break;
  }
  return false;
}

template <class U>
constexpr U signed_of(bool sign, U magnitude) {
  return magnitude | (sign ? kSignBit<U> : U{0});
}

// FPRound of (-1)^sign * sig * 2^(exp-63); bit 63 of sig is set, bit 0 may be sticky.
template <class U>
U round_pack(Cpu& cpu, bool sign, int exp, u64 sig, Rounding rounding) {
  constexpr int kMinExp = 1 - kBias<U>;
  const bool tiny = exp < kMinExp;  // before rounding
  if (sizeof(U) > 2 && tiny && (cpu.fpcr & kFz)) {
    cpu.fpsr |= kUfc;
    return signed_of<U>(sign, 0);
  }
  const int shift = 63 - kFrac<U> + (tiny ? kMinExp - exp : 0);
  const Split s = split(sig, shift);
  if (tiny && s.inexact) cpu.fpsr |= kUfc;
  u64 mantissa = s.whole + round_up(s, sign, rounding);
  if (rounding == Rounding::kOdd && s.inexact) mantissa |= 1;
  // The implicit bit carries into the exponent field; so does a rounding carry.
  const int biased = tiny ? 0 : exp - kMinExp;
  const bool alternative = sizeof(U) == 2 && (cpu.fpcr & kAhp);
  const int final_exp = biased + static_cast<int>(mantissa >> kFrac<U>);
  if (final_exp >= kExpMax<U> + alternative) {
    if (alternative) {
      cpu.fpsr |= kIoc;
      return signed_of<U>(sign, static_cast<U>(~kSignBit<U>));
    }
    cpu.fpsr |= kOfc | kIxc;
    return signed_of<U>(sign, overflow_to_inf(sign, rounding) ? kInf<U> : U(kInf<U> - 1));
  }
  if (s.inexact) cpu.fpsr |= kIxc;
  return signed_of<U>(sign, static_cast<U>((static_cast<u64>(biased) << kFrac<U>)+mantissa));
}
// The same with a 128-bit significand, not zero, not normalised: value sig * 2^(exp-127).
template <class U>
U round_pack128(Cpu& cpu, bool sign, int exp, u128 sig, Rounding rounding) {
  const u64 high = static_cast<u64>(sig >> 64);
  const int lead = high ? std::countl_zero(high) : 64 + std::countl_zero(static_cast<u64>(sig));
  sig <<= lead;
  const u64 top = static_cast<u64>(sig >> 64) | (static_cast<u64>(sig) != 0);
  return round_pack<U>(cpu, sign, exp - lead, top, rounding);
}

// FPProcessNaN: quieted, or the default NaN.
template <class U>
U process_nan(Cpu& cpu, U v) {
  if (!(v & kQuietBit<U>)) cpu.fpsr |= kIoc;
  return cpu.fpcr & kDn ? kDefaultNan<U> : static_cast<U>(v | kQuietBit<U>);
}
// FPProcessNaNs, FPProcessNaNs3: the first signalling one, else the first quiet one. One is a NaN.
template <class U, class... More>
U process_nans(Cpu& cpu, U a, More... more) {
  for (U v : {a, U(more)...}) {
    if (is_snan(v)) return process_nan(cpu, v);
  }
  for (U v : {a, U(more)...}) {
    if (is_nan(v)) return process_nan(cpu, v);
  }
  return a;
}
template <class U>
U invalid(Cpu& cpu) {
  cpu.fpsr |= kIoc;
  return kDefaultNan<U>;
}

// Numbers with a 128-bit significand: value sig * 2^(exp-125), sig < 2^126 so that a sum fits.
struct Wide128 {
  bool sign;
  int exp;
  u128 sig;
};
inline Wide128 widen(const Unpacked& a) {
  return {a.sign, a.exp, a.zero() ? 0 : u128{a.sig} << 62};
}
// Both significands have at most 53 bits, so the low 22 bits of the product are zero.
inline Wide128 multiply(const Unpacked& a, const Unpacked& b) {
  return {a.sign != b.sign, a.exp + b.exp + 1, u128{a.sig} * b.sig >> 2};
}
// Exact but for a sticky bit far below any rounding position. A zero result has sig 0 (its sign is
// the caller's).
Wide128 add_wide(Wide128 a, Wide128 b);

}  // namespace trapline::soft::fp

#endif  // TRAPLINE_VMM_SOFT_FP_FP_SOFT_H_
