// Scalar floating point: data processing (1, 2 and 3 source), compare, select, immediate, FMOV.
#include "vmm/soft/fp/fp_arith.h"

namespace trapline::soft::fp {

// a b c d e f g h -> sign a, exponent NOT(b):Replicate(b):c:d, fraction e:f:g:h.
u64 expand_fp_imm(unsigned imm8, bool is_double) {
  const u64 sign = imm8 >> 7, b = imm8 >> 6 & 1, low = imm8 & 0x3f;
  if (is_double) return sign << 63 | (b ? u64{0xff} << 54 : u64{1} << 62) | low << 48;
  return sign << 31 | (b ? u64{0x1f} << 25 : u64{1} << 30) | low << 19;
}

namespace {

template <class U>
U get(const Cpu& cpu, unsigned reg) {
  return static_cast<U>(cpu.v[reg].lo);
}
template <class U>
void set(Cpu& cpu, uint32_t w, U value) {
  cpu.v[rd(w)] = Vreg{value, 0};
}

template <auto F>
struct Unary {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    set<U>(cpu, w, F(cpu, get<U>(cpu, rn(w))));
  }
};
template <auto F>
struct Binary {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    set<U>(cpu, w, F(cpu, get<U>(cpu, rn(w)), get<U>(cpu, rm(w))));
  }
};
// FMADD (Ra + Rn*Rm) and its variants by negated operands.
template <bool kNegateAddend, bool kNegateProduct>
struct Ternary {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    const U addend = get<U>(cpu, ra(w)), n = get<U>(cpu, rn(w));
    set<U>(cpu, w,
           fp_muladd(cpu, kNegateAddend ? fp_neg(addend) : addend, kNegateProduct ? fp_neg(n) : n,
                     get<U>(cpu, rm(w))));
  }
};

constexpr auto kMove = []<class U>(Cpu&, U a) { return a; };
constexpr auto kAbs = []<class U>(Cpu&, U a) { return fp_abs(a); };
constexpr auto kNeg = []<class U>(Cpu&, U a) { return fp_neg(a); };
constexpr auto kSqrt = []<class U>(Cpu& c, U a) { return fp_sqrt(c, a); };
constexpr auto kAdd = []<class U>(Cpu& c, U a, U b) { return fp_add(c, a, b); };
constexpr auto kSub = []<class U>(Cpu& c, U a, U b) { return fp_sub(c, a, b); };
constexpr auto kMul = []<class U>(Cpu& c, U a, U b) { return fp_mul(c, a, b); };
constexpr auto kNmul = []<class U>(Cpu& c, U a, U b) { return fp_neg(fp_mul(c, a, b)); };
constexpr auto kDiv = []<class U>(Cpu& c, U a, U b) { return fp_div(c, a, b); };
constexpr auto kMax = []<class U>(Cpu& c, U a, U b) { return fp_max(c, a, b); };
constexpr auto kMin = []<class U>(Cpu& c, U a, U b) { return fp_min(c, a, b); };
constexpr auto kMaxnm = []<class U>(Cpu& c, U a, U b) { return fp_maxnm(c, a, b); };
constexpr auto kMinnm = []<class U>(Cpu& c, U a, U b) { return fp_minnm(c, a, b); };

template <bool kWithZero, bool kSignalAll>
struct Compare {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    cpu.nzcv =
        fp_compare<U>(cpu, get<U>(cpu, rn(w)), kWithZero ? U{0} : get<U>(cpu, rm(w)), kSignalAll);
  }
};

bool condition_holds(uint32_t nzcv, unsigned cond) {
  const bool n = nzcv >> 31, z = nzcv >> 30 & 1, c = nzcv >> 29 & 1, v = nzcv >> 28 & 1;
  bool r = true;
  switch (cond >> 1) {
    case 0:
      r = z;
      break;
    case 1:
      r = c;
      break;
    case 2:
      r = n;
      break;
    case 3:
      r = v;
      break;
    case 4:
      r = c && !z;
      break;
    case 5:
      r = n == v;
      break;
    case 6:
      r = n == v && !z;
      break;
    default:
      return true;
  }
  return (cond & 1) ? !r : r;
}

template <bool kSignalAll>
struct ConditionalCompare {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    if (condition_holds(cpu.nzcv, bits(w, 12, 4))) {
      Compare<false, kSignalAll>::template run<U>(cpu, w);
    } else {
      cpu.nzcv = w << 28;
    }
  }
};
struct Select {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    set<U>(cpu, w, get<U>(cpu, condition_holds(cpu.nzcv, bits(w, 12, 4)) ? rn(w) : rm(w)));
  }
};
struct MoveImmediate {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    set<U>(cpu, w, static_cast<U>(expand_fp_imm(bits(w, 13, 8), sizeof(U) == 8)));
  }
};
// FMOV between a general register and S, D or the upper half of V.
struct MoveToGeneral {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    cpu.r.x[dest_slot(rd(w))] = get<U>(cpu, rn(w));
  }
};
struct MoveFromGeneral {
  template <class U>
  static void run(Cpu& cpu, uint32_t w) {
    set<U>(cpu, w, static_cast<U>(cpu.r.x[rn(w)]));
  }
};
void move_high_to_general(Cpu& cpu, uint32_t w) { cpu.r.x[dest_slot(rd(w))] = cpu.v[rn(w)].hi; }
void move_high_from_general(Cpu& cpu, uint32_t w) { cpu.v[rd(w)].hi = cpu.r.x[rn(w)]; }

// clang-format off
constexpr Row kRows[] = {
    // 1 source: ptype 0z
    {"00011110 0z 1 000000 10000 nnnnn ddddd", kFloats<Unary<kMove>>, FpOp::kFmov},
    {"00011110 0z 1 000001 10000 nnnnn ddddd", kFloats<Unary<kAbs>>, FpOp::kFabs},
    {"00011110 0z 1 000010 10000 nnnnn ddddd", kFloats<Unary<kNeg>>, FpOp::kFneg},
    {"00011110 0z 1 000011 10000 nnnnn ddddd", kFloats<Unary<kSqrt>>, FpOp::kFsqrt},
    // 2 source
    {"00011110 0z 1 mmmmm 0000 10 nnnnn ddddd", kFloats<Binary<kMul>>, FpOp::kFmul},
    {"00011110 0z 1 mmmmm 0001 10 nnnnn ddddd", kFloats<Binary<kDiv>>, FpOp::kFdiv},
    {"00011110 0z 1 mmmmm 0010 10 nnnnn ddddd", kFloats<Binary<kAdd>>, FpOp::kFadd},
    {"00011110 0z 1 mmmmm 0011 10 nnnnn ddddd", kFloats<Binary<kSub>>, FpOp::kFsub},
    {"00011110 0z 1 mmmmm 0100 10 nnnnn ddddd", kFloats<Binary<kMax>>, FpOp::kFmax},
    {"00011110 0z 1 mmmmm 0101 10 nnnnn ddddd", kFloats<Binary<kMin>>, FpOp::kFmin},
    {"00011110 0z 1 mmmmm 0110 10 nnnnn ddddd", kFloats<Binary<kMaxnm>>, FpOp::kFmaxnm},
    {"00011110 0z 1 mmmmm 0111 10 nnnnn ddddd", kFloats<Binary<kMinnm>>, FpOp::kFminnm},
    {"00011110 0z 1 mmmmm 1000 10 nnnnn ddddd", kFloats<Binary<kNmul>>, FpOp::kFnmul},
    // 3 source: FMADD, FMSUB, FNMADD, FNMSUB
    {"00011111 0z 0 mmmmm 0 aaaaa nnnnn ddddd", kFloats<Ternary<false, false>>, FpOp::kFmadd},
    {"00011111 0z 0 mmmmm 1 aaaaa nnnnn ddddd", kFloats<Ternary<false, true>>, FpOp::kFmsub},
    {"00011111 0z 1 mmmmm 0 aaaaa nnnnn ddddd", kFloats<Ternary<true, true>>, FpOp::kFnmadd},
    {"00011111 0z 1 mmmmm 1 aaaaa nnnnn ddddd", kFloats<Ternary<true, false>>, FpOp::kFnmsub},
    // compare (the zero forms ignore Rm), conditional compare, select, immediate
    {"00011110 0z 1 mmmmm 001000 nnnnn 00000", kFloats<Compare<false, false>>, FpOp::kFcmp},
    {"00011110 0z 1 mmmmm 001000 nnnnn 01000", kFloats<Compare<true, false>>, FpOp::kFcmpZero},
    {"00011110 0z 1 mmmmm 001000 nnnnn 10000", kFloats<Compare<false, true>>, FpOp::kFcmp},
    {"00011110 0z 1 mmmmm 001000 nnnnn 11000", kFloats<Compare<true, true>>, FpOp::kFcmpZero},
    {"00011110 0z 1 mmmmm cccc 01 nnnnn 0 ffff", kFloats<ConditionalCompare<false>>, FpOp::kFccmp},
    {"00011110 0z 1 mmmmm cccc 01 nnnnn 1 ffff", kFloats<ConditionalCompare<true>>, FpOp::kFccmp},
    {"00011110 0z 1 mmmmm cccc 11 nnnnn ddddd", kFloats<Select>, FpOp::kFcsel},
    {"00011110 0z 1 iiiiiiii 100 00000 ddddd", kFloats<MoveImmediate>, FpOp::kFmovImmediate},
    // FMOV, general: sf must equal the precision
    {"00011110 00 1 00 110 000000 nnnnn ddddd", kOver<MoveToGeneral, u32>, FpOp::kFmovToGeneral},
    {"00011110 00 1 00 111 000000 nnnnn ddddd", kOver<MoveFromGeneral, u32>, FpOp::kFmovFromGeneral},
    {"10011110 01 1 00 110 000000 nnnnn ddddd", kOver<MoveToGeneral, u64>, FpOp::kFmovToGeneral},
    {"10011110 01 1 00 111 000000 nnnnn ddddd", kOver<MoveFromGeneral, u64>, FpOp::kFmovFromGeneral},
    {"10011110 10 1 01 110 000000 nnnnn ddddd", {move_high_to_general}, FpOp::kFmovHighToGeneral},
    {"10011110 10 1 01 111 000000 nnnnn ddddd", {move_high_from_general}, FpOp::kFmovHighFromGeneral},
};
// clang-format on

}  // namespace

std::span<const Row> scalar_rows() { return kRows; }

}  // namespace trapline::soft::fp
