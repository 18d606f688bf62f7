// What exits take, by class and stage and by register: an observer that --stats adds to each vCPU's
// exit path. It sees a sample.
#ifndef TRAPLINE_VMM_STATS_LATENCY_H_
#define TRAPLINE_VMM_STATS_LATENCY_H_

#include <array>
#include <cstddef>

#include "vmm/exit/observer.h"
#include "vmm/stats/attribution.h"
#include "vmm/stats/histogram.h"

namespace trapline {

class ExitLatency final : public ExitObserver {
 public:
  struct Times {
    Histogram total;
    std::array<Histogram, static_cast<size_t>(Stage::kCount)> stages;
  };

  void exited(const ExitRecord& record) override;
  // `other` may be told of exits meanwhile.
  void merge(const ExitLatency& other);
  const Times& of(ExitClass c) const { return times_[static_cast<size_t>(c)]; }
  const Attribution& registers() const { return registers_; }

 private:
  std::array<Times, static_cast<size_t>(ExitClass::kCount)> times_;
  // Registers: a guest that sprays addresses must not take 36 MB a vCPU.
  static constexpr size_t kRegisters = 1024;
  RowBudget budget_{kRegisters};
  Attribution registers_{budget_};
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_LATENCY_H_
