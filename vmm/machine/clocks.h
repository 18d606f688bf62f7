// The two clocks of `--clock`: host time, and virtual time counted in instructions.
#ifndef TRAPLINE_VMM_MACHINE_CLOCKS_H_
#define TRAPLINE_VMM_MACHINE_CLOCKS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "mmio/clock.h"

namespace trapline {

// Deadlines in order; equal ones in the order of insertion.
class DeadlineQueue {
 public:
  Clock::Handle add(uint64_t deadline, std::function<void()> callback);
  bool remove(Clock::Handle handle);
  bool empty() const { return events_.empty(); }
  // ~0 when empty.
  uint64_t next() const { return events_.empty() ? ~uint64_t{0} : events_.begin()->first.first; }
  // Of one that it holds. True: next() is another.
  bool move(Clock::Handle handle, uint64_t deadline);
  bool holds(Clock::Handle handle) const { return deadlines_.contains(handle); }
  // Takes the first event if it is due at `now`; null if none.
  std::function<void()> take_due(uint64_t now, Clock::Handle& handle);

 private:
  using Key = std::pair<uint64_t, Clock::Handle>;
  std::map<Key, std::function<void()>> events_;
  std::unordered_map<Clock::Handle, uint64_t> deadlines_;
  Clock::Handle last_ = 0;
};

// CLOCK_MONOTONIC in ticks since construction, or since a time that was set; a thread of its own
// fires the deadlines. It sleeps on a timer of the host's that others set: who brings an earlier
// deadline wakes nobody.
class HostClock final : public Clock {
 public:
  HostClock();
  ~HostClock() override;
  uint64_t now() override;
  Handle at(uint64_t deadline, std::function<void()> callback) override;
  void cancel(Handle handle) override;
  bool postpone(Handle handle, uint64_t deadline) override;
  // No deadline fires any more when it returns. Not from a callback.
  void stop();

  // Stands still, at `ticks` or where it is: no deadline fires when this returns. Not from a
  // callback.
  void freeze(uint64_t ticks);
  void freeze() { freeze(now()); }
  // Goes on from where it stands; or, `as_if_never_frozen`, from where it would be by now.
  void go(bool as_if_never_frozen);

 private:
  void run();
  void set_alarm();  // mutex_ held

  static constexpr uint64_t kGoes = ~uint64_t{0};
  std::atomic<uint64_t> start_ns_;
  std::atomic<uint64_t> frozen_{kGoes};  // ticks
  std::mutex mutex_;
  std::condition_variable done_;
  const int timer_;      // a descriptor: timerfd_create(2)
  uint64_t alarm_ = 0;   // ns of CLOCK_MONOTONIC that it is set to; 0: not at all
  bool asleep_ = false;  // the thread is, or is about to be
  DeadlineQueue queue_;
  Handle running_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

// A tick is kNsPerTick instructions, summed over all vCPUs (which run in turn on one thread), plus
// what idle machines skipped. Single-threaded.
class IcountClock final : public Clock {
 public:
  // `retired` reads the instructions executed so far by all vCPUs, mid-run included.
  void set_source(std::function<uint64_t()> retired) { retired_ = std::move(retired); }

  uint64_t now() override { return instructions() / kNsPerTick; }
  Handle at(uint64_t deadline, std::function<void()> callback) override;
  void cancel(Handle handle) override { queue_.remove(handle); }

  // Virtual instructions since the start: executed and skipped.
  uint64_t instructions() const { return (retired_ ? retired_() : 0) + skipped_; }
  // Of those, the skipped ones; set before any deadline is.
  uint64_t skipped() const { return skipped_; }
  void set_skipped(uint64_t instructions) { skipped_ = instructions; }
  // Instructions until the next deadline is due: 0 if one is; ~0 if there is none.
  uint64_t budget() const;
  // Fires all that is due. Call between two instructions only.
  void fire_due();
  // The machine idles: jumps to the next deadline, but over `most` instructions at most. False if
  // there is neither.
  bool skip_to_next(uint64_t most = ~uint64_t{0});

 private:
  std::function<uint64_t()> retired_;
  uint64_t skipped_ = 0;
  DeadlineQueue queue_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_CLOCKS_H_
