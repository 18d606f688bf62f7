#include "devices/ramfb.h"

namespace trapline {
namespace {

// struct RAMFBCfg, big-endian.
constexpr size_t kConfigBytes = 28;
enum Field : size_t { kAddress = 0, kFormat = 8, kWidth = 16, kHeight = 20, kStride = 24 };

constexpr uint32_t kXrgb8888 = 0x34325258, kArgb8888 = 0x34325241;  // drm_fourcc.h: XR24, AR24
constexpr uint32_t kPixelBytes = 4, kMostStride = Ramfb::kMostWidth * kPixelBytes;

uint64_t big(std::span<const uint8_t> file, size_t at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | file[at + i];
  return value;
}
uint32_t big32(std::span<const uint8_t> file, size_t at) {
  return static_cast<uint32_t>(big(file, at, 4));
}

}  // namespace

std::string Ramfb::connect(FwCfg& fw_cfg) {
  return fw_cfg.add_writable_file("etc/ramfb", kConfigBytes,
                                  [this](std::span<const uint8_t> file) { configure(file); });
}

void Ramfb::configure(std::span<const uint8_t> file) {
  Surface s;
  s.ipa = big(file, kAddress, 8);
  s.width = big32(file, kWidth);
  s.height = big32(file, kHeight);
  s.stride = big32(file, kStride);
  if (s.stride == 0) s.stride = s.width * kPixelBytes;  // as QEMU takes it
  const uint32_t format = big32(file, kFormat);
  const bool off = s.width == 0 || s.height == 0;
  if (!off && s.width <= kMostWidth && s.height <= kMostHeight && s.stride <= kMostStride &&
      s.stride >= s.width * kPixelBytes && (format == kXrgb8888 || format == kArgb8888)) {
    s.host = dma_->host(s.ipa, uint64_t{s.stride} * s.height);
  }
  if (!off && s.host == nullptr) {
    report_.add("framebuffer outside RAM, larger than 4096 by 4096, or not of XR24 or AR24 pixels");
  }
  {
    std::lock_guard lock(mutex_);
    surface_ = s.host != nullptr ? std::optional(s) : std::nullopt;
  }
  if (on_change_) on_change_();
}

std::optional<Ramfb::Surface> Ramfb::surface() const {
  std::lock_guard lock(mutex_);
  return surface_;
}

}  // namespace trapline
