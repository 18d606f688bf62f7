// What the translation of floating point reads: constants beside the code, opcodes of SSE, fields
// of a word.
#ifndef TRAPLINE_VMM_SOFT_JIT_X64_FP_OPCODES_H_
#define TRAPLINE_VMM_SOFT_JIT_X64_FP_OPCODES_H_

#include <cstddef>
#include <cstdint>

#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {

using u64 = uint64_t;

constexpr u64 twice(uint32_t word) { return u64{word} << 32 | word; }
struct Lane128 {
  u64 lo, hi;
};
constexpr Lane128 both(u64 half) { return {half, half}; }

inline constexpr u64 kInf64 = 0x7ff0'0000'0000'0000, kMin64 = 0x0010'0000'0000'0000;
inline constexpr uint32_t kInf32 = 0x7f80'0000, kMin32 = 0x0080'0000;

// Constants that host code reads: by precision (single, double) where there are two. `first` of a
// range is twice the smallest magnitude that is in it, `size` how far twice the largest is off.
// Lanes are compared as signed numbers: `bias` is added to twice the magnitude (of doubles its high
// half), above `limit` it is outside.
struct Pool {
  Lane128 magnitude[2], sign[2], scalar_sign[2];
  Lane128 bias[2][2], limit[2][2];  // by Range, by precision
  u64 first, size, infinite;        // of a double
  u64 unused;
  Lane128 two[2], three[2], half[2];
  Lane128 indefinite;                      // what CVTTPS2DQ gives for what it cannot convert
  Lane128 below_half[2];                   // the largest number below 0.5
  Lane128 two16, two31, two32, minus_one;  // singles
  Lane128 low_exponent, high_exponent;     // of doubles: 2^52; 2^84 above 32 bits
  Lane128 exponents;                       // 2^84 + 2^52
  Lane128 half_magnitude, half_largest, half_normal;  // of half precision; normal ones are above
};
constexpr uint32_t high(u64 value) { return static_cast<uint32_t>(value >> 32); }
constexpr Lane128 bias_from(uint32_t first) { return both(twice(0x8000'0000u - first)); }
constexpr Lane128 limit_from(uint32_t first, uint32_t last) {
  return both(twice(last - first + 0x8000'0000u));
}
inline constexpr uint32_t kFirst[2] = {2 * (kMin32 + 1), 2 * (high(kMin64) + 1)};
inline constexpr uint32_t kLast[2] = {2 * kInf32 - 2, 2 * high(kInf64) - 2};
inline constexpr Pool kPool = {
    .magnitude = {both(twice(0x7fff'ffff)), both(~u64{0} >> 1)},
    .sign = {both(twice(0x8000'0000)), both(u64{1} << 63)},
    .scalar_sign = {{0x8000'0000, 0}, {u64{1} << 63, 0}},
    .bias = {{bias_from(0), bias_from(0)}, {bias_from(kFirst[0]), bias_from(kFirst[1])}},
    .limit = {{limit_from(0, kLast[0]), limit_from(0, kLast[1])},
              {limit_from(kFirst[0], kLast[0]), limit_from(kFirst[1], kLast[1])}},
    .first = 2 * (kMin64 + 1),
    .size = 2 * (kInf64 - kMin64 - 1),
    .infinite = 2 * kInf64,
    .unused = 0,
    .two = {both(twice(0x4000'0000)), both(0x4000'0000'0000'0000)},
    .three = {both(twice(0x4040'0000)), both(0x4008'0000'0000'0000)},
    .half = {both(twice(0x3f00'0000)), both(0x3fe0'0000'0000'0000)},
    .indefinite = both(twice(0x8000'0000)),
    .below_half = {both(twice(0x3eff'ffff)), both(0x3fdf'ffff'ffff'ffff)},
    .two16 = both(twice(0x4780'0000)),
    .two31 = both(twice(0x4f00'0000)),
    .two32 = both(twice(0x4f80'0000)),
    .minus_one = both(twice(0xbf80'0000)),
    .low_exponent = both(0x4330'0000'0000'0000),
    .high_exponent = both(0x4530'0000'0000'0000),
    .exponents = both(0x4530'0000'0010'0000),
    .half_magnitude = both(twice(0x7fff'7fff)),
    .half_largest = both(twice(0x7bff'7bff)),
    .half_normal = both(twice(0x0400'0400)),
};
static_assert(sizeof(Pool) % 16 == 0 && offsetof(Pool, two) % 16 == 0);

constexpr uint8_t dest_slot(uint32_t word) { return slot_zr_dest(bits(word, 4, 0)); }
constexpr unsigned rd(uint32_t word) { return bits(word, 4, 0); }
constexpr unsigned rn(uint32_t word) { return bits(word, 9, 5); }
constexpr unsigned rm(uint32_t word) { return bits(word, 20, 16); }
constexpr unsigned ra(uint32_t word) { return bits(word, 14, 10); }

// Opcodes, packed and scalar alike.
enum SseOp : unsigned {
  kSseUcomis = 0x0f2e,
  kSseMovmskps = 0x0f50,
  kSseSqrt = 0x0f51,
  kSseAnd = 0x0f54,
  kSseAndn = 0x0f55,
  kSseOr = 0x0f56,
  kSseXor = 0x0f57,
  kSseAdd = 0x0f58,
  kSseMul = 0x0f59,
  kSseCvtFromWords = 0x0f5b,  // CVTDQ2PS
  kSseCvttToWords = 0x0f5b,   // CVTTPS2DQ, with 0xf3
  kSseCvtSize = 0x0f5a,       // between the precisions
  kSseSub = 0x0f5c,
  kSseMin = 0x0f5d,
  kSseDiv = 0x0f5e,
  kSseMax = 0x0f5f,
  kSseCmp = 0x0fc2,
  kSseShuf = 0x0fc6,
  kSseUnpckl = 0x0f14,
  kSseUnpckh = 0x0f15,
  kSseMovhps = 0x0f16,
  kSsePunpcklqdq = 0x0f6c,
  kSsePaddd = 0x0ffe,
  kSsePshufd = 0x0f70,
  kSsePcmpgtw = 0x0f65,
  kSsePcmpgtd = 0x0f66,
  kSsePackssdw = 0x0f6b,
  kSsePmovmskb = 0x0fd7,
  kSsePcmpeqd = 0x0f76,
  kSseMovq = 0x0f7e,  // with 0xf3: the upper half becomes zero
};
enum : uint8_t { kCmpEq, kCmpLt, kCmpLe, kCmpUnordered, kCmpNotEq, kCmpNotLt };

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_JIT_X64_FP_OPCODES_H_
