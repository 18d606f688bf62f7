#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "vmm/report/folded_writer.h"
#include "vmm/report/json_writer.h"
#include "vmm/report/nested.h"
#include "vmm/report/page_writer.h"
#include "vmm/report/summary.h"

namespace trapline {
namespace {

using nlohmann::json;

// A page that one can send: a few megabytes at most, whatever the profile holds.
constexpr size_t kMaxInstructions = 2000;
constexpr size_t kMaxGroups = 100;
constexpr size_t kMaxSlices = 240;
constexpr size_t kMaxSeries = 200;
constexpr size_t kMaxStacks = 4000;
constexpr size_t kMaxDifferences = 200;
constexpr size_t kMaxNotes = 20;

void put_key(json& out, const ExitKey& key) {
  out["class"] = key.exit_class;
  out["device"] = key.device;
  out["register"] = key.reg;
}

json groups_json(const std::vector<Group>& groups) {
  json out = json::array();
  for (const Group& group : groups) {
    if (out.size() == kMaxGroups) break;
    json one{{"label", group.label},
             {"count", group.row.count},
             {"cost_ns", group.cost_ns},
             {"sleep_ns", group.row.sleep_ns},
             {"to_user", group.row.to_user},
             {"time", distribution_json(group.row.time)},
             {"stages_ns", group.row.stages_ns}};
    put_key(one, group.row.key);
    out.push_back(std::move(one));
  }
  return out;
}

std::map<std::pair<uint64_t, ExitKey>, std::set<unsigned>> vcpus_of(const Profile& profile) {
  std::map<std::pair<uint64_t, ExitKey>, std::set<unsigned>> vcpus;
  for (const ProfileRow& row : profile.rows) vcpus[{row.pc, row.key}].insert(row.vcpu);
  return vcpus;
}

void put_instructions(json& out, const Profile& profile) {
  const auto vcpus = vcpus_of(profile);
  const std::vector<Group> groups = group_rows(profile, GroupBy::kInstruction);
  json rows = json::array();
  for (const Group& group : groups) {
    if (rows.size() == kMaxInstructions) break;
    const ProfileRow& row = group.row;
    json one{{"count", row.count},
             {"cost_ns", group.cost_ns},
             {"p50", row.time.quantile_ns(0.5)},
             {"p99", row.time.quantile_ns(0.99)},
             {"max", row.time.max_ns},
             {"sleep_ns", row.sleep_ns},
             {"to_user", row.to_user},
             {"vcpus", vcpus.at({row.pc, row.key})}};
    put_key(one, row.key);
    if (!row.other) one["pc"] = fmt::format("0x{:x}", row.pc);
    if (row.isv != ProfileRow::Isv::kNotApplicable) one["isv"] = static_cast<int>(row.isv);
    if (!row.text.empty()) one["text"] = row.text;
    if (!row.symbol.empty()) one["symbol"] = row.symbol;
    rows.push_back(std::move(one));
  }
  out["more_instructions"] = groups.size() - rows.size();
  out["instructions"] = std::move(rows);
}

// No more slices than a screen has room for: neighbours are added.
json timeline_json(const Profile& profile) {
  size_t slices = 0;
  for (const Series& series : profile.series) slices = std::max(slices, series.counts.size());
  const size_t together = std::max<size_t>(1, (slices + kMaxSlices - 1) / kMaxSlices);
  const size_t shown = (slices + together - 1) / together;
  std::vector<std::pair<uint64_t, const Series*>> by_total;
  for (const Series& series : profile.series) {
    uint64_t total = 0;
    for (uint64_t count : series.counts) total += count;
    by_total.emplace_back(total, &series);
  }
  std::stable_sort(by_total.begin(), by_total.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  json out = json::array();
  std::vector<uint64_t> rest(shown);
  for (const auto& [total, series] : by_total) {
    std::vector<uint64_t> counts(shown);
    const bool fits = out.size() < kMaxSeries;
    for (size_t i = 0; i < series->counts.size(); ++i) {
      (fits ? counts : rest)[i / together] += series->counts[i];
    }
    if (!fits) continue;
    const ExitKey& key = series->key;
    out.push_back({{"class", key.exit_class},
                   {"device_label", key.device.empty() ? key.exit_class : key.device},
                   {"register_label", key_label(key)},
                   {"counts", std::move(counts)}});
  }
  if (by_total.size() > kMaxSeries) {
    constexpr auto kRest = "all others";
    out.push_back({{"class", kRest},
                   {"device_label", kRest},
                   {"register_label", kRest},
                   {"counts", std::move(rest)}});
  }
  return {{"slice_ns", profile.slice_ns * static_cast<double>(together)},
          {"series", std::move(out)}};
}

void put_stacks(json& out, const Profile& profile) {
  std::vector<StackRow> stacks = stacks_or_rows(profile);
  std::stable_sort(stacks.begin(), stacks.end(),
                   [](const StackRow& a, const StackRow& b) { return a.count > b.count; });
  if (stacks.size() > kMaxStacks) stacks.resize(kMaxStacks);
  out["stacks_sampled"] = !profile.stacks.empty();
  json rows = json::array();
  for (const StackRow& stack : stacks) {
    rows.push_back({{"frames", stack.frames},
                    {"class", stack.key.exit_class},
                    {"device", stack.key.device},
                    {"count", stack.count},
                    {"time_ns", stack.time_ns}});
  }
  out["stacks"] = std::move(rows);
}

json profile_data(const Profile& profile) {
  json out{{"file", profile.file},
           {"source", profile.source},
           {"duration_ns", profile.duration_ns},
           {"timed_every", profile.timed_every},
           {"exits", profile.exits()},
           {"icache", profile.icache},
           {"counters", profile.counters}};
  double cost = 0;
  uint64_t aborts = 0, isv0 = 0;
  for (const ProfileRow& row : profile.rows) {
    cost += row.cost_ns();
    if (row.isv != ProfileRow::Isv::kNotApplicable) aborts += row.count;
    if (row.isv == ProfileRow::Isv::kInvalid) isv0 += row.count;
  }
  out["cost_ns"] = cost;
  out["data_aborts"] = aborts;
  out["isv0"] = isv0;
  const TimeShares shares = time_shares(profile);
  out["shares"] = {{"guest", shares.guest}, {"exit", shares.exit}, {"idle", shares.idle}};
  out["notes"] = json::array();
  for (const std::string& note : profile.notes) {
    if (out["notes"].size() == kMaxNotes) break;
    out["notes"].push_back(note);
  }
  out["classes"] = groups_json(group_rows(profile, GroupBy::kClass));
  out["devices"] = groups_json(group_rows(profile, GroupBy::kDevice));
  out["registers"] = groups_json(group_rows(profile, GroupBy::kRegister));
  put_instructions(out, profile);
  out["vcpus"] = json::array();
  for (const VcpuTime& time : profile.vcpus) {
    out["vcpus"].push_back({{"vcpu", time.vcpu},
                            {"guest_ns", time.guest_ns},
                            {"exit_ns", time.exit_ns},
                            {"idle_ns", time.idle_ns}});
  }
  out["timeline"] = timeline_json(profile);
  put_stacks(out, profile);
  out["nested"] = json::array();
  const json nested = nested_json(profile.nested);
  for (const NestedRow& row : profile.nested) {
    out["nested"].push_back(nested[row.exit]);
    out["nested"].back()["exit"] = row.exit;
  }
  out["latencies"] = json::object();
  for (const auto& [name, latency] : profile.latencies) {
    out["latencies"][name] = distribution_json(latency);
  }
  return out;
}

json differences_json(const Profile& a, const Profile& b, GroupBy by) {
  json out = json::array();
  // Both rankings that the page offers find their largest among these.
  std::vector<Difference> all = compare(a, b, by);
  if (all.size() > kMaxDifferences) {
    std::stable_sort(all.begin() + kMaxDifferences / 2, all.end(),
                     [](const Difference& x, const Difference& y) {
                       return std::abs(x.count_change()) > std::abs(y.count_change());
                     });
    all.resize(kMaxDifferences);
  }
  for (const Difference& d : all) {
    json one{{"label", d.label}, {"text", d.text}, {"count", d.count}, {"cost_ns", d.cost_ns}};
    put_key(one, d.key);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

json page_data(const std::vector<Profile>& profiles) {
  json out{{"profiles", json::array()}};
  for (const Profile& profile : profiles) out["profiles"].push_back(profile_data(profile));
  if (profiles.size() == 2) {
    const Profile &a = profiles[0], &b = profiles[1];
    out["differences"] = {{"classes", differences_json(a, b, GroupBy::kClass)},
                          {"registers", differences_json(a, b, GroupBy::kRegister)},
                          {"instructions", differences_json(a, b, GroupBy::kInstruction)}};
  }
  return out;
}

}  // namespace trapline
