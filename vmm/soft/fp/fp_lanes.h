// Lanes of the SIMD&FP registers, instruction fields, and the maps that turn one small function of
// elements into an instruction. Private to vmm/soft/fp*.
#ifndef TRAPLINE_VMM_SOFT_FP_FP_LANES_H_
#define TRAPLINE_VMM_SOFT_FP_FP_LANES_H_

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include "vmm/soft/cpu.h"
#include "vmm/soft/fp/fp_form.h"

namespace trapline::soft::fp {

// A Vreg is used as 16 bytes in the order of the architecture's elements.
static_assert(std::endian::native == std::endian::little);

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using u128 = unsigned __int128;
using s128 = __int128;

// One row of the decode tables. The pattern is the encoding as the manual prints it, bit 31 first:
// '0' and '1' are fixed, blanks are ignored, any other letter is a field. Some letters select f[]:
//   z  binary value of the bits            (size, sz)
//   h  index of the highest set bit        (immh)
//   k  index of the lowest set bit         (imm5)
// 'Q' means: with Q=0 the 64-bit arrangement (every z bit set, else selector 3) is reserved.
struct Function {
  constexpr Function(FpFunction f = nullptr, uint8_t log2 = 0) : run(f), size_log2(log2) {}
  FpFunction run;
  uint8_t size_log2;  // of the element that it is over
};
struct Row {
  const char* pattern;
  std::array<Function, 4> f;
  FpOp op = FpOp::kNone;
};
std::span<const Row> scalar_rows();
std::span<const Row> convert_rows();
std::span<const Row> simd_int_rows();
std::span<const Row> simd_misc_rows();
std::span<const Row> simd_wide_rows();
std::span<const Row> simd_shift_rows();
std::span<const Row> simd_fp_rows();
std::span<const Row> simd_permute_rows();
// Of CpuModel::kMax.
std::span<const Row> crypto_rows();
std::span<const Row> complex_rows();
std::span<const Row> bounded_rows();

inline unsigned rd(uint32_t w) { return w & 31; }
inline unsigned rn(uint32_t w) { return w >> 5 & 31; }
inline unsigned rm(uint32_t w) { return w >> 16 & 31; }
inline unsigned ra(uint32_t w) { return w >> 10 & 31; }
inline bool q_bit(uint32_t w) { return w >> 30 & 1; }
inline uint64_t q_mask(uint32_t w) { return -uint64_t{w >> 30 & 1}; }
inline unsigned bits(uint32_t w, unsigned low, unsigned count) {
  return w >> low & ((1u << count) - 1);
}
inline unsigned dest_slot(unsigned r) { return r == 31 ? kSlotDiscard : r; }

template <class T>
struct Lanes {
  static constexpr unsigned kCount = 16 / sizeof(T);
  T e[kCount];
  T& operator[](unsigned i) { return e[i]; }
  const T& operator[](unsigned i) const { return e[i]; }
};
template <class T>
Lanes<T> lanes(const Cpu& cpu, unsigned reg) {
  return std::bit_cast<Lanes<T>>(cpu.v[reg]);
}
template <class T>
constexpr unsigned kBits = sizeof(T) * 8;

// clang-format off
template <class T> struct WideOf;
template <> struct WideOf<u8> { using type = u16; };
template <> struct WideOf<u16> { using type = u32; };
template <> struct WideOf<u32> { using type = u64; };
template <> struct WideOf<s8> { using type = s16; };
template <> struct WideOf<s16> { using type = s32; };
template <> struct WideOf<s32> { using type = s64; };
// clang-format on
template <class T>
using Wide = typename WideOf<T>::type;

enum class Shape : uint8_t { kVector, kScalar };
using enum Shape;

template <Shape S, class T>
unsigned active_lanes(uint32_t w) {
  return S == kScalar ? 1 : Lanes<T>::kCount >> (q_bit(w) ? 0 : 1);
}
// Writes Vd; what the arrangement does not cover becomes zero.
template <Shape S, class T>
void put(Cpu& cpu, uint32_t w, const Lanes<T>& r) {
  if constexpr (S == kScalar) {
    cpu.v[rd(w)] = Vreg{static_cast<std::make_unsigned_t<T>>(r[0]), 0};
  } else {
    Vreg v = std::bit_cast<Vreg>(r);
    v.hi &= q_mask(w);
    cpu.v[rd(w)] = v;
  }
}
// The "2" forms write the upper half and keep the lower one.
template <Shape S, class T>
void put_narrow(Cpu& cpu, uint32_t w, const Lanes<T>& r) {
  if constexpr (S == kScalar) {
    put<S>(cpu, w, r);
  } else {
    const uint64_t half = std::bit_cast<Vreg>(r).lo;
    if (q_bit(w)) {
      cpu.v[rd(w)].hi = half;
    } else {
      cpu.v[rd(w)] = Vreg{half, 0};
    }
  }
}

// Operand 2: Vm, or one element of it in every lane ("by element", C4.1.95: the index is H:L:M,
// H:L or H, and M is part of Rm unless the elements are 16-bit).
enum class Src : uint8_t { kReg, kElement };
using enum Src;
template <Src kSrc, class T>
Lanes<T> operand2(const Cpu& cpu, uint32_t w) {
  if constexpr (kSrc == kReg) {
    return lanes<T>(cpu, rm(w));
  } else {
    const unsigned h = w >> 11 & 1, l = w >> 21 & 1, m = w >> 20 & 1;
    T value;
    if constexpr (sizeof(T) == 2) {
      value = lanes<T>(cpu, bits(w, 16, 4))[h << 2 | l << 1 | m];
    } else if constexpr (sizeof(T) == 4) {
      value = lanes<T>(cpu, rm(w))[h << 1 | l];
    } else {
      value = lanes<T>(cpu, rm(w))[h];
    }
    Lanes<T> r;
    for (T& e : r.e) e = value;
    return r;
  }
}

// Rd = F(Rn, Rm), element by element. F is (a, b) or, with an accumulator, (d, a, b); with a
// leading Cpu& it may set FPSR, and is then called for the lanes that exist only.
template <auto F, Shape S = kVector, Src kSrc = kReg>
struct Map3 {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    constexpr unsigned kAll = S == kScalar ? 1 : Lanes<T>::kCount;
    const auto a = lanes<T>(cpu, rn(w));
    const auto b = operand2<kSrc, T>(cpu, w);
    Lanes<T> r{};
    if constexpr (std::is_invocable_v<decltype(F), T, T>) {
      for (unsigned i = 0; i < kAll; ++i) r[i] = F(a[i], b[i]);
    } else if constexpr (std::is_invocable_v<decltype(F), T, T, T>) {
      const auto d = lanes<T>(cpu, rd(w));
      for (unsigned i = 0; i < kAll; ++i) r[i] = F(d[i], a[i], b[i]);
    } else if constexpr (std::is_invocable_v<decltype(F), Cpu&, T, T>) {
      const unsigned n = active_lanes<S, T>(w);
      for (unsigned i = 0; i < n; ++i) r[i] = F(cpu, a[i], b[i]);
    } else {
      const auto d = lanes<T>(cpu, rd(w));
      const unsigned n = active_lanes<S, T>(w);
      for (unsigned i = 0; i < n; ++i) r[i] = F(cpu, d[i], a[i], b[i]);
    }
    put<S>(cpu, w, r);
  }
};

// Rd = F(Rn): F is (a), (Cpu&, a) or (Cpu&, d, a). R, if not void, is the result element's type
// (of the same size).
template <auto F, Shape S = kVector>
struct Map2 {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    constexpr unsigned kAll = S == kScalar ? 1 : Lanes<T>::kCount;
    const auto a = lanes<T>(cpu, rn(w));
    Lanes<T> r{};
    if constexpr (std::is_invocable_v<decltype(F), T>) {
      for (unsigned i = 0; i < kAll; ++i) r[i] = F(a[i]);
    } else if constexpr (std::is_invocable_v<decltype(F), Cpu&, T>) {
      const unsigned n = active_lanes<S, T>(w);
      for (unsigned i = 0; i < n; ++i) r[i] = F(cpu, a[i]);
    } else {
      const auto d = lanes<T>(cpu, rd(w));
      const unsigned n = active_lanes<S, T>(w);
      for (unsigned i = 0; i < n; ++i) r[i] = F(cpu, d[i], a[i]);
    }
    put<S>(cpu, w, r);
  }
};

// Pairs of adjacent elements of Vm:Vn.
template <auto F>
struct Pairwise {
  template <class T>
  static void run(Cpu& cpu, uint32_t w) {
    const auto a = lanes<T>(cpu, rn(w)), b = lanes<T>(cpu, rm(w));
    const unsigned half = active_lanes<kVector, T>(w) / 2;
    Lanes<T> r{};
    for (unsigned i = 0; i < half; ++i) {
      if constexpr (std::is_invocable_v<decltype(F), T, T>) {
        r[i] = F(a[2 * i], a[2 * i + 1]);
        r[half + i] = F(b[2 * i], b[2 * i + 1]);
      } else {
        r[i] = F(cpu, a[2 * i], a[2 * i + 1]);
        r[half + i] = F(cpu, b[2 * i], b[2 * i + 1]);
      }
    }
    put<kVector>(cpu, w, r);
  }
};

// f[] of a row: the handler H instantiated for each element type, null for void.
template <class H, class T>
constexpr Function function_of() {
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return {&H::template run<T>, static_cast<uint8_t>(std::countr_zero(sizeof(T)))};
  }
}
template <class H, class... T>
constexpr std::array<Function, 4> kOver = {function_of<H, T>()...};
template <class H>
constexpr auto kUnsignedBhsd = kOver<H, u8, u16, u32, u64>;
template <class H>
constexpr auto kSignedBhsd = kOver<H, s8, s16, s32, s64>;
template <class H>
constexpr auto kUnsignedBhs = kOver<H, u8, u16, u32>;
template <class H>
constexpr auto kSignedBhs = kOver<H, s8, s16, s32>;
template <class H>
constexpr auto kSignedHs = kOver<H, void, s16, s32>;
template <class H>
constexpr auto kUnsignedHs = kOver<H, void, u16, u32>;
template <class H>
constexpr auto kUnsignedD = kOver<H, void, void, void, u64>;
template <class H>
constexpr auto kSignedD = kOver<H, void, void, void, s64>;
template <class H>
constexpr auto kFloats = kOver<H, u32, u64>;
template <class H>
constexpr auto kOne = kOver<H, u8>;

// Saturation of a value computed in a wider type.
template <class T, class W>
T saturate(Cpu& cpu, W value) {
  if (value > W{std::numeric_limits<T>::max()}) {
    cpu.fpsr |= kQc;
    return std::numeric_limits<T>::max();
  }
  if constexpr (std::is_signed_v<W>) {
    if (value < W{std::numeric_limits<T>::min()}) {
      cpu.fpsr |= kQc;
      return std::numeric_limits<T>::min();
    }
  }
  return static_cast<T>(value);
}
template <class T>
T saturated(Cpu& cpu, bool low) {
  cpu.fpsr |= kQc;
  return low ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max();
}
template <class T>
T add_sat(Cpu& cpu, T a, T b) {
  T r;
  if (!__builtin_add_overflow(a, b, &r)) return r;
  return saturated<T>(cpu, std::is_signed_v<T> && a < 0);
}
template <class T>
T sub_sat(Cpu& cpu, T a, T b) {
  T r;
  if (!__builtin_sub_overflow(a, b, &r)) return r;
  return saturated<T>(cpu, !std::is_signed_v<T> || a < 0);
}
// Right shift by any amount, and with rounding: as if in infinite precision.
template <class T>
T shr(T a, unsigned n) {
  return n >= kBits<T> ? static_cast<T>(a < 0 ? -1 : 0) : static_cast<T>(a >> n);
}
template <class T>
T shr_round(T a, unsigned n) {
  return static_cast<T>(shr(a, n) + (shr(a, n - 1) & 1));
}

}  // namespace trapline::soft::fp

#endif  // TRAPLINE_VMM_SOFT_FP_FP_LANES_H_
