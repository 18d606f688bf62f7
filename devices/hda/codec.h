// The codec behind the controller: one converter, 48 kHz, 16 bits, stereo, and one jack, line out
// (High Definition Audio Specification 1.0a, 7).
#ifndef TRAPLINE_DEVICES_HDA_CODEC_H_
#define TRAPLINE_DEVICES_HDA_CODEC_H_

#include <cstdint>

#include "mmio/state.h"

namespace trapline::hda {

class Codec {
 public:
  static constexpr unsigned kAddress = 0;  // on the link

  // The response to a command, 7.3: node in bits 27:20, verb and payload below.
  uint32_t command(uint32_t word);
  void reset() { state_ = {}; }
  // The stream that the converter plays; 0: none.
  unsigned stream() const { return state_.stream_channel >> 4; }

  void save(StateWriter& out) const { out.put(state_); }
  void load(StateReader& in) { state_ = in.get<State>(); }

 private:
  struct State {
    uint32_t jack = 0x0101'4110;  // 7.3.3.31: line out, at the rear, green, 1/8"; no detection
    uint16_t format = 0x0011;     // 3.7.1: 48 kHz, 16 bits, two channels
    uint8_t stream_channel = 0;
    uint8_t pin_control = 0x40;  // 7.3.3.13: output enabled
    uint8_t power = 0;           // of the function group: D0
    uint8_t spare[3] = {};
  };
  static_assert(sizeof(State) == 12);

  uint32_t parameter(unsigned node, unsigned id) const;

  State state_;
};

}  // namespace trapline::hda

#endif  // TRAPLINE_DEVICES_HDA_CODEC_H_
