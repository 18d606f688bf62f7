// What a guest plays, as a WAV file: RIFF, 48 kHz, 16 bits, stereo.
#ifndef TRAPLINE_VMM_HOST_WAV_FILE_H_
#define TRAPLINE_VMM_HOST_WAV_FILE_H_

#include <cstdint>
#include <string>

#include "devices/audio_sink.h"
#include "devices/virtio/report.h"
#include "vmm/host/descriptor.h"

namespace trapline {

class WavFile final : public AudioSink {
 public:
  WavFile() : report_("audio") {}
  ~WavFile() override { pause(); }
  // A new file. One line that names the path, empty on success.
  std::string open(const std::string& path);

  // Into the host's page cache; what the host refuses, and what is beyond 4 GiB, is lost.
  void put(const uint8_t* frames, size_t bytes) override;
  // The header says how much there is.
  void pause() override;

 private:
  Report report_;
  Descriptor fd_;
  uint64_t bytes_ = 0, told_ = 0;  // of samples; of those, as the header says
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_WAV_FILE_H_
