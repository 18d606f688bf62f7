// A device type that copies the readable part of each chain to the writable part.
#ifndef TRAPLINE_TESTS_DEVICES_VIRTIO_ECHO_FUNCTION_H_
#define TRAPLINE_TESTS_DEVICES_VIRTIO_ECHO_FUNCTION_H_

#include <atomic>
#include <cstring>
#include <vector>

#include "devices/virtio/function.h"

namespace trapline::virtio::test {

class EchoFunction final : public Function {
 public:
  static constexpr uint64_t kFeature = 1 << 3;

  uint32_t device_id() const override { return 42; }
  uint64_t features() const override { return kFeature; }
  unsigned queue_count() const override { return 2; }
  uint16_t queue_max(unsigned index) const override { return index == 0 ? 256 : 8; }
  unsigned config_bytes() const override { return sizeof config; }
  void config_read(unsigned offset, void* out, unsigned size) const override {
    std::memcpy(out, config + offset, size);
  }
  void config_write(unsigned offset, const void* data, unsigned size) override {
    std::memcpy(config + offset, data, size);
  }
  void start(uint64_t features, bool) override {
    started = true;
    taken = features;
  }
  void reset() override {
    started = false;
    ++resets;
  }
  bool process(unsigned index) override {
    Queue& q = host_->queue(index);
    Chain chain;
    for (;;) {
      const Queue::Pop popped = q.pop(chain);
      if (popped == Queue::Pop::kBroken) host_->fail(q.error());
      if (popped != Queue::Pop::kChain) {
        if (q.enable_notifications()) continue;
        break;
      }
      std::vector<uint8_t> bytes(std::min<uint64_t>(chain.readable_bytes, 1 << 20));
      chain.read(0, bytes.data(), bytes.size());
      const size_t n = chain.write(host_->dma(), 0, bytes.data(), bytes.size());
      q.push(chain.head, static_cast<uint32_t>(n));
      ++chains;
      segments = chain.readable.size() + chain.writable.size();
    }
    host_->publish(index);
    return false;
  }
  void change_config() {
    config[0] ^= 1;
    host_->config_changed();
  }

  uint8_t config[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  bool started = false;
  uint64_t taken = 0;
  unsigned resets = 0;
  std::atomic<unsigned> chains{0};
  std::atomic<size_t> segments{0};
};

}  // namespace trapline::virtio::test

#endif  // TRAPLINE_TESTS_DEVICES_VIRTIO_ECHO_FUNCTION_H_
