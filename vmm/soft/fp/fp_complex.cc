// Dot products (FEAT_DotProd) and complex numbers (FEAT_FCMA), whose real part is the even element.
#include "vmm/soft/fp/fp_arith.h"

namespace trapline::soft::fp {
namespace {

// SDOT, UDOT: four products of bytes are added to each 32-bit element. T: u8 or s8.
template <Src kSrc>
struct Dot {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const auto n = lanes<T>(cpu, rn(w));
    const auto m = std::bit_cast<Lanes<T>>(operand2<kSrc, u32>(cpu, w));
    auto d = lanes<u32>(cpu, rd(w));
    for (unsigned i = 0; i < 16; ++i) d[i / 4] += static_cast<u32>(n[i] * m[i]);
    put<kVector>(cpu, w, d);
  }
};

struct AddRotated {  // FCADD: Vm is turned by 90 or 270 degrees
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    const auto n = lanes<U>(cpu, rn(w)), m = lanes<U>(cpu, rm(w));
    const bool by_270 = bits(w, 12, 1) != 0;
    Lanes<U> r{};
    for (unsigned i = 0; i < active_lanes<kVector, U>(w); i += 2) {
      r[i] = fp_add(cpu, n[i], by_270 ? m[i + 1] : fp_neg(m[i + 1]));
      r[i + 1] = fp_add(cpu, n[i + 1], by_270 ? fp_neg(m[i]) : m[i]);
    }
    put<kVector>(cpu, w, r);
  }
};

// FCMLA: half of a complex multiply-add; `rotation` counts 90 degrees.
template <class U>
void multiply_add_rotated(Cpu& cpu, uint32_t w, const Lanes<U>& m, unsigned rotation) {
  const auto n = lanes<U>(cpu, rn(w)), d = lanes<U>(cpu, rd(w));
  const bool odd = (rotation & 1) != 0, upper = (rotation & 2) != 0;
  Lanes<U> r{};
  for (unsigned i = 0; i < active_lanes<kVector, U>(w); i += 2) {
    const U factor = n[i + odd];
    const U real = m[i + odd], imaginary = m[i + !odd];
    r[i] = fp_muladd(cpu, d[i], factor, odd != upper ? fp_neg(real) : real);
    r[i + 1] = fp_muladd(cpu, d[i + 1], factor, upper ? fp_neg(imaginary) : imaginary);
  }
  put<kVector>(cpu, w, r);
}
struct MultiplyAddRotated {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    multiply_add_rotated<U>(cpu, w, lanes<U>(cpu, rm(w)), bits(w, 11, 2));
  }
};
// By element: a pair of single-precision numbers, chosen by H.
void multiply_add_rotated_element(Cpu& cpu, uint32_t w) {
  const u64 pair = bits(w, 11, 1) != 0 ? cpu.v[rm(w)].hi : cpu.v[rm(w)].lo;
  multiply_add_rotated<u32>(cpu, w, std::bit_cast<Lanes<u32>>(Vreg{pair, pair}), bits(w, 13, 2));
}

// clang-format off
constexpr Row kRows[] = {
    {"0q0 01110 10 0 mmmmm 10010 1 nnnnn ddddd", kOver<Dot<kReg>, s8>, FpOp::kSdot},
    {"0q1 01110 10 0 mmmmm 10010 1 nnnnn ddddd", kOver<Dot<kReg>, u8>, FpOp::kUdot},
    {"0q0 01111 10 lmmmmm 1110 H 0 nnnnn ddddd", kOver<Dot<kElement>, s8>, FpOp::kSdot},
    {"0q1 01111 10 lmmmmm 1110 H 0 nnnnn ddddd", kOver<Dot<kElement>, u8>, FpOp::kUdot},
    {"0Q1 01110 1z 0 mmmmm 111 r 0 1 nnnnn ddddd", kFloats<AddRotated>},
    {"0Q1 01110 1z 0 mmmmm 110 rr 1 nnnnn ddddd", kFloats<MultiplyAddRotated>},
    {"011 01111 10 0mmmmm 0 rr 1 H 0 nnnnn ddddd", {multiply_add_rotated_element}},
};
// clang-format on

}  // namespace

std::span<const Row> complex_rows() { return kRows; }

}  // namespace trapline::soft::fp
