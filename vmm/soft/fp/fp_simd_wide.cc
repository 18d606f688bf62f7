// Advanced SIMD three different: widening ("long", "wide") and narrowing ("high narrow")
// arithmetic, also by element and scalar.
#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {
namespace {

// W is the wide element type; overflow wraps.
template <class W>
constexpr W wrap_add(W a, W b) {
  return static_cast<W>(static_cast<u64>(a) + static_cast<u64>(b));
}
template <class W>
constexpr W wrap_sub(W a, W b) {
  return static_cast<W>(static_cast<u64>(a) - static_cast<u64>(b));
}
constexpr auto kAdd = []<class W>(W a, W b) -> W { return wrap_add(a, b); };
constexpr auto kSub = []<class W>(W a, W b) -> W { return wrap_sub(a, b); };
constexpr auto kMul = []<class W>(W a, W b) -> W {
  return static_cast<W>(static_cast<u64>(a) * static_cast<u64>(b));
};
constexpr auto kAbd = []<class W>(W a, W b) -> W {
  return a > b ? wrap_sub(a, b) : wrap_sub(b, a);
};
constexpr auto kAba = []<class W>(W d, W a, W b) -> W { return wrap_add(d, kAbd(a, b)); };
constexpr auto kMla = []<class W>(W d, W a, W b) -> W { return wrap_add(d, kMul(a, b)); };
constexpr auto kMls = []<class W>(W d, W a, W b) -> W { return wrap_sub(d, kMul(a, b)); };
// The doubled product of two narrow values saturates for min * min only.
constexpr auto kDmull = []<class W>(Cpu& c, W a, W b) -> W {
  const W product = static_cast<W>(a * b);
  return add_sat(c, product, product);
};
constexpr auto kDmlal = []<class W>(Cpu& c, W d, W a, W b) -> W {
  return add_sat(c, d, kDmull(c, a, b));
};
constexpr auto kDmlsl = []<class W>(Cpu& c, W d, W a, W b) -> W {
  return sub_sat(c, d, kDmull(c, a, b));
};
constexpr auto kPmull = [](u16 a, u16 b) -> u16 {
  unsigned r = 0;
  for (unsigned i = 0; i < 8; ++i) r ^= (b >> i & 1) ? unsigned{a} << i : 0;
  return static_cast<u16>(r);
};

// Vd.W = F(Vn.T, Vm.T) on the lower halves, or with Q ("2") the upper ones.
template <auto F, Shape S = kVector, Src kSrc = kReg>
struct Long {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    using W = Wide<T>;
    const auto a = lanes<T>(cpu, rn(w));
    const auto b = operand2<kSrc, T>(cpu, w);
    const auto d = lanes<W>(cpu, rd(w));
    Lanes<W> r{};
    constexpr unsigned kCount = S == kScalar ? 1 : Lanes<W>::kCount;
    const unsigned half = S == kVector && q_bit(w) ? Lanes<W>::kCount : 0;
    for (unsigned i = 0; i < kCount; ++i) {
      const W x = a[half + i], y = b[half + i];
      if constexpr (std::is_invocable_v<decltype(F), W, W>) {
        r[i] = F(x, y);
      } else if constexpr (std::is_invocable_v<decltype(F), W, W, W>) {
        r[i] = F(d[i], x, y);
      } else if constexpr (std::is_invocable_v<decltype(F), Cpu&, W, W>) {
        r[i] = F(cpu, x, y);
      } else {
        r[i] = F(cpu, d[i], x, y);
      }
    }
    cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
  }
};
// Vd.W = F(Vn.W, Vm.T).
template <auto F>
struct WithWide {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    using W = Wide<T>;
    const auto a = lanes<W>(cpu, rn(w));
    const auto b = lanes<T>(cpu, rm(w));
    Lanes<W> r;
    const unsigned half = q_bit(w) ? r.kCount : 0;
    for (unsigned i = 0; i < r.kCount; ++i) r[i] = F(a[i], W{b[half + i]});
    cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
  }
};
// ADDHN, RADDHN, SUBHN, RSUBHN: the high half of each sum or difference.
template <auto F, bool kRounding>
struct HighNarrow {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    using W = Wide<T>;
    const auto a = lanes<W>(cpu, rn(w)), b = lanes<W>(cpu, rm(w));
    Lanes<T> r{};
    for (unsigned i = 0; i < a.kCount; ++i) {
      const W value = wrap_add(F(a[i], b[i]), static_cast<W>(u64{kRounding} << (kBits<T> - 1)));
      r[i] = static_cast<T>(value >> kBits<T>);
    }
    put_narrow<kVector>(cpu, w, r);
  }
};

template <auto F>
using LongElement = Long<F, kVector, kElement>;

// clang-format off
constexpr Row kRows[] = {
    // three different, U=0
    {"0q0 01110 zz 1 mmmmm 0000 00 nnnnn ddddd", kSignedBhs<Long<kAdd>>, FpOp::kSaddl},
    {"0q0 01110 zz 1 mmmmm 0001 00 nnnnn ddddd", kSignedBhs<WithWide<kAdd>>, FpOp::kSaddw},
    {"0q0 01110 zz 1 mmmmm 0010 00 nnnnn ddddd", kSignedBhs<Long<kSub>>, FpOp::kSsubl},
    {"0q0 01110 zz 1 mmmmm 0011 00 nnnnn ddddd", kSignedBhs<WithWide<kSub>>, FpOp::kSsubw},
    {"0q0 01110 zz 1 mmmmm 0100 00 nnnnn ddddd", kUnsignedBhs<HighNarrow<kAdd, false>>, FpOp::kAddhn},
    {"0q0 01110 zz 1 mmmmm 0101 00 nnnnn ddddd", kSignedBhs<Long<kAba>>, FpOp::kSabal},
    {"0q0 01110 zz 1 mmmmm 0110 00 nnnnn ddddd", kUnsignedBhs<HighNarrow<kSub, false>>, FpOp::kSubhn},
    {"0q0 01110 zz 1 mmmmm 0111 00 nnnnn ddddd", kSignedBhs<Long<kAbd>>, FpOp::kSabdl},
    {"0q0 01110 zz 1 mmmmm 1000 00 nnnnn ddddd", kSignedBhs<Long<kMla>>, FpOp::kSmlal},
    {"0q0 01110 zz 1 mmmmm 1001 00 nnnnn ddddd", kSignedHs<Long<kDmlal>>, FpOp::kSqdmlal},
    {"0q0 01110 zz 1 mmmmm 1010 00 nnnnn ddddd", kSignedBhs<Long<kMls>>, FpOp::kSmlsl},
    {"0q0 01110 zz 1 mmmmm 1011 00 nnnnn ddddd", kSignedHs<Long<kDmlsl>>, FpOp::kSqdmlsl},
    {"0q0 01110 zz 1 mmmmm 1100 00 nnnnn ddddd", kSignedBhs<Long<kMul>>, FpOp::kSmull},
    {"0q0 01110 zz 1 mmmmm 1101 00 nnnnn ddddd", kSignedHs<Long<kDmull>>, FpOp::kSqdmull},
    {"0q0 01110 zz 1 mmmmm 1110 00 nnnnn ddddd", kOver<Long<kPmull>, u8>},
    // U=1
    {"0q1 01110 zz 1 mmmmm 0000 00 nnnnn ddddd", kUnsignedBhs<Long<kAdd>>, FpOp::kUaddl},
    {"0q1 01110 zz 1 mmmmm 0001 00 nnnnn ddddd", kUnsignedBhs<WithWide<kAdd>>, FpOp::kUaddw},
    {"0q1 01110 zz 1 mmmmm 0010 00 nnnnn ddddd", kUnsignedBhs<Long<kSub>>, FpOp::kUsubl},
    {"0q1 01110 zz 1 mmmmm 0011 00 nnnnn ddddd", kUnsignedBhs<WithWide<kSub>>, FpOp::kUsubw},
    {"0q1 01110 zz 1 mmmmm 0100 00 nnnnn ddddd", kUnsignedBhs<HighNarrow<kAdd, true>>, FpOp::kRaddhn},
    {"0q1 01110 zz 1 mmmmm 0101 00 nnnnn ddddd", kUnsignedBhs<Long<kAba>>, FpOp::kUabal},
    {"0q1 01110 zz 1 mmmmm 0110 00 nnnnn ddddd", kUnsignedBhs<HighNarrow<kSub, true>>, FpOp::kRsubhn},
    {"0q1 01110 zz 1 mmmmm 0111 00 nnnnn ddddd", kUnsignedBhs<Long<kAbd>>, FpOp::kUabdl},
    {"0q1 01110 zz 1 mmmmm 1000 00 nnnnn ddddd", kUnsignedBhs<Long<kMla>>, FpOp::kUmlal},
    {"0q1 01110 zz 1 mmmmm 1010 00 nnnnn ddddd", kUnsignedBhs<Long<kMls>>, FpOp::kUmlsl},
    {"0q1 01110 zz 1 mmmmm 1100 00 nnnnn ddddd", kUnsignedBhs<Long<kMul>>, FpOp::kUmull},
    // scalar three different
    {"010 11110 zz 1 mmmmm 1001 00 nnnnn ddddd", kSignedHs<Long<kDmlal, kScalar>>, FpOp::kSqdmlal},
    {"010 11110 zz 1 mmmmm 1011 00 nnnnn ddddd", kSignedHs<Long<kDmlsl, kScalar>>, FpOp::kSqdmlsl},
    {"010 11110 zz 1 mmmmm 1101 00 nnnnn ddddd", kSignedHs<Long<kDmull, kScalar>>, FpOp::kSqdmull},
    // by element
    {"0q0 01111 zz lmmmmm 0010 H 0 nnnnn ddddd", kSignedHs<LongElement<kMla>>, FpOp::kSmlal},
    {"0q0 01111 zz lmmmmm 0011 H 0 nnnnn ddddd", kSignedHs<LongElement<kDmlal>>, FpOp::kSqdmlal},
    {"0q0 01111 zz lmmmmm 0110 H 0 nnnnn ddddd", kSignedHs<LongElement<kMls>>, FpOp::kSmlsl},
    {"0q0 01111 zz lmmmmm 0111 H 0 nnnnn ddddd", kSignedHs<LongElement<kDmlsl>>, FpOp::kSqdmlsl},
    {"0q0 01111 zz lmmmmm 1010 H 0 nnnnn ddddd", kSignedHs<LongElement<kMul>>, FpOp::kSmull},
    {"0q0 01111 zz lmmmmm 1011 H 0 nnnnn ddddd", kSignedHs<LongElement<kDmull>>, FpOp::kSqdmull},
    {"0q1 01111 zz lmmmmm 0010 H 0 nnnnn ddddd", kUnsignedHs<LongElement<kMla>>, FpOp::kUmlal},
    {"0q1 01111 zz lmmmmm 0110 H 0 nnnnn ddddd", kUnsignedHs<LongElement<kMls>>, FpOp::kUmlsl},
    {"0q1 01111 zz lmmmmm 1010 H 0 nnnnn ddddd", kUnsignedHs<LongElement<kMul>>, FpOp::kUmull},
    {"010 11111 zz lmmmmm 0011 H 0 nnnnn ddddd", kSignedHs<Long<kDmlal, kScalar, kElement>>, FpOp::kSqdmlal},
    {"010 11111 zz lmmmmm 0111 H 0 nnnnn ddddd", kSignedHs<Long<kDmlsl, kScalar, kElement>>, FpOp::kSqdmlsl},
    {"010 11111 zz lmmmmm 1011 H 0 nnnnn ddddd", kSignedHs<Long<kDmull, kScalar, kElement>>, FpOp::kSqdmull},
};
// clang-format on

}  // namespace

std::span<const Row> simd_wide_rows() { return kRows; }

}  // namespace trapline::soft::fp
