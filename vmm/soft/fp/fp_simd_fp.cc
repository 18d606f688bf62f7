// Advanced SIMD floating point, vector and scalar.
#include "vmm/soft/fp/fp_arith.h"

namespace trapline::soft::fp {
namespace {

constexpr auto kAdd = []<class U>(Cpu& c, U a, U b) -> U { return fp_add(c, a, b); };
constexpr auto kSub = []<class U>(Cpu& c, U a, U b) -> U { return fp_sub(c, a, b); };
constexpr auto kMul = []<class U>(Cpu& c, U a, U b) -> U { return fp_mul(c, a, b); };
constexpr auto kMulx = []<class U>(Cpu& c, U a, U b) -> U { return fp_mulx(c, a, b); };
constexpr auto kDiv = []<class U>(Cpu& c, U a, U b) -> U { return fp_div(c, a, b); };
constexpr auto kMax = []<class U>(Cpu& c, U a, U b) -> U { return fp_max(c, a, b); };
constexpr auto kMin = []<class U>(Cpu& c, U a, U b) -> U { return fp_min(c, a, b); };
constexpr auto kMaxnm = []<class U>(Cpu& c, U a, U b) -> U { return fp_maxnm(c, a, b); };
constexpr auto kMinnm = []<class U>(Cpu& c, U a, U b) -> U { return fp_minnm(c, a, b); };
constexpr auto kAbd = []<class U>(Cpu& c, U a, U b) -> U { return fp_abs(fp_sub(c, a, b)); };
constexpr auto kRecps = []<class U>(Cpu& c, U a, U b) -> U { return fp_recip_step(c, a, b); };
constexpr auto kRsqrts = []<class U>(Cpu& c, U a, U b) -> U { return fp_rsqrt_step(c, a, b); };
constexpr auto kMla = []<class U>(Cpu& c, U d, U a, U b) -> U { return fp_muladd(c, d, a, b); };
constexpr auto kMls = []<class U>(Cpu& c, U d, U a, U b) -> U {
  return fp_muladd(c, d, fp_neg(a), b);
};

template <class U>
constexpr U all_if(bool b) {
  return b ? static_cast<U>(~U{0}) : U{0};
}
constexpr auto kEq = []<class U>(Cpu& c, U a, U b) -> U { return all_if<U>(fp_eq(c, a, b)); };
constexpr auto kGe = []<class U>(Cpu& c, U a, U b) -> U { return all_if<U>(fp_ge(c, a, b)); };
constexpr auto kGt = []<class U>(Cpu& c, U a, U b) -> U { return all_if<U>(fp_gt(c, a, b)); };
constexpr auto kAcge = []<class U>(Cpu& c, U a, U b) -> U {
  return all_if<U>(fp_ge(c, fp_abs(a), fp_abs(b)));
};
constexpr auto kAcgt = []<class U>(Cpu& c, U a, U b) -> U {
  return all_if<U>(fp_gt(c, fp_abs(a), fp_abs(b)));
};
constexpr auto kEq0 = []<class U>(Cpu& c, U a) -> U { return all_if<U>(fp_eq(c, a, U{0})); };
constexpr auto kGe0 = []<class U>(Cpu& c, U a) -> U { return all_if<U>(fp_ge(c, a, U{0})); };
constexpr auto kGt0 = []<class U>(Cpu& c, U a) -> U { return all_if<U>(fp_gt(c, a, U{0})); };
constexpr auto kLe0 = []<class U>(Cpu& c, U a) -> U { return all_if<U>(fp_ge(c, U{0}, a)); };
constexpr auto kLt0 = []<class U>(Cpu& c, U a) -> U { return all_if<U>(fp_gt(c, U{0}, a)); };

constexpr auto kAbs = []<class U>(U a) -> U { return fp_abs(a); };
constexpr auto kNeg = []<class U>(U a) -> U { return fp_neg(a); };
constexpr auto kSqrt = []<class U>(Cpu& c, U a) -> U { return fp_sqrt(c, a); };
constexpr auto kRecpe = []<class U>(Cpu& c, U a) -> U { return fp_recip_estimate(c, a); };
constexpr auto kRsqrte = []<class U>(Cpu& c, U a) -> U { return fp_rsqrt_estimate(c, a); };
constexpr auto kRecpx = []<class U>(Cpu& c, U a) -> U { return fp_recpx(c, a); };

template <Rounding kRounding>
constexpr auto kRint =
    []<class U>(Cpu& c, U a) -> U { return fp_round_int(c, a, kRounding, false); };
template <bool kExact>
constexpr auto kRintFpcr =
    []<class U>(Cpu& c, U a) -> U { return fp_round_int(c, a, fpcr_rounding(c), kExact); };
template <Rounding kRounding, bool kUnsigned>
constexpr auto kToInt = []<class U>(Cpu& c, U a) -> U {
  return static_cast<U>(fp_to_fixed(c, a, 0, kUnsigned, kBits<U>, kRounding));
};
template <class U, bool kUnsigned>
U from_int(Cpu& c, U a, unsigned fraction_bits) {
  const s64 value = kUnsigned ? static_cast<s64>(a) : static_cast<s64>(std::make_signed_t<U>(a));
  return fp_from_fixed<U>(c, value, kUnsigned, fraction_bits);
}
template <bool kUnsigned>
constexpr auto kFromInt = []<class U>(Cpu& c, U a) -> U { return from_int<U, kUnsigned>(c, a, 0); };

// A Map3 whose lanes are first computed all at once by the host: the conditions of fp_arith.h for
// host arithmetic, with Inexact already set, in every lane.
template <auto F, auto kHostOp, bool kIsSum, Src kSrc = kReg>
struct HostMap3 {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    if (host_rounding(cpu) && (cpu.fpsr & kIxc)) [[likely]] {
      Vreg va = cpu.v[rn(w)], vb = std::bit_cast<Vreg>(operand2<kSrc, U>(cpu, w));
      if (!q_bit(w)) va.hi = va.lo, vb.hi = vb.lo;
      const auto a = std::bit_cast<Lanes<Host<U>>>(va), b = std::bit_cast<Lanes<Host<U>>>(vb);
      Lanes<U> r;
      U bad = 0;
      for (unsigned i = 0; i < r.kCount; ++i) {
        r[i] = std::bit_cast<U>(kHostOp(a[i], b[i]));
        bad |= !(kIsSum ? finite(r[i]) : ordinary(r[i]));
      }
      if (!bad) return put<kVector>(cpu, w, r);
    }
    Map3<F, kVector, kSrc>::template run<U>(cpu, w);
  }
};
constexpr auto kHostAdd = []<class T>(T a, T b) { return a + b; };
constexpr auto kHostSub = []<class T>(T a, T b) { return a - b; };
constexpr auto kHostMul = []<class T>(T a, T b) { return a * b; };
constexpr auto kHostDiv = []<class T>(T a, T b) { return a / b; };

// SCVTF, UCVTF, FCVTZS, FCVTZU with fraction bits in immh:immb (2 * esize - imm).
template <bool kUnsigned, bool kToFixed, Shape S>
struct FixedPoint {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    const unsigned fraction_bits = 2 * kBits<U> - bits(w, 16, 7);
    const auto a = lanes<U>(cpu, rn(w));
    Lanes<U> r{};
    for (unsigned i = 0; i < active_lanes<S, U>(w); ++i) {
      if constexpr (kToFixed) {
        r[i] = static_cast<U>(
            fp_to_fixed(cpu, a[i], fraction_bits, kUnsigned, kBits<U>, Rounding::kZero));
      } else {
        r[i] = from_int<U, kUnsigned>(cpu, a[i], fraction_bits);
      }
    }
    put<S>(cpu, w, r);
  }
};

// FCVTN (by FPCR), FCVTXN (to odd).
template <class From, bool kToOdd, Shape S>
struct ConvertNarrow {
  template <class To>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<From>(cpu, rn(w));
    Lanes<To> r{};
    for (unsigned i = 0; i < (S == kScalar ? 1 : a.kCount); ++i) {
      r[i] = fp_convert<To>(cpu, a[i], kToOdd ? Rounding::kOdd : fpcr_rounding(cpu));
    }
    put_narrow<S>(cpu, w, r);
  }
};
template <class To>
struct ConvertLong {  // FCVTL
  template <class From>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<From>(cpu, rn(w));
    Lanes<To> r;
    const unsigned half = q_bit(w) ? r.kCount : 0;
    for (unsigned i = 0; i < r.kCount; ++i) {
      r[i] = fp_convert<To>(cpu, a[half + i], fpcr_rounding(cpu));
    }
    cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
  }
};

// FMAXV and so on: four single-precision lanes, reduced as a tree (Reduce()).
template <auto F>
void across(Cpu& cpu, uint32_t w) {
  const auto a = lanes<u32>(cpu, rn(w));
  const u32 low = F(cpu, a[0], a[1]), high = F(cpu, a[2], a[3]);
  cpu.v[rd(w)] = Vreg{F(cpu, low, high), 0};
}
template <auto F>
struct ScalarPair {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<U>(cpu, rn(w));
    cpu.v[rd(w)] = Vreg{F(cpu, a[0], a[1]), 0};
  }
};

using R = Rounding;

// clang-format off
constexpr Row kRows[] = {
// Encodings that exist as vector and as scalar: `u` is bit 29, `a` bit 23 (size<1>).
#define THREE(u, a, opcode, F)                                                           \
    {"0Q" u "01110" a "z 1 mmmmm" opcode "1 nnnnn ddddd", kFloats<Map3<F>>}
#define THREE_BOTH(u, a, opcode, F)                                                      \
    THREE(u, a, opcode, F),                                                              \
    {"01" u "11110" a "z 1 mmmmm" opcode "1 nnnnn ddddd", kFloats<Map3<F, kScalar>>}
#define PAIR(a, opcode, F)                                                               \
    {"0Q1 01110" a "z 1 mmmmm" opcode "1 nnnnn ddddd", kFloats<Pairwise<F>>}
    THREE("0", "0", "11000", kMaxnm),
    THREE("0", "1", "11000", kMinnm),
    THREE("0", "0", "11001", kMla),
    THREE("0", "1", "11001", kMls),
    {"0Q0 01110 0z 1 mmmmm 11010 1 nnnnn ddddd", kFloats<HostMap3<kAdd, kHostAdd, true>>},
    {"0Q0 01110 1z 1 mmmmm 11010 1 nnnnn ddddd", kFloats<HostMap3<kSub, kHostSub, true>>},
    THREE_BOTH("0", "0", "11011", kMulx),
    THREE_BOTH("0", "0", "11100", kEq),
    THREE("0", "0", "11110", kMax),
    THREE("0", "1", "11110", kMin),
    THREE_BOTH("0", "0", "11111", kRecps),
    THREE_BOTH("0", "1", "11111", kRsqrts),
    PAIR("0", "11000", kMaxnm),
    PAIR("1", "11000", kMinnm),
    PAIR("0", "11010", kAdd),
    THREE_BOTH("1", "1", "11010", kAbd),
    {"0Q1 01110 0z 1 mmmmm 11011 1 nnnnn ddddd", kFloats<HostMap3<kMul, kHostMul, false>>},
    THREE_BOTH("1", "0", "11100", kGe),
    THREE_BOTH("1", "1", "11100", kGt),
    THREE_BOTH("1", "0", "11101", kAcge),
    THREE_BOTH("1", "1", "11101", kAcgt),
    PAIR("0", "11110", kMax),
    PAIR("1", "11110", kMin),
    {"0Q1 01110 0z 1 mmmmm 11111 1 nnnnn ddddd", kFloats<HostMap3<kDiv, kHostDiv, false>>},

// Two-register miscellaneous.
#define TWO(u, a, opcode, F)                                                             \
    {"0Q" u "01110" a "z 10000" opcode "10 nnnnn ddddd", kFloats<Map2<F>>}
#define TWO_SCALAR(u, a, opcode, F)                                                      \
    {"01" u "11110" a "z 10000" opcode "10 nnnnn ddddd", kFloats<Map2<F, kScalar>>}
#define TWO_BOTH(u, a, opcode, F) TWO(u, a, opcode, F), TWO_SCALAR(u, a, opcode, F)
    TWO_BOTH("0", "1", "01100", kGt0),
    TWO_BOTH("0", "1", "01101", kEq0),
    TWO_BOTH("0", "1", "01110", kLt0),
    TWO_BOTH("1", "1", "01100", kGe0),
    TWO_BOTH("1", "1", "01101", kLe0),
    TWO("0", "1", "01111", kAbs),
    TWO("1", "1", "01111", kNeg),
    TWO("1", "1", "11111", kSqrt),
    TWO("0", "0", "11000", kRint<R::kNearest>),
    TWO("0", "0", "11001", kRint<R::kDown>),
    TWO("0", "1", "11000", kRint<R::kUp>),
    TWO("0", "1", "11001", kRint<R::kZero>),
    TWO("1", "0", "11000", kRint<R::kAway>),
    TWO("1", "0", "11001", kRintFpcr<true>),
    TWO("1", "1", "11001", kRintFpcr<false>),
#define TO_INT(a, opcode, rounding)                                                      \
    TWO_BOTH("0", a, opcode, (kToInt<rounding, false>)),                                 \
    TWO_BOTH("1", a, opcode, (kToInt<rounding, true>))
    TO_INT("0", "11010", R::kNearest),
    TO_INT("0", "11011", R::kDown),
    TO_INT("0", "11100", R::kAway),
    TO_INT("1", "11010", R::kUp),
    TO_INT("1", "11011", R::kZero),
    TWO_BOTH("0", "0", "11101", kFromInt<false>),
    TWO_BOTH("1", "0", "11101", kFromInt<true>),
    TWO_BOTH("0", "1", "11101", kRecpe),
    TWO_BOTH("1", "1", "11101", kRsqrte),
    TWO_SCALAR("0", "1", "11111", kRecpx),
    {"0q0 01110 00 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u32, false, kVector>, u16>},
    {"0q0 01110 01 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u64, false, kVector>, u32>},
    {"0q1 01110 01 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u64, true, kVector>, u32>},
    {"011 11110 01 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u64, true, kScalar>, u32>},
    {"0q0 01110 00 10000 10111 10 nnnnn ddddd", kOver<ConvertLong<u32>, u16>},
    {"0q0 01110 01 10000 10111 10 nnnnn ddddd", kOver<ConvertLong<u64>, u32>},

    // across lanes: 4S only; scalar pairwise
    {"011 01110 00 11000 01100 10 nnnnn ddddd", {across<kMaxnm>}},
    {"011 01110 10 11000 01100 10 nnnnn ddddd", {across<kMinnm>}},
    {"011 01110 00 11000 01111 10 nnnnn ddddd", {across<kMax>}},
    {"011 01110 10 11000 01111 10 nnnnn ddddd", {across<kMin>}},
    {"011 11110 0z 11000 01100 10 nnnnn ddddd", kFloats<ScalarPair<kMaxnm>>},
    {"011 11110 1z 11000 01100 10 nnnnn ddddd", kFloats<ScalarPair<kMinnm>>},
    {"011 11110 0z 11000 01101 10 nnnnn ddddd", kFloats<ScalarPair<kAdd>>},
    {"011 11110 0z 11000 01111 10 nnnnn ddddd", kFloats<ScalarPair<kMax>>},
    {"011 11110 1z 11000 01111 10 nnnnn ddddd", kFloats<ScalarPair<kMin>>},

// By element: double precision has no L bit and no 1D arrangement.
#define ELEMENT(u, opcode, F)                                                                  \
    {"0q" u "01111 10 lmmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kVector, kElement>, u32>}, \
    {"01" u "01111 11 0mmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kVector, kElement>, u64>}, \
    {"01" u "11111 10 lmmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kScalar, kElement>, u32>}, \
    {"01" u "11111 11 0mmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kScalar, kElement>, u64>}
    ELEMENT("0", "0001", kMla),
    ELEMENT("0", "0101", kMls),
    ELEMENT("0", "1001", kMul),
    ELEMENT("1", "1001", kMulx),

#define FIXED(u, opcode, is_unsigned, to_fixed)                                                \
    {"0Q" u "011110 hhhh bbb" opcode "1 nnnnn ddddd",                                          \
     kOver<FixedPoint<is_unsigned, to_fixed, kVector>, void, void, u32, u64>},                 \
    {"01" u "111110 hhhh bbb" opcode "1 nnnnn ddddd",                                          \
     kOver<FixedPoint<is_unsigned, to_fixed, kScalar>, void, void, u32, u64>}
    FIXED("0", "11100", false, false),
    FIXED("1", "11100", true, false),
    FIXED("0", "11111", false, true),
    FIXED("1", "11111", true, true),
};
// clang-format on

}  // namespace

std::span<const Row> simd_fp_rows() { return kRows; }

}  // namespace trapline::soft::fp
