// Reciprocal and reciprocal square root estimates (J1.3: FPRecipEstimate, FPRSqrtEstimate,
// RecipEstimate, RecipSqrtEstimate, FPRecpX).
#include "vmm/soft/fp/fp_arith.h"
#include "vmm/soft/fp/fp_soft.h"

namespace trapline::soft::fp {
namespace {

// 9-bit estimates: a in 256..511 (as 0.5 <= a/512 < 1), or for the root 128..511.
constexpr unsigned recip_of(unsigned a) {
  const unsigned b = (1u << 19) / (2 * a + 1);
  return (b + 1) / 2;
}
constexpr unsigned rsqrt_of(unsigned a) {
  a = a < 256 ? 2 * a + 1 : (a | 1) * 2;
  unsigned b = 512;
  while (a * (b + 1) * (b + 1) < (1u << 28)) ++b;
  return (b + 1) / 2;
}
constexpr Estimates make_estimates() {
  Estimates t{};
  for (unsigned i = 0; i < 256; ++i) {
    t.recip[i] = static_cast<u8>(recip_of(256 | i));
    t.rsqrt[i] = static_cast<u8>(rsqrt_of(256 | i));
    t.rsqrt[256 | i] = static_cast<u8>(rsqrt_of((256 | i) >> 1));
  }
  return t;
}

// The estimate's 8 fraction bits on top of a 52-bit fraction.
u64 estimate_fraction(u8 estimate) { return static_cast<u64>(estimate) << 44; }

}  // namespace

constexpr Estimates kEstimates = make_estimates();

u32 recip_estimate(u32 a) {
  return a >> 31 ? (256u | kEstimates.recip[a >> 23 & 0xff]) << 23 : 0xffffffff;
}
u32 rsqrt_estimate(u32 a) {
  if (a >> 30 == 0) return 0xffffffff;
  const unsigned index = a >> 31 ? a >> 23 & 0xff : 256 | (a >> 22 & 0xff);
  return (256u | kEstimates.rsqrt[index]) << 23;
}

template <class U>
U fp_recip_estimate(Cpu& cpu, U a) {
  const Unpacked x = unpack(cpu, a);
  if (x.nan()) return process_nans(cpu, a);
  if (x.inf()) return signed_of<U>(x.sign, 0);
  if (x.zero()) {
    cpu.fpsr |= kDzc;
    return signed_of<U>(x.sign, kInf<U>);
  }
  if (x.exp < -kBias<U> - 1) {  // |a| < 2^-128, 2^-1024: the reciprocal overflows
    cpu.fpsr |= kOfc | kIxc;
    const bool to_inf = overflow_to_inf(x.sign, fpcr_rounding(cpu));
    return signed_of<U>(x.sign, to_inf ? kInf<U> : U(kInf<U> - 1));
  }
  if ((cpu.fpcr & kFz) && x.exp >= kBias<U> - 1) {  // 2^126, 2^1022: the result is denormal
    cpu.fpsr |= kUfc;
    return signed_of<U>(x.sign, 0);
  }
  u64 fraction = estimate_fraction(kEstimates.recip[x.sig >> 55 & 0xff]);
  int exp = 2 * kBias<U> - 1 - (x.exp + kBias<U>);
  if (exp <= 0) {  // at most one position below the smallest normal exponent
    fraction = (fraction | u64{1} << 52) >> (1 - exp);
    exp = 0;
  }
  return signed_of<U>(x.sign, static_cast<U>(static_cast<U>(exp) << kFrac<U> |
                                             static_cast<U>(fraction >> (52 - kFrac<U>))));
}

template <class U>
U fp_rsqrt_estimate(Cpu& cpu, U a) {
  const Unpacked x = unpack(cpu, a);
  if (x.nan()) return process_nans(cpu, a);
  if (x.zero()) {
    cpu.fpsr |= kDzc;
    return signed_of<U>(x.sign, kInf<U>);
  }
  if (x.sign) return invalid<U>(cpu);
  if (x.inf()) return 0;
  const int biased = x.exp + kBias<U>;
  // An even exponent field takes the operand as 0.5 to 1, an odd one as 0.25 to 0.5.
  const unsigned index = static_cast<unsigned>(biased & 1) << 8 | (x.sig >> 55 & 0xff);
  const u64 fraction = estimate_fraction(kEstimates.rsqrt[index]);
  const int exp = (3 * kBias<U> - 1 - biased) >> 1;
  return static_cast<U>(static_cast<U>(exp) << kFrac<U> |
                        static_cast<U>(fraction >> (52 - kFrac<U>)));
}

template <class U>
U fp_recpx(Cpu& cpu, U a) {
  const Unpacked x = unpack(cpu, a);
  if (x.nan()) return process_nans(cpu, a);
  const U exponent = a & kInf<U>;
  const U inverted = exponent == 0 ? kInf<U> - kMinNormal<U> : static_cast<U>(~exponent & kInf<U>);
  return signed_of<U>(x.sign, inverted);
}

#define INSTANTIATE(U)                   \
  template U fp_recip_estimate(Cpu&, U); \
  template U fp_rsqrt_estimate(Cpu&, U); \
  template U fp_recpx(Cpu&, U);
INSTANTIATE(u32)
INSTANTIATE(u64)

}  // namespace trapline::soft::fp
