#include "devices/virtio/queue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

namespace trapline::virtio {
namespace {

static_assert(std::endian::native == std::endian::little, "rings are little-endian, 1.4");

// struct virtq_desc, 2.7.5.
struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(Descriptor) == 16, "as in guest memory");

enum DescriptorFlag : uint16_t { kNext = 1, kWrite = 2, kIndirect = 4 };

// Offsets within the rings, 2.7.6 and 2.7.8: flags, index, then the elements.
constexpr unsigned kRingFlags = 0;
constexpr unsigned kRingIndex = 2;
constexpr unsigned kRingElements = 4;
constexpr unsigned kUsedElementBytes = 8;  // id, length
constexpr uint16_t kNoInterrupt = 1;       // available ring's flags

uint64_t available_bytes(uint16_t size) { return kRingElements + 2 * uint64_t{size} + 2; }
uint64_t used_bytes(uint16_t size) {
  return kRingElements + uint64_t{kUsedElementBytes} * size + 2;
}

Descriptor copy_descriptor(const uint8_t* p) {
  Descriptor d;
  copy_from_guest(&d, p, sizeof d);
  return d;
}

}  // namespace

size_t Chain::read(uint64_t offset, void* out, size_t size) const {
  auto* p = static_cast<uint8_t*>(out);
  size_t done = 0;
  for (const Segment& s : readable) {
    if (done == size) break;
    if (offset >= s.size) {
      offset -= s.size;
      continue;
    }
    const size_t n = std::min<uint64_t>(size - done, s.size - offset);
    copy_from_guest(p + done, s.host + offset, n);
    done += n;
    offset = 0;
  }
  return done;
}

size_t Chain::write(Dma& dma, uint64_t offset, const void* data, size_t size) const {
  const auto* p = static_cast<const uint8_t*>(data);
  size_t done = 0;
  for (const Segment& s : writable) {
    if (done == size) break;
    if (offset >= s.size) {
      offset -= s.size;
      continue;
    }
    const size_t n = std::min<uint64_t>(size - done, s.size - offset);
    std::memcpy(s.host + offset, p + done, n);
    dma.done(s.ipa + offset, n);
    done += n;
    offset = 0;
  }
  return done;
}

void Chain::done(Dma& dma, uint64_t bytes) const {
  for (const Segment& s : writable) {
    if (bytes == 0) break;
    const uint64_t n = std::min<uint64_t>(bytes, s.size);
    dma.done(s.ipa, n);
    bytes -= n;
  }
}

void append_iov(const std::vector<Segment>& segments, uint64_t skip, uint64_t bytes,
                std::vector<iovec>& out) {
  for (const Segment& s : segments) {
    if (skip >= s.size) {
      skip -= s.size;
      continue;
    }
    const uint64_t n = std::min<uint64_t>(bytes, s.size - skip);
    if (n == 0) break;
    out.push_back({s.host + skip, n});
    bytes -= n;
    skip = 0;
  }
}

const char* Queue::enable(Dma& dma, const Layout& layout, bool event_index, bool indirect) {
  disable();
  if (layout.size == 0 || layout.size > kMaxSize || !std::has_single_bit(layout.size)) {
    return "queue size is not a power of two in range";
  }
  // 2.7: alignments of the three parts. They also make the accesses below single-copy atomic.
  if (layout.descriptors % 16 != 0 || layout.available % 2 != 0 || layout.used % 4 != 0) {
    return "queue part is misaligned";
  }
  uint8_t* descriptors = dma.host(layout.descriptors, sizeof(Descriptor) * uint64_t{layout.size});
  uint8_t* available = dma.host(layout.available, available_bytes(layout.size));
  uint8_t* used = dma.host(layout.used, used_bytes(layout.size));
  if (descriptors == nullptr || available == nullptr || used == nullptr) {
    return "queue part is not in RAM";
  }
  dma_ = &dma;
  layout_ = layout;
  descriptors_ = descriptors;
  available_ = available;
  used_ = used;
  event_index_ = event_index;
  indirect_ = indirect;
  return nullptr;
}

void Queue::disable() {
  dma_ = nullptr;
  layout_ = {};
  next_available_ = next_used_ = published_ = in_flight_ = 0;
  partly_done_ = 0;
  error_ = nullptr;
}

uint16_t Queue::load16(const uint8_t* p) const {
  return std::atomic_ref(*reinterpret_cast<uint16_t*>(const_cast<uint8_t*>(p)))
      .load(std::memory_order_acquire);
}

void Queue::store16(uint8_t* p, uint16_t value) {
  std::atomic_ref(*reinterpret_cast<uint16_t*>(p)).store(value, std::memory_order_release);
  dma_->done(layout_.used + static_cast<uint64_t>(p - used_), 2);
}

bool Queue::has_available() const {
  return dma_ != nullptr && error_ == nullptr && load16(available_ + kRingIndex) != next_available_;
}

Queue::Pop Queue::pop(Chain& chain) {
  chain.readable.clear();
  chain.writable.clear();
  chain.readable_bytes = chain.writable_bytes = 0;
  if (dma_ == nullptr || error_ != nullptr) return Pop::kEmpty;
  // Acquire: the ring element and the descriptors were written before the index.
  const uint16_t index = load16(available_ + kRingIndex);
  const auto waiting = static_cast<uint16_t>(index - next_available_);
  if (waiting == 0) return Pop::kEmpty;
  // The driver owns at most `size` chains at a time, those in flight included.
  if (waiting > layout_.size - in_flight_) {
    error_ = "available index jumped by more than the queue's size";
    return Pop::kBroken;
  }
  const unsigned slot = next_available_ & (layout_.size - 1);
  const uint16_t head = load16(available_ + kRingElements + 2 * slot);
  error_ = walk(head, chain);
  if (error_ != nullptr) return Pop::kBroken;
  chain.head = head;
  ++next_available_;
  ++in_flight_;
  return Pop::kChain;
}

void Queue::unpop(uint16_t chains) {
  next_available_ = static_cast<uint16_t>(next_available_ - chains);
  in_flight_ = static_cast<uint16_t>(in_flight_ - chains);
}

const char* Queue::add(uint64_t address, uint32_t size, uint16_t flags, Chain& chain) {
  if (chain.readable.size() + chain.writable.size() >= kMaxSegments) {
    return "descriptor chain is too long";
  }
  if (chain.readable_bytes + chain.writable_bytes + size > kMaxChainBytes) {
    return "descriptor chain is longer than 4 GiB";
  }
  const bool write = (flags & kWrite) != 0;
  // 2.7.4.2: readable elements stand before the writable ones.
  if (!write && !chain.writable.empty()) return "readable descriptor after a writable one";
  if (size == 0) return nullptr;
  uint8_t* host = dma_->host(address, size);
  if (host == nullptr) return "descriptor is not in RAM";
  if (write) {
    chain.writable.push_back({host, address, size});
    chain.writable_bytes += size;
  } else {
    chain.readable.push_back({host, address, size});
    chain.readable_bytes += size;
  }
  return nullptr;
}

// Returns null or what is wrong with the chain. Every step counts, so that loops end.
const char* Queue::walk(uint16_t head, Chain& chain) {
  const uint8_t* table = descriptors_;
  uint32_t entries = layout_.size;
  bool in_indirect = false;
  uint32_t index = head;
  if (index >= entries) return "descriptor index out of range";
  for (unsigned steps = 0; steps <= kMaxSegments; ++steps) {
    const Descriptor d = copy_descriptor(table + sizeof(Descriptor) * index);
    if ((d.flags & kIndirect) != 0) {
      // 2.7.5.3.1
      if (!indirect_) return "indirect descriptor was not negotiated";
      if (in_indirect) return "indirect table inside an indirect table";
      if ((d.flags & kNext) != 0) return "indirect descriptor with a next one";
      if (d.length == 0 || d.length % sizeof(Descriptor) != 0) {
        return "indirect table's length is not a multiple of 16";
      }
      entries = d.length / sizeof(Descriptor);
      if (entries > kMaxSegments) return "indirect table is too long";
      table = dma_->host(d.address, d.length);
      if (table == nullptr) return "indirect table is not in RAM";
      in_indirect = true;
      index = 0;
      continue;
    }
    if (const char* error = add(d.address, d.length, d.flags, chain)) return error;
    if ((d.flags & kNext) == 0) return nullptr;
    if (d.next >= entries) return "next descriptor out of range";
    index = d.next;
  }
  return "descriptor chain loops";
}

void Queue::push(uint16_t head, uint32_t written) {
  if (dma_ == nullptr) return;
  const unsigned slot = next_used_ & (layout_.size - 1);
  const uint64_t offset = kRingElements + uint64_t{kUsedElementBytes} * slot;
  const uint32_t element[2] = {head, written};
  std::memcpy(used_ + offset, element, sizeof element);
  dma_->done(layout_.used + offset, sizeof element);
  ++next_used_;
  if (in_flight_ > 0) --in_flight_;
}

bool Queue::publish() {
  if (dma_ == nullptr || published_ == next_used_) return false;
  const uint16_t before = published_;
  published_ = next_used_;
  // Release: elements and buffers are visible before the index.
  store16(used_ + kRingIndex, published_);
  // Full barrier: the driver stores its event index, then reads ours; we do the reverse.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (event_index_) {
    const uint16_t event = load16(available_ + kRingElements + 2 * layout_.size);
    return static_cast<uint16_t>(published_ - event - 1) <
           static_cast<uint16_t>(published_ - before);
  }
  return (load16(available_ + kRingFlags) & kNoInterrupt) == 0;
}

bool Queue::enable_notifications() {
  if (dma_ == nullptr || error_ != nullptr) return false;
  // Without the event index the used ring's flags stay 0: always notify.
  if (event_index_) {
    store16(used_ + kRingElements + uint64_t{kUsedElementBytes} * layout_.size, next_available_);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  return has_available();
}

void Queue::save(StateWriter& out) const {
  out.put(next_available_);
  out.put(next_used_);
  out.put(uint8_t{error_ != nullptr});
  out.put(partly_done_);
}

void Queue::load(StateReader& in) {
  next_available_ = in.get<uint16_t>();
  next_used_ = published_ = in.get<uint16_t>();
  error_ = in.get<uint8_t>() != 0 ? "broken when saved" : nullptr;
  partly_done_ = in.get<uint64_t>();
  in_flight_ = 0;
}

}  // namespace trapline::virtio
