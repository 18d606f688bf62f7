// Guest memory as a bus-mastering device sees it. Devices include mmio/ only, so this is abstract:
// the machine adapts GuestMemory to it, tests lend an array.
#ifndef TRAPLINE_DEVICES_VIRTIO_DMA_H_
#define TRAPLINE_DEVICES_VIRTIO_DMA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

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

// What is checked must be what is used: the compiler may not read guest memory again in place of
// the copy, which it could (inlined, by link-time optimisation) as long as nothing says that
// another thread writes there. No fence for the processor: what a device is told of was written
// before, and a driver that writes it later gets any mixture of old and new.
inline void copy_from_guest(void* to, const uint8_t* from, size_t size) {
  std::memcpy(to, from, size);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_VIRTIO_DMA_H_
