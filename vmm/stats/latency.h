// What exits take, by class and stage: an observer that --stats adds to each vCPU's exit path.
#ifndef TRAPLINE_VMM_STATS_LATENCY_H_
#define TRAPLINE_VMM_STATS_LATENCY_H_

#include <array>
#include <cstddef>

#include "vmm/exit/observer.h"
#include "vmm/stats/histogram.h"

namespace trapline {

class ExitLatency final : public ExitObserver {
 public:
  struct Times {
    Histogram total;
    std::array<Histogram, static_cast<size_t>(Stage::kCount)> stages;
  };

  void exited(const ExitRecord& record) override {
    Times& times = times_[static_cast<size_t>(record.exit_class)];
    times.total.record(record.total);
    for (size_t i = 0; i < record.stages.size(); ++i) {
      if ((record.stages_passed >> i & 1) != 0) times.stages[i].record(record.stages[i]);
    }
  }
  void merge(const ExitLatency& other);
  const Times& of(ExitClass c) const { return times_[static_cast<size_t>(c)]; }

 private:
  std::array<Times, static_cast<size_t>(ExitClass::kCount)> times_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_LATENCY_H_
