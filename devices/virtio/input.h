// virtio-input (virtio 1.2, 5.8): a keyboard, or a tablet with a wheel and three buttons.
#ifndef TRAPLINE_DEVICES_VIRTIO_INPUT_H_
#define TRAPLINE_DEVICES_VIRTIO_INPUT_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>

#include "devices/virtio/function.h"

namespace trapline::virtio {

// struct virtio_input_event, 5.8.6: type, code and value as Linux's evdev has them
// (linux/input-event-codes.h).
struct InputEvent {
  uint16_t type;
  uint16_t code;
  uint32_t value;
};
static_assert(sizeof(InputEvent) == 8);

class Input final : public Function {
 public:
  enum class Kind : uint8_t { kKeyboard, kTablet };
  static constexpr size_t kMaxWaiting = 1024;    // events that no driver has taken
  static constexpr uint32_t kAxisMost = 0x7fff;  // of a tablet's axes, which begin at 0

  explicit Input(Kind kind) : kind_(kind) {}

  // What happened at once: the report that ends it is added. Dropped as a whole, and counted, if a
  // driver has left too much unread. Any thread.
  void send(std::span<const InputEvent> events);

  uint32_t device_id() const override { return 18; }
  uint32_t pci_class() const override {
    return kind_ == Kind::kKeyboard ? 0x090000 : 0x098000;  // input: keyboard, other
  }
  uint64_t features() const override { return 0; }
  unsigned queue_count() const override { return 2; }
  uint16_t queue_max(unsigned) const override { return 64; }
  unsigned config_bytes() const override { return 8 + kUnionBytes; }
  void config_read(unsigned offset, void* out, unsigned size) const override;
  void config_write(unsigned offset, const void* data, unsigned size) override;
  void start(uint64_t features, bool legacy) override;
  void reset() override;
  bool process(unsigned queue) override;
  void counters(CounterVisitor visit, void* context) const override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;

 private:
  static constexpr unsigned kUnionBytes = 128;

  bool deliver();
  bool take_status();

  const Kind kind_;
  uint8_t select_ = 0, subselect_ = 0;
  mutable std::mutex waiting_mutex_;
  bool driven_ = false;  // a driver is there: without one nobody remembers
  std::deque<InputEvent> waiting_;
  std::atomic<uint64_t> dropped_{0};
  Chain chain_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_INPUT_H_
