// What the transports share: a virtio device's status, features and queues (virtio 1.2, 2), where
// its work is done, and its life. transport_mmio.h and transport_pci.h put registers before it.
#ifndef TRAPLINE_DEVICES_VIRTIO_TRANSPORT_H_
#define TRAPLINE_DEVICES_VIRTIO_TRANSPORT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "devices/virtio/dma.h"
#include "devices/virtio/function.h"
#include "devices/virtio/io_mode.h"
#include "devices/virtio/io_thread.h"
#include "devices/virtio/queue.h"
#include "devices/virtio/report.h"
#include "mmio/device.h"

namespace trapline::virtio {

// Device status, 2.1.
enum Status : uint32_t {
  kAcknowledge = 1,
  kDriver = 2,
  kDriverOk = 4,
  kFeaturesOk = 8,
  kNeedsReset = 64,
  kFailed = 128,
};

// Feature bits that belong to the ring and the transport, 6.
inline constexpr uint64_t kAnyLayout = uint64_t{1} << 27;  // legacy
inline constexpr uint64_t kIndirectDesc = uint64_t{1} << 28;
inline constexpr uint64_t kEventIdx = uint64_t{1} << 29;
inline constexpr uint64_t kVersion1 = uint64_t{1} << 32;
inline constexpr uint64_t kRingReset = uint64_t{1} << 40;

class Transport : public Device, protected Host {
 public:
  // Whoever derives calls end_work() in its own destructor: the work calls interrupt().
  ~Transport() override;
  void reset() override;
  // Parks the I/O thread with nothing in flight; resume() lets it go on.
  void quiesce() override;
  void resume() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return options_.name; }
  void counters(CounterVisitor visit, void* context) const override {
    visit(context, "errors", errors());
    function_->counters(visit, context);
  }

  Function& function() { return *function_; }
  // Violations by the guest, and host errors, so far.
  uint64_t errors() const { return report_.count(); }
  uint64_t notifies() const { return notifies_.load(std::memory_order_relaxed); }
  // At assembly. An eventfd, written to instead of a notification, of whatever queue; -1: the
  // device wants the notification itself. hear_events(): somebody will.
  int notify_event() const {
    return thread_ != nullptr && !function_->finishes_at_notify() ? thread_->event() : -1;
  }
  void hear_events() { thread_->hear_events(static_cast<unsigned>(queues_.size())); }
  uint64_t interrupts() const { return interrupts_.load(std::memory_order_relaxed); }

 protected:
  struct Options {
    std::string name;  // "virtio-blk0"
    Dma* dma = nullptr;
    IoMode io;
    bool legacy = false;
    bool preset_sizes = false;  // a queue is of the largest size until the driver says otherwise
  };

  Transport(Options options, std::unique_ptr<Function> function);
  void end_work();

  // InterruptStatus has bits of kUsedBuffer, for `queue`, or of kConfigChange; irq_mutex_ is held.
  virtual void interrupt(uint32_t bits, unsigned queue) = 0;
  // InterruptStatus is zero; irq_mutex_ is held.
  virtual void interrupt_gone() = 0;
  // InterruptStatus, not zero, is as it was when the state was saved; irq_mutex_ is held.
  virtual void show_loaded_interrupt() = 0;
  // The device is as at power-on, or as its driver resets it; mutex_ is held, or all vCPUs stopped.
  virtual void front_reset() {}
  virtual void save_front(StateWriter& /*out*/) const {}
  virtual bool load_front(StateReader& /*in*/) { return true; }

  struct QueueState {
    Queue::Layout layout;  // as the driver wrote it
    uint64_t pfn = 0;      // legacy
    uint32_t align = 0;    // legacy
    bool ready = false;
    // deterministic mode: a run is due at `deadline`
    bool scheduled = false;
    uint64_t deadline = 0;
    Clock::Handle timer = 0;
    Queue queue;
  };

  // Host
  Dma& dma() override { return *options_.dma; }
  Queue& queue(unsigned index) override { return queues_[index]->queue; }
  void publish(unsigned index) override;
  void fail(const char* why) override;
  void config_changed() override;
  void kick(unsigned index) override;
  Report& report() override { return report_; }
  bool deterministic() const override { return options_.io.is_deterministic(); }
  std::mutex& work_mutex() override { return work_mutex_; }

  MmioResult read_config(uint64_t offset, unsigned size);
  void write_config(uint64_t offset, unsigned size, uint64_t value);
  uint32_t read_status();
  uint32_t read_generation();
  // mutex_ is held by who calls the next five. A queue's registers have their MMIO offsets as names
  // (transport_registers.h).
  uint32_t device_features() const;  // the half that is selected
  void write_driver_features(uint32_t value);
  void write_status(uint32_t value);
  void write_queue(uint64_t reg, uint32_t value);
  void write_pfn(uint32_t value);
  // Whether the device may touch guest memory at all.
  void allow_work(bool allowed);
  void enable_queue(QueueState& q);
  void disable_queue(QueueState& q);
  void notify(uint32_t index);
  bool work_at_once(unsigned index);
  void reset_device();
  void cancel(QueueState& q);
  static constexpr unsigned kNoQueue = ~0u;
  void raise(uint32_t bits, unsigned queue);
  void raise_locked(uint32_t bits, unsigned queue);  // irq_mutex_ held
  void refuse(std::string_view what) { report_.add(what); }
  // The thread that processes queues is stopped / let go.
  void stop_work();
  void start_work();
  void schedule(unsigned index, uint64_t deadline);
  void run_scheduled(unsigned index);
  uint64_t offered() const;
  bool negotiated(uint64_t bit) const { return (driver_features_ & bit) != 0; }
  bool live() const {
    return (status_.load(std::memory_order_acquire) & (kDriverOk | kFailed)) == kDriverOk &&
           allowed_.load(std::memory_order_relaxed);
  }
  QueueState* selected();
  void forget_layout(unsigned index);

  const Options options_;
  const std::unique_ptr<Function> function_;
  Report report_;
  std::atomic<uint64_t> notifies_{0};
  std::atomic<uint64_t> interrupts_{0};

  std::mutex mutex_;  // registers; held while work is stopped, so never taken by the I/O thread
  std::atomic<uint32_t> status_{0};
  std::atomic<bool> allowed_{true};
  uint64_t driver_features_ = 0;
  uint32_t device_features_sel_ = 0;
  uint32_t driver_features_sel_ = 0;
  uint32_t queue_sel_ = 0;
  uint32_t guest_page_size_ = 0;  // legacy
  std::vector<std::unique_ptr<QueueState>> queues_;
  std::atomic<uint32_t> generation_{0};
  bool quiesced_ = false;

  // Held by whoever works on the queues; a vCPU only tries. working_ changes with mutex_ held too.
  std::mutex work_mutex_;
  bool working_ = false;

  // Innermost: interrupt_status_ and the line together, and with them what Status and
  // ConfigGeneration show of the cause.
  std::mutex irq_mutex_;
  uint32_t interrupt_status_ = 0;

  std::unique_ptr<IoThread> thread_;  // null when deterministic
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_TRANSPORT_H_
