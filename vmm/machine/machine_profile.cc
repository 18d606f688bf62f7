// Profiling: who watches each vCPU, and what a report makes of it.
#include <fmt/format.h>

#include "vmm/machine/guest_symbols.h"
#include "vmm/machine/machine_cpu.h"
#include "vmm/stats/profile_model.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline {

void Machine::start_profile() {
  stop_profile();
  for (auto& cpu : cpus_) cpu->profile.reset();
  profile_end_ = 0;
  irq_probe_->watch(true);
  profile_rows_ = std::make_unique<RowBudget>();
  profile_start_ = host_cycles();
  for (auto& cpu : cpus_) {
    cpu->profile = std::make_unique<ExitProfile>(cpu->index, profile_start_, *profile_rows_,
                                                 *irq_probe_, options_.profile_stacks);
    cpu->exits.add_observer(cpu->profile.get(), Attention::kEveryExit);
    cpu->profiled = true;
  }
}

void Machine::stop_profile() {
  if (!profiling()) return;
  profile_end_ = host_cycles();
  irq_probe_->watch(false);
  for (auto& cpu : cpus_) {
    cpu->exits.remove_observer(cpu->profile.get());
    cpu->profiled = false;
  }
}

bool Machine::profiling() const { return cpus_[0]->profiled; }

Profile Machine::profile(const RunReport& report) {
  std::vector<const ExitProfile*> vcpus;
  for (const auto& cpu : cpus_) vcpus.push_back(cpu->profile.get());
  const GuestSymbols symbols = guest_symbols(options_.symbols, memory_, cpus_[0]->vcpu);
  const uint64_t end = profile_end_ != 0 ? profile_end_ : start_cycles_ + cycles_;
  const uint64_t duration = end - profile_start_;
  Profile result = profile_of(vcpus, {report.bus, report.sysreg_devices}, symbols.table,
                              report.ns_per_cycle, duration, options_.stats_every);
  result.source = fmt::format("trapline, {} backend", report.backend);
  result.icache = {{"hits", report.icache.hits},
                   {"misses", report.icache.misses},
                   {"invalidations", report.icache.invalidations},
                   {"mismatches", report.icache.mismatches}};
  if (!symbols.note.empty()) result.notes.push_back(symbols.note);
  return result;
}

}  // namespace trapline
