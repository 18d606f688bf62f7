// IEEE 754 arithmetic as the Arm ARM's shared functions define it (J1.3, "shared/functions/float"),
// on bit patterns: u16, u32 and u64 stand for half, single and double precision. The inline
// functions try the host's arithmetic first where that is provably the same, flags included.
#ifndef TRAPLINE_VMM_SOFT_FP_FP_ARITH_H_
#define TRAPLINE_VMM_SOFT_FP_FP_ARITH_H_

#include <cmath>

#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {

template <class U>
struct Format;
template <>
struct Format<u16> {
  static constexpr int kExpBits = 5, kFrac = 10;
};
template <>
struct Format<u32> {
  static constexpr int kExpBits = 8, kFrac = 23;
  using Host = float;
};
template <>
struct Format<u64> {
  static constexpr int kExpBits = 11, kFrac = 52;
  using Host = double;
};
template <class U>
using Host = typename Format<U>::Host;

template <class U>
inline constexpr int kFrac = Format<U>::kFrac;
template <class U>
inline constexpr int kExpMax = (1 << Format<U>::kExpBits) - 1;
template <class U>
inline constexpr int kBias = kExpMax<U> / 2;
template <class U>
inline constexpr U kSignBit = U{1} << (kBits<U> - 1);
template <class U>
inline constexpr U kFracMask = (U{1} << kFrac<U>)-1;
template <class U>
inline constexpr U kInf = U{kExpMax<U>} << kFrac<U>;
template <class U>
inline constexpr U kQuietBit = U{1} << (kFrac<U> - 1);
template <class U>
inline constexpr U kDefaultNan = kInf<U> | kQuietBit<U>;
template <class U>
inline constexpr U kMinNormal = U{1} << kFrac<U>;

// The first four are FPCR.RMode's encoding.
enum class Rounding : uint8_t { kNearest = 0, kUp = 1, kDown = 2, kZero = 3, kAway, kOdd };
inline Rounding fpcr_rounding(const Cpu& cpu) { return static_cast<Rounding>(cpu.fpcr >> 22 & 3); }

template <class U>
bool is_nan(U v) {
  return (v & ~kSignBit<U>) > kInf<U>;
}
template <class U>
bool is_snan(U v) {
  return is_nan(v) && !(v & kQuietBit<U>);
}
template <class U>
bool is_qnan(U v) {
  return is_nan(v) && (v & kQuietBit<U>);
}
template <class U>
U fp_neg(U v) {
  return v ^ kSignBit<U>;
}
template <class U>
U fp_abs(U v) {
  return v & ~kSignBit<U>;
}

// The complete functions, defined and instantiated (u32, u64) in fp_arith.cc and fp_estimate.cc.
template <class U>
U soft_add(Cpu& cpu, U a, U b);
template <class U>
U soft_mul(Cpu& cpu, U a, U b);
template <class U>
U soft_div(Cpu& cpu, U a, U b);
template <class U>
U soft_sqrt(Cpu& cpu, U a);
template <class U>
U soft_muladd(Cpu& cpu, U addend, U a, U b);  // FPMulAdd
template <class U>
U fp_mulx(Cpu& cpu, U a, U b);
template <class U>
U fp_recip_step(Cpu& cpu, U a, U b);  // FRECPS
template <class U>
U fp_rsqrt_step(Cpu& cpu, U a, U b);  // FRSQRTS
template <class U>
U fp_recip_estimate(Cpu& cpu, U a);  // FRECPE
template <class U>
U fp_rsqrt_estimate(Cpu& cpu, U a);  // FRSQRTE
template <class U>
U fp_recpx(Cpu& cpu, U a);  // FRECPX
template <class U>
U soft_max(Cpu& cpu, U a, U b);
template <class U>
U soft_min(Cpu& cpu, U a, U b);
template <class U>
U fp_maxnm(Cpu& cpu, U a, U b);
template <class U>
U fp_minnm(Cpu& cpu, U a, U b);
u32 recip_estimate(u32 a);  // URECPE
u32 rsqrt_estimate(u32 a);  // URSQRTE
template <class U>
U fp_round_int(Cpu& cpu, U a, Rounding rounding, bool exact);
// FPToFixed: value * 2^fraction_bits as an integer of `width` bits, saturated; sign-extended.
template <class U>
u64 soft_to_fixed(Cpu& cpu, U a, unsigned fraction_bits, bool is_unsigned, unsigned width,
                  Rounding rounding);
// FixedToFP of +-magnitude / 2^fraction_bits, rounded as FPCR says.
template <class U>
U soft_from_fixed(Cpu& cpu, bool negative, u64 magnitude, unsigned fraction_bits);
// FPConvert between any two of the three formats; half precision honours FPCR.AHP.
template <class To, class From>
To soft_convert(Cpu& cpu, From a, Rounding rounding);
// FPCompare: NZCV in bits 31:28.
template <class U>
u32 soft_compare(Cpu& cpu, U a, U b, bool signal_all);

// --- host arithmetic ---
// Taken under round to nearest when the result is normal and above the smallest normal number
// (tininess is detected before rounding): then no operand was a NaN or an infinity that matters,
// and the only flag that could rise is Inexact; so it must be set already, or the result shown to
// be exact. FZ changes denormal operands only; with FZ the soft path decides.

inline bool host_rounding(const Cpu& cpu) { return (cpu.fpcr & (kRModeMask | kFz)) == 0; }
template <class U>
bool ordinary(U r) {  // normal, finite and larger than the smallest normal number
  const U magnitude = fp_abs(r);
  return static_cast<U>(magnitude - kMinNormal<U> - 1) <
         static_cast<U>(kInf<U> - kMinNormal<U> - 1);
}

// Sums and differences below the normal range are exact, so any finite one will do.
template <class U>
bool finite(U r) {
  return fp_abs(r) < kInf<U>;
}

template <class U>
U fp_add(Cpu& cpu, U a, U b) {
  if (host_rounding(cpu)) [[likely]] {
    const Host<U> x = std::bit_cast<Host<U>>(a), y = std::bit_cast<Host<U>>(b), s = x + y;
    const U r = std::bit_cast<U>(s);
    if (finite(r)) {
      if (cpu.fpsr & kIxc) return r;
      // Knuth's two-sum gives the rounding error exactly.
      const Host<U> t = s - x;
      if ((x - (s - t)) + (y - t) == 0) return r;
    }
  }
  return soft_add(cpu, a, b);
}
template <class U>
U fp_sub(Cpu& cpu, U a, U b) {
  if (host_rounding(cpu)) [[likely]] {
    const Host<U> x = std::bit_cast<Host<U>>(a), y = std::bit_cast<Host<U>>(b), s = x - y;
    const U r = std::bit_cast<U>(s);
    if (finite(r)) {
      if (cpu.fpsr & kIxc) return r;
      const Host<U> t = s - x;
      if ((x - (s - t)) - (y + t) == 0) return r;
    }
  }
  // FPSub differs from FPAdd of the negated operand in the sign of a NaN operand only.
  return soft_add(cpu, a, is_nan(b) ? b : fp_neg(b));
}
template <class U>
U fp_mul(Cpu& cpu, U a, U b) {
  if (host_rounding(cpu)) [[likely]] {
    const U r = std::bit_cast<U>(std::bit_cast<Host<U>>(a) * std::bit_cast<Host<U>>(b));
    if (ordinary(r)) {
      if (cpu.fpsr & kIxc) return r;
      // Exact if the significant bits of the two factors fit in one significand.
      if (std::countr_zero(static_cast<U>(a | kMinNormal<U>)) +
              std::countr_zero(static_cast<U>(b | kMinNormal<U>)) >
          kFrac<U>) {
        return r;
      }
    }
  }
  return soft_mul(cpu, a, b);
}
template <class U>
U fp_div(Cpu& cpu, U a, U b) {
  if (host_rounding(cpu) && (cpu.fpsr & kIxc)) [[likely]] {
    const U r = std::bit_cast<U>(std::bit_cast<Host<U>>(a) / std::bit_cast<Host<U>>(b));
    if (ordinary(r)) return r;
  }
  return soft_div(cpu, a, b);
}
template <class U>
U fp_sqrt(Cpu& cpu, U a) {
  if (host_rounding(cpu) && (cpu.fpsr & kIxc) && ordinary(a) && !(a & kSignBit<U>)) [[likely]] {
    return std::bit_cast<U>(std::sqrt(std::bit_cast<Host<U>>(a)));
  }
  return soft_sqrt(cpu, a);
}
template <class U>
U fp_muladd(Cpu& cpu, U addend, U a, U b) {
  if (host_rounding(cpu) && (cpu.fpsr & kIxc)) [[likely]] {
    const U r = std::bit_cast<U>(std::fma(std::bit_cast<Host<U>>(a), std::bit_cast<Host<U>>(b),
                                          std::bit_cast<Host<U>>(addend)));
    if (ordinary(r)) return r;
  }
  return soft_muladd(cpu, addend, a, b);
}
template <class U>
u32 fp_compare(Cpu& cpu, U a, U b, bool signal_all) {
  if (!is_nan(a) && !is_nan(b) && !(cpu.fpcr & kFz)) [[likely]] {
    const Host<U> x = std::bit_cast<Host<U>>(a), y = std::bit_cast<Host<U>>(b);
    return x == y ? 0x60000000 : x < y ? 0x80000000 : 0x20000000;
  }
  return soft_compare(cpu, a, b, signal_all);
}
template <class U>
bool fp_eq(Cpu& cpu, U a, U b) {
  return fp_compare(cpu, a, b, false) == 0x60000000;
}
template <class U>
bool fp_ge(Cpu& cpu, U a, U b) {
  const u32 nzcv = fp_compare(cpu, a, b, true);
  return nzcv == 0x60000000 || nzcv == 0x20000000;
}
template <class U>
bool fp_gt(Cpu& cpu, U a, U b) {
  return fp_compare(cpu, a, b, true) == 0x20000000;
}
template <class U>
U fp_max(Cpu& cpu, U a, U b) {
  const Host<U> x = std::bit_cast<Host<U>>(a), y = std::bit_cast<Host<U>>(b);
  if (!(cpu.fpcr & kFz) && x != y && !is_nan(a) && !is_nan(b)) [[likely]]
    return x > y ? a : b;
  return soft_max(cpu, a, b);
}
template <class U>
U fp_min(Cpu& cpu, U a, U b) {
  const Host<U> x = std::bit_cast<Host<U>>(a), y = std::bit_cast<Host<U>>(b);
  if (!(cpu.fpcr & kFz) && x != y && !is_nan(a) && !is_nan(b)) [[likely]]
    return x < y ? a : b;
  return soft_min(cpu, a, b);
}
template <class To, class From>
To fp_convert(Cpu& cpu, From a, Rounding rounding) {
  if constexpr (sizeof(From) == 4 && sizeof(To) == 8) {  // exact
    if (ordinary(a)) [[likely]]
      return std::bit_cast<To>(static_cast<double>(std::bit_cast<float>(a)));
  } else if constexpr (sizeof(From) == 8 && sizeof(To) == 4) {
    if (host_rounding(cpu) && (cpu.fpsr & kIxc) && rounding == Rounding::kNearest) [[likely]] {
      const To r = std::bit_cast<To>(static_cast<float>(std::bit_cast<double>(a)));
      if (ordinary(r)) return r;
    }
  }
  return soft_convert<To>(cpu, a, rounding);
}
template <class U>
u64 fp_to_fixed(Cpu& cpu, U a, unsigned fraction_bits, bool is_unsigned, unsigned width,
                Rounding rounding) {
  if (rounding == Rounding::kZero && fraction_bits == 0) {
    const Host<U> x = std::bit_cast<Host<U>>(a);
    // FZ cannot matter from 1 upwards.
    if (std::fabs(x) >= 1 && std::fabs(x) < 0x1p31f && (!is_unsigned || x > 0)) {
      const s64 r = static_cast<s64>(x);
      if ((cpu.fpsr & kIxc) || static_cast<Host<U>>(r) == x) return static_cast<u64>(r);
    }
  }
  return soft_to_fixed(cpu, a, fraction_bits, is_unsigned, width, rounding);
}
template <class U>
U fp_from_fixed(Cpu& cpu, s64 value, bool is_unsigned, unsigned fraction_bits) {
  const bool negative = !is_unsigned && value < 0;
  const u64 magnitude = negative ? -static_cast<u64>(value) : static_cast<u64>(value);
  if (fraction_bits == 0 && magnitude <= u64{1} << (kFrac<U> + 1)) {  // exact
    return std::bit_cast<U>(static_cast<Host<U>>(value));
  }
  return soft_from_fixed<U>(cpu, negative, magnitude, fraction_bits);
}

}  // namespace trapline::soft::fp

#endif  // TRAPLINE_VMM_SOFT_FP_FP_ARITH_H_
