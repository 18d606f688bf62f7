// Add, multiply, divide, square root, fused multiply-add, minimum, maximum and comparison.
#include "vmm/soft/fp/fp_arith.h"

#include "vmm/soft/fp/fp_soft.h"

namespace trapline::soft::fp {

Wide128 add_wide(Wide128 a, Wide128 b) {
  if (a.sig == 0) return b;
  if (b.sig == 0) return a;
  if (a.exp < b.exp) std::swap(a, b);
  const int distance = a.exp - b.exp;
  if (distance > 0) {
    const u128 kept = distance > 127 ? 0 : b.sig >> distance;
    const bool sticky = distance > 127 || (kept << distance) != b.sig;
    b.sig = kept | sticky;
  }
  if (a.sign == b.sign) return {a.sign, a.exp, a.sig + b.sig};
  if (a.sig < b.sig) std::swap(a.sig, b.sig), a.sign = b.sign;
  return {a.sign, a.exp, a.sig - b.sig};
}

namespace {

// An exact zero sum of opposite signs is -0 when rounding down (FPAdd, FPMulAdd).
template <class U>
U zero_sum(const Cpu& cpu) {
  return signed_of<U>(fpcr_rounding(cpu) == Rounding::kDown, 0);
}
template <class U>
U round_wide(Cpu& cpu, const Wide128& w) {
  return round_pack128<U>(cpu, w.sign, w.exp + 2, w.sig, fpcr_rounding(cpu));
}

bool inf_times_zero(const Unpacked& x, const Unpacked& y) {
  return (x.inf() && y.zero()) || (x.zero() && y.inf());
}

}  // namespace

template <class U>
U soft_add(Cpu& cpu, U a, U b) {
  const Unpacked x = unpack(cpu, a), y = unpack(cpu, b);
  if (x.nan() || y.nan()) return process_nans(cpu, a, b);
  if (x.inf() && y.inf() && x.sign != y.sign) return invalid<U>(cpu);
  if (x.inf() || y.inf()) return signed_of<U>(x.inf() ? x.sign : y.sign, kInf<U>);
  if (x.zero() && y.zero() && x.sign == y.sign) return signed_of<U>(x.sign, 0);
  const Wide128 sum = add_wide(widen(x), widen(y));
  return sum.sig == 0 ? zero_sum<U>(cpu) : round_wide<U>(cpu, sum);
}

template <class U>
U soft_mul(Cpu& cpu, U a, U b) {
  const Unpacked x = unpack(cpu, a), y = unpack(cpu, b);
  if (x.nan() || y.nan()) return process_nans(cpu, a, b);
  const bool sign = x.sign != y.sign;
  if (inf_times_zero(x, y)) return invalid<U>(cpu);
  if (x.inf() || y.inf()) return signed_of<U>(sign, kInf<U>);
  if (x.zero() || y.zero()) return signed_of<U>(sign, 0);
  return round_wide<U>(cpu, multiply(x, y));
}

template <class U>
U fp_mulx(Cpu& cpu, U a, U b) {
  const Unpacked x = unpack(cpu, a), y = unpack(cpu, b);
  if (inf_times_zero(x, y)) {
    return signed_of<U>(x.sign != y.sign, U{kBias<U> + 1} << kFrac<U>);  // 2.0
  }
  return soft_mul(cpu, a, b);
}

template <class U>
U soft_div(Cpu& cpu, U a, U b) {
  const Unpacked x = unpack(cpu, a), y = unpack(cpu, b);
  if (x.nan() || y.nan()) return process_nans(cpu, a, b);
  const bool sign = x.sign != y.sign;
  if ((x.inf() && y.inf()) || (x.zero() && y.zero())) return invalid<U>(cpu);
  if (x.inf()) return signed_of<U>(sign, kInf<U>);
  if (y.zero()) {
    cpu.fpsr |= kDzc;
    return signed_of<U>(sign, kInf<U>);
  }
  if (x.zero() || y.inf()) return signed_of<U>(sign, 0);
  const int borrow = x.sig < y.sig;
  const u128 dividend = u128{x.sig} << (63 + borrow);
  const u64 quotient = static_cast<u64>(dividend / y.sig);  // bit 63 is set
  const bool sticky = dividend != u128{quotient} * y.sig;
  return round_pack<U>(cpu, sign, x.exp - y.exp - borrow, quotient | sticky, fpcr_rounding(cpu));
}

template <class U>
U soft_sqrt(Cpu& cpu, U a) {
  const Unpacked x = unpack(cpu, a);
  if (x.nan()) return process_nans(cpu, a);
  if (x.zero()) return signed_of<U>(x.sign, 0);
  if (x.sign) return invalid<U>(cpu);
  if (x.inf()) return kInf<U>;
  // sqrt(sig * 2^(exp-63)) with the exponent made even; root = floor(sqrt(radicand)), 64 bits.
  const bool odd = x.exp & 1;
  const u128 radicand = u128{x.sig} << (63 + odd);
  u64 root = 0;
  for (u64 bit = u64{1} << 63; bit != 0; bit >>= 1) {
    const u64 trial = root | bit;
    if (u128{trial} * trial <= radicand) root = trial;
  }
  const bool sticky = u128{root} * root != radicand;
  return round_pack<U>(cpu, false, (x.exp - odd) / 2, root | sticky, fpcr_rounding(cpu));
}

namespace {

// addend + x * y, times 2^scale, rounded once. No NaN among them.
template <class U>
U fused(Cpu& cpu, const Unpacked& addend, const Unpacked& x, const Unpacked& y, int scale) {
  const bool product_sign = x.sign != y.sign;
  const bool product_inf = x.inf() || y.inf();
  if (addend.inf() && product_inf && addend.sign != product_sign) return invalid<U>(cpu);
  if (addend.inf()) return signed_of<U>(addend.sign, kInf<U>);
  if (product_inf) return signed_of<U>(product_sign, kInf<U>);
  const bool product_zero = x.zero() || y.zero();
  if (product_zero && addend.zero()) {
    return addend.sign == product_sign ? signed_of<U>(product_sign, 0) : zero_sum<U>(cpu);
  }
  Wide128 sum = widen(addend);
  if (!product_zero) sum = add_wide(sum, multiply(x, y));
  if (sum.sig == 0) return zero_sum<U>(cpu);
  sum.exp += scale;
  return round_wide<U>(cpu, sum);
}

// FPRecipStepFused and FPRSqrtStepFused: `indefinite` is the result of infinity times zero.
template <class U>
U step(Cpu& cpu, U a, U b, Unpacked addend, int scale, U indefinite) {
  a = fp_neg(a);
  const Unpacked x = unpack(cpu, a), y = unpack(cpu, b);
  if (x.nan() || y.nan()) return process_nans(cpu, a, b);
  if (inf_times_zero(x, y)) return indefinite;
  return fused<U>(cpu, addend, x, y, scale);
}

}  // namespace

template <class U>
U soft_muladd(Cpu& cpu, U addend, U a, U b) {
  const Unpacked c = unpack(cpu, addend), x = unpack(cpu, a), y = unpack(cpu, b);
  if (c.nan() || x.nan() || y.nan()) {
    const U r = process_nans(cpu, addend, a, b);
    return c.cls == Unpacked::kQuietNan && inf_times_zero(x, y) ? invalid<U>(cpu) : r;
  }
  if (inf_times_zero(x, y)) return invalid<U>(cpu);
  return fused<U>(cpu, c, x, y, 0);
}

template <class U>
U fp_recip_step(Cpu& cpu, U a, U b) {
  if (host_rounding(cpu) && (cpu.fpsr & kIxc)) {
    const U r = std::bit_cast<U>(
        std::fma(-std::bit_cast<Host<U>>(a), std::bit_cast<Host<U>>(b), Host<U>{2}));
    if (ordinary(r)) return r;
  }
  return step<U>(cpu, a, b, {Unpacked::kFinite, false, 1, u64{1} << 63}, 0,
                 static_cast<U>(U{kBias<U> + 1} << kFrac<U>));
}

template <class U>
U fp_rsqrt_step(Cpu& cpu, U a, U b) {
  if (host_rounding(cpu) && (cpu.fpsr & kIxc)) {
    const U r = std::bit_cast<U>(
        std::fma(-std::bit_cast<Host<U>>(a), std::bit_cast<Host<U>>(b), Host<U>{3}) / 2);
    if (ordinary(r)) return r;
  }
  return step<U>(cpu, a, b, {Unpacked::kFinite, false, 1, u64{3} << 62}, -1,
                 static_cast<U>(U{kBias<U>} << kFrac<U> | kQuietBit<U>));
}

namespace {

// FPMax and FPMin. Equal operands can differ as +0 and -0 only.
template <class U>
U select(Cpu& cpu, U a, U b, bool maximum) {
  const Unpacked x = unpack(cpu, a), y = unpack(cpu, b);
  if (x.nan() || y.nan()) return process_nans(cpu, a, b);
  const u32 order = soft_compare(cpu, a, b, false);
  const bool pick_a = maximum ? order == 0x20000000 : order == 0x80000000;
  if (order == 0x60000000 && x.zero()) {
    return signed_of<U>(maximum ? x.sign && y.sign : x.sign || y.sign, 0);
  }
  return (pick_a ? x : y).zero() ? signed_of<U>((pick_a ? x : y).sign, 0) : pick_a ? a : b;
}
template <class U>
U select_number(Cpu& cpu, U a, U b, bool maximum) {
  const U worst = signed_of<U>(maximum, kInf<U>);
  if (is_qnan(a) && !is_qnan(b)) {
    a = worst;
  } else if (!is_qnan(a) && is_qnan(b)) {
    b = worst;
  }
  return select(cpu, a, b, maximum);
}

}  // namespace

template <class U>
U soft_max(Cpu& cpu, U a, U b) {
  return select(cpu, a, b, true);
}
template <class U>
U soft_min(Cpu& cpu, U a, U b) {
  return select(cpu, a, b, false);
}
template <class U>
U fp_maxnm(Cpu& cpu, U a, U b) {
  return select_number(cpu, a, b, true);
}
template <class U>
U fp_minnm(Cpu& cpu, U a, U b) {
  return select_number(cpu, a, b, false);
}

template <class U>
u32 soft_compare(Cpu& cpu, U a, U b, bool signal_all) {
  const Unpacked x = unpack(cpu, a), y = unpack(cpu, b);
  if (x.nan() || y.nan()) {
    if (signal_all || is_snan(a) || is_snan(b)) cpu.fpsr |= kIoc;
    return 0x30000000;
  }
  if (x.zero()) a = 0;  // also a denormal operand under FZ
  if (y.zero()) b = 0;
  if (a == b) return 0x60000000;
  // Sign and magnitude as one ordered integer.
  const auto key = [](U v) { return v & kSignBit<U> ? static_cast<U>(~v) : v | kSignBit<U>; };
  return key(a) < key(b) ? 0x80000000 : 0x20000000;
}
#define INSTANTIATE(U)                   \
  template U soft_add(Cpu&, U, U);       \
  template U soft_mul(Cpu&, U, U);       \
  template U soft_div(Cpu&, U, U);       \
  template U soft_sqrt(Cpu&, U);         \
  template U soft_muladd(Cpu&, U, U, U); \
  template U fp_mulx(Cpu&, U, U);        \
  template U fp_recip_step(Cpu&, U, U);  \
  template U fp_rsqrt_step(Cpu&, U, U);  \
  template U soft_max(Cpu&, U, U);       \
  template U soft_min(Cpu&, U, U);       \
  template U fp_maxnm(Cpu&, U, U);       \
  template U fp_minnm(Cpu&, U, U);       \
  template u32 soft_compare(Cpu&, U, U, bool);
INSTANTIATE(u32)
INSTANTIATE(u64)

}  // namespace trapline::soft::fp
