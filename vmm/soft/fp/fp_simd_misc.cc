// Advanced SIMD integer: two-register miscellaneous, across lanes, scalar pairwise ADDP.
#include "vmm/soft/fp/fp_arith.h"
#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

constexpr auto kCls = []<class T>(T a) -> T {
  const auto x = static_cast<Unsigned<T>>(a ^ (a >> 1));  // a clear bit where two neighbours agree
  return static_cast<T>(std::countl_zero(static_cast<Unsigned<T>>(x << 1 | 1)));
};
constexpr auto kClz = []<class T>(T a) -> T { return static_cast<T>(std::countl_zero(a)); };
constexpr auto kCnt = [](u64 a) -> u64 {  // of each byte
  a -= a >> 1 & 0x5555555555555555;
  a = (a & 0x3333333333333333) + (a >> 2 & 0x3333333333333333);
  return (a + (a >> 4)) & 0x0f0f0f0f0f0f0f0f;
};
constexpr auto kNot = []<class T>(T a) -> T { return static_cast<T>(~a); };
constexpr auto kRbit = [](u8 a) -> u8 {
  a = static_cast<u8>(a << 4 | a >> 4);
  a = static_cast<u8>((a & 0x33) << 2 | (a >> 2 & 0x33));
  return static_cast<u8>((a & 0x55) << 1 | (a >> 1 & 0x55));
};
constexpr auto kAbs = []<class T>(T a) -> T {
  return static_cast<T>(a < 0 ? -static_cast<u64>(a) : static_cast<u64>(a));
};
constexpr auto kNeg = []<class T>(T a) -> T { return static_cast<T>(-static_cast<u64>(a)); };
constexpr auto kSatAbs = []<class T>(Cpu& c, T a) -> T { return a < 0 ? sub_sat(c, T(0), a) : a; };
constexpr auto kSatNeg = []<class T>(Cpu& c, T a) -> T { return sub_sat(c, T(0), a); };
constexpr auto kGt0 = []<class T>(T a) -> T { return a > 0 ? T(-1) : T(0); };
constexpr auto kGe0 = []<class T>(T a) -> T { return a >= 0 ? T(-1) : T(0); };
constexpr auto kEq0 = []<class T>(T a) -> T { return a == 0 ? T(-1) : T(0); };
constexpr auto kLe0 = []<class T>(T a) -> T { return a <= 0 ? T(-1) : T(0); };
constexpr auto kLt0 = []<class T>(T a) -> T { return a < 0 ? T(-1) : T(0); };
// SUQADD (T signed) and USQADD: the accumulator has T's sign, the addend the other one.
constexpr auto kMixedSatAdd = []<class T>(Cpu& c, T d, T a) -> T {
  using Other = std::conditional_t<std::is_signed_v<T>, Unsigned<T>, std::make_signed_t<T>>;
  return saturate<T>(c, s128{d} + s128{static_cast<Other>(a)});
};
constexpr auto kUrecpe = [](u32 a) -> u32 { return recip_estimate(a); };
constexpr auto kUrsqrte = [](u32 a) -> u32 { return rsqrt_estimate(a); };

// REV64, REV32, REV16: elements T in reverse within containers of kContainer bytes.
template <unsigned kContainer>
struct Reverse {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    constexpr unsigned kFlip = kContainer / sizeof(T) - 1;
    const auto a = lanes<T>(cpu, rn(w));
    Lanes<T> r;
    for (unsigned i = 0; i < r.kCount; ++i) r[i] = a[i ^ kFlip];
    put<kVector>(cpu, w, r);
  }
};

// SADDLP, SADALP and unsigned: sums of adjacent pairs in elements twice as wide.
template <bool kAccumulate>
struct PairLong {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    using W = Wide<T>;
    const auto a = lanes<T>(cpu, rn(w));
    const auto d = lanes<W>(cpu, rd(w));
    Lanes<W> r;
    for (unsigned i = 0; i < r.kCount; ++i) {
      const W sum = static_cast<W>(W{a[2 * i]} + W{a[2 * i + 1]});
      r[i] = kAccumulate ? static_cast<W>(static_cast<u64>(d[i]) + static_cast<u64>(sum)) : sum;
    }
    put<kVector>(cpu, w, r);
  }
};

// XTN and its saturating forms: T is the narrow result, Source the wide operand's element.
template <template <class> class SourceOf, Shape S, bool kSaturate = true>
struct Narrow {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    using Source = SourceOf<T>;
    const auto a = lanes<Source>(cpu, rn(w));
    Lanes<T> r{};
    for (unsigned i = 0; i < (S == kScalar ? 1 : a.kCount); ++i) {
      r[i] = kSaturate ? saturate<T>(cpu, a[i]) : static_cast<T>(a[i]);
    }
    put_narrow<S>(cpu, w, r);
  }
};
template <class T>
using SignedWide = Wide<std::make_signed_t<T>>;

struct ShiftLeftLong {  // SHLL: by the element size
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    using W = Wide<T>;
    const auto a = lanes<T>(cpu, rn(w));
    Lanes<W> r;
    for (unsigned i = 0; i < r.kCount; ++i) {
      r[i] = static_cast<W>(u64{a[i + (q_bit(w) ? r.kCount : 0)]} << kBits<T>);
    }
    cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
  }
};

enum class Across : uint8_t { kAdd, kMax, kMin };
// Lane i takes in lane i + kWidth, and so on down to one lane.
template <Across kOp, unsigned kWidth, class T>
void fold(Lanes<T>& a) {
  for (unsigned i = 0; i < kWidth; ++i) {
    const T x = a[i], y = a[i + kWidth];
    if constexpr (kOp == Across::kAdd) a[i] = static_cast<T>(x + y);
    if constexpr (kOp == Across::kMax) a[i] = x > y ? x : y;
    if constexpr (kOp == Across::kMin) a[i] = x < y ? x : y;
  }
  if constexpr (kWidth > 1) fold<kOp, kWidth / 2>(a);
}
template <Across kOp>
struct AcrossLanes {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    Vreg v = cpu.v[rn(w)];
    if (!q_bit(w)) v.hi = kOp == Across::kAdd ? 0 : v.lo;  // neutral
    auto a = std::bit_cast<Lanes<T>>(v);
    fold<kOp, Lanes<T>::kCount / 2>(a);
    cpu.v[rd(w)] = Vreg{static_cast<Unsigned<T>>(a[0]), 0};
  }
};
struct AcrossLong {  // SADDLV, UADDLV
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<T>(cpu, rn(w));
    s64 sum = 0;
    for (unsigned i = 0; i < active_lanes<kVector, T>(w); ++i) sum += a[i];
    cpu.v[rd(w)] = Vreg{static_cast<Unsigned<Wide<T>>>(sum), 0};
  }
};

void addp_scalar(Cpu& cpu, uint32_t w) {
  const Vreg a = cpu.v[rn(w)];
  cpu.v[rd(w)] = Vreg{a.lo + a.hi, 0};
}

template <class H>
constexpr auto kWhole = kOver<H, u64>;

// clang-format off
constexpr Row kRows[] = {
    // two-register miscellaneous, U=0
    {"0q0 01110 zz 10000 00000 10 nnnnn ddddd", kUnsignedBhs<Reverse<8>>, FpOp::kRev64},
    {"0q0 01110 zz 10000 00001 10 nnnnn ddddd", kOver<Reverse<2>, u8>, FpOp::kRev16},
    {"0q0 01110 zz 10000 00010 10 nnnnn ddddd", kSignedBhs<PairLong<false>>, FpOp::kSaddlp},
    {"0Q0 01110 zz 10000 00011 10 nnnnn ddddd", kSignedBhsd<Map2<kMixedSatAdd>>, FpOp::kSuqadd},
    {"0q0 01110 zz 10000 00100 10 nnnnn ddddd", kSignedBhs<Map2<kCls>>},
    {"0q0 01110 00 10000 00101 10 nnnnn ddddd", kWhole<Map2<kCnt>>, FpOp::kCnt},
    {"0q0 01110 zz 10000 00110 10 nnnnn ddddd", kSignedBhs<PairLong<true>>, FpOp::kSadalp},
    {"0Q0 01110 zz 10000 00111 10 nnnnn ddddd", kSignedBhsd<Map2<kSatAbs>>, FpOp::kSqabs},
    {"0Q0 01110 zz 10000 01000 10 nnnnn ddddd", kSignedBhsd<Map2<kGt0>>, FpOp::kCmgtZero},
    {"0Q0 01110 zz 10000 01001 10 nnnnn ddddd", kSignedBhsd<Map2<kEq0>>, FpOp::kCmeqZero},
    {"0Q0 01110 zz 10000 01010 10 nnnnn ddddd", kSignedBhsd<Map2<kLt0>>, FpOp::kCmltZero},
    {"0Q0 01110 zz 10000 01011 10 nnnnn ddddd", kSignedBhsd<Map2<kAbs>>, FpOp::kAbs},
    {"0q0 01110 zz 10000 10010 10 nnnnn ddddd", kUnsignedBhs<Narrow<Wide, kVector, false>>, FpOp::kXtn},
    {"0q0 01110 zz 10000 10100 10 nnnnn ddddd", kSignedBhs<Narrow<Wide, kVector>>, FpOp::kSqxtn},
    {"0q0 01110 10 10000 11100 10 nnnnn ddddd", kOver<Map2<kUrecpe>, u32>},
    // U=1
    {"0q1 01110 zz 10000 00000 10 nnnnn ddddd", kOver<Reverse<4>, u8, u16>, FpOp::kRev32},
    {"0q1 01110 zz 10000 00010 10 nnnnn ddddd", kUnsignedBhs<PairLong<false>>, FpOp::kUaddlp},
    {"0Q1 01110 zz 10000 00011 10 nnnnn ddddd", kUnsignedBhsd<Map2<kMixedSatAdd>>, FpOp::kUsqadd},
    {"0q1 01110 zz 10000 00100 10 nnnnn ddddd", kUnsignedBhs<Map2<kClz>>},
    {"0q1 01110 00 10000 00101 10 nnnnn ddddd", kWhole<Map2<kNot>>, FpOp::kNot},
    {"0q1 01110 01 10000 00101 10 nnnnn ddddd", kOver<Map2<kRbit>, u8>},
    {"0q1 01110 zz 10000 00110 10 nnnnn ddddd", kUnsignedBhs<PairLong<true>>, FpOp::kUadalp},
    {"0Q1 01110 zz 10000 00111 10 nnnnn ddddd", kSignedBhsd<Map2<kSatNeg>>, FpOp::kSqneg},
    {"0Q1 01110 zz 10000 01000 10 nnnnn ddddd", kSignedBhsd<Map2<kGe0>>, FpOp::kCmgeZero},
    {"0Q1 01110 zz 10000 01001 10 nnnnn ddddd", kSignedBhsd<Map2<kLe0>>, FpOp::kCmleZero},
    {"0Q1 01110 zz 10000 01011 10 nnnnn ddddd", kSignedBhsd<Map2<kNeg>>, FpOp::kNeg},
    {"0q1 01110 zz 10000 10010 10 nnnnn ddddd", kUnsignedBhs<Narrow<SignedWide, kVector>>, FpOp::kSqxtun},
    {"0q1 01110 zz 10000 10011 10 nnnnn ddddd", kUnsignedBhs<ShiftLeftLong>, FpOp::kShll},
    {"0q1 01110 zz 10000 10100 10 nnnnn ddddd", kUnsignedBhs<Narrow<Wide, kVector>>, FpOp::kUqxtn},
    {"0q1 01110 10 10000 11100 10 nnnnn ddddd", kOver<Map2<kUrsqrte>, u32>},
    // scalar two-register miscellaneous
    {"010 11110 zz 10000 00011 10 nnnnn ddddd", kSignedBhsd<Map2<kMixedSatAdd, kScalar>>, FpOp::kSuqadd},
    {"010 11110 zz 10000 00111 10 nnnnn ddddd", kSignedBhsd<Map2<kSatAbs, kScalar>>, FpOp::kSqabs},
    {"010 11110 zz 10000 01000 10 nnnnn ddddd", kSignedD<Map2<kGt0, kScalar>>, FpOp::kCmgtZero},
    {"010 11110 zz 10000 01001 10 nnnnn ddddd", kSignedD<Map2<kEq0, kScalar>>, FpOp::kCmeqZero},
    {"010 11110 zz 10000 01010 10 nnnnn ddddd", kSignedD<Map2<kLt0, kScalar>>, FpOp::kCmltZero},
    {"010 11110 zz 10000 01011 10 nnnnn ddddd", kSignedD<Map2<kAbs, kScalar>>, FpOp::kAbs},
    {"010 11110 zz 10000 10100 10 nnnnn ddddd", kSignedBhs<Narrow<Wide, kScalar>>, FpOp::kSqxtn},
    {"011 11110 zz 10000 00011 10 nnnnn ddddd", kUnsignedBhsd<Map2<kMixedSatAdd, kScalar>>, FpOp::kUsqadd},
    {"011 11110 zz 10000 00111 10 nnnnn ddddd", kSignedBhsd<Map2<kSatNeg, kScalar>>, FpOp::kSqneg},
    {"011 11110 zz 10000 01000 10 nnnnn ddddd", kSignedD<Map2<kGe0, kScalar>>, FpOp::kCmgeZero},
    {"011 11110 zz 10000 01001 10 nnnnn ddddd", kSignedD<Map2<kLe0, kScalar>>, FpOp::kCmleZero},
    {"011 11110 zz 10000 01011 10 nnnnn ddddd", kSignedD<Map2<kNeg, kScalar>>, FpOp::kNeg},
    {"011 11110 zz 10000 10010 10 nnnnn ddddd", kUnsignedBhs<Narrow<SignedWide, kScalar>>, FpOp::kSqxtun},
    {"011 11110 zz 10000 10100 10 nnnnn ddddd", kUnsignedBhs<Narrow<Wide, kScalar>>, FpOp::kUqxtn},
    // across lanes: no 32-bit elements with Q=0
    {"000 01110 zz 11000 00011 10 nnnnn ddddd", kOver<AcrossLong, s8, s16>, FpOp::kSaddlv},
    {"010 01110 zz 11000 00011 10 nnnnn ddddd", kSignedBhs<AcrossLong>, FpOp::kSaddlv},
    {"001 01110 zz 11000 00011 10 nnnnn ddddd", kOver<AcrossLong, u8, u16>, FpOp::kUaddlv},
    {"011 01110 zz 11000 00011 10 nnnnn ddddd", kUnsignedBhs<AcrossLong>, FpOp::kUaddlv},
    {"000 01110 zz 11000 01010 10 nnnnn ddddd", kOver<AcrossLanes<Across::kMax>, s8, s16>, FpOp::kSmaxv},
    {"010 01110 zz 11000 01010 10 nnnnn ddddd", kSignedBhs<AcrossLanes<Across::kMax>>, FpOp::kSmaxv},
    {"001 01110 zz 11000 01010 10 nnnnn ddddd", kOver<AcrossLanes<Across::kMax>, u8, u16>, FpOp::kUmaxv},
    {"011 01110 zz 11000 01010 10 nnnnn ddddd", kUnsignedBhs<AcrossLanes<Across::kMax>>, FpOp::kUmaxv},
    {"000 01110 zz 11000 11010 10 nnnnn ddddd", kOver<AcrossLanes<Across::kMin>, s8, s16>, FpOp::kSminv},
    {"010 01110 zz 11000 11010 10 nnnnn ddddd", kSignedBhs<AcrossLanes<Across::kMin>>, FpOp::kSminv},
    {"001 01110 zz 11000 11010 10 nnnnn ddddd", kOver<AcrossLanes<Across::kMin>, u8, u16>, FpOp::kUminv},
    {"011 01110 zz 11000 11010 10 nnnnn ddddd", kUnsignedBhs<AcrossLanes<Across::kMin>>, FpOp::kUminv},
    {"000 01110 zz 11000 11011 10 nnnnn ddddd", kOver<AcrossLanes<Across::kAdd>, u8, u16>, FpOp::kAddv},
    {"010 01110 zz 11000 11011 10 nnnnn ddddd", kUnsignedBhs<AcrossLanes<Across::kAdd>>, FpOp::kAddv},
    // scalar pairwise
    {"010 11110 11 11000 11011 10 nnnnn ddddd", {Function{addp_scalar, 3}}, FpOp::kAddpScalar},
};
// clang-format on

}  // namespace

std::span<const Row> simd_misc_rows() { return kRows; }

}  // namespace trapline::soft::fp
