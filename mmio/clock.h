// Time as the guest sees it: the system counter behind CNTVCT/CNTPCT, and deadlines. The only
// source of time for devices, so that `--clock icount` makes a whole run reproducible.
#ifndef TRAPLINE_MMIO_CLOCK_H_
#define TRAPLINE_MMIO_CLOCK_H_

#include <cstdint>
#include <functional>

namespace trapline {

class Clock {
 public:
  // CNTFRQ: 62.5 MHz, as QEMU's virt machine; a tick is 16 ns (or 16 instructions under icount).
  static constexpr uint64_t kFrequency = 62'500'000;
  static constexpr uint64_t kNsPerTick = 16;
  using Handle = uint64_t;  // 0: none

  virtual ~Clock() = default;

  // Ticks since the machine started. Monotonic; the same for all CPUs.
  virtual uint64_t now() = 0;

  // Calls `callback` once when now() >= deadline, on an unspecified thread (under icount: between
  // two instructions of the single CPU thread) with no lock of the clock held. A deadline in the
  // past fires soon, never inside at(). Equal deadlines fire in the order of at(). Returns a handle
  // for cancel().
  virtual Handle at(uint64_t deadline, std::function<void()> callback) = 0;

  // After cancel() returns the callback is not running and will not run, unless called from the
  // callback itself. Do not hold a lock that the callback takes. A stale handle is ignored.
  virtual void cancel(Handle handle) = 0;

  // Moves a deadline that has not come to a later one; false: it stays where it was. Any locks may
  // be held.
  virtual bool postpone(Handle /*handle*/, uint64_t /*deadline*/) { return false; }
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_CLOCK_H_
