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
#define THREE(u, a, opcode, F, op)                                                           \
    {"0Q" u "01110" a "z 1 mmmmm" opcode "1 nnnnn ddddd", kFloats<Map3<F>>, FpOp::op}
#define THREE_BOTH(u, a, opcode, F, op)                                                      \
    THREE(u, a, opcode, F, op),                                                           \
    {"01" u "11110" a "z 1 mmmmm" opcode "1 nnnnn ddddd", kFloats<Map3<F, kScalar>>, FpOp::op}
#define PAIR(a, opcode, F, op)                                                               \
    {"0Q1 01110" a "z 1 mmmmm" opcode "1 nnnnn ddddd", kFloats<Pairwise<F>>, FpOp::op}
    THREE("0", "0", "11000", kMaxnm, kFmaxnm),
    THREE("0", "1", "11000", kMinnm, kFminnm),
    THREE("0", "0", "11001", kMla, kFmla),
    THREE("0", "1", "11001", kMls, kFmls),
    {"0Q0 01110 0z 1 mmmmm 11010 1 nnnnn ddddd", kFloats<HostMap3<kAdd, kHostAdd, true>>, FpOp::kFadd},
    {"0Q0 01110 1z 1 mmmmm 11010 1 nnnnn ddddd", kFloats<HostMap3<kSub, kHostSub, true>>, FpOp::kFsub},
    THREE_BOTH("0", "0", "11011", kMulx, kNone),
    THREE_BOTH("0", "0", "11100", kEq, kFcmeq),
    THREE("0", "0", "11110", kMax, kFmax),
    THREE("0", "1", "11110", kMin, kFmin),
    THREE_BOTH("0", "0", "11111", kRecps, kFrecps),
    THREE_BOTH("0", "1", "11111", kRsqrts, kFrsqrts),
    PAIR("0", "11000", kMaxnm, kFmaxnmp),
    PAIR("1", "11000", kMinnm, kFminnmp),
    PAIR("0", "11010", kAdd, kFaddp),
    THREE_BOTH("1", "1", "11010", kAbd, kFabd),
    {"0Q1 01110 0z 1 mmmmm 11011 1 nnnnn ddddd", kFloats<HostMap3<kMul, kHostMul, false>>, FpOp::kFmul},
    THREE_BOTH("1", "0", "11100", kGe, kFcmge),
    THREE_BOTH("1", "1", "11100", kGt, kFcmgt),
    THREE_BOTH("1", "0", "11101", kAcge, kFacge),
    THREE_BOTH("1", "1", "11101", kAcgt, kFacgt),
    PAIR("0", "11110", kMax, kFmaxp),
    PAIR("1", "11110", kMin, kFminp),
    {"0Q1 01110 0z 1 mmmmm 11111 1 nnnnn ddddd", kFloats<HostMap3<kDiv, kHostDiv, false>>, FpOp::kFdiv},

// Two-register miscellaneous.
#define TWO(u, a, opcode, F, op)                                                             \
    {"0Q" u "01110" a "z 10000" opcode "10 nnnnn ddddd", kFloats<Map2<F>>, FpOp::op}
#define TWO_SCALAR(u, a, opcode, F, op)                                                      \
    {"01" u "11110" a "z 10000" opcode "10 nnnnn ddddd", kFloats<Map2<F, kScalar>>, FpOp::op}
#define TWO_BOTH(u, a, opcode, F, op) TWO(u, a, opcode, F, op), TWO_SCALAR(u, a, opcode, F, op)
    TWO_BOTH("0", "1", "01100", kGt0, kFcmgtZero),
    TWO_BOTH("0", "1", "01101", kEq0, kFcmeqZero),
    TWO_BOTH("0", "1", "01110", kLt0, kFcmltZero),
    TWO_BOTH("1", "1", "01100", kGe0, kFcmgeZero),
    TWO_BOTH("1", "1", "01101", kLe0, kFcmleZero),
    TWO("0", "1", "01111", kAbs, kFabs),
    TWO("1", "1", "01111", kNeg, kFneg),
    TWO("1", "1", "11111", kSqrt, kFsqrt),
    TWO("0", "0", "11000", kRint<R::kNearest>, kFrintn),
    TWO("0", "0", "11001", kRint<R::kDown>, kFrintm),
    TWO("0", "1", "11000", kRint<R::kUp>, kFrintp),
    TWO("0", "1", "11001", kRint<R::kZero>, kFrintz),
    TWO("1", "0", "11000", kRint<R::kAway>, kFrinta),
    TWO("1", "0", "11001", kRintFpcr<true>, kFrintx),
    TWO("1", "1", "11001", kRintFpcr<false>, kFrinti),
#define TO_INT(a, opcode, rounding, op)                                                      \
    TWO_BOTH("0", a, opcode, (kToInt<rounding, false>), op##s),                                 \
    TWO_BOTH("1", a, opcode, (kToInt<rounding, true>), op##u)
    TO_INT("0", "11010", R::kNearest, kFcvtn),
    TO_INT("0", "11011", R::kDown, kFcvtm),
    TO_INT("0", "11100", R::kAway, kFcvta),
    TO_INT("1", "11010", R::kUp, kFcvtp),
    TO_INT("1", "11011", R::kZero, kFcvtz),
    TWO_BOTH("0", "0", "11101", kFromInt<false>, kScvtf),
    TWO_BOTH("1", "0", "11101", kFromInt<true>, kUcvtf),
    TWO_BOTH("0", "1", "11101", kRecpe, kFrecpe),
    TWO_BOTH("1", "1", "11101", kRsqrte, kFrsqrte),
    TWO_SCALAR("0", "1", "11111", kRecpx, kNone),
    {"0q0 01110 00 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u32, false, kVector>, u16>, FpOp::kFcvtnHalf},
    {"0q0 01110 01 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u64, false, kVector>, u32>, FpOp::kFcvtn},
    {"0q1 01110 01 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u64, true, kVector>, u32>},
    {"011 11110 01 10000 10110 10 nnnnn ddddd", kOver<ConvertNarrow<u64, true, kScalar>, u32>},
    {"0q0 01110 00 10000 10111 10 nnnnn ddddd", kOver<ConvertLong<u32>, u16>, FpOp::kFcvtlHalf},
    {"0q0 01110 01 10000 10111 10 nnnnn ddddd", kOver<ConvertLong<u64>, u32>, FpOp::kFcvtl},

    // across lanes: 4S only; scalar pairwise
    {"011 01110 00 11000 01100 10 nnnnn ddddd", {Function{across<kMaxnm>, 2}}, FpOp::kFmaxnmv},
    {"011 01110 10 11000 01100 10 nnnnn ddddd", {Function{across<kMinnm>, 2}}, FpOp::kFminnmv},
    {"011 01110 00 11000 01111 10 nnnnn ddddd", {Function{across<kMax>, 2}}, FpOp::kFmaxv},
    {"011 01110 10 11000 01111 10 nnnnn ddddd", {Function{across<kMin>, 2}}, FpOp::kFminv},
    {"011 11110 0z 11000 01100 10 nnnnn ddddd", kFloats<ScalarPair<kMaxnm>>, FpOp::kFmaxnmp},
    {"011 11110 1z 11000 01100 10 nnnnn ddddd", kFloats<ScalarPair<kMinnm>>, FpOp::kFminnmp},
    {"011 11110 0z 11000 01101 10 nnnnn ddddd", kFloats<ScalarPair<kAdd>>, FpOp::kFaddp},
    {"011 11110 0z 11000 01111 10 nnnnn ddddd", kFloats<ScalarPair<kMax>>, FpOp::kFmaxp},
    {"011 11110 1z 11000 01111 10 nnnnn ddddd", kFloats<ScalarPair<kMin>>, FpOp::kFminp},

// By element: double precision has no L bit and no 1D arrangement.
#define ELEMENT(u, opcode, F, op)                                                                  \
    {"0q" u "01111 10 lmmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kVector, kElement>, u32>, FpOp::op}, \
    {"01" u "01111 11 0mmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kVector, kElement>, u64>, FpOp::op}, \
    {"01" u "11111 10 lmmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kScalar, kElement>, u32>, FpOp::op}, \
    {"01" u "11111 11 0mmmmm" opcode "H 0 nnnnn ddddd", kOver<Map3<F, kScalar, kElement>, u64>, FpOp::op}
    ELEMENT("0", "0001", kMla, kFmla),
    ELEMENT("0", "0101", kMls, kFmls),
    ELEMENT("0", "1001", kMul, kFmul),
    ELEMENT("1", "1001", kMulx, kNone),

#define FIXED(u, opcode, is_unsigned, to_fixed, op)                                                \
    {"0Q" u "011110 hhhh bbb" opcode "1 nnnnn ddddd",                                          \
     kOver<FixedPoint<is_unsigned, to_fixed, kVector>, void, void, u32, u64>, FpOp::op},                 \
    {"01" u "111110 hhhh bbb" opcode "1 nnnnn ddddd",                                          \
     kOver<FixedPoint<is_unsigned, to_fixed, kScalar>, void, void, u32, u64>, FpOp::op}
    FIXED("0", "11100", false, false, kScvtfFixed),
    FIXED("1", "11100", true, false, kUcvtfFixed),
    FIXED("0", "11111", false, true, kFcvtzsFixed),
    FIXED("1", "11111", true, true, kFcvtzuFixed),
};
// clang-format on

}  // namespace

std::span<const Row> simd_fp_rows() { return kRows; }

}  // namespace trapline::soft::fp
