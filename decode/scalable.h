// Which words are SVE and SME memory instructions. Internal to decode/. Freestanding.
#ifndef TRAPLINE_DECODE_SCALABLE_H_
#define TRAPLINE_DECODE_SCALABLE_H_

#include <cstdint>

namespace trapline::a64 {

// C4.1: SVE is 28:25 == 0010; bit 31 set is its memory half.
constexpr bool in_sve_memory(uint32_t w) { return (w & 0x9e000000) == 0x84000000; }

// SME is 28:25 == 0000 with bit 31. Loads and stores of ZA and ZT0 are 111 0000; the multi-vector
// ones are 101 0000 with bit 23 clear.
constexpr bool in_sme_memory(uint32_t w) {
  return (w & 0xfe000000) == 0xe0000000 || (w & 0xfe800000) == 0xa0000000;
}

// Whether a word of these two regions is allocated.
bool is_scalable_access(uint32_t w);

}  // namespace trapline::a64

#endif  // TRAPLINE_DECODE_SCALABLE_H_
