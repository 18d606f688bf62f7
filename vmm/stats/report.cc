#include "vmm/stats/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "vmm/report/json_reader.h"
#include "vmm/report/json_writer.h"
#include "vmm/report/nested.h"
#include "vmm/stats/nested_rows.h"
#include "vmm/stats/profile_model.h"

namespace trapline {

namespace {

DeviceNames names_of(const RunReport& report) { return {report.bus, report.sysreg_devices}; }

struct Row {
  std::string device, name;
  uint64_t reads, writes;
};

std::vector<Row> register_rows(const RunReport& report) {
  const DeviceNames names = names_of(report);
  std::vector<Row> rows;
  for (const auto& count : report.total.register_counts()) {
    if ((count.key & VcpuCounters::kSysregBit) != 0) {
      auto id = static_cast<SysregId>(count.key);
      std::string name = names.sysreg(id);
      rows.push_back({DeviceNames::sysreg_device(name), name, count.reads, count.writes});
      continue;
    }
    const size_t index = VcpuCounters::region_of(count.key);
    if (report.bus == nullptr || index >= report.bus->regions().size()) continue;
    const Device& device = Bus::device_of(report.bus->regions()[index]);
    rows.push_back(
        {std::string(device.name()), names.reg(device, count.offset), count.reads, count.writes});
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::tuple(b.reads + b.writes, a.device, a.name) <
           std::tuple(a.reads + a.writes, b.device, b.name);
  });
  // Registers that share a name (a bank of them) are one row.
  std::vector<Row> merged;
  std::map<std::pair<std::string, std::string>, size_t> index;
  for (Row& row : rows) {
    auto [it, fresh] = index.try_emplace({row.device, row.name}, merged.size());
    if (fresh) {
      merged.push_back(row);
    } else {
      merged[it->second].reads += row.reads;
      merged[it->second].writes += row.writes;
    }
  }
  std::stable_sort(merged.begin(), merged.end(), [](const Row& a, const Row& b) {
    return a.reads + a.writes > b.reads + b.writes;
  });
  return merged;
}

// All devices on the bus, and those that answer system registers, by name.
std::map<std::string, VcpuCounters::DeviceCount> device_counts(const RunReport& report) {
  const DeviceNames names = names_of(report);
  std::map<std::string, VcpuCounters::DeviceCount> counts;
  if (report.bus != nullptr) {
    const auto regions = report.total.region_counts();
    for (const Bus::Region& region : report.bus->regions()) {
      VcpuCounters::DeviceCount& count = counts[std::string(Bus::device_of(region).name())];
      count.reads += regions[region.index].reads;
      count.writes += regions[region.index].writes;
    }
  }
  for (const auto& count : report.total.register_counts()) {
    if ((count.key & VcpuCounters::kSysregBit) == 0) continue;
    VcpuCounters::DeviceCount& device =
        counts[DeviceNames::sysreg_device(names.sysreg(static_cast<SysregId>(count.key)))];
    device.reads += count.reads;
    device.writes += count.writes;
  }
  return counts;
}

uint64_t exits_of(const RunReport& report, ExitClass c) {
  return report.total.exits[static_cast<size_t>(c)];
}

uint64_t exits_total(const RunReport& report) {
  uint64_t total = 0;
  for (uint64_t n : report.total.exits) total += n;
  return total;
}

// A distribution of a sample, and what all exits like it took, as far as the sample tells.
nlohmann::json sampled_json(const RunReport& report, const Histogram& h, uint64_t exits) {
  nlohmann::json out = distribution_json(distribution_of(h, report.ns_per_cycle));
  const double all = h.count() == 0
                         ? 0
                         : static_cast<double>(h.sum()) * report.ns_per_cycle /
                               static_cast<double>(h.count()) * static_cast<double>(exits);
  out["exits"] = exits;
  out["all_exits_sum"] = all;
  const double run = report.wall_seconds * 1e9 * report.cpus;
  out["share_of_run"] = run > 0 ? all / run : 0;
  return out;
}

// Times by register, beside its counts.
void add_register_latencies(const RunReport& report, nlohmann::json& devices) {
  const DeviceNames names = names_of(report);
  std::map<std::pair<std::string, std::string>, Histogram> sums;
  for (const auto* row : report.latency->registers().rows()) {
    const ExitKey key = names.key(row->target);
    if (!key.device.empty()) sums[{key.device, key.reg}].merge(row->time);
  }
  for (const auto& [key, histogram] : sums) {
    nlohmann::json& entry = devices[key.first]["registers"][key.second];
    const auto count = [&](const char* field) { return entry.value(field, uint64_t{0}); };
    entry["latency_ns"] = sampled_json(report, histogram, count("reads") + count("writes"));
  }
}

}  // namespace

nlohmann::json report_json(const RunReport& report) {
  using nlohmann::json;
  const ExitCounters& c = report.total.counters;
  json out;
  out["schema"] = kProfileSchema;
  out["exits"] = {{"total", exits_total(report)},
                  {"data_abort",
                   {{"isv1", exits_of(report, ExitClass::kDataAbortIsv1)},
                    {"isv0", exits_of(report, ExitClass::kDataAbortIsv0)}}},
                  {"prefetch_abort", exits_of(report, ExitClass::kPrefetchAbort)},
                  {"sysreg", exits_of(report, ExitClass::kSysreg)},
                  {"hvc", exits_of(report, ExitClass::kHvc)},
                  {"wfx", exits_of(report, ExitClass::kWfx)},
                  {"other", exits_of(report, ExitClass::kOther)},
                  {"retries", c.retries},
                  {"disagreements", c.disagreements},
                  {"stuck_aborts", c.stuck_aborts},
                  {"external_aborts", c.external_aborts},
                  {"unmapped_accesses", c.unmapped_accesses},
                  {"unsupported_accesses", c.unsupported_accesses},
                  {"exclusives_stepped", c.exclusives},
                  {"exclusives_beyond_reach", c.exclusives_beyond},
                  {"undefined_sysregs", c.undefined}};
  out["icache"] = {
      {"policy", report.icache_policy},         {"hits", report.icache.hits},
      {"misses", report.icache.misses},         {"invalidations", report.icache.invalidations},
      {"mismatches", report.icache.mismatches}, {"overtaken", report.icache.overtaken}};
  out["decode"] = {{"decoder", report.decoder},
                   {"ok", c.decode_ok},
                   {"unsupported", c.decode_unsupported},
                   {"fallback", c.decode_fallback}};
  json devices = json::object();
  if (report.bus != nullptr) {
    for (const auto& [name, count] : device_counts(report)) {
      devices[name] = {{"reads", count.reads}, {"writes", count.writes}};
    }
    for (const Bus::Region& region : report.bus->regions()) {
      const auto add = [](void* entry, std::string_view counter, uint64_t value) {
        (*static_cast<json*>(entry))[std::string(counter)] = value;
      };
      Bus::device_of(region).counters(add, &devices[std::string(Bus::device_of(region).name())]);
    }
  }
  for (const Row& row : register_rows(report)) {
    devices[row.device]["registers"][row.name] = {{"reads", row.reads}, {"writes", row.writes}};
  }
  out["devices"] = devices;
  out["insns"] = report.instructions;
  out["wall_seconds"] = report.wall_seconds;
  out["cpus"] = report.cpus;
  out["backend"] = report.backend;
  out["clock"] = report.clock;
  for (const auto& [name, value] : report.backend_counts) out[report.backend][name] = value;
  json latency = json::object();
  if (report.latency != nullptr) {
    out["latency_sampled_every"] = report.sampled_every;
    for (size_t i = 0; i < static_cast<size_t>(ExitClass::kCount); ++i) {
      const auto exit_class = static_cast<ExitClass>(i);
      const ExitLatency::Times& times = report.latency->of(exit_class);
      json entry = sampled_json(report, times.total, exits_of(report, exit_class));
      json stages = json::object();
      for (size_t s = 0; s < times.stages.size(); ++s) {
        stages[stage_name(static_cast<Stage>(s))] =
            distribution_json(distribution_of(times.stages[s], report.ns_per_cycle));
      }
      entry["stages"] = stages;
      latency[exit_class_name(exit_class)] = entry;
    }
    add_register_latencies(report, out["devices"]);
  }
  out["latency_ns"] = latency;
  if (report.profile) {
    out["source"] = report.profile->source;
    out["profile"] = profile_part_json(*report.profile);
  }
  if (report.nested) out["nested_ledger"] = nested_json(nested_rows(*report.nested));
  return out;
}

std::string report_json_text(const RunReport& report) {
  return report_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string report_table(const RunReport& report) {
  std::string out;
  auto line = [&out](const std::string& text) { out += text + "\n"; };
  const ExitCounters& c = report.total.counters;
  uint64_t total = exits_total(report);
  auto share = [](uint64_t part, uint64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  line("");
  line(fmt::format("exit profile ({} cpu{}, {} backend, {} clock)", report.cpus,
                   report.cpus == 1 ? "" : "s", report.backend, report.clock));
  bool timed = report.latency != nullptr;
  line(fmt::format("  {:<24}{:>14}{:>8}{}", "class", "exits", "share",
                   timed ? "     p50 ns     p99 ns" : ""));
  for (size_t i = 0; i < report.total.exits.size(); ++i) {
    uint64_t n = report.total.exits[i];
    if (n == 0) continue;
    std::string text = fmt::format("  {:<24}{:>14}{:>7.1f}%",
                                   exit_class_name(static_cast<ExitClass>(i)), n, share(n, total));
    if (timed) {
      const Histogram& h = report.latency->of(static_cast<ExitClass>(i)).total;
      text += fmt::format("{:>11.0f}{:>11.0f}",
                          static_cast<double>(h.quantile(0.5)) * report.ns_per_cycle,
                          static_cast<double>(h.quantile(0.99)) * report.ns_per_cycle);
    }
    line(text);
  }
  line(fmt::format("  {:<24}{:>14}", "total", total));

  std::vector<Row> rows = register_rows(report);
  line(fmt::format("  {:<24}{:>14}{:>14}", "device", "reads", "writes"));
  for (const auto& [name, counts] : device_counts(report)) {
    if (counts.reads + counts.writes == 0) continue;
    line(fmt::format("  {:<24}{:>14}{:>14}", name, counts.reads, counts.writes));
  }
  line(fmt::format("  {:<24}{:>14}{:>14}", "busiest registers", "reads", "writes"));
  constexpr size_t kBusiest = 12;
  for (size_t i = 0; i < std::min(rows.size(), kBusiest); ++i) {
    line(fmt::format("  {:<24}{:>14}{:>14}", rows[i].device + " " + rows[i].name, rows[i].reads,
                     rows[i].writes));
  }
  if (rows.size() > kBusiest)
    line(fmt::format("  ... and {} more (--stats lists all)", rows.size() - kBusiest));

  uint64_t isv0 = exits_of(report, ExitClass::kDataAbortIsv0);
  uint64_t aborts = isv0 + exits_of(report, ExitClass::kDataAbortIsv1);
  line(fmt::format("  ISV=0 share of data aborts {:.1f}% ({} of {})", share(isv0, aborts), isv0,
                   aborts));
  uint64_t lookups = report.icache.hits + report.icache.misses;
  line(fmt::format("  icache {}: hit rate {:.2f}% ({} of {}), {} invalidations, {} mismatches",
                   report.icache_policy, share(report.icache.hits, lookups), report.icache.hits,
                   lookups, report.icache.invalidations, report.icache.mismatches));
  if (c.retries + c.external_aborts + c.unsupported_accesses + c.undefined != 0) {
    line(fmt::format(
        "  retries {} (disagreements {}), external aborts {}, unmapped {}, unsupported {}, "
        "undefined sysregs {}",
        c.retries, c.disagreements, c.external_aborts, c.unmapped_accesses, c.unsupported_accesses,
        c.undefined));
  }
  if (c.exclusives != 0) {
    line(fmt::format("  exclusives of devices stepped {}, of those beyond reach {}", c.exclusives,
                     c.exclusives_beyond));
  }
  if (report.nested) {
    out += nested_text(nested_rows(*report.nested), report.nested_nv, report.nested_nv2);
  }
  line(fmt::format("  instructions {}, wall {:.3f} s, {:.0f} million a second", report.instructions,
                   report.wall_seconds,
                   report.wall_seconds > 0
                       ? static_cast<double>(report.instructions) / report.wall_seconds / 1e6
                       : 0));
  return out;
}

}  // namespace trapline
