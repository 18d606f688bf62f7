// A machine in small: RAM, an interrupt line, a clock, and a driver that speaks virtio-mmio.
#ifndef TRAPLINE_TESTS_DEVICES_VIRTIO_HARNESS_H_
#define TRAPLINE_TESTS_DEVICES_VIRTIO_HARNESS_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "devices/virtio/transport_mmio.h"

namespace trapline::virtio::test {

inline constexpr uint64_t kRamBase = 0x40000000;

class TestDma final : public Dma {
 public:
  explicit TestDma(uint64_t size) : ram(size) {}

  uint8_t* host(uint64_t ipa, uint64_t size) override {
    if (ipa < kRamBase || ipa - kRamBase > ram.size()) return nullptr;
    const uint64_t offset = ipa - kRamBase;
    return size <= ram.size() - offset ? ram.data() + offset : nullptr;
  }
  void done(uint64_t ipa, uint64_t size) override {
    std::lock_guard lock(mutex);
    if (record) ranges.emplace_back(ipa, size);
  }
  // True if done() covered [ipa, ipa + size) by ranges that each overlap it.
  bool told(uint64_t ipa, uint64_t size) {
    std::lock_guard lock(mutex);
    std::vector<bool> seen(size);
    for (auto [at, n] : ranges) {
      for (uint64_t i = 0; i < n; ++i) {
        if (at + i >= ipa && at + i < ipa + size) seen[at + i - ipa] = true;
      }
    }
    return std::find(seen.begin(), seen.end(), false) == seen.end();
  }

  template <typename T>
  T get(uint64_t ipa) {
    T value;
    std::memcpy(&value, ram.data() + (ipa - kRamBase), sizeof value);
    return value;
  }
  template <typename T>
  void put(uint64_t ipa, const T& value) {
    std::memcpy(ram.data() + (ipa - kRamBase), &value, sizeof value);
  }
  uint16_t get16(uint64_t ipa) {
    return std::atomic_ref(*reinterpret_cast<uint16_t*>(ram.data() + (ipa - kRamBase)))
        .load(std::memory_order_acquire);
  }
  void put16(uint64_t ipa, uint16_t value) {
    std::atomic_ref(*reinterpret_cast<uint16_t*>(ram.data() + (ipa - kRamBase)))
        .store(value, std::memory_order_release);
  }

  std::vector<uint8_t> ram;
  std::mutex mutex;
  bool record = true;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
};

// Waits for another thread's doing. The limit only ends a test that would hang: a busy host may be
// a thousand times slower than an idle one.
inline bool came_true(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

class TestIrq final : public IrqLine {
 public:
  void set(bool value) override {
    if (value && !level.load()) rises++;
    level = value;
  }
  // An I/O thread raises it after it has published what was used.
  bool raised_soon() const {
    return came_true([&] { return level.load(); });
  }
  std::atomic<bool> level{false};
  std::atomic<unsigned> rises{0};
};

class TestClock final : public Clock {
 public:
  uint64_t now() override { return time; }
  Handle at(uint64_t deadline, std::function<void()> callback) override {
    events[{std::max(deadline, time), ++last}] = std::move(callback);
    return last;
  }
  void cancel(Handle handle) override {
    std::erase_if(events, [&](auto& e) { return e.first.second == handle; });
  }
  void advance(uint64_t ticks) {
    const uint64_t end = time + ticks;
    while (!events.empty() && events.begin()->first.first <= end) {
      auto node = events.extract(events.begin());
      time = node.key().first;
      node.mapped()();
    }
    time = end;
  }

  uint64_t time = 0;
  Handle last = 0;
  std::map<std::pair<uint64_t, Handle>, std::function<void()>> events;
};

// Offsets of the registers, virtio 1.2, 4.2.2.
namespace reg {
inline constexpr uint64_t kMagic = 0x00, kVersion = 0x04, kDeviceId = 0x08, kVendor = 0x0c,
                          kFeatures = 0x10, kFeaturesSel = 0x14, kDriverFeatures = 0x20,
                          kDriverFeaturesSel = 0x24, kPageSize = 0x28, kQueueSel = 0x30,
                          kNumMax = 0x34, kNum = 0x38, kAlign = 0x3c, kPfn = 0x40, kReady = 0x44,
                          kNotify = 0x50, kIntStatus = 0x60, kIntAck = 0x64, kStatus = 0x70,
                          kDesc = 0x80, kAvail = 0x90, kUsed = 0xa0, kShmLen = 0xb0,
                          kQueueReset = 0xc0, kGeneration = 0xfc, kConfig = 0x100;
}  // namespace reg

struct Buffer {
  uint64_t ipa;
  uint32_t size;
  bool writable;
};

struct UsedElement {
  uint32_t id;
  uint32_t length;
};

// The driver's side of one virtqueue.
class DriverQueue {
 public:
  static constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

  DriverQueue() = default;
  DriverQueue(TestDma* dma, uint64_t base, uint16_t size)
      : desc(base),
        avail(base + 16ull * size),
        used((avail + 6 + 2ull * size + 3) & ~3ull),
        dma_(dma),
        size_(size) {}

  void set_descriptor(uint64_t table, uint16_t index, uint64_t ipa, uint32_t length, uint16_t flags,
                      uint16_t next) {
    const uint64_t at = table + 16ull * index;
    dma_->put(at, ipa);
    dma_->put(at + 8, length);
    dma_->put(at + 12, flags);
    dma_->put(at + 14, next);
  }
  // Places a chain at descriptors first, first + 1, ... and makes it available.
  void add(uint16_t first, const std::vector<Buffer>& buffers) {
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      const auto index = static_cast<uint16_t>((first + i) % size_);
      set_descriptor(desc, index, buffers[i].ipa, buffers[i].size,
                     (buffers[i].writable ? kWrite : 0) | (last ? 0 : kNext),
                     static_cast<uint16_t>((index + 1) % size_));
    }
    make_available(first);
  }
  void add_indirect(uint16_t head, uint64_t table, const std::vector<Buffer>& buffers) {
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      set_descriptor(table, static_cast<uint16_t>(i), buffers[i].ipa, buffers[i].size,
                     (buffers[i].writable ? kWrite : 0) | (last ? 0 : kNext),
                     static_cast<uint16_t>(i + 1));
    }
    set_descriptor(desc, head, table, static_cast<uint32_t>(16 * buffers.size()), kIndirect, 0);
    make_available(head);
  }
  void make_available(uint16_t head) {
    dma_->put16(avail + 4 + 2ull * (next_ % size_), head);
    dma_->put16(avail + 2, ++next_);
  }
  uint16_t used_index() { return dma_->get16(used + 2); }
  std::optional<UsedElement> take_used() {
    if (used_index() == seen_) return {};
    return dma_->get<UsedElement>(used + 4 + 8ull * (seen_++ % size_));
  }
  void set_used_event(uint16_t value) { dma_->put16(avail + 4 + 2ull * size_, value); }
  uint16_t avail_event() { return dma_->get16(used + 4 + 8ull * size_); }
  uint16_t next() const { return next_; }

  uint64_t desc = 0, avail = 0, used = 0;

 private:
  TestDma* dma_ = nullptr;
  uint16_t size_ = 0;
  uint16_t next_ = 0;
  uint16_t seen_ = 0;
};

// A device under its transport, and its driver. Deterministic unless `threaded`.
class Bench {
 public:
  explicit Bench(std::unique_ptr<Function> function, bool threaded = false, bool legacy = false,
                 uint64_t ram = 4 << 20)
      : dma(ram),
        device({.name = "dev0",
                .dma = &dma,
                .irq = &irq,
                .io = threaded ? IoMode::threaded() : IoMode::deterministic(clock, kDelay),
                .legacy = legacy},
               std::move(function)),
        threaded_(threaded) {}

  static constexpr uint64_t kDelay = 100;

  uint32_t read(uint64_t offset) { return static_cast<uint32_t>(device.read(offset, 4, 0).value); }
  void write(uint64_t offset, uint32_t value) { device.write(offset, 4, value, 0); }
  void write64(uint64_t offset, uint64_t value) {
    write(offset, static_cast<uint32_t>(value));
    write(offset + 4, static_cast<uint32_t>(value >> 32));
  }
  uint32_t status() { return read(reg::kStatus); }
  uint64_t offered() {
    write(reg::kFeaturesSel, 1);
    const uint64_t high = read(reg::kFeatures);
    write(reg::kFeaturesSel, 0);
    return high << 32 | read(reg::kFeatures);
  }
  void negotiate(uint64_t features) {
    write(reg::kStatus, 0);
    write(reg::kStatus, kAcknowledge);
    write(reg::kStatus, kAcknowledge | kDriver);
    write(reg::kDriverFeaturesSel, 0);
    write(reg::kDriverFeatures, static_cast<uint32_t>(features));
    write(reg::kDriverFeaturesSel, 1);
    write(reg::kDriverFeatures, static_cast<uint32_t>(features >> 32));
    write(reg::kStatus, kAcknowledge | kDriver | kFeaturesOk);
  }
  void set_queue(unsigned index, const DriverQueue& q, uint16_t size) {
    write(reg::kQueueSel, index);
    write(reg::kNum, size);
    write64(reg::kDesc, q.desc);
    write64(reg::kAvail, q.avail);
    write64(reg::kUsed, q.used);
    write(reg::kReady, 1);
  }
  DriverQueue make_queue(unsigned index, uint16_t size) {
    DriverQueue q(&dma, kRamBase + 0x10000ull * (index + 1), size);
    set_queue(index, q, size);
    return q;
  }
  void driver_ok() { write(reg::kStatus, kAcknowledge | kDriver | kFeaturesOk | kDriverOk); }
  // The whole initialisation, 3.1.1, with queues of `size` at 64 KiB steps.
  void start(uint64_t features, unsigned queues, uint16_t size) {
    negotiate(features);
    queue.clear();
    for (unsigned i = 0; i < queues; ++i) queue.push_back(make_queue(i, size));
    driver_ok();
    settle();
  }
  void notify(unsigned index) { write(reg::kNotify, index); }
  // Lets due work happen (deterministic), or a little time pass (threaded).
  void settle() {
    if (!device_threaded()) return clock.advance(kDelay);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  // Waits for the next used element.
  std::optional<UsedElement> complete(unsigned index) {
    std::optional<UsedElement> element;
    const auto taken = [&] { return (element = queue[index].take_used()).has_value(); };
    if (device_threaded()) {
      came_true(taken);
      return element;
    }
    for (int i = 0; i < 50'000 && !element; ++i) {
      clock.advance(1);
      taken();
    }
    return element;
  }
  std::optional<UsedElement> run(unsigned index, uint16_t first,
                                 const std::vector<Buffer>& buffers) {
    queue[index].add(first, buffers);
    notify(index);
    return complete(index);
  }
  bool device_threaded() const { return threaded_; }

  TestClock clock;
  TestDma dma;
  TestIrq irq;
  MmioTransport device;
  std::vector<DriverQueue> queue;

 private:
  const bool threaded_;
};

inline constexpr uint64_t kData = kRamBase + 0x100000;  // scratch for buffers

}  // namespace trapline::virtio::test

#endif  // TRAPLINE_TESTS_DEVICES_VIRTIO_HARNESS_H_
