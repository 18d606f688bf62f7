// The figures of a run: JSON for programs (--stats), a table for people.
#ifndef TRAPLINE_VMM_STATS_REPORT_H_
#define TRAPLINE_VMM_STATS_REPORT_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmio/bus.h"
#include "mmio/sysreg.h"
#include "vmm/exit/counters.h"
#include "vmm/report/profile.h"
#include "vmm/stats/latency.h"
#include "vmm/vcpu/nested_ledger.h"

namespace trapline {

// Everything that is known at the end of a run.
struct RunReport {
  VcpuCounters total;
  std::unique_ptr<ExitLatency> latency;  // null: nobody asked for it
  unsigned sampled_every = 1;            // of `latency`: one exit in so many
  std::optional<Profile> profile;        // --profile
  std::optional<NestedLedger> nested;    // --nested-ledger, and what of it is printed
  bool nested_nv = true, nested_nv2 = true;
  CacheCounters icache;
  uint64_t instructions = 0;
  double wall_seconds = 0;
  double ns_per_cycle = 1;
  unsigned cpus = 1;
  std::string icache_policy, decoder, backend, clock;
  std::vector<std::pair<std::string, uint64_t>> backend_counts;  // what it counts of itself
  const Bus* bus = nullptr;
  std::vector<const SysregDevice*> sysreg_devices;
};

nlohmann::json report_json(const RunReport& report);
// The same as text, as --stats writes it. A name that the guest carries need not be UTF-8: what is
// none in it is replaced.
std::string report_json_text(const RunReport& report);
// The exit profile: a table for people.
std::string report_table(const RunReport& report);

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_REPORT_H_
