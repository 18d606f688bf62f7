// The stages of one exit on the clock: each lap() gives the time since the last one to a stage.
#ifndef TRAPLINE_VMM_STATS_STAGE_CLOCK_H_
#define TRAPLINE_VMM_STATS_STAGE_CLOCK_H_

#include <cstdint>

#include "vmm/stats/statistics.h"

namespace trapline {

class StageClock final {
 public:
  explicit StageClock(VcpuStatistics::Latency& latency)
      : latency_(latency), start_(host_cycles()), last_(start_) {}
  ~StageClock() { latency_.total.record(host_cycles() - start_); }
  StageClock(const StageClock&) = delete;
  StageClock& operator=(const StageClock&) = delete;

  void lap(Stage stage) {
    const uint64_t now = host_cycles();
    latency_.stages[static_cast<size_t>(stage)].record(now - last_);
    last_ = now;
  }

 private:
  VcpuStatistics::Latency& latency_;
  uint64_t start_, last_;
};

// Timing is off.
struct NoClock {
  void lap(Stage) {}
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_STAGE_CLOCK_H_
