// What a guest plays, to the host's sound system by ALSA's library: in a process of its own, since
// that loads plugins (PipeWire's is one), waits for the card, and calls the kernel as a VM in its
// jail may not.
#ifndef TRAPLINE_VMM_HOST_SOUND_PROCESS_H_
#define TRAPLINE_VMM_HOST_SOUND_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "devices/audio_sink.h"
#include "devices/virtio/report.h"
#include "vmm/host/descriptor.h"

namespace trapline {

class SoundProcess final : public AudioSink {
 public:
  // What that process calls once its device is open: gives up what it does not need. One line if
  // that cannot be.
  using EnterJail = std::string (*)();
  SoundProcess() : report_("audio") {}
  // What was put is played before this returns, if the device takes it in reasonable time.
  ~SoundProcess() override;
  // Forks. `device`: a name of ALSA's configuration; `enter` may be null. One line if nothing can
  // be played.
  std::string start(const std::string& device, EnterJail enter);

  // What the process does not take in time is lost.
  void put(const uint8_t* frames, size_t bytes) override;

 private:
  Report report_;
  Descriptor socket_;
  uint64_t offered_ = 0, sent_ = 0;  // bytes
  pid_t process_ = -1;
};

// At the program's start: what such processes enter.
void keep_sound_apart(SoundProcess::EnterJail enter);
SoundProcess::EnterJail sound_jail();

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_SOUND_PROCESS_H_
