// Advanced SIMD data movement: copy, permute, extract, table lookup, modified immediate.
#include <cstring>

#include "vmm/soft/fp/fp_arith.h"
#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {

namespace {

// imm5 holds the element's size as its lowest set bit and the index above it.
template <class T>
unsigned imm5_index(uint32_t w) {
  return bits(w, 16, 5) >> (std::countr_zero(sizeof(T)) + 1);
}
template <class T>
void broadcast(Cpu& cpu, uint32_t w, T value) {
  const u64 all = static_cast<u64>(value) * (~u64{0} / static_cast<T>(~T{0}));
  cpu.v[rd(w)] = Vreg{all, all & q_mask(w)};
}
template <class T>
T& lane_ref(Cpu& cpu, unsigned reg, unsigned index) {
  return reinterpret_cast<T*>(&cpu.v[reg])[index];  // -fno-strict-aliasing
}

struct DupElement {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    broadcast<T>(cpu, w, lane_ref<T>(cpu, rn(w), imm5_index<T>(w)));
  }
};
struct DupScalar {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    cpu.v[rd(w)] = Vreg{lane_ref<T>(cpu, rn(w), imm5_index<T>(w)), 0};
  }
};
struct DupGeneral {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    broadcast<T>(cpu, w, static_cast<T>(cpu.r.x[rn(w)]));
  }
};
struct InsGeneral {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    lane_ref<T>(cpu, rd(w), imm5_index<T>(w)) = static_cast<T>(cpu.r.x[rn(w)]);
  }
};
struct InsElement {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const unsigned from = bits(w, 11, 4) >> std::countr_zero(sizeof(T));
    lane_ref<T>(cpu, rd(w), imm5_index<T>(w)) = lane_ref<T>(cpu, rn(w), from);
  }
};
// SMOV (T signed) and UMOV; X is the general register's width.
template <class X>
struct MoveElement {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    cpu.r.x[dest_slot(rd(w))] = static_cast<X>(lane_ref<T>(cpu, rn(w), imm5_index<T>(w)));
  }
};

template <unsigned kPart>
struct Zip {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<T>(cpu, rn(w)), b = lanes<T>(cpu, rm(w));
    Lanes<T> r;
    const unsigned base = kPart == 0 ? 0 : active_lanes<kVector, T>(w) / 2;
    for (unsigned i = 0; i < r.kCount / 2; ++i) {
      // With Q=0 only the first lanes survive put().
      const unsigned from = (base + i) % r.kCount;
      r[2 * i] = a[from];
      r[2 * i + 1] = b[from];
    }
    put<kVector>(cpu, w, r);
  }
};
template <unsigned kPart>
struct Unzip {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<T>(cpu, rn(w)), b = lanes<T>(cpu, rm(w));
    Lanes<T> r{};
    const unsigned half = active_lanes<kVector, T>(w) / 2;
    for (unsigned i = 0; i < half; ++i) {
      r[i] = a[2 * i + kPart];
      r[half + i] = b[2 * i + kPart];
    }
    put<kVector>(cpu, w, r);
  }
};
template <unsigned kPart>
struct Transpose {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<T>(cpu, rn(w)), b = lanes<T>(cpu, rm(w));
    Lanes<T> r;
    for (unsigned i = 0; i < r.kCount; i += 2) {
      r[i] = a[i + kPart];
      r[i + 1] = b[i + kPart];
    }
    put<kVector>(cpu, w, r);
  }
};

template <bool kQ>
void ext(Cpu& cpu, uint32_t w) {
  const Vreg a = cpu.v[rn(w)], b = cpu.v[rm(w)];
  const unsigned shift = bits(w, 11, 4) * 8;
  if constexpr (kQ) {
    const u128 low = u128{a.hi} << 64 | a.lo, high = u128{b.hi} << 64 | b.lo;
    const u128 r = shift == 0 ? low : low >> shift | high << (128 - shift);
    cpu.v[rd(w)] = Vreg{static_cast<u64>(r), static_cast<u64>(r >> 64)};
  } else {
    cpu.v[rd(w)] = Vreg{static_cast<u64>((u128{b.lo} << 64 | a.lo) >> shift), 0};
  }
}

template <unsigned kRegisters, bool kExtend>
void table_lookup(Cpu& cpu, uint32_t w) {
  u8 table[16 * kRegisters];
  for (unsigned i = 0; i < kRegisters; ++i) {
    std::memcpy(table + 16 * i, &cpu.v[(rn(w) + i) & 31], 16);
  }
  const auto index = lanes<u8>(cpu, rm(w));
  Lanes<u8> r = kExtend ? lanes<u8>(cpu, rd(w)) : Lanes<u8>{};
  for (unsigned i = 0; i < 16; ++i) {
    if (index[i] < sizeof(table)) r[i] = table[index[i]];
  }
  put<kVector>(cpu, w, r);
}

// AdvSIMDExpandImm by groups of cmode.
unsigned imm8(uint32_t w) { return bits(w, 16, 3) << 5 | bits(w, 5, 5); }
u64 expand_word(uint32_t w) {  // cmode 0xxx: 8 bits shifted by 0, 8, 16, 24
  return (u64{imm8(w)} << (8 * bits(w, 13, 2))) * 0x0000000100000001;
}
u64 expand_half(uint32_t w) {  // cmode 10xx: by 0, 8
  return (u64{imm8(w)} << (8 * bits(w, 13, 1))) * 0x0001000100010001;
}
u64 expand_ones(uint32_t w) {  // cmode 110x: shifting ones in
  const unsigned shift = bits(w, 12, 1) ? 16 : 8;
  return (u64{imm8(w)} << shift | ((1u << shift) - 1)) * 0x0000000100000001;
}
u64 expand_byte(uint32_t w) { return u64{imm8(w)} * 0x0101010101010101; }
u64 expand_mask(uint32_t w) {  // each bit becomes a byte
  u64 r = 0;
  for (unsigned i = 0; i < 8; ++i) r |= (imm8(w) >> i & 1) ? u64{0xff} << (8 * i) : 0;
  return r;
}
u64 expand_single(uint32_t w) { return expand_fp_imm(imm8(w), false) * 0x0000000100000001; }
u64 expand_double(uint32_t w) { return expand_fp_imm(imm8(w), true); }

}  // namespace

u64 expand_simd_imm(uint32_t w) {
  const unsigned cmode = bits(w, 12, 4);
  if (cmode < 8) return expand_word(w);
  if (cmode < 12) return expand_half(w);
  if (cmode < 14) return expand_ones(w);
  const bool op = (w >> 29 & 1) != 0;
  if (cmode == 14) return op ? expand_mask(w) : expand_byte(w);
  return op ? expand_double(w) : expand_single(w);
}

namespace {

enum class Use : uint8_t { kMove, kMoveNot, kOrr, kBic };
template <auto kExpand, Use kUse>
void immediate(Cpu& cpu, uint32_t w) {
  const u64 imm = kExpand(w);
  Vreg& d = cpu.v[rd(w)];
  Vreg r;
  if constexpr (kUse == Use::kMove) r = {imm, imm};
  if constexpr (kUse == Use::kMoveNot) r = {~imm, ~imm};
  if constexpr (kUse == Use::kOrr) r = {d.lo | imm, d.hi | imm};
  if constexpr (kUse == Use::kBic) r = {d.lo & ~imm, d.hi & ~imm};
  d = {r.lo, r.hi & q_mask(w)};
}

// clang-format off
constexpr Row kRows[] = {
    // copy
    {"010 11110000 kkkkk 0 0000 1 nnnnn ddddd", kUnsignedBhsd<DupScalar>, FpOp::kDupScalar},
    {"0Q0 01110000 kkkkk 0 0000 1 nnnnn ddddd", kUnsignedBhsd<DupElement>, FpOp::kDupElement},
    {"0Q0 01110000 kkkkk 0 0001 1 nnnnn ddddd", kUnsignedBhsd<DupGeneral>, FpOp::kDupGeneral},
    {"000 01110000 kkkkk 0 0101 1 nnnnn ddddd", kOver<MoveElement<u32>, s8, s16>, FpOp::kSmov},
    {"010 01110000 kkkkk 0 0101 1 nnnnn ddddd", kOver<MoveElement<u64>, s8, s16, s32>, FpOp::kSmov},
    {"000 01110000 kkkkk 0 0111 1 nnnnn ddddd", kOver<MoveElement<u32>, u8, u16, u32>, FpOp::kUmov},
    {"010 01110000 kkkkk 0 0111 1 nnnnn ddddd", kUnsignedD<MoveElement<u64>>, FpOp::kUmov},
    {"010 01110000 kkkkk 0 0011 1 nnnnn ddddd", kUnsignedBhsd<InsGeneral>, FpOp::kInsGeneral},
    {"011 01110000 kkkkk 0 iiii 1 nnnnn ddddd", kUnsignedBhsd<InsElement>, FpOp::kInsElement},
    // permute
    {"0Q0 01110 zz 0 mmmmm 0 001 10 nnnnn ddddd", kUnsignedBhsd<Unzip<0>>, FpOp::kUzp1},
    {"0Q0 01110 zz 0 mmmmm 0 010 10 nnnnn ddddd", kUnsignedBhsd<Transpose<0>>, FpOp::kTrn1},
    {"0Q0 01110 zz 0 mmmmm 0 011 10 nnnnn ddddd", kUnsignedBhsd<Zip<0>>, FpOp::kZip1},
    {"0Q0 01110 zz 0 mmmmm 0 101 10 nnnnn ddddd", kUnsignedBhsd<Unzip<1>>, FpOp::kUzp2},
    {"0Q0 01110 zz 0 mmmmm 0 110 10 nnnnn ddddd", kUnsignedBhsd<Transpose<1>>, FpOp::kTrn2},
    {"0Q0 01110 zz 0 mmmmm 0 111 10 nnnnn ddddd", kUnsignedBhsd<Zip<1>>, FpOp::kZip2},
    // extract, table lookup
    {"001 01110 00 0 mmmmm 0 0iii 0 nnnnn ddddd", {ext<false>}, FpOp::kExt},
    {"011 01110 00 0 mmmmm 0 iiii 0 nnnnn ddddd", {ext<true>}, FpOp::kExt},
#define TABLE(len, n)                                                                 \
    {"0q0 01110 00 0 mmmmm 0" len "0 00 nnnnn ddddd", {table_lookup<n, false>}, FpOp::kTbl},      \
    {"0q0 01110 00 0 mmmmm 0" len "1 00 nnnnn ddddd", {table_lookup<n, true>}}
    TABLE("00", 1),
    TABLE("01", 2),
    TABLE("10", 3),
    TABLE("11", 4),
    // modified immediate
#define IMMEDIATE(q, op, cmode, F, use, form)                                               \
    {"0" q op "0111100000 abc" cmode "01 iiiii ddddd", {immediate<F, Use::use>}, FpOp::form}
    IMMEDIATE("q", "0", "0ss0", expand_word, kMove, kImmediate),
    IMMEDIATE("q", "1", "0ss0", expand_word, kMoveNot, kImmediateNot),
    IMMEDIATE("q", "0", "0ss1", expand_word, kOrr, kOrrImmediate),
    IMMEDIATE("q", "1", "0ss1", expand_word, kBic, kBicImmediate),
    IMMEDIATE("q", "0", "10s0", expand_half, kMove, kImmediate),
    IMMEDIATE("q", "1", "10s0", expand_half, kMoveNot, kImmediateNot),
    IMMEDIATE("q", "0", "10s1", expand_half, kOrr, kOrrImmediate),
    IMMEDIATE("q", "1", "10s1", expand_half, kBic, kBicImmediate),
    IMMEDIATE("q", "0", "110s", expand_ones, kMove, kImmediate),
    IMMEDIATE("q", "1", "110s", expand_ones, kMoveNot, kImmediateNot),
    IMMEDIATE("q", "0", "1110", expand_byte, kMove, kImmediate),
    IMMEDIATE("q", "1", "1110", expand_mask, kMove, kImmediate),
    IMMEDIATE("q", "0", "1111", expand_single, kMove, kImmediate),
    IMMEDIATE("1", "1", "1111", expand_double, kMove, kImmediate),
};
// clang-format on

}  // namespace

std::span<const Row> simd_permute_rows() { return kRows; }

}  // namespace trapline::soft::fp
