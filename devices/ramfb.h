// QEMU's ramfb: a framebuffer in guest memory, whose place the guest writes into the fw_cfg file
// "etc/ramfb" (QEMU hw/display/ramfb.c; EDK2's QemuRamfbDxe). There is nothing else to it: what it
// keeps is the file's content, which fw_cfg saves.
#ifndef TRAPLINE_DEVICES_RAMFB_H_
#define TRAPLINE_DEVICES_RAMFB_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "devices/fw_cfg.h"
#include "devices/virtio/dma.h"
#include "devices/virtio/report.h"

namespace trapline {

class Ramfb {
 public:
  static constexpr uint32_t kMostWidth = 4096, kMostHeight = 4096;

  // Rows of pixels of 32 bits, little-endian: blue, green, red, and a byte that says nothing.
  struct Surface {
    uint64_t ipa = 0;
    const uint8_t* host = nullptr;  // all of it is in RAM; the guest writes there as it likes
    uint32_t width = 0, height = 0;
    uint32_t stride = 0;  // bytes from a row to the next
    bool operator==(const Surface&) const = default;
  };

  explicit Ramfb(Dma* dma) : dma_(dma), report_("ramfb") {}
  // At assembly. An error text, empty on success.
  std::string connect(FwCfg& fw_cfg);
  // Called when surface() is another; returns at once. At assembly.
  void on_change(std::function<void()> callback) { on_change_ = std::move(callback); }

  // What the guest shows; none: nothing yet, or no more. Any thread.
  std::optional<Surface> surface() const;

 private:
  void configure(std::span<const uint8_t> file);

  Dma* const dma_;
  Report report_;
  mutable std::mutex mutex_;  // a leaf
  std::optional<Surface> surface_;
  std::function<void()> on_change_;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_RAMFB_H_
