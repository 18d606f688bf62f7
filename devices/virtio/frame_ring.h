// Frames from one process to another, in memory that both can write. Either side may be hostile: a
// reader takes a length once, checks it, and copies what it will look at.
#ifndef TRAPLINE_DEVICES_VIRTIO_FRAME_RING_H_
#define TRAPLINE_DEVICES_VIRTIO_FRAME_RING_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

namespace trapline::virtio {

struct FrameRing {
  static constexpr uint32_t kBytes = 4 << 20;
  alignas(64) std::atomic<uint32_t> written;  // bytes ever, both modulo 2^32
  alignas(64) std::atomic<uint32_t> read;
  alignas(64) uint8_t bytes[kBytes];
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

// Of each ring a process is one of these. Its own place it knows by heart.
class FrameWriter {
 public:
  explicit FrameWriter(FrameRing& ring) : ring_(ring) {}

  // False: no room. `wake`: the reader may be asleep.
  bool put(std::span<const uint8_t> head, std::span<const uint8_t> body, bool& wake) {
    const auto size = static_cast<uint32_t>(head.size() + body.size());
    const uint32_t before = at_;
    const uint32_t used = before - ring_.read.load(std::memory_order_acquire);
    if (used > FrameRing::kBytes || FrameRing::kBytes - used < size + sizeof size) return false;
    copy({reinterpret_cast<const uint8_t*>(&size), sizeof size});
    copy(head);
    copy(body);
    ring_.written.store(at_, std::memory_order_seq_cst);
    wake = ring_.read.load(std::memory_order_seq_cst) == before;
    return true;
  }

 private:
  void copy(std::span<const uint8_t> from) {
    const uint32_t at = at_ % FrameRing::kBytes;
    const size_t first = std::min<size_t>(from.size(), FrameRing::kBytes - at);
    std::memcpy(ring_.bytes + at, from.data(), first);
    std::memcpy(ring_.bytes, from.data() + first, from.size() - first);
    at_ += static_cast<uint32_t>(from.size());
  }

  FrameRing& ring_;
  uint32_t at_ = 0;
};

class FrameReader {
 public:
  explicit FrameReader(FrameRing& ring) : ring_(ring) {}

  bool empty() const { return ring_.written.load(std::memory_order_seq_cst) == at_; }
  // The next frame's size, copied to `into`; 0: there is none. What is no frame of ours is the end
  // of all: broken().
  size_t take(std::span<uint8_t> into) {
    const uint32_t there = ring_.written.load(std::memory_order_seq_cst) - at_;
    if (there == 0 || broken_) return 0;
    uint32_t size = 0;
    broken_ = there > FrameRing::kBytes || there < sizeof size;
    if (broken_) return 0;
    copy({reinterpret_cast<uint8_t*>(&size), sizeof size});
    broken_ = size == 0 || size > into.size() || size > there - sizeof size;
    if (broken_) return 0;
    copy(into.first(size));
    ring_.read.store(at_, std::memory_order_seq_cst);
    return size;
  }
  bool broken() const { return broken_; }

 private:
  void copy(std::span<uint8_t> to) {
    const uint32_t at = at_ % FrameRing::kBytes;
    const size_t first = std::min<size_t>(to.size(), FrameRing::kBytes - at);
    std::memcpy(to.data(), ring_.bytes + at, first);
    std::memcpy(to.data() + first, ring_.bytes, to.size() - first);
    at_ += static_cast<uint32_t>(to.size());
  }

  FrameRing& ring_;
  uint32_t at_ = 0;
  bool broken_ = false;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_FRAME_RING_H_
