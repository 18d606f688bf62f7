#include "vmm/control/openmetrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

#include "vmm/stats/profile_model.h"

namespace trapline {
namespace {

// Upper bounds of the latency buckets, seconds.
constexpr std::array kBounds{1e-7,   2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5,
                             2.5e-5, 5e-5,   1e-4, 1e-3, 1e-2,   1e-1, 1.0};

class Text {
 public:
  // Begins a family; its samples follow.
  void family(std::string_view name, std::string_view type, std::string_view help,
              std::string_view unit = {}) {
    name_ = name;
    add("# TYPE {} {}\n", name, type);
    if (!unit.empty()) add("# UNIT {} {}\n", name, unit);
    add("# HELP {} {}\n", name, help);
  }
  // `labels`: as {a="b"}, or empty.
  template <typename Number>
  void sample(std::string_view suffix, std::string_view labels, Number value) {
    add("{}{}{} {}\n", name_, suffix, labels, value);
  }
  std::string finish() && { return std::move(out_) + "# EOF\n"; }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  std::string out_;
  std::string_view name_;
};

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
std::string labels(Labels list) {
  std::string out;
  for (const auto& [name, value] : list) {
    out += fmt::format("{}{}={}", out.empty() ? '{' : ',', name, metric_label(value));
  }
  return out + "}";
}

const char* isv_label(ExitClass c) {
  return c == ExitClass::kDataAbortIsv1 ? "1" : c == ExitClass::kDataAbortIsv0 ? "0" : "";
}

void add_exits(Text& text, const LiveReport& live) {
  text.family("trapline_exits", "counter", "Exits of a vCPU by class.");
  for (size_t i = 0; i < live.vcpus.size(); ++i) {
    for (size_t c = 0; c < live.vcpus[i].exits.size(); ++c) {
      const auto exit_class = static_cast<ExitClass>(c);
      text.sample("_total",
                  labels({{"vcpu", std::to_string(i)},
                          {"class", arm_class_name(exit_class)},
                          {"isv", isv_label(exit_class)}}),
                  live.vcpus[i].exits[c]);
    }
  }
}

void add_registers(Text& text, const RunReport& report) {
  const DeviceNames names(report.bus, report.sysreg_devices);
  std::map<std::pair<std::string, std::string>, VcpuCounters::DeviceCount> sums;
  for (const auto& count : report.total.register_counts()) {
    std::string device, reg;
    if ((count.key & VcpuCounters::kSysregBit) != 0) {
      reg = names.sysreg(static_cast<SysregId>(count.key));
      device = DeviceNames::sysreg_device(reg);
    } else if (const size_t region = VcpuCounters::region_of(count.key);
               report.bus != nullptr && region < report.bus->regions().size()) {
      const Device& found = Bus::device_of(report.bus->regions()[region]);
      device = found.name();
      reg = names.reg(found, count.offset);
    } else {
      continue;
    }
    VcpuCounters::DeviceCount& sum = sums[{std::move(device), std::move(reg)}];
    sum.reads += count.reads;
    sum.writes += count.writes;
  }
  text.family("trapline_register_accesses", "counter", "Emulated accesses by register.");
  for (const auto& [key, sum] : sums) {
    const auto of = [&key = key](const char* direction) {
      return labels({{"device", key.first}, {"register", key.second}, {"direction", direction}});
    };
    text.sample("_total", of("read"), sum.reads);
    text.sample("_total", of("write"), sum.writes);
  }
}

void add_latency(Text& text, const RunReport& report, double ns_per_cycle) {
  if (report.latency == nullptr) return;
  text.family("trapline_exit_seconds", "histogram",
              "Handling of exits by class: of one exit in trapline_exit_sampled_every.", "seconds");
  for (size_t c = 0; c < static_cast<size_t>(ExitClass::kCount); ++c) {
    const auto exit_class = static_cast<ExitClass>(c);
    const Histogram& histogram = report.latency->of(exit_class).total;
    const auto of = [&](const std::string& bound) {
      const char* name = arm_class_name(exit_class);
      const char* isv = isv_label(exit_class);
      return bound.empty() ? labels({{"class", name}, {"isv", isv}})
                           : labels({{"class", name}, {"isv", isv}, {"le", bound}});
    };
    const auto buckets = histogram.buckets();
    auto next = buckets.begin();
    uint64_t below = 0;
    for (const double bound : kBounds) {
      for (; next != buckets.end(); ++next) {
        if (static_cast<double>(next->high) * ns_per_cycle > bound * 1e9) break;
        below += next->count;
      }
      text.sample("_bucket", of(fmt::format("{}", bound)), below);
    }
    text.sample("_bucket", of("+Inf"), histogram.count());
    text.sample("_count", of({}), histogram.count());
    text.sample("_sum", of({}), static_cast<double>(histogram.sum()) * ns_per_cycle / 1e9);
  }
  text.family("trapline_exit_sampled_every", "gauge", "One exit in so many is timed.");
  text.sample("", "", report.sampled_every);
}

template <typename Times>
void add_vcpus(Text& text, const LiveReport& live, const Times& times) {
  text.family("trapline_vcpu_seconds", "counter",
              "A vCPU's time: run (the guest, and handling its exits) or idle.", "seconds");
  for (size_t i = 0; i < live.vcpus.size(); ++i) {
    const std::string vcpu = std::to_string(i);
    text.sample("_total", labels({{"vcpu", vcpu}, {"mode", "run"}}), times[i].run_s);
    text.sample("_total", labels({{"vcpu", vcpu}, {"mode", "idle"}}), times[i].idle_s);
  }
  text.family("trapline_instructions", "counter", "Instructions that a vCPU has executed.");
  for (size_t i = 0; i < live.vcpus.size(); ++i) {
    text.sample("_total", labels({{"vcpu", std::to_string(i)}}), live.vcpus[i].instructions);
  }
}

void add_events(Text& text, const RunReport& report) {
  const std::pair<const char*, uint64_t> kCache[] = {{"hit", report.icache.hits},
                                                     {"miss", report.icache.misses},
                                                     {"invalidation", report.icache.invalidations},
                                                     {"mismatch", report.icache.mismatches}};
  text.family("trapline_icache_events", "counter", "What the decoded-instruction cache did.");
  for (const auto& [event, count] : kCache) {
    text.sample("_total", labels({{"event", event}}), count);
  }
  const ExitCounters& c = report.total.counters;
  const std::pair<const char*, uint64_t> kOutcomes[] = {
      {"retry", c.retries},
      {"disagreement", c.disagreements},
      {"stuck_abort", c.stuck_aborts},
      {"external_abort", c.external_aborts},
      {"unmapped_access", c.unmapped_accesses},
      {"unsupported_access", c.unsupported_accesses},
      {"undefined_sysreg", c.undefined}};
  text.family("trapline_exit_outcomes", "counter", "Exits that did not go the usual way.");
  for (const auto& [outcome, count] : kOutcomes) {
    text.sample("_total", labels({{"outcome", outcome}}), count);
  }
}

void add_machine(Text& text, const std::string& name, const MachineStatus& status) {
  text.family("trapline_vm", "info", "The VM.");
  text.sample("_info",
              labels({{"name", name}, {"backend", status.backend}, {"clock", status.clock}}), 1);
  text.family("trapline_uptime_seconds", "gauge", "Since the run began.", "seconds");
  text.sample("", "", status.uptime_s);
  text.family("trapline_memory_bytes", "gauge", "The guest's RAM.", "bytes");
  text.sample("", "", status.memory_bytes);
  text.family("trapline_boots", "counter", "Boots: the first, and one a reset.");
  text.sample("_total", "", status.boots);
  text.family("trapline_paused", "gauge", "1 while the VM is paused.");
  text.sample("", "", status.paused ? 1 : 0);
}

}  // namespace

std::string metric_label(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

void OpenMetrics::note_times(const LiveReport& live) {
  times_.resize(live.vcpus.size());
  const double scale = ns_per_cycle_ / live.report.ns_per_cycle / 1e9;
  for (size_t i = 0; i < times_.size(); ++i) {
    times_[i].run_s = std::max(times_[i].run_s, live.vcpus[i].run_ns * scale);
    times_[i].idle_s = std::max(times_[i].idle_s, live.vcpus[i].idle_ns * scale);
  }
}

std::string OpenMetrics::text(const MachineStatus& status, const LiveReport& live) {
  if (ns_per_cycle_ == 0) ns_per_cycle_ = live.report.ns_per_cycle;
  Text text;
  add_machine(text, name_, status);
  add_exits(text, live);
  add_registers(text, live.report);
  add_latency(text, live.report, ns_per_cycle_);
  note_times(live);
  add_vcpus(text, live, times_);
  add_events(text, live.report);
  return std::move(text).finish();
}

}  // namespace trapline
