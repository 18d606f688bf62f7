// Advanced SIMD integer arithmetic of equal-sized lanes: three registers same (vector, scalar and
// by element), FEAT_RDM.
#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {
namespace {

// Arithmetic that must not overflow in `int` or a signed type is done in these.
template <class T>
using Modular = std::conditional_t<sizeof(T) == 8, u64, u32>;
template <class T>
using Bigger = std::conditional_t<sizeof(T) == 8, s128, s64>;

constexpr auto kAdd = []<class T>(T a, T b) -> T { return T(Modular<T>(a) + Modular<T>(b)); };
constexpr auto kSub = []<class T>(T a, T b) -> T { return T(Modular<T>(a) - Modular<T>(b)); };
constexpr auto kMul = []<class T>(T a, T b) -> T { return T(Modular<T>(a) * Modular<T>(b)); };
constexpr auto kMla = []<class T>(T d, T a, T b) -> T {
  return T(Modular<T>(d) + Modular<T>(a) * Modular<T>(b));
};
constexpr auto kMls = []<class T>(T d, T a, T b) -> T {
  return T(Modular<T>(d) - Modular<T>(a) * Modular<T>(b));
};
constexpr auto kHadd = []<class T>(T a, T b) -> T { return T((s64{a} + s64{b}) >> 1); };
constexpr auto kRhadd = []<class T>(T a, T b) -> T { return T((s64{a} + s64{b} + 1) >> 1); };
constexpr auto kHsub = []<class T>(T a, T b) -> T { return T((s64{a} - s64{b}) >> 1); };
constexpr auto kMax = []<class T>(T a, T b) -> T { return a > b ? a : b; };
constexpr auto kMin = []<class T>(T a, T b) -> T { return a < b ? a : b; };
constexpr auto kAbd = []<class T>(T a, T b) -> T {
  return T(a > b ? Modular<T>(a) - Modular<T>(b) : Modular<T>(b) - Modular<T>(a));
};
constexpr auto kAba = []<class T>(T d, T a, T b) -> T {
  return T(Modular<T>(d) + (a > b ? Modular<T>(a) - Modular<T>(b) : Modular<T>(b) - Modular<T>(a)));
};
constexpr auto kGt = []<class T>(T a, T b) -> T { return a > b ? T(-1) : T(0); };
constexpr auto kGe = []<class T>(T a, T b) -> T { return a >= b ? T(-1) : T(0); };
constexpr auto kEq = []<class T>(T a, T b) -> T { return a == b ? T(-1) : T(0); };
constexpr auto kTst = []<class T>(T a, T b) -> T { return (a & b) ? T(-1) : T(0); };
constexpr auto kAnd = [](u64 a, u64 b) -> u64 { return a & b; };
constexpr auto kBic = [](u64 a, u64 b) -> u64 { return a & ~b; };
constexpr auto kOrr = [](u64 a, u64 b) -> u64 { return a | b; };
constexpr auto kOrn = [](u64 a, u64 b) -> u64 { return a | ~b; };
constexpr auto kEor = [](u64 a, u64 b) -> u64 { return a ^ b; };
constexpr auto kBsl = [](u64 d, u64 a, u64 b) -> u64 { return b ^ ((b ^ a) & d); };
constexpr auto kBit = [](u64 d, u64 a, u64 b) -> u64 { return d ^ ((d ^ a) & b); };
constexpr auto kBif = [](u64 d, u64 a, u64 b) -> u64 { return d ^ ((d ^ a) & ~b); };
constexpr auto kSatAdd = []<class T>(Cpu& c, T a, T b) -> T { return add_sat(c, a, b); };
constexpr auto kSatSub = []<class T>(Cpu& c, T a, T b) -> T { return sub_sat(c, a, b); };

// SSHL and its family: the shift is the signed low byte of the second operand.
template <bool kRounding>
constexpr auto kShl = []<class T>(T a, T b) -> T {
  const int shift = static_cast<s8>(b);
  if (shift >= 0) return shift >= int{kBits<T>} ? T(0) : T(Modular<T>(a) << shift);
  return kRounding ? shr_round(a, -shift) : shr(a, -shift);
};
template <bool kRounding>
constexpr auto kSatShl = []<class T>(Cpu& c, T a, T b) -> T {
  const int shift = static_cast<s8>(b);
  if (shift < 0) return kRounding ? shr_round(a, -shift) : shr(a, -shift);
  if (a == 0) return 0;
  if (shift >= int{kBits<T>}) return saturated<T>(c, a < 0);
  const T r = T(Modular<T>(a) << shift);
  return T(r >> shift) == a ? r : saturated<T>(c, a < 0);
};

// SQDMULH, SQRDMULH: the doubled product's high half; only min * min saturates.
template <bool kRounding>
constexpr auto kDmulh = []<class T>(Cpu& c, T a, T b) -> T {
  constexpr unsigned kShift = kBits<T> - 1;
  const s64 round = kRounding ? s64{1} << (kShift - 1) : 0;
  return saturate<T>(c, (s64{a} * b + round) >> kShift);
};
// SQRDMLAH, SQRDMLSH (FEAT_RDM): the accumulator enters at full precision before the rounding.
template <bool kSubtract>
constexpr auto kRdmla = []<class T>(Cpu& c, T d, T a, T b) -> T {
  constexpr unsigned kShift = kBits<T> - 1;
  const Bigger<s64> product = Bigger<s64>{a} * b;
  const Bigger<s64> sum = (Bigger<s64>{d} << kShift) + (kSubtract ? -product : product) +
                          (Bigger<s64>{1} << (kShift - 1));
  return saturate<T>(c, sum >> kShift);
};

constexpr auto kPmul = [](u8 a, u8 b) -> u8 {
  unsigned r = 0;
  for (unsigned i = 0; i < 8; ++i) r ^= (b >> i & 1) ? unsigned{a} << i : 0;
  return static_cast<u8>(r);
};

template <class H>
constexpr auto kBytes = kOver<H, u8>;
template <class H>
constexpr auto kWhole = kOver<H, u64>;

// clang-format off
constexpr Row kRows[] = {
    // three same, U=0
    {"0q0 01110 zz 1 mmmmm 00000 1 nnnnn ddddd", kSignedBhs<Map3<kHadd>>, FpOp::kShadd},
    {"0Q0 01110 zz 1 mmmmm 00001 1 nnnnn ddddd", kSignedBhsd<Map3<kSatAdd>>, FpOp::kSqadd},
    {"0q0 01110 zz 1 mmmmm 00010 1 nnnnn ddddd", kSignedBhs<Map3<kRhadd>>, FpOp::kSrhadd},
    {"0q0 01110 00 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kAnd>>, FpOp::kAnd},
    {"0q0 01110 01 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kBic>>, FpOp::kBic},
    {"0q0 01110 10 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kOrr>>, FpOp::kOrr},
    {"0q0 01110 11 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kOrn>>, FpOp::kOrn},
    {"0q0 01110 zz 1 mmmmm 00100 1 nnnnn ddddd", kSignedBhs<Map3<kHsub>>, FpOp::kShsub},
    {"0Q0 01110 zz 1 mmmmm 00101 1 nnnnn ddddd", kSignedBhsd<Map3<kSatSub>>, FpOp::kSqsub},
    {"0Q0 01110 zz 1 mmmmm 00110 1 nnnnn ddddd", kSignedBhsd<Map3<kGt>>, FpOp::kCmgt},
    {"0Q0 01110 zz 1 mmmmm 00111 1 nnnnn ddddd", kSignedBhsd<Map3<kGe>>, FpOp::kCmge},
    {"0Q0 01110 zz 1 mmmmm 01000 1 nnnnn ddddd", kSignedBhsd<Map3<kShl<false>>>, FpOp::kSshl},
    {"0Q0 01110 zz 1 mmmmm 01001 1 nnnnn ddddd", kSignedBhsd<Map3<kSatShl<false>>>, FpOp::kSqshl},
    {"0Q0 01110 zz 1 mmmmm 01010 1 nnnnn ddddd", kSignedBhsd<Map3<kShl<true>>>, FpOp::kSrshl},
    {"0Q0 01110 zz 1 mmmmm 01011 1 nnnnn ddddd", kSignedBhsd<Map3<kSatShl<true>>>, FpOp::kSqrshl},
    {"0q0 01110 zz 1 mmmmm 01100 1 nnnnn ddddd", kSignedBhs<Map3<kMax>>, FpOp::kSmax},
    {"0q0 01110 zz 1 mmmmm 01101 1 nnnnn ddddd", kSignedBhs<Map3<kMin>>, FpOp::kSmin},
    {"0q0 01110 zz 1 mmmmm 01110 1 nnnnn ddddd", kSignedBhs<Map3<kAbd>>, FpOp::kSabd},
    {"0q0 01110 zz 1 mmmmm 01111 1 nnnnn ddddd", kSignedBhs<Map3<kAba>>, FpOp::kSaba},
    {"0Q0 01110 zz 1 mmmmm 10000 1 nnnnn ddddd", kUnsignedBhsd<Map3<kAdd>>, FpOp::kAdd},
    {"0Q0 01110 zz 1 mmmmm 10001 1 nnnnn ddddd", kUnsignedBhsd<Map3<kTst>>, FpOp::kCmtst},
    {"0q0 01110 zz 1 mmmmm 10010 1 nnnnn ddddd", kUnsignedBhs<Map3<kMla>>, FpOp::kMla},
    {"0q0 01110 zz 1 mmmmm 10011 1 nnnnn ddddd", kUnsignedBhs<Map3<kMul>>, FpOp::kMul},
    {"0q0 01110 zz 1 mmmmm 10100 1 nnnnn ddddd", kSignedBhs<Pairwise<kMax>>, FpOp::kSmaxp},
    {"0q0 01110 zz 1 mmmmm 10101 1 nnnnn ddddd", kSignedBhs<Pairwise<kMin>>, FpOp::kSminp},
    {"0q0 01110 zz 1 mmmmm 10110 1 nnnnn ddddd", kSignedHs<Map3<kDmulh<false>>>, FpOp::kSqdmulh},
    {"0Q0 01110 zz 1 mmmmm 10111 1 nnnnn ddddd", kUnsignedBhsd<Pairwise<kAdd>>, FpOp::kAddp},
    // three same, U=1
    {"0q1 01110 zz 1 mmmmm 00000 1 nnnnn ddddd", kUnsignedBhs<Map3<kHadd>>, FpOp::kUhadd},
    {"0Q1 01110 zz 1 mmmmm 00001 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatAdd>>, FpOp::kUqadd},
    {"0q1 01110 zz 1 mmmmm 00010 1 nnnnn ddddd", kUnsignedBhs<Map3<kRhadd>>, FpOp::kUrhadd},
    {"0q1 01110 00 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kEor>>, FpOp::kEor},
    {"0q1 01110 01 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kBsl>>, FpOp::kBsl},
    {"0q1 01110 10 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kBit>>, FpOp::kBit},
    {"0q1 01110 11 1 mmmmm 00011 1 nnnnn ddddd", kWhole<Map3<kBif>>, FpOp::kBif},
    {"0q1 01110 zz 1 mmmmm 00100 1 nnnnn ddddd", kUnsignedBhs<Map3<kHsub>>, FpOp::kUhsub},
    {"0Q1 01110 zz 1 mmmmm 00101 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatSub>>, FpOp::kUqsub},
    {"0Q1 01110 zz 1 mmmmm 00110 1 nnnnn ddddd", kUnsignedBhsd<Map3<kGt>>, FpOp::kCmhi},
    {"0Q1 01110 zz 1 mmmmm 00111 1 nnnnn ddddd", kUnsignedBhsd<Map3<kGe>>, FpOp::kCmhs},
    {"0Q1 01110 zz 1 mmmmm 01000 1 nnnnn ddddd", kUnsignedBhsd<Map3<kShl<false>>>, FpOp::kUshl},
    {"0Q1 01110 zz 1 mmmmm 01001 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatShl<false>>>, FpOp::kUqshl},
    {"0Q1 01110 zz 1 mmmmm 01010 1 nnnnn ddddd", kUnsignedBhsd<Map3<kShl<true>>>, FpOp::kUrshl},
    {"0Q1 01110 zz 1 mmmmm 01011 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatShl<true>>>, FpOp::kUqrshl},
    {"0q1 01110 zz 1 mmmmm 01100 1 nnnnn ddddd", kUnsignedBhs<Map3<kMax>>, FpOp::kUmax},
    {"0q1 01110 zz 1 mmmmm 01101 1 nnnnn ddddd", kUnsignedBhs<Map3<kMin>>, FpOp::kUmin},
    {"0q1 01110 zz 1 mmmmm 01110 1 nnnnn ddddd", kUnsignedBhs<Map3<kAbd>>, FpOp::kUabd},
    {"0q1 01110 zz 1 mmmmm 01111 1 nnnnn ddddd", kUnsignedBhs<Map3<kAba>>, FpOp::kUaba},
    {"0Q1 01110 zz 1 mmmmm 10000 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSub>>, FpOp::kSub},
    {"0Q1 01110 zz 1 mmmmm 10001 1 nnnnn ddddd", kUnsignedBhsd<Map3<kEq>>, FpOp::kCmeq},
    {"0q1 01110 zz 1 mmmmm 10010 1 nnnnn ddddd", kUnsignedBhs<Map3<kMls>>, FpOp::kMls},
    {"0q1 01110 zz 1 mmmmm 10011 1 nnnnn ddddd", kBytes<Map3<kPmul>>},
    {"0q1 01110 zz 1 mmmmm 10100 1 nnnnn ddddd", kUnsignedBhs<Pairwise<kMax>>, FpOp::kUmaxp},
    {"0q1 01110 zz 1 mmmmm 10101 1 nnnnn ddddd", kUnsignedBhs<Pairwise<kMin>>, FpOp::kUminp},
    {"0q1 01110 zz 1 mmmmm 10110 1 nnnnn ddddd", kSignedHs<Map3<kDmulh<true>>>, FpOp::kSqrdmulh},
    // three same extra (FEAT_RDM)
    {"0q1 01110 zz 0 mmmmm 10000 1 nnnnn ddddd", kSignedHs<Map3<kRdmla<false>>>},
    {"0q1 01110 zz 0 mmmmm 10001 1 nnnnn ddddd", kSignedHs<Map3<kRdmla<true>>>},
    // scalar three same
    {"010 11110 zz 1 mmmmm 00001 1 nnnnn ddddd", kSignedBhsd<Map3<kSatAdd, kScalar>>, FpOp::kSqadd},
    {"010 11110 zz 1 mmmmm 00101 1 nnnnn ddddd", kSignedBhsd<Map3<kSatSub, kScalar>>, FpOp::kSqsub},
    {"010 11110 zz 1 mmmmm 00110 1 nnnnn ddddd", kSignedD<Map3<kGt, kScalar>>, FpOp::kCmgt},
    {"010 11110 zz 1 mmmmm 00111 1 nnnnn ddddd", kSignedD<Map3<kGe, kScalar>>, FpOp::kCmge},
    {"010 11110 zz 1 mmmmm 01000 1 nnnnn ddddd", kSignedD<Map3<kShl<false>, kScalar>>, FpOp::kSshl},
    {"010 11110 zz 1 mmmmm 01001 1 nnnnn ddddd", kSignedBhsd<Map3<kSatShl<false>, kScalar>>, FpOp::kSqshl},
    {"010 11110 zz 1 mmmmm 01010 1 nnnnn ddddd", kSignedD<Map3<kShl<true>, kScalar>>, FpOp::kSrshl},
    {"010 11110 zz 1 mmmmm 01011 1 nnnnn ddddd", kSignedBhsd<Map3<kSatShl<true>, kScalar>>, FpOp::kSqrshl},
    {"010 11110 zz 1 mmmmm 10000 1 nnnnn ddddd", kUnsignedD<Map3<kAdd, kScalar>>, FpOp::kAdd},
    {"010 11110 zz 1 mmmmm 10001 1 nnnnn ddddd", kUnsignedD<Map3<kTst, kScalar>>, FpOp::kCmtst},
    {"010 11110 zz 1 mmmmm 10110 1 nnnnn ddddd", kSignedHs<Map3<kDmulh<false>, kScalar>>, FpOp::kSqdmulh},
    {"011 11110 zz 1 mmmmm 00001 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatAdd, kScalar>>, FpOp::kUqadd},
    {"011 11110 zz 1 mmmmm 00101 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatSub, kScalar>>, FpOp::kUqsub},
    {"011 11110 zz 1 mmmmm 00110 1 nnnnn ddddd", kUnsignedD<Map3<kGt, kScalar>>, FpOp::kCmhi},
    {"011 11110 zz 1 mmmmm 00111 1 nnnnn ddddd", kUnsignedD<Map3<kGe, kScalar>>, FpOp::kCmhs},
    {"011 11110 zz 1 mmmmm 01000 1 nnnnn ddddd", kUnsignedD<Map3<kShl<false>, kScalar>>, FpOp::kUshl},
    {"011 11110 zz 1 mmmmm 01001 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatShl<false>, kScalar>>, FpOp::kUqshl},
    {"011 11110 zz 1 mmmmm 01010 1 nnnnn ddddd", kUnsignedD<Map3<kShl<true>, kScalar>>, FpOp::kUrshl},
    {"011 11110 zz 1 mmmmm 01011 1 nnnnn ddddd", kUnsignedBhsd<Map3<kSatShl<true>, kScalar>>, FpOp::kUqrshl},
    {"011 11110 zz 1 mmmmm 10000 1 nnnnn ddddd", kUnsignedD<Map3<kSub, kScalar>>, FpOp::kSub},
    {"011 11110 zz 1 mmmmm 10001 1 nnnnn ddddd", kUnsignedD<Map3<kEq, kScalar>>, FpOp::kCmeq},
    {"011 11110 zz 1 mmmmm 10110 1 nnnnn ddddd", kSignedHs<Map3<kDmulh<true>, kScalar>>, FpOp::kSqrdmulh},
    {"011 11110 zz 0 mmmmm 10000 1 nnnnn ddddd", kSignedHs<Map3<kRdmla<false>, kScalar>>},
    {"011 11110 zz 0 mmmmm 10001 1 nnnnn ddddd", kSignedHs<Map3<kRdmla<true>, kScalar>>},
    // by element
    {"0q0 01111 zz lmmmmm 1000 H 0 nnnnn ddddd", kUnsignedHs<Map3<kMul, kVector, kElement>>, FpOp::kMul},
    {"0q1 01111 zz lmmmmm 0000 H 0 nnnnn ddddd", kUnsignedHs<Map3<kMla, kVector, kElement>>, FpOp::kMla},
    {"0q1 01111 zz lmmmmm 0100 H 0 nnnnn ddddd", kUnsignedHs<Map3<kMls, kVector, kElement>>, FpOp::kMls},
    {"0q0 01111 zz lmmmmm 1100 H 0 nnnnn ddddd", kSignedHs<Map3<kDmulh<false>, kVector, kElement>>, FpOp::kSqdmulh},
    {"0q0 01111 zz lmmmmm 1101 H 0 nnnnn ddddd", kSignedHs<Map3<kDmulh<true>, kVector, kElement>>, FpOp::kSqrdmulh},
    {"0q1 01111 zz lmmmmm 1101 H 0 nnnnn ddddd", kSignedHs<Map3<kRdmla<false>, kVector, kElement>>},
    {"0q1 01111 zz lmmmmm 1111 H 0 nnnnn ddddd", kSignedHs<Map3<kRdmla<true>, kVector, kElement>>},
    {"010 11111 zz lmmmmm 1100 H 0 nnnnn ddddd", kSignedHs<Map3<kDmulh<false>, kScalar, kElement>>, FpOp::kSqdmulh},
    {"010 11111 zz lmmmmm 1101 H 0 nnnnn ddddd", kSignedHs<Map3<kDmulh<true>, kScalar, kElement>>, FpOp::kSqrdmulh},
    {"011 11111 zz lmmmmm 1101 H 0 nnnnn ddddd", kSignedHs<Map3<kRdmla<false>, kScalar, kElement>>},
    {"011 11111 zz lmmmmm 1111 H 0 nnnnn ddddd", kSignedHs<Map3<kRdmla<true>, kScalar, kElement>>},
};
// clang-format on

}  // namespace

std::span<const Row> simd_int_rows() { return kRows; }

}  // namespace trapline::soft::fp
