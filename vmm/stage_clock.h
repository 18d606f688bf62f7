// The stages of one exit on the clock: each lap() gives the time since the last one to a stage.
// Nothing but a null test when timing is off.
#ifndef TRAPLINE_VMM_STAGE_CLOCK_H_
#define TRAPLINE_VMM_STAGE_CLOCK_H_

#include <cstdint>

#include "vmm/statistics.h"

namespace trapline {

class StageClock final {
 public:
  // `latency` may be null: timing is off.
  explicit StageClock(VcpuStatistics::Latency* latency) : latency_(latency) {
    if (latency_ != nullptr) [[unlikely]] {
      start_ = last_ = host_cycles();
    }
  }
  ~StageClock() {
    if (latency_ != nullptr) [[unlikely]] {
      latency_->total.record(host_cycles() - start_);
    }
  }
  StageClock(const StageClock&) = delete;
  StageClock& operator=(const StageClock&) = delete;

  void lap(Stage stage) {
    if (latency_ == nullptr) [[likely]] {
      return;
    }
    const uint64_t now = host_cycles();
    latency_->stages[static_cast<size_t>(stage)].record(now - last_);
    last_ = now;
  }

 private:
  VcpuStatistics::Latency* latency_;
  uint64_t start_ = 0, last_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STAGE_CLOCK_H_
