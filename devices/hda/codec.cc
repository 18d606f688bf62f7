#include "devices/hda/codec.h"

namespace trapline::hda {
namespace {

enum Node : unsigned { kRoot = 0, kFunctionGroup = 1, kConverter = 2, kJack = 3 };

// As QEMU's codec with one output, which drivers know.
constexpr uint32_t kIdentity = 0x1af4'0011, kRevision = 0x0010'0101;

// 7.3.4: parameters.
struct Parameter {
  uint8_t node, id;
  uint32_t value;
};
constexpr Parameter kParameters[] = {
    {kRoot, 0x00, kIdentity},
    {kRoot, 0x02, kRevision},
    {kRoot, 0x04, kFunctionGroup << 16 | 1},  // nodes below: the first, how many
    {kFunctionGroup, 0x04, kConverter << 16 | 2},
    {kFunctionGroup, 0x05, 1},                 // an audio function group
    {kFunctionGroup, 0x0a, 1 << 17 | 1 << 6},  // 16 bits, 48 kHz
    {kFunctionGroup, 0x0b, 1},                 // PCM
    {kConverter, 0x09, 1 << 4 | 1},            // output, formats of its own, stereo
    {kConverter, 0x0a, 1 << 17 | 1 << 6},
    {kConverter, 0x0b, 1},
    {kJack, 0x09, 4 << 20 | 1 << 8 | 1},  // pin complex, connection list, stereo
    {kJack, 0x0c, 1 << 4},                // output
    {kJack, 0x0e, 1},                     // connections
};

// 7.3.3: verbs of 12 bits, and of 4 with a payload of 16.
enum Verb : unsigned {
  kSetFormat = 0x2,
  kGetFormat = 0xa,
  kGetParameter = 0xf00,
  kGetConnections = 0xf02,
  kGetPower = 0xf05,
  kGetStream = 0xf06,
  kGetPinControl = 0xf07,
  kGetJack = 0xf1c,
  kGetSubsystem = 0xf20,
  kSetPower = 0x705,
  kSetStream = 0x706,
  kSetPinControl = 0x707,
  kSetJack = 0x71c,  // the next three are its other bytes
  kReset = 0x7ff,
};

}  // namespace

uint32_t Codec::parameter(unsigned node, unsigned id) const {
  for (const Parameter& parameter : kParameters) {
    if (parameter.node == node && parameter.id == id) return parameter.value;
  }
  return 0;
}

uint32_t Codec::command(uint32_t word) {
  const unsigned node = word >> 20 & 0xff;
  const unsigned wide = word >> 16 & 0xf;
  if (node == kConverter && wide == kGetFormat) return state_.format;
  if (node == kConverter && wide == kSetFormat) {
    state_.format = static_cast<uint16_t>(word);
    return 0;
  }
  const unsigned verb = word >> 8 & 0xfff;
  const auto payload = static_cast<uint8_t>(word);
  if (verb == kGetParameter) return parameter(node, payload);
  switch (node) {
    case kFunctionGroup:
      if (verb == kGetSubsystem) return kIdentity;
      if (verb == kSetPower) state_.power = payload & 0xf;
      if (verb == kGetPower) return static_cast<uint32_t>(state_.power << 4 | state_.power);
      if (verb == kReset) reset();
      break;
    case kConverter:
      if (verb == kSetStream) state_.stream_channel = payload;
      if (verb == kGetStream) return state_.stream_channel;
      break;
    case kJack:
      if (verb == kGetConnections) return kConverter;
      if (verb == kSetPinControl) state_.pin_control = payload;
      if (verb == kGetPinControl) return state_.pin_control;
      if (verb == kGetJack) return state_.jack;
      if (verb >= kSetJack && verb < kSetJack + 4) {
        const unsigned shift = 8 * (verb - kSetJack);
        state_.jack = (state_.jack & ~(0xffu << shift)) | uint32_t{payload} << shift;
      }
      break;
    default:
      break;
  }
  return 0;
}

}  // namespace trapline::hda
