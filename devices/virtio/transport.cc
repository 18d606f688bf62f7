#include "devices/virtio/transport.h"

#include <algorithm>
#include <bit>

#include "devices/virtio/transport_registers.h"

namespace trapline::virtio {
namespace {

void set_half(uint64_t& value, bool high, uint32_t half) {
  const unsigned shift = high ? 32 : 0;
  value = (value & ~(uint64_t{0xffffffff} << shift)) | uint64_t{half} << shift;
}

}  // namespace

Transport::Transport(Options options, std::unique_ptr<Function> function)
    : options_(std::move(options)), function_(std::move(function)), report_(options_.name) {
  function_->bind(this);
  for (unsigned i = 0; i < function_->queue_count(); ++i) {
    queues_.push_back(std::make_unique<QueueState>());
    forget_layout(i);
  }
  if (!options_.io.is_deterministic()) {
    thread_ = std::make_unique<IoThread>(*function_, work_mutex_, options_.name);
  }
}

Transport::~Transport() { end_work(); }

void Transport::end_work() {
  for (auto& q : queues_) cancel(*q);
  thread_.reset();  // before the function and the queues that it uses
}

uint64_t Transport::offered() const {
  const uint64_t common = function_->features() | kIndirectDesc | kEventIdx;
  // Legacy drivers see 32 bits; the layout of requests was never assumed here.
  if (options_.legacy) return (common | kAnyLayout) & 0xffffffff;
  return common | kVersion1 | kRingReset;
}

// As a driver finds the queue.
void Transport::forget_layout(unsigned index) {
  Queue::Layout& layout = queues_[index]->layout;
  layout = {};
  if (options_.preset_sizes) layout.size = static_cast<uint16_t>(function_->queue_max(index));
}

Transport::QueueState* Transport::selected() {
  return queue_sel_ < queues_.size() ? queues_[queue_sel_].get() : nullptr;
}

// --- reads ---------------------------------------------------------------------------------------

uint32_t Transport::read_status() {
  std::lock_guard lock(irq_mutex_);
  return status_.load(std::memory_order_acquire);
}

uint32_t Transport::read_generation() {
  std::lock_guard lock(irq_mutex_);
  return generation_.load(std::memory_order_acquire);
}

uint32_t Transport::device_features() const {
  if (device_features_sel_ > 1) return 0;
  return static_cast<uint32_t>(offered() >> (32 * device_features_sel_));
}

MmioResult Transport::read_config(uint64_t offset, unsigned size) {
  const uint64_t bytes = function_->config_bytes();
  uint64_t value = 0;
  if (offset < bytes) {
    std::lock_guard lock(mutex_);
    const auto n = static_cast<unsigned>(std::min<uint64_t>(size, bytes - offset));
    function_->config_read(static_cast<unsigned>(offset), &value, n);
  }
  return {.value = value};
}

// --- writes --------------------------------------------------------------------------------------

void Transport::write_config(uint64_t offset, unsigned size, uint64_t value) {
  const uint64_t bytes = function_->config_bytes();
  if (offset >= bytes) return;
  std::lock_guard lock(mutex_);
  const auto n = static_cast<unsigned>(std::min<uint64_t>(size, bytes - offset));
  function_->config_write(static_cast<unsigned>(offset), &value, n);
}

void Transport::write_driver_features(uint32_t value) {
  // 2.2: not after FEATURES_OK. A legacy driver has no such step: not after DRIVER_OK.
  const uint32_t closed = options_.legacy ? kDriverOk : kFeaturesOk;
  if ((status_.load() & closed) != 0) return refuse("features written after negotiation");
  if (driver_features_sel_ > 1) {
    if (value != 0) refuse("feature bits beyond 63");
    return;
  }
  set_half(driver_features_, driver_features_sel_ == 1, value);
  if (options_.legacy) driver_features_ &= offered();
}

void Transport::write_status(uint32_t value) {
  value &= 0xff;
  if (value == 0) return reset_device();
  const uint32_t old = status_.load();
  // 2.1.1: a driver does not clear bits but by a reset; DEVICE_NEEDS_RESET is ours.
  uint32_t added = value & ~old & (kAcknowledge | kDriver | kDriverOk | kFeaturesOk | kFailed);
  if ((added & kFeaturesOk) != 0 && !options_.legacy) {
    const bool acceptable =
        (driver_features_ & ~offered()) == 0 && (driver_features_ & kVersion1) != 0;
    if (!acceptable) {
      // 3.1.1: the driver reads the status back and sees that the bit did not stay.
      refuse("driver's features are not a subset of ours with VERSION_1");
      added &= ~static_cast<uint32_t>(kFeaturesOk);
    }
  }
  if ((added & kDriverOk) != 0 && !options_.legacy && ((old | added) & kFeaturesOk) == 0) {
    refuse("DRIVER_OK without FEATURES_OK");
    added &= ~static_cast<uint32_t>(kDriverOk);
  }
  if ((added & kFailed) != 0) stop_work();
  if ((added & kDriverOk) != 0) {
    function_->start(driver_features_, options_.legacy);
    // Rings were mapped when they became ready; their options are known only now for legacy.
    if (options_.legacy) {
      for (auto& q : queues_) {
        if (q->ready) enable_queue(*q);
      }
    }
  }
  status_.fetch_or(added);
  if ((added & kDriverOk) != 0) start_work();
}

void Transport::write_queue(uint64_t reg, uint32_t value) {
  QueueState* q = selected();
  if (q == nullptr) return refuse("access to a queue that does not exist");
  if (options_.legacy != (reg == kQueueAlign) && reg != kQueueNum) return;
  if (reg == kQueueReady) {
    if ((value & 1) == 0) {
      disable_queue(*q);
    } else if (!q->ready) {
      // 2.1: queues are set up between FEATURES_OK and DRIVER_OK, or after a queue reset.
      if ((status_.load() & kFeaturesOk) == 0) return refuse("queue made ready before FEATURES_OK");
      q->ready = true;
      enable_queue(*q);
    }
    return;
  }
  if (reg == kQueueReset) {
    if ((value & 1) == 0) return;
    if (!negotiated(kRingReset)) return refuse("queue reset was not negotiated");
    disable_queue(*q);
    forget_layout(queue_sel_);
    return;
  }
  if (q->ready) return refuse("queue changed while ready");
  switch (reg) {
    case kQueueNum:
      // Kept as 16 bits: what does not fit is as wrong as 0, and refused when made ready.
      q->layout.size = value <= Queue::kMaxSize ? static_cast<uint16_t>(value) : 0;
      break;
    case kQueueAlign:
      q->align = value;
      break;
    case kQueueDescLow:
    case kQueueDescHigh:
      set_half(q->layout.descriptors, reg == kQueueDescHigh, value);
      break;
    case kQueueDriverLow:
    case kQueueDriverHigh:
      set_half(q->layout.available, reg == kQueueDriverHigh, value);
      break;
    case kQueueDeviceLow:
    case kQueueDeviceHigh:
      set_half(q->layout.used, reg == kQueueDeviceHigh, value);
      break;
    default:
      break;
  }
}

// Legacy: one register places all three parts, 2.7.2. Small drivers that were only ever run on QEMU
// leave registers as they find them: it takes a page of 1 byte (QueuePFN is an address), an
// alignment of 4096 and the largest queue.
void Transport::write_pfn(uint32_t value) {
  QueueState* q = selected();
  if (q == nullptr) return refuse("access to a queue that does not exist");
  disable_queue(*q);
  if (value == 0) return;
  constexpr uint32_t kUnsetPageSize = 1, kUnsetAlign = 4096;
  const uint64_t page_size = guest_page_size_ != 0 ? guest_page_size_ : kUnsetPageSize;
  const uint64_t align = q->align != 0 ? q->align : kUnsetAlign;
  if (!std::has_single_bit(page_size) || !std::has_single_bit(align) || align > 65536) {
    return fail("queue page size or alignment is not a power of two");
  }
  Queue::Layout& layout = q->layout;
  layout.descriptors = value * page_size;
  layout.available = layout.descriptors + 16 * uint64_t{layout.size};
  const uint64_t end = layout.available + 4 + 2 * uint64_t{layout.size} + 2;
  layout.used = (end + align - 1) & ~(align - 1);
  q->ready = true;
  q->pfn = value;
  enable_queue(*q);
}

// Maps a queue that the driver calls ready.
void Transport::enable_queue(QueueState& q) {
  const bool resume = working_;
  stop_work();
  const auto index = static_cast<unsigned>(
      std::find_if(queues_.begin(), queues_.end(), [&](auto& p) { return p.get() == &q; }) -
      queues_.begin());
  const char* error = "queue is larger than QueueNumMax";
  if (q.layout.size <= function_->queue_max(index)) {
    error =
        q.queue.enable(*options_.dma, q.layout, negotiated(kEventIdx), negotiated(kIndirectDesc));
  }
  if (error != nullptr) {
    q.ready = false;
    q.pfn = 0;
    fail(error);
  }
  if (resume) start_work();
}

void Transport::disable_queue(QueueState& q) {
  if (!q.ready && !q.queue.enabled()) return;
  const bool resume = working_;
  stop_work();
  cancel(q);
  q.queue.disable();
  q.ready = false;
  q.pfn = 0;
  if (resume) start_work();
}

}  // namespace trapline::virtio
