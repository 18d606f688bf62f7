// Scalar conversions: FCVT, FRINT*, and between floating point and integers or fixed point in
// general registers.
#include "vmm/soft/fp/fp_arith.h"

namespace trapline::soft::fp {
namespace {

template <class U>
U get(const Cpu& cpu, unsigned reg) {
  return static_cast<U>(cpu.v[reg].lo);
}

template <class To, class From>
void convert(Cpu& cpu, uint32_t w) {
  const To r = fp_convert<To>(cpu, get<From>(cpu, rn(w)), fpcr_rounding(cpu));
  cpu.v[rd(w)] = Vreg{r, 0};
}

// Which rounding an instruction asks for: one of its own, or FPCR's.
enum class Ask : uint8_t { kNearest, kUp, kDown, kZero, kAway, kFpcr };
using enum Ask;
template <Ask kAsk>
Rounding asked(const Cpu& cpu) {
  if constexpr (kAsk == kFpcr) return fpcr_rounding(cpu);
  return static_cast<Rounding>(kAsk);
}
static_assert(static_cast<int>(kAway) == static_cast<int>(Rounding::kAway));

template <Ask kAsk, bool kExact = false>
struct RoundInt {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    const U r = fp_round_int(cpu, get<U>(cpu, rn(w)), asked<kAsk>(cpu), kExact);
    cpu.v[rd(w)] = Vreg{r, 0};
  }
};

// X is the general register's type: u32 or u64, signed for the signed conversions. The fixed-point
// forms have 64 - scale fraction bits.
template <class X, Ask kAsk, bool kFixed = false>
struct ToInt {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    const u64 r = fp_to_fixed(cpu, get<U>(cpu, rn(w)), kFixed ? 64 - bits(w, 10, 6) : 0,
                              std::is_unsigned_v<X>, kBits<X>, asked<kAsk>(cpu));
    cpu.r.x[dest_slot(rd(w))] = static_cast<std::make_unsigned_t<X>>(r);
  }
};
template <class X, bool kFixed = false>
struct FromInt {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    const s64 value = static_cast<s64>(static_cast<X>(cpu.r.x[rn(w)]));
    const U r =
        fp_from_fixed<U>(cpu, value, std::is_unsigned_v<X>, kFixed ? 64 - bits(w, 10, 6) : 0);
    cpu.v[rd(w)] = Vreg{r, 0};
  }
};

// clang-format off
constexpr Row kRows[] = {
    {"00011110 00 1 0001 01 10000 nnnnn ddddd", {convert<u64, u32>}, FpOp::kFcvtToDouble},
    {"00011110 00 1 0001 11 10000 nnnnn ddddd", {convert<u16, u32>}, FpOp::kFcvtSingleToHalf},
    {"00011110 01 1 0001 00 10000 nnnnn ddddd", {convert<u32, u64>}, FpOp::kFcvtToSingle},
    {"00011110 01 1 0001 11 10000 nnnnn ddddd", {convert<u16, u64>}, FpOp::kFcvtDoubleToHalf},
    {"00011110 11 1 0001 00 10000 nnnnn ddddd", {convert<u32, u16>}, FpOp::kFcvtHalfToSingle},
    {"00011110 11 1 0001 01 10000 nnnnn ddddd", {convert<u64, u16>}, FpOp::kFcvtHalfToDouble},
    {"00011110 0z 1 001000 10000 nnnnn ddddd", kFloats<RoundInt<kNearest>>, FpOp::kFrintn},
    {"00011110 0z 1 001001 10000 nnnnn ddddd", kFloats<RoundInt<kUp>>, FpOp::kFrintp},
    {"00011110 0z 1 001010 10000 nnnnn ddddd", kFloats<RoundInt<kDown>>, FpOp::kFrintm},
    {"00011110 0z 1 001011 10000 nnnnn ddddd", kFloats<RoundInt<kZero>>, FpOp::kFrintz},
    {"00011110 0z 1 001100 10000 nnnnn ddddd", kFloats<RoundInt<kAway>>, FpOp::kFrinta},
    {"00011110 0z 1 001110 10000 nnnnn ddddd", kFloats<RoundInt<kFpcr, true>>, FpOp::kFrintx},
    {"00011110 0z 1 001111 10000 nnnnn ddddd", kFloats<RoundInt<kFpcr>>, FpOp::kFrinti},
    // integer: sf, ptype, rmode, opcode
#define BOTH(rmode_opcode, op, S, U, ...)                                                          \
    {"00011110 0z 1 " rmode_opcode " 000000 nnnnn ddddd", kFloats<S<U##32 __VA_ARGS__>>, FpOp::op}, \
    {"10011110 0z 1 " rmode_opcode " 000000 nnnnn ddddd", kFloats<S<U##64 __VA_ARGS__>>, FpOp::op}
    BOTH("00 000", kFcvtns, ToInt, s, , kNearest),
    BOTH("00 001", kFcvtnu, ToInt, u, , kNearest),
    BOTH("00 010", kScvtf, FromInt, s),
    BOTH("00 011", kUcvtf, FromInt, u),
    BOTH("00 100", kFcvtas, ToInt, s, , kAway),
    BOTH("00 101", kFcvtau, ToInt, u, , kAway),
    BOTH("01 000", kFcvtps, ToInt, s, , kUp),
    BOTH("01 001", kFcvtpu, ToInt, u, , kUp),
    BOTH("10 000", kFcvtms, ToInt, s, , kDown),
    BOTH("10 001", kFcvtmu, ToInt, u, , kDown),
    BOTH("11 000", kFcvtzs, ToInt, s, , kZero),
    BOTH("11 001", kFcvtzu, ToInt, u, , kZero),
    // fixed point; with sf = 0, scale<5> = 0 is unallocated
#define BOTH_FIXED(rmode_opcode, op, S, U, ...)                                                    \
    {"00011110 0z 0 " rmode_opcode " 1sssss nnnnn ddddd", kFloats<S<U##32 __VA_ARGS__, true>>, FpOp::op}, \
    {"10011110 0z 0 " rmode_opcode " ssssss nnnnn ddddd", kFloats<S<U##64 __VA_ARGS__, true>>, FpOp::op}
    BOTH_FIXED("00 010", kScvtfFixed, FromInt, s),
    BOTH_FIXED("00 011", kUcvtfFixed, FromInt, u),
    BOTH_FIXED("11 000", kFcvtzsFixed, ToInt, s, , kZero),
    BOTH_FIXED("11 001", kFcvtzuFixed, ToInt, u, , kZero),
};
// clang-format on

}  // namespace

std::span<const Row> convert_rows() { return kRows; }

}  // namespace trapline::soft::fp
