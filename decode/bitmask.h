// The immediates of the logical instructions. Freestanding.
#ifndef TRAPLINE_DECODE_BITMASK_H_
#define TRAPLINE_DECODE_BITMASK_H_

#include <cstdint>

namespace trapline {

// The value of N:immr:imms for 64-bit registers (C6 "DecodeBitMasks"); 0: there is none.
constexpr uint64_t decode_bitmask(unsigned encoded) {
  const unsigned n = encoded >> 12 & 1, immr = encoded >> 6 & 63, imms = encoded & 63;
  const unsigned probe = n << 6 | (~imms & 63);
  if (probe <= 1) return 0;
  const unsigned length = 31 - static_cast<unsigned>(__builtin_clz(probe));
  const unsigned esize = 1u << length, levels = esize - 1;
  const unsigned s = imms & levels, r = immr & levels;
  if (s == levels) return 0;
  const uint64_t ones = (uint64_t{2} << s) - 1;
  const uint64_t emask = esize == 64 ? ~uint64_t{0} : (uint64_t{1} << esize) - 1;
  const uint64_t element = r == 0 ? ones : ((ones >> r) | (ones << (esize - r))) & emask;
  uint64_t result = 0;
  for (unsigned at = 0; at < 64; at += esize) result |= element << at;
  return result;
}

}  // namespace trapline

#endif  // TRAPLINE_DECODE_BITMASK_H_
