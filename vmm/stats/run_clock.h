// How long a vCPU was in run(), so far and also while it is: for whoever asks from another thread,
// be it asleep for hours.
#ifndef TRAPLINE_VMM_STATS_RUN_CLOCK_H_
#define TRAPLINE_VMM_STATS_RUN_CLOCK_H_

#include <atomic>
#include <cstdint>

namespace trapline {

class RunClock {
 public:
  // The vCPU's thread; `now`: host cycles, as everywhere here.
  void begins(uint64_t now) {
    since_ = now;
    word_.store((sum_ - now) << 1 | 1, std::memory_order_relaxed);
  }
  void ends(uint64_t now) {
    sum_ += now - since_;
    word_.store(sum_ << 1, std::memory_order_relaxed);
  }

  // Any thread.
  struct Reading {
    uint64_t cycles;  // in run()
    bool runs;        // it is there now
  };
  Reading read(uint64_t now) const {
    constexpr uint64_t kMask = ~uint64_t{0} >> 1;
    const uint64_t word = word_.load(std::memory_order_relaxed);
    if ((word & 1) == 0) return {word >> 1, false};
    const uint64_t cycles = ((word >> 1) + now) & kMask;
    // `now` was read before the vCPU entered run().
    return {cycles > kMask / 2 ? 0 : cycles, true};
  }

 private:
  uint64_t sum_ = 0, since_ = 0;
  // sum << 1; while in run() (sum - since) << 1 | 1. One word: it cannot be read half changed.
  std::atomic<uint64_t> word_{0};
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_RUN_CLOCK_H_
