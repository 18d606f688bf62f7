// Opcodes of the host's integer SIMD by the size of the elements, and what of a word both halves of
// the translation of Advanced SIMD read.
#ifndef TRAPLINE_VMM_SOFT_JIT_X64_SIMD_OPCODES_H_
#define TRAPLINE_VMM_SOFT_JIT_X64_SIMD_OPCODES_H_

#include <cstdint>

#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {

using u64 = uint64_t;

constexpr unsigned rd(uint32_t word) { return bits(word, 4, 0); }
constexpr unsigned rn(uint32_t word) { return bits(word, 9, 5); }
constexpr unsigned rm(uint32_t word) { return bits(word, 20, 16); }

// Opcodes with the prefix 0x66, by the element's size; 0: there is none.
struct BySize {
  unsigned opcode[4];
  unsigned operator[](unsigned size_log2) const { return opcode[size_log2]; }
};
inline constexpr BySize kPadd{{0x0ffc, 0x0ffd, 0x0ffe, 0x0fd4}};
inline constexpr BySize kPsub{{0x0ff8, 0x0ff9, 0x0ffa, 0x0ffb}};
inline constexpr BySize kPaddSigned{{0x0fec, 0x0fed}}, kPaddUnsigned{{0x0fdc, 0x0fdd}};
inline constexpr BySize kPsubSigned{{0x0fe8, 0x0fe9}}, kPsubUnsigned{{0x0fd8, 0x0fd9}};
inline constexpr BySize kPavg{{0x0fe0, 0x0fe3}};
inline constexpr BySize kPcmpeq{{0x0f74, 0x0f75, 0x0f76, 0x0f3829}};
inline constexpr BySize kPcmpgt{{0x0f64, 0x0f65, 0x0f66, 0x0f3837}};
inline constexpr BySize kPmaxSigned{{0x0f383c, 0x0fee, 0x0f383d}},
    kPminSigned{{0x0f3838, 0x0fea, 0x0f3839}};
inline constexpr BySize kPmaxUnsigned{{0x0fde, 0x0f383e, 0x0f383f}};
inline constexpr BySize kPminUnsigned{{0x0fda, 0x0f383a, 0x0f383b}};
inline constexpr BySize kPmull{{0, 0x0fd5, 0x0f3840}};
inline constexpr BySize kPabs{{0x0f381c, 0x0f381d, 0x0f381e}};
inline constexpr BySize kPunpckl{{0x0f60, 0x0f61, 0x0f62, 0x0f6c}};
inline constexpr BySize kPunpckh{{0x0f68, 0x0f69, 0x0f6a, 0x0f6d}};
inline constexpr BySize kShiftImmediate{{0, 0x0f71, 0x0f72, 0x0f73}};
enum : unsigned {
  kPand = 0x0fdb,
  kPandn = 0x0fdf,
  kPor = 0x0feb,
  kPxor = 0x0fef,
  kPacksswb = 0x0f63,
  kPackuswb = 0x0f67,
  kPackssdw = 0x0f6b,
  kPmovmskb = 0x0fd7,
  kMovmskps = 0x0f50,  // without a prefix
  kPmulhrsw = 0x0f380b,
  kPmulhw = 0x0fe5,
  kPmulhuw = 0x0fe4,
  kPmaddwd = 0x0ff5,
  kPmuludq = 0x0ff4,
  kPmuldq = 0x0f3828,
  kPsadbw = 0x0ff6,
  kPshuf = 0x0f70,  // with 0x66 of doublewords, 0xf2 of the lower words, 0xf3 of the upper ones
  kPshufb = 0x0f3800,
  kShufps = 0x0fc6,  // without a prefix
  kMovq = 0x0f7e,    // with 0xf3
};
// Digits of the shifts by an immediate; those of whole registers count bytes.
enum : unsigned { kRight = 2, kRightBytes = 3, kRightSigned = 4, kLeft = 6, kLeftBytes = 7 };

// 0x0f38xx is SSSE3 up to PABSD, SSE4.2 for PCMPGTQ, else SSE4.1.
enum class Needs : uint8_t { kSse2, kSsse3, kSse41, kSse42 };
constexpr Needs needs(unsigned opcode) {
  if (opcode <= 0xffff) return Needs::kSse2;
  if (opcode <= 0x0f381e) return Needs::kSsse3;
  return opcode == 0x0f3837 ? Needs::kSse42 : Needs::kSse41;
}

constexpr u64 replicated(u64 element, unsigned size_log2) {
  for (unsigned width = 8u << size_log2; width < 64; width *= 2) element |= element << width;
  return element;
}
constexpr u64 element_mask(unsigned size_log2) { return ~u64{0} >> (64 - (8u << size_log2)); }

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_JIT_X64_SIMD_OPCODES_H_
