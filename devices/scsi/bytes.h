// SCSI's numbers are big-endian.
#ifndef TRAPLINE_DEVICES_SCSI_BYTES_H_
#define TRAPLINE_DEVICES_SCSI_BYTES_H_

#include <cstdint>

namespace trapline::scsi {

inline uint64_t get_big(const uint8_t* p, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) value = value << 8 | p[i];
  return value;
}

inline void put_big(uint8_t* p, unsigned bytes, uint64_t value) {
  for (unsigned i = 0; i < bytes; ++i) p[i] = static_cast<uint8_t>(value >> 8 * (bytes - 1 - i));
}

}  // namespace trapline::scsi

#endif  // TRAPLINE_DEVICES_SCSI_BYTES_H_
