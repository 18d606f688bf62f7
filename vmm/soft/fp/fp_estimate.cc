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
struct Tables {
  u16 recip[512], rsqrt[512];
};
constexpr Tables kTables = [] {
  Tables t{};
  for (unsigned a = 128; a < 512; ++a) {
    if (a >= 256) t.recip[a] = static_cast<u16>(recip_of(a));
    t.rsqrt[a] = static_cast<u16>(rsqrt_of(a));
  }
  return t;
}();

// The estimate's 8 fraction bits on top of a 52-bit fraction.
u64 estimate_fraction(unsigned estimate) { return static_cast<u64>(estimate & 0xff) << 44; }

}  // namespace

u32 recip_estimate(u32 a) {
  return a >> 31 ? static_cast<u32>(kTables.recip[a >> 23]) << 23 : 0xffffffff;
}
u32 rsqrt_estimate(u32 a) {
  return a >> 30 ? static_cast<u32>(kTables.rsqrt[a >> 23]) << 23 : 0xffffffff;
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
  u64 fraction = estimate_fraction(kTables.recip[x.sig >> 55]);
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
  const unsigned scaled = static_cast<unsigned>(x.sig >> (biased & 1 ? 56 : 55));
  const u64 fraction = estimate_fraction(kTables.rsqrt[scaled]);
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
