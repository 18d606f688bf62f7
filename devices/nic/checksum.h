// The Internet checksum (RFC 1071) where a network card's driver leaves it to the card.
#ifndef TRAPLINE_DEVICES_NIC_CHECKSUM_H_
#define TRAPLINE_DEVICES_NIC_CHECKSUM_H_

#include <cstddef>
#include <cstdint>

namespace trapline {

// The one's complement sum, 16 bits, of `size` bytes, and of `sum`; not yet inverted.
uint16_t ones_sum(const uint8_t* data, size_t size, uint32_t sum = 0);

// Sums frame[start, end) and puts the checksum at `field`, whose former content counts. Nothing if
// these are not all within the frame's `size` bytes.
void insert_checksum(uint8_t* frame, size_t size, size_t start, size_t field, size_t end);

inline uint16_t big16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
inline void put_big16(uint8_t* p, uint16_t value) {
  p[0] = static_cast<uint8_t>(value >> 8);
  p[1] = static_cast<uint8_t>(value);
}

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_NIC_CHECKSUM_H_
