// virtio over MMIO (virtio 1.2, 4.2): version 2, and by option the legacy interface, version 1
// (4.2.4). One 512-byte window, one interrupt line, one device type behind it.
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
#include "mmio/irq_line.h"

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

class Transport final : public Device, private Host {
 public:
  static constexpr uint64_t kWindowBytes = 0x200;

  struct Options {
    std::string name;  // "virtio-blk0"
    Dma* dma = nullptr;
    IrqLine* irq = nullptr;  // level: high while InterruptStatus is not zero
    IoMode io;
    bool legacy = false;
  };

  Transport(Options options, std::unique_ptr<Function> function);
  ~Transport() override;

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  // Parks the I/O thread with nothing in flight; resume() lets it go on.
  void quiesce() override;
  void resume() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return options_.name; }
  std::string_view register_name(uint64_t offset) const override;
  void counters(CounterVisitor visit, void* context) const override {
    visit(context, "errors", errors());
    function_->counters(visit, context);
  }

  Function& function() { return *function_; }
  // Violations by the guest, and host errors, so far.
  uint64_t errors() const { return report_.count(); }
  uint64_t notifies() const { return notifies_.load(std::memory_order_relaxed); }
  uint64_t interrupts() const { return interrupts_.load(std::memory_order_relaxed); }

 private:
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

  uint32_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint32_t value);
  MmioResult read_config(uint64_t offset, unsigned size);
  void write_config(uint64_t offset, unsigned size, uint64_t value);
  void write_status(uint32_t value);
  void write_queue(uint64_t offset, uint32_t value);
  void write_pfn(uint32_t value);
  void write_driver_features(uint32_t value);
  void enable_queue(QueueState& q);
  void disable_queue(QueueState& q);
  void notify(uint32_t index);
  bool work_at_once(unsigned index);
  void reset_device();
  void cancel(QueueState& q);
  void raise(uint32_t bits);
  void raise_locked(uint32_t bits);  // irq_mutex_ held
  void refuse(std::string_view what) { report_.add(what); }
  // The thread that processes queues is stopped / let go.
  void stop_work();
  void start_work();
  void schedule(unsigned index, uint64_t deadline);
  void run_scheduled(unsigned index);
  uint64_t offered() const;
  bool negotiated(uint64_t bit) const { return (driver_features_ & bit) != 0; }
  bool live() const {
    return (status_.load(std::memory_order_acquire) & (kDriverOk | kFailed)) == kDriverOk;
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

// A slot without a device: DeviceID 0, which drivers skip (4.2.2).
class EmptySlot final : public Device {
 public:
  explicit EmptySlot(bool legacy) : legacy_(legacy) {}
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "virtio-empty"; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  const bool legacy_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_TRANSPORT_H_
