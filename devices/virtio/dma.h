// Guest memory as a bus-mastering device sees it. Devices include mmio/ only, so this is abstract:
// the machine adapts GuestMemory to it, tests lend an array.
#ifndef TRAPLINE_DEVICES_VIRTIO_DMA_H_
#define TRAPLINE_DEVICES_VIRTIO_DMA_H_

#include <cstdint>

namespace trapline {

class Dma {
 public:
  virtual ~Dma() = default;

  // The host address of [ipa, ipa + size), or null unless all of it is guest-writable RAM (never
  // flash, a device window, or a hole). Stable while the machine exists: virtqueues keep the
  // pointer. Any thread. Must not overflow for any pair of values.
  virtual uint8_t* host(uint64_t ipa, uint64_t size) = 0;

  // [ipa, ipa + size), inside a range that host() lent, was written. Called before the guest can
  // learn of it (used index, interrupt): the hook for instruction caches and dirty tracking. Any
  // thread.
  virtual void done(uint64_t ipa, uint64_t size) = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_VIRTIO_DMA_H_
