// virtio-console (virtio 1.2, 5.3), one port.
#ifndef TRAPLINE_DEVICES_VIRTIO_CONSOLE_H_
#define TRAPLINE_DEVICES_VIRTIO_CONSOLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "devices/output_sink.h"
#include "devices/virtio/function.h"

namespace trapline::virtio {

class Console final : public Function {
 public:
  static constexpr size_t kMaxInput = 64 * 1024;     // waiting for the guest
  static constexpr size_t kMaxOutput = 1024 * 1024;  // taken in one go

  // A buffer of the guest's is used up when `sink` has taken all of it. With a deterministic host
  // the sink must always take all.
  explicit Console(OutputSink& sink) : sink_(sink) {}

  // Called when input_space() has become nonzero, on the thread that runs process(). At assembly.
  void on_input_space(std::function<void()> callback) { input_space_ = std::move(callback); }

  // Input for the guest; returns how many bytes were taken: at most input_space(). Any thread when
  // threaded, the clock's when deterministic.
  size_t receive(const uint8_t* data, size_t size);
  size_t input_space() const;
  // The sink takes bytes again. As receive().
  void output_room();

  uint32_t device_id() const override { return 3; }
  uint32_t pci_class() const override { return 0x078000; }  // communication, other
  uint64_t features() const override;
  unsigned queue_count() const override { return 2; }
  uint16_t queue_max(unsigned) const override { return 64; }
  unsigned config_bytes() const override { return 12; }
  void config_read(unsigned offset, void* out, unsigned size) const override;
  void config_write(unsigned offset, const void* data, unsigned size) override;
  void start(uint64_t features, bool legacy) override;
  void reset() override;
  bool process(unsigned queue) override;
  void wait(int kick_fd, bool block, bool running) override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;

 private:
  bool may_receive();
  bool process_receive();
  bool process_transmit();

  OutputSink& sink_;
  std::function<void()> input_space_;
  mutable std::mutex input_mutex_;
  std::deque<uint8_t> input_;
  // Input is held for a while after a driver has come: see may_receive().
  unsigned hold_left_ = 0, hold_restarts_ = 0;
  bool holding_ = false;
  std::vector<uint8_t> scratch_;
  Chain chain_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_CONSOLE_H_
