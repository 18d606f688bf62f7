#include "devices/nic/checksum.h"

namespace trapline {

uint16_t ones_sum(const uint8_t* data, size_t size, uint32_t sum) {
  uint64_t total = sum;
  for (size_t i = 0; i + 1 < size; i += 2) total += big16(data + i);
  if (size % 2 != 0) total += static_cast<uint64_t>(data[size - 1]) << 8;
  while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
  return static_cast<uint16_t>(total);
}

void insert_checksum(uint8_t* frame, size_t size, size_t start, size_t field, size_t end) {
  if (end > size || start >= end || field + 2 > size) return;
  put_big16(frame + field, static_cast<uint16_t>(~ones_sum(frame + start, end - start)));
}

}  // namespace trapline
