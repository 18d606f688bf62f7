// Advanced SIMD shift by immediate (vector and scalar), without the fixed-point conversions.
#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// immh:immb is 2 * esize - shift for right shifts and esize + shift for left shifts.
template <class T>
unsigned right_amount(uint32_t w) {
  return 2 * kBits<T> - bits(w, 16, 7);
}
template <class T>
unsigned left_amount(uint32_t w) {
  return bits(w, 16, 7) - kBits<T>;
}

constexpr auto kShr = []<class T>(T a, unsigned n) -> T { return shr(a, n); };
constexpr auto kRshr = []<class T>(T a, unsigned n) -> T { return shr_round(a, n); };
template <auto kShift>
constexpr auto kAccumulate = []<class T>(T d, T a, unsigned n) -> T {
  return T(static_cast<u64>(d) + static_cast<u64>(kShift(a, n)));
};
constexpr auto kSri = []<class T>(T d, T a, unsigned n) -> T {  // T unsigned
  const T mask = shr(T(~T(0)), n);
  return T((d & ~mask) | shr(a, n));
};
constexpr auto kShl = []<class T>(T a, unsigned n) -> T { return T(a << n); };
constexpr auto kSli = []<class T>(T d, T a, unsigned n) -> T {
  const T mask = T(T(~T(0)) << n);
  return T((d & ~mask) | T(a << n));
};
constexpr auto kSatShl = []<class T>(Cpu& c, T a, unsigned n) -> T {
  const T r = T(static_cast<Unsigned<T>>(a) << n);
  return T(r >> n) == a ? r : saturated<T>(c, a < 0);
};
constexpr auto kSatShlu = []<class T>(Cpu& c, T a, unsigned n) -> T {  // signed to unsigned
  using U = Unsigned<T>;
  if (a < 0) return static_cast<T>(saturated<U>(c, true));
  return static_cast<T>(kSatShl(c, static_cast<U>(a), n));
};

template <auto F, Shape S, bool kLeft>
struct ByImmediate {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    constexpr unsigned kAll = S == kScalar ? 1 : Lanes<T>::kCount;
    const unsigned n = kLeft ? left_amount<T>(w) : right_amount<T>(w);
    const auto a = lanes<T>(cpu, rn(w));
    Lanes<T> r{};
    if constexpr (std::is_invocable_v<decltype(F), Cpu&, T, unsigned>) {
      for (unsigned i = 0; i < active_lanes<S, T>(w); ++i) r[i] = F(cpu, a[i], n);
    } else if constexpr (std::is_invocable_v<decltype(F), T, unsigned>) {
      for (unsigned i = 0; i < kAll; ++i) r[i] = F(a[i], n);
    } else {
      const auto d = lanes<T>(cpu, rd(w));
      for (unsigned i = 0; i < kAll; ++i) r[i] = F(d[i], a[i], n);
    }
    put<S>(cpu, w, r);
  }
};
template <auto F, Shape S = kVector>
using Right = ByImmediate<F, S, false>;
template <auto F, Shape S = kVector>
using Left = ByImmediate<F, S, true>;

// SSHLL, USHLL.
struct LeftLong {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    using W = Wide<T>;
    const auto a = lanes<T>(cpu, rn(w));
    Lanes<W> r;
    const unsigned half = q_bit(w) ? r.kCount : 0, n = left_amount<T>(w);
    for (unsigned i = 0; i < r.kCount; ++i)
      r[i] = static_cast<W>(static_cast<u64>(a[half + i]) << n);
    cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
  }
};

// SHRN and its rounding and saturating forms. T is the result's element, SourceOf<T> the operand's.
template <template <class> class SourceOf, bool kRounding, bool kSaturate, Shape S = kVector>
struct RightNarrow {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const unsigned n = right_amount<T>(w);
    const auto a = lanes<SourceOf<T>>(cpu, rn(w));
    Lanes<T> r{};
    for (unsigned i = 0; i < (S == kScalar ? 1 : a.kCount); ++i) {
      const auto value = kRounding ? shr_round(a[i], n) : shr(a[i], n);
      r[i] = kSaturate ? saturate<T>(cpu, value) : static_cast<T>(value);
    }
    put_narrow<S>(cpu, w, r);
  }
};
template <class T>
using SignedWide = Wide<std::make_signed_t<T>>;

// clang-format off
constexpr Row kRows[] = {
    {"0Q0 011110 hhhh bbb 00000 1 nnnnn ddddd", kSignedBhsd<Right<kShr>>, FpOp::kSshr},
    {"0Q0 011110 hhhh bbb 00010 1 nnnnn ddddd", kSignedBhsd<Right<kAccumulate<kShr>>>, FpOp::kSsra},
    {"0Q0 011110 hhhh bbb 00100 1 nnnnn ddddd", kSignedBhsd<Right<kRshr>>, FpOp::kSrshr},
    {"0Q0 011110 hhhh bbb 00110 1 nnnnn ddddd", kSignedBhsd<Right<kAccumulate<kRshr>>>, FpOp::kSrsra},
    {"0Q0 011110 hhhh bbb 01010 1 nnnnn ddddd", kUnsignedBhsd<Left<kShl>>, FpOp::kShl},
    {"0Q0 011110 hhhh bbb 01110 1 nnnnn ddddd", kSignedBhsd<Left<kSatShl>>, FpOp::kSqshlImmediate},
    {"0q0 011110 hhhh bbb 10000 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<Wide, false, false>>, FpOp::kShrn},
    {"0q0 011110 hhhh bbb 10001 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<Wide, true, false>>, FpOp::kRshrn},
    {"0q0 011110 hhhh bbb 10010 1 nnnnn ddddd", kSignedBhs<RightNarrow<Wide, false, true>>, FpOp::kSqshrn},
    {"0q0 011110 hhhh bbb 10011 1 nnnnn ddddd", kSignedBhs<RightNarrow<Wide, true, true>>, FpOp::kSqrshrn},
    {"0q0 011110 hhhh bbb 10100 1 nnnnn ddddd", kSignedBhs<LeftLong>, FpOp::kSshll},
    {"0Q1 011110 hhhh bbb 00000 1 nnnnn ddddd", kUnsignedBhsd<Right<kShr>>, FpOp::kUshr},
    {"0Q1 011110 hhhh bbb 00010 1 nnnnn ddddd", kUnsignedBhsd<Right<kAccumulate<kShr>>>, FpOp::kUsra},
    {"0Q1 011110 hhhh bbb 00100 1 nnnnn ddddd", kUnsignedBhsd<Right<kRshr>>, FpOp::kUrshr},
    {"0Q1 011110 hhhh bbb 00110 1 nnnnn ddddd", kUnsignedBhsd<Right<kAccumulate<kRshr>>>, FpOp::kUrsra},
    {"0Q1 011110 hhhh bbb 01000 1 nnnnn ddddd", kUnsignedBhsd<Right<kSri>>, FpOp::kSri},
    {"0Q1 011110 hhhh bbb 01010 1 nnnnn ddddd", kUnsignedBhsd<Left<kSli>>, FpOp::kSli},
    {"0Q1 011110 hhhh bbb 01100 1 nnnnn ddddd", kSignedBhsd<Left<kSatShlu>>, FpOp::kSqshlu},
    {"0Q1 011110 hhhh bbb 01110 1 nnnnn ddddd", kUnsignedBhsd<Left<kSatShl>>, FpOp::kUqshlImmediate},
    {"0q1 011110 hhhh bbb 10000 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<SignedWide, false, true>>, FpOp::kSqshrun},
    {"0q1 011110 hhhh bbb 10001 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<SignedWide, true, true>>, FpOp::kSqrshrun},
    {"0q1 011110 hhhh bbb 10010 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<Wide, false, true>>, FpOp::kUqshrn},
    {"0q1 011110 hhhh bbb 10011 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<Wide, true, true>>, FpOp::kUqrshrn},
    {"0q1 011110 hhhh bbb 10100 1 nnnnn ddddd", kUnsignedBhs<LeftLong>, FpOp::kUshll},
    // scalar
    {"010 111110 hhhh bbb 00000 1 nnnnn ddddd", kSignedD<Right<kShr, kScalar>>, FpOp::kSshr},
    {"010 111110 hhhh bbb 00010 1 nnnnn ddddd", kSignedD<Right<kAccumulate<kShr>, kScalar>>, FpOp::kSsra},
    {"010 111110 hhhh bbb 00100 1 nnnnn ddddd", kSignedD<Right<kRshr, kScalar>>, FpOp::kSrshr},
    {"010 111110 hhhh bbb 00110 1 nnnnn ddddd", kSignedD<Right<kAccumulate<kRshr>, kScalar>>, FpOp::kSrsra},
    {"010 111110 hhhh bbb 01010 1 nnnnn ddddd", kUnsignedD<Left<kShl, kScalar>>, FpOp::kShl},
    {"010 111110 hhhh bbb 01110 1 nnnnn ddddd", kSignedBhsd<Left<kSatShl, kScalar>>, FpOp::kSqshlImmediate},
    {"010 111110 hhhh bbb 10010 1 nnnnn ddddd", kSignedBhs<RightNarrow<Wide, false, true, kScalar>>, FpOp::kSqshrn},
    {"010 111110 hhhh bbb 10011 1 nnnnn ddddd", kSignedBhs<RightNarrow<Wide, true, true, kScalar>>, FpOp::kSqrshrn},
    {"011 111110 hhhh bbb 00000 1 nnnnn ddddd", kUnsignedD<Right<kShr, kScalar>>, FpOp::kUshr},
    {"011 111110 hhhh bbb 00010 1 nnnnn ddddd", kUnsignedD<Right<kAccumulate<kShr>, kScalar>>, FpOp::kUsra},
    {"011 111110 hhhh bbb 00100 1 nnnnn ddddd", kUnsignedD<Right<kRshr, kScalar>>, FpOp::kUrshr},
    {"011 111110 hhhh bbb 00110 1 nnnnn ddddd", kUnsignedD<Right<kAccumulate<kRshr>, kScalar>>, FpOp::kUrsra},
    {"011 111110 hhhh bbb 01000 1 nnnnn ddddd", kUnsignedD<Right<kSri, kScalar>>, FpOp::kSri},
    {"011 111110 hhhh bbb 01010 1 nnnnn ddddd", kUnsignedD<Left<kSli, kScalar>>, FpOp::kSli},
    {"011 111110 hhhh bbb 01100 1 nnnnn ddddd", kSignedBhsd<Left<kSatShlu, kScalar>>, FpOp::kSqshlu},
    {"011 111110 hhhh bbb 01110 1 nnnnn ddddd", kUnsignedBhsd<Left<kSatShl, kScalar>>, FpOp::kUqshlImmediate},
    {"011 111110 hhhh bbb 10000 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<SignedWide, false, true, kScalar>>, FpOp::kSqshrun},
    {"011 111110 hhhh bbb 10001 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<SignedWide, true, true, kScalar>>, FpOp::kSqrshrun},
    {"011 111110 hhhh bbb 10010 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<Wide, false, true, kScalar>>, FpOp::kUqshrn},
    {"011 111110 hhhh bbb 10011 1 nnnnn ddddd", kUnsignedBhs<RightNarrow<Wide, true, true, kScalar>>, FpOp::kUqrshrn},
};
// clang-format on

}  // namespace

std::span<const Row> simd_shift_rows() { return kRows; }

}  // namespace trapline::soft::fp
