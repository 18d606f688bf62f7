// The figures of a running VM as OpenMetrics text, which Prometheus scrapes.
#ifndef TRAPLINE_VMM_CONTROL_OPENMETRICS_H_
#define TRAPLINE_VMM_CONTROL_OPENMETRICS_H_

#include <string>
#include <string_view>
#include <utility>

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
  // Of the first time: measured anew each time, a bucket's bound would move, and a count fall.
  double ns_per_cycle_ = 0;
};

// A label's value, quoted.
std::string metric_label(std::string_view value);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_OPENMETRICS_H_
