// The figures of a running VM as OpenMetrics text, which Prometheus scrapes.
#ifndef TRAPLINE_VMM_CONTROL_OPENMETRICS_H_
#define TRAPLINE_VMM_CONTROL_OPENMETRICS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/control/controlled.h"

namespace trapline {

inline constexpr std::string_view kOpenMetricsType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

class OpenMetrics {
 public:
  // `name`: the VM's, may be empty.
  explicit OpenMetrics(std::string name) : name_(std::move(name)) {}
  std::string text(const MachineStatus& status, const LiveReport& live);

 private:
  std::string name_;
  // Counters must not fall. The clock's rate is that of the first time: measured anew each time, a
  // bucket's bound would move. A vCPU's times are read while they change, each in its own instant.
  double ns_per_cycle_ = 0;
  struct Times {
    double run_s = 0, idle_s = 0;
  };
  void note_times(const LiveReport& live);
  std::vector<Times> times_;
};

// A label's value, quoted.
std::string metric_label(std::string_view value);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_OPENMETRICS_H_
