// A Clock that a test moves by hand. Single-threaded, but for now().
#ifndef TRAPLINE_TESTS_DEVICES_FAKE_CLOCK_H_
#define TRAPLINE_TESTS_DEVICES_FAKE_CLOCK_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "mmio/clock.h"
#include "mmio/irq_line.h"

namespace trapline {

class FakeClock final : public Clock {
 public:
  uint64_t now() override { return now_; }

  Handle at(uint64_t deadline, std::function<void()> callback) override {
    events_.push_back({deadline, ++last_, std::move(callback)});
    ++at_calls;
    return last_;
  }

  void cancel(Handle handle) override {
    ++cancel_calls;
    std::erase_if(events_, [&](const Event& e) { return e.handle == handle; });
  }

  bool postpone(Handle handle, uint64_t deadline) override {
    for (Event& e : events_) {
      if (e.handle != handle) continue;
      e.deadline = deadline;
      return true;
    }
    return false;
  }

  // Moves time forward, firing what is due in order, each at its own deadline.
  void advance(uint64_t ticks) { advance_to(now_ + ticks); }
  void advance_to(uint64_t target) {
    for (;;) {
      const auto next = std::min_element(events_.begin(), events_.end());
      if (next == events_.end() || next->deadline > target) break;
      now_ = std::max(now_.load(), next->deadline);
      const std::function<void()> callback = std::move(next->callback);
      events_.erase(next);
      callback();
    }
    now_ = target;
  }
  // Moves time without firing: the callbacks are late.
  void skip_to(uint64_t target) { now_ = target; }

  size_t pending() const { return events_.size(); }
  uint64_t next_deadline() const {
    const auto next = std::min_element(events_.begin(), events_.end());
    return next == events_.end() ? ~uint64_t{0} : next->deadline;
  }

  unsigned at_calls = 0;
  unsigned cancel_calls = 0;

 private:
  struct Event {
    uint64_t deadline;
    Handle handle;
    std::function<void()> callback;
    bool operator<(const Event& other) const {
      return std::pair(deadline, handle) < std::pair(other.deadline, other.handle);
    }
  };
  std::atomic<uint64_t> now_{0};
  Handle last_ = 0;
  std::vector<Event> events_;
};

// Remembers the level.
struct FakeLine final : IrqLine {
  void set(bool high) override {
    if (high && !level) ++rises;
    level = high;
  }
  bool level = false;
  unsigned rises = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_TESTS_DEVICES_FAKE_CLOCK_H_
