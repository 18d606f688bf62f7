#include "vmm/stats/latency.h"

namespace trapline {

void ExitLatency::exited(const ExitRecord& record) {
  Times& times = times_[static_cast<size_t>(record.exit_class)];
  times.total.record(record.total);
  for (size_t i = 0; i < record.stages.size(); ++i) {
    if ((record.stages_passed >> i & 1) != 0) times.stages[i].record(record.stages[i]);
  }
  bool fresh = false;
  Attribution::add(registers_.row(0, ExitTarget(record), fresh), record);
}

void ExitLatency::merge(const ExitLatency& other) {
  for (size_t c = 0; c < times_.size(); ++c) {
    times_[c].total.merge(other.times_[c].total);
    for (size_t s = 0; s < times_[c].stages.size(); ++s) {
      times_[c].stages[s].merge(other.times_[c].stages[s]);
    }
  }
  for (const auto* row : other.registers_.rows()) {
    bool fresh = false;
    registers_.row(0, row->target, fresh).time.merge(row->time);
  }
}

}  // namespace trapline
