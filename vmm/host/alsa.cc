#include "vmm/host/alsa.h"

#ifdef TRAPLINE_ALSA_SONAME

#include <alsa/asoundlib.h>

#include <cerrno>

#include "devices/audio_sink.h"
#include "devices/loaded_library.h"

namespace trapline {
namespace {

constexpr unsigned kLatencyUs = 100'000;

// Loaded where something is to be played.
struct Libasound {
  Libasound() {
    const LoadedLibrary library(TRAPLINE_ALSA_SONAME, missing);
    library.find("snd_lib_error_set_handler", set_error_handler);
    library.find("snd_strerror", text_of);
    library.find("snd_pcm_open", open);
    library.find("snd_pcm_set_params", set_params);
    library.find("snd_pcm_writei", writei);
    library.find("snd_pcm_recover", recover);
    library.find("snd_pcm_state", state);
    library.find("snd_pcm_start", start);
    library.find("snd_pcm_drain", drain);
    library.find("snd_pcm_close", close);
  }

  decltype(&snd_lib_error_set_handler) set_error_handler = nullptr;
  decltype(&snd_strerror) text_of = nullptr;
  decltype(&snd_pcm_open) open = nullptr;
  decltype(&snd_pcm_set_params) set_params = nullptr;
  decltype(&snd_pcm_writei) writei = nullptr;
  decltype(&snd_pcm_recover) recover = nullptr;
  decltype(&snd_pcm_state) state = nullptr;
  decltype(&snd_pcm_start) start = nullptr;
  decltype(&snd_pcm_drain) drain = nullptr;
  decltype(&snd_pcm_close) close = nullptr;
  std::string missing;  // empty: all is there
};
const Libasound& library() {
  static const Libasound loaded;
  return loaded;
}

snd_pcm_t* pcm;

// One line says what failed, and it is ours.
void say_nothing(const char*, int, const char*, int, const char*, ...) {}

}  // namespace

std::string alsa_open(const std::string& device) {
  const Libasound& alsa = library();
  if (!alsa.missing.empty()) {
    return "libasound is missing (" + alsa.missing + "); Debian: package libasound2";
  }
  alsa.set_error_handler(say_nothing);
  int error = alsa.open(&pcm, device.c_str(), SND_PCM_STREAM_PLAYBACK, 0);
  if (error == 0) {
    error = alsa.set_params(pcm, SND_PCM_FORMAT_S16_LE, SND_PCM_ACCESS_RW_INTERLEAVED, 2,
                            kAudioRate, 1, kLatencyUs);
  }
  if (error == 0) return {};
  std::string why = alsa.text_of(error);
  if (device == "pipewire" && error == -ENOENT) why += "; Debian: package pipewire-alsa";
  return why;
}

bool alsa_play(const uint8_t* frames, size_t count) {
  while (count > 0) {
    snd_pcm_sframes_t n = library().writei(pcm, frames, count);
    if (n < 0) n = library().recover(pcm, static_cast<int>(n), 1);  // after silence, for one
    if (n < 0) return false;
    frames += static_cast<size_t>(n) * kAudioFrameBytes;
    count -= static_cast<size_t>(n);
  }
  return true;
}

// A device begins by itself only when its buffer is full.
void alsa_rest() {
  if (library().state(pcm) == SND_PCM_STATE_PREPARED) library().start(pcm);
}

void alsa_close() {
  library().drain(pcm);
  library().close(pcm);
}

}  // namespace trapline

#else

namespace trapline {

std::string alsa_open(const std::string&) {
  return "this build has no libasound (libasound2-dev, TRAPLINE_ALSA)";
}
bool alsa_play(const uint8_t*, size_t) { return false; }
void alsa_rest() {}
void alsa_close() {}

}  // namespace trapline

#endif
