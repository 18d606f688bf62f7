#include "vmm/host/wav_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace trapline {
namespace {

// "RIFF", "WAVE", "fmt " and "data", as little-endian words.
using Header = std::array<uint32_t, 11>;
constexpr size_t kHeaderBytes = sizeof(Header);
constexpr uint64_t kMost = UINT32_MAX - kHeaderBytes - kAudioFrameBytes;
constexpr uint64_t kToldEvery = uint64_t{kAudioRate} * kAudioFrameBytes;  // a second

Header header(uint32_t bytes) {
  return {0x46464952,
          bytes + static_cast<uint32_t>(kHeaderBytes) - 8,
          0x45564157,
          0x20746d66,
          16,
          2 << 16 | 1,  // two channels of PCM
          kAudioRate,
          kAudioRate * kAudioFrameBytes,
          16 << 16 | kAudioFrameBytes,  // bits of a sample, bytes of a frame
          0x61746164,
          bytes};
}

}  // namespace

std::string WavFile::open(const std::string& path) {
  fd_ =
      Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666));
  struct stat info {};
  if (fd_.get() < 0 || fstat(fd_.get(), &info) != 0) return path + ": " + std::strerror(errno);
  // Whoever reads from a pipe could let the guest wait.
  if (!S_ISREG(info.st_mode)) return path + ": is no regular file";
  told_ = 1;
  pause();
  return {};
}

void WavFile::put(const uint8_t* frames, size_t bytes) {
  bytes = std::min<uint64_t>(bytes, kMost - bytes_);
  const auto at = static_cast<off_t>(kHeaderBytes + bytes_);
  if (bytes == 0 || pwrite(fd_.get(), frames, bytes, at) != static_cast<ssize_t>(bytes)) {
    return report_.add("the WAV file takes no more");
  }
  bytes_ += bytes;
  if (bytes_ - told_ >= kToldEvery) pause();
}

void WavFile::pause() {
  if (fd_.get() < 0 || told_ == bytes_) return;
  const Header now = header(static_cast<uint32_t>(bytes_));
  if (pwrite(fd_.get(), now.data(), kHeaderBytes, 0) == static_cast<ssize_t>(kHeaderBytes)) {
    told_ = bytes_;
  }
}

}  // namespace trapline
