#include "vmm/report/json_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "vmm/report/json_reader.h"
#include "vmm/report/nested.h"

namespace trapline {
namespace {

using nlohmann::json;

void put_key(json& out, const ExitKey& key) {
  out["class"] = key.exit_class;
  out["device"] = key.device;
  out["register"] = key.reg;
}

json row_json(const ProfileRow& row) {
  json out;
  out["vcpu"] = row.vcpu;
  put_key(out, row.key);
  if (row.other) {
    out["other"] = true;
  } else {
    out["pc"] = fmt::format("0x{:x}", row.pc);
  }
  if (row.isv != ProfileRow::Isv::kNotApplicable) out["isv"] = static_cast<int>(row.isv);
  out["count"] = row.count;
  out["time_ns"] = distribution_json(row.time);
  out["stages_ns"] = row.stages_ns;
  out["sleep_ns"] = row.sleep_ns;
  if (row.to_user != 0) out["to_user"] = row.to_user;
  if (!row.text.empty()) {
    out["word"] = fmt::format("0x{:08x}", row.word);
    out["text"] = row.text;
  }
  if (!row.symbol.empty()) out["symbol"] = row.symbol;
  return out;
}

}  // namespace

json distribution_json(const Distribution& d) {
  json buckets = json::array();
  for (const auto& [low, high, count] : d.buckets) buckets.push_back({low, high, count});
  return {{"count", d.count},
          {"sum", d.sum_ns},
          {"min", d.min_ns},
          {"max", d.max_ns},
          {"mean", d.mean_ns()},
          {"p50", d.quantile_ns(0.5)},
          {"p90", d.quantile_ns(0.9)},
          {"p99", d.quantile_ns(0.99)},
          {"p999", d.quantile_ns(0.999)},
          {"buckets", std::move(buckets)}};
}

json profile_part_json(const Profile& profile) {
  json part;
  part["duration_ns"] = profile.duration_ns;
  part["timed_every"] = profile.timed_every;
  part["rows"] = json::array();
  for (const ProfileRow& row : profile.rows) part["rows"].push_back(row_json(row));
  part["vcpus"] = json::array();
  for (const VcpuTime& time : profile.vcpus) {
    part["vcpus"].push_back({{"vcpu", time.vcpu},
                             {"guest_ns", time.guest_ns},
                             {"exit_ns", time.exit_ns},
                             {"idle_ns", time.idle_ns}});
  }
  json series = json::array();
  for (const Series& one : profile.series) {
    json element{{"counts", one.counts}};
    put_key(element, one.key);
    series.push_back(std::move(element));
  }
  part["timeline"] = {{"slice_ns", profile.slice_ns}, {"series", std::move(series)}};
  part["stacks"] = json::array();
  for (const StackRow& stack : profile.stacks) {
    json element{{"frames", stack.frames}, {"count", stack.count}, {"time_ns", stack.time_ns}};
    put_key(element, stack.key);
    part["stacks"].push_back(std::move(element));
  }
  part["latencies"] = json::object();
  for (const auto& [name, latency] : profile.latencies) {
    part["latencies"][name] = distribution_json(latency);
  }
  part["icache"] = profile.icache;
  if (!profile.counters.empty()) part["counters"] = profile.counters;
  part["notes"] = profile.notes;
  return part;
}

std::string write_json(const Profile& profile) {
  json out{{"schema", kProfileSchema},
           {"source", profile.source},
           {"profile", profile_part_json(profile)}};
  if (!profile.nested.empty()) out["nested_ledger"] = nested_json(profile.nested);
  // A name of a guest's need not be UTF-8.
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace trapline
