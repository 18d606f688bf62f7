// Where a sound card's output goes.
#ifndef TRAPLINE_DEVICES_AUDIO_SINK_H_
#define TRAPLINE_DEVICES_AUDIO_SINK_H_

#include <cstddef>
#include <cstdint>

namespace trapline {

// Frames of two samples, left and right, of 16 bits, little-endian, 48,000 a second.
inline constexpr uint32_t kAudioRate = 48'000, kAudioFrameBytes = 4;

class AudioSink {
 public:
  virtual ~AudioSink() = default;
  // One thread at a time, with the device's lock held: does not wait.
  virtual void put(const uint8_t* frames, size_t bytes) = 0;
  // What comes next follows after silence that nobody heard.
  virtual void pause() {}
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_AUDIO_SINK_H_
