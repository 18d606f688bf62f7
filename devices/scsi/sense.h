// Sense data (SPC-4, 4.5): why a command failed.
#ifndef TRAPLINE_DEVICES_SCSI_SENSE_H_
#define TRAPLINE_DEVICES_SCSI_SENSE_H_

#include <array>
#include <cstdint>

namespace trapline::scsi {

enum Status : uint8_t { kGood = 0, kCheckCondition = 2 };

struct Sense {
  uint8_t key = 0;  // 0: nothing to tell
  uint8_t asc = 0, ascq = 0;
  friend constexpr bool operator==(const Sense&, const Sense&) = default;
};

// SPC-4, tables 48 and D.1.
inline constexpr Sense kUnrecoveredRead = {0x3, 0x11, 0x00};
inline constexpr Sense kWriteError = {0x3, 0x0c, 0x00};
inline constexpr Sense kParameterListLength = {0x5, 0x1a, 0x00};
inline constexpr Sense kInvalidOpcode = {0x5, 0x20, 0x00};
inline constexpr Sense kOutOfRange = {0x5, 0x21, 0x00};
inline constexpr Sense kInvalidFieldInCdb = {0x5, 0x24, 0x00};
inline constexpr Sense kNoSuchUnit = {0x5, 0x25, 0x00};
inline constexpr Sense kInvalidParameter = {0x5, 0x26, 0x00};
inline constexpr Sense kSavingUnsupported = {0x5, 0x39, 0x00};
inline constexpr Sense kRemovalPrevented = {0x5, 0x53, 0x02};
inline constexpr Sense kPowerOn = {0x6, 0x29, 0x00};
inline constexpr Sense kUnitReset = {0x6, 0x29, 0x03};
inline constexpr Sense kWriteProtected = {0x7, 0x27, 0x00};

inline constexpr unsigned kSenseBytes = 18;

// Fixed format, of the current error.
inline std::array<uint8_t, kSenseBytes> fixed_format(const Sense& sense) {
  std::array<uint8_t, kSenseBytes> out{};
  out[0] = 0x70;
  out[2] = sense.key;
  out[7] = kSenseBytes - 8;
  out[12] = sense.asc;
  out[13] = sense.ascq;
  return out;
}

}  // namespace trapline::scsi

#endif  // TRAPLINE_DEVICES_SCSI_SENSE_H_
