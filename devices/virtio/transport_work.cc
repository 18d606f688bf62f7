// The transport's other half: where the work is done, and the device's life.
#include <algorithm>

#include "devices/virtio/transport.h"
#include "devices/virtio/transport_registers.h"

namespace trapline::virtio {
namespace {

constexpr uint32_t kStateVersion = 1;

}  // namespace

// --- work ----------------------------------------------------------------------------------------

void Transport::notify(uint32_t index) {
  notifies_.fetch_add(1, std::memory_order_relaxed);
  if (index >= queues_.size()) return refuse("notification of a queue that does not exist");
  // 3.1.1: nothing is consumed before DRIVER_OK; start_work() looks at all queues.
  if (live() && !work_at_once(index)) kick(index);
}

// A cached read of a page is done before the I/O thread would have woken.
bool Transport::work_at_once(unsigned index) {
  if (thread_ == nullptr) return false;
  std::unique_lock lock(work_mutex_, std::try_to_lock);
  return lock.owns_lock() && working_ && function_->process_at_notify(index);
}

void Transport::kick(unsigned index) {
  if (thread_ != nullptr) {
    thread_->kick(index);
    return;
  }
  if (!queues_[index]->scheduled) {
    schedule(index, options_.io.clock->now() + options_.io.delay);
  }
}

void Transport::schedule(unsigned index, uint64_t deadline) {
  QueueState& q = *queues_[index];
  q.scheduled = true;
  q.deadline = deadline;
  q.timer = options_.io.clock->at(deadline, [this, index] { run_scheduled(index); });
}

void Transport::run_scheduled(unsigned index) {
  QueueState& q = *queues_[index];
  q.scheduled = false;
  q.timer = 0;
  if (live() && function_->process(index)) kick(index);
}

void Transport::cancel(QueueState& q) {
  if (q.scheduled) options_.io.clock->cancel(q.timer);
  q.scheduled = false;
  q.timer = 0;
}

void Transport::stop_work() {
  if (!working_) return;
  {
    std::lock_guard lock(work_mutex_);
    working_ = false;
  }
  if (thread_ != nullptr) thread_->park();
}

void Transport::allow_work(bool allowed) {
  if (!allowed) stop_work();
  allowed_.store(allowed);
  if (allowed) start_work();
}

void Transport::start_work() {
  if (working_ || quiesced_ || !live()) return;
  {
    std::lock_guard lock(work_mutex_);
    working_ = true;
  }
  // Chains may have been made available, and notified, while nobody looked.
  for (unsigned i = 0; i < queues_.size(); ++i) {
    if (queues_[i]->queue.enabled()) kick(i);
  }
  if (thread_ != nullptr) thread_->unpark();
}

void Transport::publish(unsigned index) {
  if (queues_[index]->queue.publish()) raise(kUsedBuffer, index);
}

void Transport::raise(uint32_t bits, unsigned queue) {
  std::lock_guard lock(irq_mutex_);
  raise_locked(bits, queue);
}

void Transport::raise_locked(uint32_t bits, unsigned queue) {
  interrupts_.fetch_add(1, std::memory_order_relaxed);
  interrupt_status_ |= bits;
  interrupt(bits, queue);
}

// What Status and ConfigGeneration show, and the interrupt that tells of it, change together.
void Transport::fail(const char* why) {
  report_.add(why);
  std::lock_guard lock(irq_mutex_);
  // 2.1.2: a driver that runs is told by a configuration change.
  if ((status_.fetch_or(kNeedsReset) & kDriverOk) != 0) raise_locked(kConfigChange, kNoQueue);
}

void Transport::config_changed() {
  std::lock_guard lock(irq_mutex_);
  generation_.fetch_add(1, std::memory_order_release);
  if (live()) raise_locked(kConfigChange, kNoQueue);
}

// --- life ----------------------------------------------------------------------------------------

// Called with mutex_ held, or with all vCPUs stopped.
void Transport::reset_device() {
  stop_work();
  for (unsigned i = 0; i < queues_.size(); ++i) {
    QueueState& q = *queues_[i];
    cancel(q);
    q.queue.disable();
    forget_layout(i);
    q.pfn = 0;
    q.align = 0;
    q.ready = false;
  }
  function_->reset();
  driver_features_ = 0;
  device_features_sel_ = driver_features_sel_ = queue_sel_ = 0;
  // GuestPageSize stays: Linux writes it once, before the driver's first reset.
  status_.store(0);
  front_reset();
  std::lock_guard lock(irq_mutex_);
  interrupt_status_ = 0;
  interrupt_gone();
}

void Transport::reset() {
  std::lock_guard lock(mutex_);
  reset_device();
  guest_page_size_ = 0;
  generation_.store(0);
}

void Transport::quiesce() {
  std::lock_guard lock(mutex_);
  quiesced_ = true;
  // Deterministic work has no thread to park: what is scheduled is saved as a deadline.
  if (thread_ != nullptr) stop_work();
}

void Transport::resume() {
  std::lock_guard lock(mutex_);
  quiesced_ = false;
  if (thread_ != nullptr) start_work();
}

void Transport::save(StateWriter& out) const {
  out.put(kStateVersion);
  out.put(status_.load());
  out.put(driver_features_);
  out.put(device_features_sel_);
  out.put(driver_features_sel_);
  out.put(queue_sel_);
  out.put(guest_page_size_);
  out.put(generation_.load());
  out.put(interrupt_status_);
  out.put(static_cast<uint32_t>(queues_.size()));
  for (const auto& q : queues_) {
    out.put(q->layout.size);
    out.put(q->layout.descriptors);
    out.put(q->layout.available);
    out.put(q->layout.used);
    out.put(q->pfn);
    out.put(q->align);
    out.put(uint8_t{q->ready});
    out.put(uint8_t{q->scheduled});
    out.put(q->deadline);
    q->queue.save(out);
  }
  function_->save(out);
  save_front(out);
}

bool Transport::load(StateReader& in) {
  std::lock_guard lock(mutex_);
  reset_device();
  if (in.get<uint32_t>() != kStateVersion) return false;
  const auto status = in.get<uint32_t>();
  driver_features_ = in.get<uint64_t>();
  device_features_sel_ = in.get<uint32_t>();
  driver_features_sel_ = in.get<uint32_t>();
  queue_sel_ = in.get<uint32_t>();
  guest_page_size_ = in.get<uint32_t>();
  generation_ = in.get<uint32_t>();
  const auto interrupt_status = in.get<uint32_t>();
  if (in.get<uint32_t>() != queues_.size() || (driver_features_ & ~offered()) != 0) {
    reset_device();
    return false;
  }
  bool good = true;
  for (unsigned i = 0; i < queues_.size(); ++i) {
    QueueState& q = *queues_[i];
    q.layout.size = in.get<uint16_t>();
    q.layout.descriptors = in.get<uint64_t>();
    q.layout.available = in.get<uint64_t>();
    q.layout.used = in.get<uint64_t>();
    q.pfn = in.get<uint64_t>();
    q.align = in.get<uint32_t>();
    q.ready = in.get<uint8_t>() != 0;
    const bool scheduled = in.get<uint8_t>() != 0;
    const auto deadline = in.get<uint64_t>();
    if (q.ready) {
      good = good && q.layout.size <= function_->queue_max(i) &&
             q.queue.enable(*options_.dma, q.layout, negotiated(kEventIdx),
                            negotiated(kIndirectDesc)) == nullptr;
    }
    q.queue.load(in);
    if (scheduled && thread_ == nullptr && in.ok()) schedule(i, deadline);
  }
  if ((status & kDriverOk) != 0) function_->start(driver_features_, options_.legacy);
  good = function_->load(in) && good && in.ok();
  good = load_front(in) && good && in.ok();
  if (!good) {
    reset_device();
    return false;
  }
  status_.store(status);
  {
    std::lock_guard irq_lock(irq_mutex_);
    interrupt_status_ = interrupt_status;
    if (interrupt_status != 0) {
      show_loaded_interrupt();
    } else {
      interrupt_gone();
    }
  }
  if (thread_ != nullptr) {
    start_work();
  } else {
    working_ = live();
  }
  return true;
}

}  // namespace trapline::virtio
