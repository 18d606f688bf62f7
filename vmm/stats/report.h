// The figures of a run: JSON for programs (--stats), a table for people.
#ifndef TRAPLINE_VMM_STATS_REPORT_H_
#define TRAPLINE_VMM_STATS_REPORT_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "mmio/bus.h"
#include "mmio/sysreg.h"
#include "vmm/exit/counters.h"
#include "vmm/stats/latency.h"

namespace trapline {

// Everything that is known at the end of a run.
struct RunReport {
  VcpuCounters total;
  std::unique_ptr<ExitLatency> latency;  // null: nobody asked for it
  CacheCounters icache;
  uint64_t instructions = 0;
  double wall_seconds = 0;
  double ns_per_cycle = 1;
  unsigned cpus = 1;
  std::string icache_policy, decoder, backend, clock;
  const Bus* bus = nullptr;
  std::vector<const SysregDevice*> sysreg_devices;
};

nlohmann::json report_json(const RunReport& report);
// The exit profile: a table for people.
std::string report_table(const RunReport& report);

// Name of a system register as its device tells it, e.g. "ICC_IAR1_EL1"; else S3_0_C12_C12_0.
std::string sysreg_name(const RunReport& report, SysregId id);

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_REPORT_H_
