// Conversions: between formats, to and from integers, and to integral values.
#include "vmm/soft/fp/fp_arith.h"
#include "vmm/soft/fp/fp_soft.h"

namespace trapline::soft::fp {

template <class To, class From>
To soft_convert(Cpu& cpu, From a, Rounding rounding) {
  const Unpacked x = unpack(cpu, a);
  const bool alternative = sizeof(To) == 2 && (cpu.fpcr & kAhp);  // no NaN, no infinity
  if (x.nan()) {
    if (x.cls == Unpacked::kSignalingNan || alternative) cpu.fpsr |= kIoc;
    if (alternative) return signed_of<To>(x.sign, 0);
    if (cpu.fpcr & kDn) return kDefaultNan<To>;
    // FPConvertNaN: the top bits of the fraction carry over.
    const u64 frac = static_cast<u64>(a & kFracMask<From>) << (52 - kFrac<From>);
    return signed_of<To>(
        x.sign, static_cast<To>(kDefaultNan<To> | static_cast<To>(frac >> (52 - kFrac<To>))));
  }
  if (x.inf()) {
    if (!alternative) return signed_of<To>(x.sign, kInf<To>);
    cpu.fpsr |= kIoc;
    return signed_of<To>(x.sign, static_cast<To>(~kSignBit<To>));
  }
  if (x.zero()) return signed_of<To>(x.sign, 0);
  return round_pack<To>(cpu, x.sign, x.exp, x.sig, rounding);
}

template <class U>
U fp_round_int(Cpu& cpu, U a, Rounding rounding, bool exact) {
  const Unpacked x = unpack(cpu, a);
  if (x.nan()) return process_nans(cpu, a);
  if (x.zero()) return signed_of<U>(x.sign, 0);
  if (x.inf() || x.exp >= kFrac<U>) return a;
  const Split s = split(x.sig, 63 - x.exp);
  if (exact && s.inexact) cpu.fpsr |= kIxc;
  const u64 whole = s.whole + round_up(s, x.sign, rounding);  // at most 2^kFrac
  if (whole == 0) return signed_of<U>(x.sign, 0);
  const int lead = std::countl_zero(whole);
  return round_pack<U>(cpu, x.sign, 63 - lead, whole << lead, rounding);
}

template <class U>
u64 soft_to_fixed(Cpu& cpu, U a, unsigned fraction_bits, bool is_unsigned, unsigned width,
                  Rounding rounding) {
  const Unpacked x = unpack(cpu, a);
  if (x.nan()) {
    cpu.fpsr |= kIoc;
    return 0;
  }
  if (x.zero()) return 0;
  const int exp = x.exp + static_cast<int>(fraction_bits);
  // The largest magnitude allowed for this sign.
  const u64 limit =
      is_unsigned ? (x.sign ? 0 : ~u64{0} >> (64 - width)) : (u64{1} << (width - 1)) - !x.sign;
  if (!x.inf() && exp <= 63) {
    const Split s = split(x.sig, 63 - exp);
    const u64 magnitude = s.whole + round_up(s, x.sign, rounding);  // 2^64 cannot arise: 53 bits
    if (magnitude <= limit) {
      if (s.inexact) cpu.fpsr |= kIxc;
      return x.sign ? -magnitude : magnitude;
    }
  }
  cpu.fpsr |= kIoc;
  return x.sign ? -limit : limit;
}

template <class U>
U soft_from_fixed(Cpu& cpu, bool negative, u64 magnitude, unsigned fraction_bits) {
  if (magnitude == 0) return 0;
  const int lead = std::countl_zero(magnitude);
  return round_pack<U>(cpu, negative, 63 - lead - static_cast<int>(fraction_bits),
                       magnitude << lead, fpcr_rounding(cpu));
}

template u16 soft_convert(Cpu&, u32, Rounding);
template u16 soft_convert(Cpu&, u64, Rounding);
template u32 soft_convert(Cpu&, u16, Rounding);
template u32 soft_convert(Cpu&, u64, Rounding);
template u64 soft_convert(Cpu&, u16, Rounding);
template u64 soft_convert(Cpu&, u32, Rounding);
#define INSTANTIATE(U)                                                     \
  template U fp_round_int(Cpu&, U, Rounding, bool);                        \
  template u64 soft_to_fixed(Cpu&, U, unsigned, bool, unsigned, Rounding); \
  template U soft_from_fixed<U>(Cpu&, bool, u64, unsigned);
INSTANTIATE(u32)
INSTANTIATE(u64)

}  // namespace trapline::soft::fp
