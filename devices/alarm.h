// One deadline of a device on a Clock, cheap to move: a later deadline costs nothing (the callback
// comes early, and its owner arms again), an earlier one costs one at() and one cancel(). There is
// never more than one callback outstanding, whatever a guest writes.
//
// The owner guards the alarm with its own mutex, which its callback takes too. Clock::cancel() must
// therefore be called after that mutex is released: arm() hands back what is to be cancelled. The
// owner's destructor calls retire().
#ifndef TRAPLINE_DEVICES_ALARM_H_
#define TRAPLINE_DEVICES_ALARM_H_

#include <cstdint>
#include <optional>

#include "mmio/clock.h"

namespace trapline {

class Alarm {
 public:
  // `fire` runs on the clock's thread, with no lock held; it takes the owner's mutex, asks
  // accept(generation) and looks at the time itself: it may be early.
  using Fire = void (*)(void* owner, uint64_t generation);

  // Deadlines further away than this (18 years) are not armed at all.
  static constexpr uint64_t kHorizon = uint64_t{1} << 55;

  Alarm(Clock& clock, Fire fire, void* owner) : clock_(clock), fire_(fire), owner_(owner) {}
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  // With the owner's mutex held: `fire` will run at `deadline` (ticks) or before. Pass the result
  // to cancel() after releasing the mutex.
  [[nodiscard]] Clock::Handle arm(uint64_t now, uint64_t deadline) {
    if (deadline - now > kHorizon || (armed_ && armed_deadline_ <= deadline)) return 0;
    const Clock::Handle stale = armed_ ? handle_ : 0;
    armed_ = true;
    armed_deadline_ = deadline;
    // 16 bytes, trivially copyable: std::function keeps them without allocating.
    handle_ = clock_.at(deadline, Call{this, ++generation_});
    return stale;
  }

  // With the owner's mutex held: if `fire` has not run by then it does at `deadline`, for all that
  // comes before is seen to by somebody else.
  void postpone(uint64_t deadline) {
    if (armed_ && armed_deadline_ < deadline && clock_.postpone(handle_, deadline)) {
      armed_deadline_ = deadline;
    }
  }

  // With the owner's mutex held: when `fire` runs next; nothing if it does not.
  std::optional<uint64_t> deadline() const {
    return armed_ ? std::optional(armed_deadline_) : std::nullopt;
  }

  // With the owner's mutex held.
  [[nodiscard]] Clock::Handle disarm() {
    const Clock::Handle stale = armed_ ? handle_ : 0;
    armed_ = false;
    ++generation_;
    return stale;
  }

  // With the owner's mutex held, when the owner dies: like disarm(), but cancel() of the result
  // also waits for a callback that is running or still waits for the mutex.
  [[nodiscard]] Clock::Handle retire() {
    armed_ = false;
    ++generation_;
    return handle_;
  }

  // Without the owner's mutex.
  void cancel(Clock::Handle stale) {
    if (stale != 0) clock_.cancel(stale);
  }

  // From `fire`, with the owner's mutex held: false if the alarm was moved or disarmed meanwhile.
  bool accept(uint64_t generation) {
    if (!armed_ || generation != generation_) return false;
    armed_ = false;
    return true;
  }

 private:
  struct Call {
    Alarm* alarm;
    uint64_t generation;
    void operator()() const { alarm->fire_(alarm->owner_, generation); }
  };

  Clock& clock_;
  const Fire fire_;
  void* const owner_;
  bool armed_ = false;
  uint64_t armed_deadline_ = 0;
  uint64_t generation_ = 0;
  Clock::Handle handle_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_ALARM_H_
