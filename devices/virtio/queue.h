// A split virtqueue, device side (virtio 1.2, 2.7): descriptor table, available ring, used ring in
// guest memory, all of which the guest may change at any moment and fill with anything.
#ifndef TRAPLINE_DEVICES_VIRTIO_QUEUE_H_
#define TRAPLINE_DEVICES_VIRTIO_QUEUE_H_

#include <sys/uio.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "devices/virtio/dma.h"
#include "mmio/state.h"

namespace trapline::virtio {

// A piece of a buffer, checked to lie in RAM. No alignment is promised.
struct Segment {
  uint8_t* host;
  uint64_t ipa;
  uint32_t size;  // > 0
};

// A descriptor chain, copied out of guest memory once: later changes by the guest have no effect.
struct Chain {
  uint16_t head = 0;
  uint64_t readable_bytes = 0;
  uint64_t writable_bytes = 0;
  std::vector<Segment> readable;  // device-readable, in chain order
  std::vector<Segment> writable;  // device-writable; always after the readable ones

  // Copies up to `size` bytes out of the readable part from byte `offset`; returns how many.
  size_t read(uint64_t offset, void* out, size_t size) const;
  // Copies up to `size` bytes into the writable part at byte `offset`, and tells `dma`.
  size_t write(Dma& dma, uint64_t offset, const void* data, size_t size) const;
  // Calls dma.done() for the first `bytes` of the writable part.
  void done(Dma& dma, uint64_t bytes) const;
};

// What these hold from byte `skip` on, `bytes` of it at most, as the host addresses it.
void append_iov(const std::vector<Segment>& segments, uint64_t skip, uint64_t bytes,
                std::vector<iovec>& out);

// Used by one thread at a time: the one that processes the device's queues. Configuration
// changes only while that thread is parked (Transport sees to it).
class Queue {
 public:
  static constexpr uint16_t kMaxSize = 1024;
  // Of a chain, its indirect table included; longer ones break the queue.
  static constexpr unsigned kMaxSegments = 1024;
  // 2.7.4.2: a chain describes at most 4 GiB.
  static constexpr uint64_t kMaxChainBytes = uint64_t{1} << 32;

  struct Layout {
    uint16_t size = 0;  // power of two, at most kMaxSize
    uint64_t descriptors = 0;
    uint64_t available = 0;
    uint64_t used = 0;
  };

  enum class Pop : uint8_t { kEmpty, kChain, kBroken };

  // Maps the three rings. Returns null, or why the layout is refused (a constant text): size not a
  // power of two or too large, misaligned part, a part that is not in RAM.
  const char* enable(Dma& dma, const Layout& layout, bool event_index, bool indirect);
  void disable();
  bool enabled() const { return dma_ != nullptr; }

  // The next available chain. kBroken: the guest violated the ring's rules; error() says how, and
  // every later pop yields kEmpty until disable().
  Pop pop(Chain& chain);
  // Hands back the last `chains` popped chains, to be popped again.
  void unpop(uint16_t chains);
  // unpop(1) of a chain of which `done` bytes are dealt with; forgotten with the ring.
  void unpop_partly(uint64_t done) {
    unpop(1);
    partly_done_ = done;
  }
  // What unpop_partly() was told about the chain that pop() has yielded; once.
  uint64_t take_partly_done() { return std::exchange(partly_done_, 0); }
  // True if a pop would not yield kEmpty.
  bool has_available() const;
  const char* error() const { return error_; }
  // The device type found a chain it cannot even answer: as if pop() had found it broken.
  void refuse(const char* why) { error_ = why; }

  // Puts a finished chain in the used ring; `written` bytes of its writable part were filled. Not
  // visible to the driver before publish().
  void push(uint16_t head, uint32_t written);
  // Makes pushed chains visible. True if the driver wants an interrupt for it (2.7.7, 2.7.10).
  bool publish();
  // Asks to be notified of the next available chain. True if one came meanwhile: process again.
  bool enable_notifications();

  uint16_t size() const { return layout_.size; }
  // Chains popped and not yet pushed.
  uint16_t in_flight() const { return in_flight_; }

  void save(StateWriter& out) const;
  // Reads the indices that save() wrote; call after enable().
  void load(StateReader& in);

 private:
  const char* walk(uint16_t head, Chain& chain);
  const char* add(uint64_t address, uint32_t size, uint16_t flags, Chain& chain);
  uint16_t load16(const uint8_t* p) const;
  void store16(uint8_t* p, uint16_t value);

  Dma* dma_ = nullptr;
  Layout layout_;
  uint8_t* descriptors_ = nullptr;
  uint8_t* available_ = nullptr;
  uint8_t* used_ = nullptr;
  bool event_index_ = false;
  bool indirect_ = false;
  uint16_t next_available_ = 0;  // free-running, as the ring's own index
  uint16_t next_used_ = 0;       // pushed
  uint16_t published_ = 0;       // visible to the driver
  uint16_t in_flight_ = 0;
  uint64_t partly_done_ = 0;
  const char* error_ = nullptr;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_QUEUE_H_
