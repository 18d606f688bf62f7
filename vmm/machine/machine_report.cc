// What the machine tells its user: crashes, a guest that has stopped for ever, figures.
#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "vmm/debug/register_dump.h"
#include "vmm/host/messages.h"
#include "vmm/machine/machine_cpu.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline {

// --- dead ends ---

void Machine::look_for_dead_end(Cpu& cpu, uint64_t pc) {
  const auto now_ns = [this] {
    return icount_clock_ != nullptr ? icount_clock_->instructions() : steady_ns();
  };
  if (idle_watch_.waits(cpu.index, pc, cpu.vcpu.retired(), now_ns)) tell_dead_end();
}

void Machine::tell_dead_end() {
  std::string where;
  for (auto& cpu : cpus_) {
    if (cpu->power == Power::kOff) continue;
    if (cpu->power == Power::kOnPending || !idle_watch_.stuck(cpu->index) ||
        irqchip_->can_signal(cpu->index)) {
      return;
    }
    where += fmt::format("{}vcpu {} at pc {:#x}", where.empty() ? "" : ", ", cpu->index,
                         idle_watch_.place(cpu->index));
  }
  if (!idle_watch_.first_to_tell()) return;
  if (where.empty()) where = "all are off";
  tell_event({"stuck", "all vCPUs wait, and nothing can wake them (" + where + ")", {}});
  message(fmt::format(
      "trapline: all vCPUs wait, and nothing can wake them ({}): the guest has stopped; "
      "a kernel that needs EL2 (a hypervisor) does this here\n",
      where));
}

// --- crashes ---

void Machine::crash_report(Cpu& cpu) {
  if (std::exchange(cpu.crash_told_at, cpu.vcpu.retired()) == cpu.vcpu.retired()) return;
  tell_event(
      {"panic", fmt::format("vcpu {}: 1,000 exceptions in a row at its vectors", cpu.index), {}});
  message(
      fmt::format("trapline: vcpu {}: the guest is beyond help: 1,000 exceptions in a row at its "
                  "vectors with nothing executed\n",
                  cpu.index) +
      register_dump(cpu.vcpu));
}

// --- figures ---

void Machine::read_clocks() {
  wall_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  cycles_ = host_cycles() - start_cycles_;
}

// Any thread, while vCPUs run.
RunReport Machine::counts(double wall_seconds, uint64_t cycles) const {
  RunReport report;
  for (auto& cpu : cpus_) {
    report.total.merge(cpu->exits.counters());
    if (cpu->latency != nullptr) {
      if (report.latency == nullptr) report.latency = std::make_unique<ExitLatency>();
      report.latency->merge(*cpu->latency);
    }
    CacheCounters c = cpu->exits.instructions().cache_counters();
    report.icache.hits += c.hits;
    report.icache.misses += c.misses;
    report.icache.invalidations += c.invalidations;
    report.icache.mismatches += c.mismatches;
    report.icache.overtaken += c.overtaken;
  }
  report.instructions = instructions();
  report.wall_seconds = wall_seconds;
  report.ns_per_cycle = cycles == 0 ? 1 : wall_seconds * 1e9 / static_cast<double>(cycles);
  report.cpus = options_.cpus;
  report.icache_policy = name_of(options_.icache);
  report.decoder = name_of(options_.decoder);
  report.backend = backend_->name();
  report.clock = options_.icount ? "icount" : "host";
  report.bus = &bus_;
  report.sysreg_devices = sysreg_devices();
  const auto note = [](void* to, std::string_view name, uint64_t value) {
    static_cast<RunReport*>(to)->backend_counts.emplace_back(name, value);
  };
  backend_->counters(note, &report);
  report.sampled_every = options_.stats_every;
  return report;
}

std::string Machine::exit_profile() {
  std::lock_guard lock(report_mutex_);
  read_clocks();
  return report_table(counts(wall_seconds_, cycles_));
}

}  // namespace trapline
