// When and where a virtio device does its work after a notification.
#ifndef TRAPLINE_DEVICES_VIRTIO_IO_MODE_H_
#define TRAPLINE_DEVICES_VIRTIO_IO_MODE_H_

#include <cstdint>

#include "mmio/clock.h"

namespace trapline {

struct IoMode {
  enum class Kind : uint8_t {
    kThreaded,       // an I/O thread of the device's own; a notify only wakes it
    kDeterministic,  // synchronously on the clock's thread, `delay` ticks after the notify
  };

  Kind kind = Kind::kThreaded;
  Clock* clock = nullptr;  // deterministic only
  uint64_t delay = 0;      // ticks

  static IoMode threaded() { return {}; }
  // 100 us of virtual time unless told otherwise.
  static IoMode deterministic(Clock& clock, uint64_t delay_ticks = 100'000 / Clock::kNsPerTick) {
    return {Kind::kDeterministic, &clock, delay_ticks};
  }
  bool is_deterministic() const { return kind == Kind::kDeterministic; }
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_VIRTIO_IO_MODE_H_
