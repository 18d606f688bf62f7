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

// What a report needs of vCPUs that stand still.
struct Machine::ProfileSource {
  std::vector<ProfileReading> vcpus;
  KernelPlace kernel;
  uint64_t duration = 0;  // host cycles
};

std::unique_ptr<Machine::ProfileSource> Machine::read_profile() {
  if (profile_rows_ == nullptr) return nullptr;
  auto source = std::make_unique<ProfileSource>();
  for (const auto& cpu : cpus_) source->vcpus.push_back(cpu->profile->read());
  source->kernel = kernel_place(memory_, cpus_[0]->vcpu);
  const uint64_t end = profile_end_ != 0 ? profile_end_ : start_cycles_ + cycles_;
  source->duration = end - profile_start_;
  return source;
}

void Machine::add_profile(RunReport& report, std::unique_ptr<ProfileSource> source) const {
  if (source == nullptr) return;
  const GuestSymbols symbols = guest_symbols(options_.symbols, symbols_, source->kernel);
  Profile result = profile_of(source->vcpus, {report.bus, report.sysreg_devices}, symbols.table,
                              report.ns_per_cycle, source->duration, options_.stats_every);
  result.source = fmt::format("trapline, {} backend", report.backend);
  result.icache = {{"hits", report.icache.hits},
                   {"misses", report.icache.misses},
                   {"invalidations", report.icache.invalidations},
                   {"mismatches", report.icache.mismatches}};
  for (const auto& [name, value] : report.backend_counts) {
    if (name != "kernel_exits") continue;
    uint64_t here = 0;
    for (const ProfileRow& row : result.rows) here += row.count;
    result.notes.push_back(
        fmt::format("exits that came to user space, {} of the guest's {}: KVM ended the others "
                    "itself (trapline record --kvm sees them)",
                    here, value));
  }
  if (!symbols.note.empty()) result.notes.push_back(symbols.note);
  report.profile = std::move(result);
}

// While no vCPU runs.
void Machine::add_nested(RunReport& report) const {
  report.nested = backend_->nested_ledger();
  report.nested_nv = options_.nested_ledger != NestedLedgerChoice::kNv2;
  report.nested_nv2 = options_.nested_ledger != NestedLedgerChoice::kNv;
}

// While the guest runs on, but for the moment in which the counts are copied.
std::optional<RunReport> Machine::report_now() {
  std::optional<RunReport> result;
  std::unique_ptr<ProfileSource> source;
  pause();
  if (!life_.stopping()) {
    std::lock_guard lock(report_mutex_);
    read_clocks();
    result = counts(wall_seconds_, cycles_);
    add_nested(*result);
    source = read_profile();
  }
  unpause();
  if (result) add_profile(*result, std::move(source));
  return result;
}

RunReport Machine::report() {
  RunReport report = counts(wall_seconds_, cycles_);
  add_nested(report);
  add_profile(report, read_profile());
  return report;
}

}  // namespace trapline
