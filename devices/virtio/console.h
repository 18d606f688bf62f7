// virtio-console (virtio 1.2, 5.3), one port.
#ifndef TRAPLINE_DEVICES_VIRTIO_CONSOLE_H_
#define TRAPLINE_DEVICES_VIRTIO_CONSOLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "devices/virtio/function.h"

namespace trapline::virtio {

class Console final : public Function {
 public:
  // Takes the guest's output; on the I/O thread (threaded) or the clock's (deterministic), and on a
  // vCPU thread for emergency writes. Never called twice at once.
  using Sink = std::function<void(const uint8_t* data, size_t size)>;
  static constexpr size_t kMaxInput = 64 * 1024;     // waiting for the guest
  static constexpr size_t kMaxOutput = 1024 * 1024;  // of one chain; the rest is dropped, counted

  explicit Console(Sink sink) : sink_(std::move(sink)) {}

  // Input for the guest; returns how many bytes were taken. Any thread when threaded, the clock's
  // when deterministic.
  size_t receive(const uint8_t* data, size_t size);

  uint32_t device_id() const override { return 3; }
  uint64_t features() const override;
  unsigned queue_count() const override { return 2; }
  uint16_t queue_max(unsigned) const override { return 64; }
  unsigned config_bytes() const override { return 12; }
  void config_read(unsigned offset, void* out, unsigned size) const override;
  void config_write(unsigned offset, const void* data, unsigned size) override;
  void reset() override;
  bool process(unsigned queue) override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;

 private:
  bool process_receive();
  bool process_transmit();

  std::mutex sink_mutex_;
  Sink sink_;
  mutable std::mutex input_mutex_;
  std::deque<uint8_t> input_;
  std::vector<uint8_t> scratch_;
  Chain chain_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_CONSOLE_H_
