#include "vmm/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace trapline {
namespace {

std::string instruction_label(const ProfileRow& row) {
  if (row.other) return "(other)";
  return row.symbol.empty() ? fmt::format("0x{:x}", row.pc) : row.symbol;
}

std::string label_of(const ProfileRow& row, GroupBy by) {
  switch (by) {
    case GroupBy::kClass:
      return row.key.exit_class.empty() ? "(other)" : row.key.exit_class;
    case GroupBy::kDevice:
      if (!row.key.device.empty()) return row.key.device;
      return row.key.exit_class.empty() ? "(other)" : row.key.exit_class;
    case GroupBy::kRegister:
      if (!row.other) return key_label(row.key);
      return row.key.exit_class.empty() ? "(other)" : row.key.exit_class + " (other)";
    case GroupBy::kInstruction:
      return instruction_label(row);
  }
  return {};
}

void add(Group& group, const ProfileRow& row) {
  group.row.count += row.count;
  group.row.time.merge(row.time);
  for (const auto& [name, ns] : row.stages_ns) group.row.stages_ns[name] += ns;
  group.row.sleep_ns += row.sleep_ns;
  group.row.to_user += row.to_user;
  group.cost_ns += row.cost_ns();
}

// What a group's rows share.
ProfileRow shared(const ProfileRow& row, GroupBy by) {
  ProfileRow out;
  out.other = row.other;
  if (by == GroupBy::kClass) out.key.exit_class = row.key.exit_class;
  if (by == GroupBy::kDevice) out.key.device = row.key.device;
  if (by == GroupBy::kRegister) out.key = row.key;
  if (by == GroupBy::kInstruction) {
    out = row;
    out.count = out.to_user = 0;
    out.time = {};
    out.stages_ns.clear();
    out.sleep_ns = 0;
  }
  return out;
}

}  // namespace

std::string key_label(const ExitKey& key) {
  if (key.device.empty() && key.reg.empty()) return key.exit_class;
  if (key.device.empty()) return key.exit_class + " " + key.reg;
  return key.reg.empty() ? key.device : key.device + " " + key.reg;
}

std::string full_label(const ExitKey& key) {
  return key.device.empty() ? key_label(key) : key.exit_class + " " + key_label(key);
}

std::vector<Group> group_rows(const Profile& profile, GroupBy by) {
  using Id = std::tuple<std::string, ExitKey, uint64_t, ProfileRow::Isv, bool>;
  std::map<Id, Group> groups;
  for (const ProfileRow& row : profile.rows) {
    const bool one = by == GroupBy::kInstruction;
    const bool keyed = one || by == GroupBy::kRegister;
    const std::string label = label_of(row, by);
    Group& group = groups[{label, keyed ? row.key : ExitKey{}, one ? row.pc : 0,
                           one ? row.isv : ProfileRow::Isv::kNotApplicable, keyed && row.other}];
    if (group.label.empty()) {
      group.label = label;
      group.row = shared(row, by);
    }
    add(group, row);
  }
  std::vector<Group> out;
  out.reserve(groups.size());
  for (auto& [id, group] : groups) out.push_back(std::move(group));
  std::stable_sort(out.begin(), out.end(), [](const Group& a, const Group& b) {
    return std::tie(b.cost_ns, b.row.count) < std::tie(a.cost_ns, a.row.count);
  });
  return out;
}

std::string function_of(const std::string& symbol) {
  const size_t plus = symbol.rfind("+0x");
  return plus == std::string::npos ? symbol : symbol.substr(0, plus);
}

std::string printable(const std::string& text) {
  std::string out = text;
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return out;
}

std::string format_ns(double ns) {
  static constexpr struct {
    double scale;
    const char* unit;
  } kUnits[] = {{1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}};
  const auto* unit = &kUnits[0];
  while (unit != std::end(kUnits) - 1 && std::abs(ns) / unit->scale >= 999.5) ++unit;
  const double value = ns / unit->scale;
  const int digits = unit == &kUnits[0] ? 0 : std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95;
  return fmt::format("{:.{}f} {}", value, digits, unit->unit);
}

std::string format_count(uint64_t count) {
  std::string out = std::to_string(count);
  for (auto at = static_cast<std::ptrdiff_t>(out.size()) - 3; at > 0; at -= 3) {
    out.insert(static_cast<size_t>(at), ",");
  }
  return out;
}

TimeShares time_shares(const Profile& profile) {
  TimeShares sums;
  for (const VcpuTime& time : profile.vcpus) {
    sums.guest += time.guest_ns;
    sums.exit += time.exit_ns;
    sums.idle += time.idle_ns;
  }
  const double all = sums.guest + sums.exit + sums.idle;
  if (all <= 0) return {};
  return {sums.guest / all, sums.exit / all, sums.idle / all};
}

std::vector<Difference> compare(const Profile& a, const Profile& b, GroupBy by) {
  std::map<std::pair<std::string, ExitKey>, Difference> found;
  const Profile* const both[] = {&a, &b};
  for (int side : {0, 1}) {
    for (const Group& group : group_rows(*both[side], by)) {
      Difference& difference = found[{group.label, group.row.key}];
      difference.label = group.label;
      difference.key = group.row.key;
      if (difference.text.empty()) difference.text = group.row.text;
      difference.count[side] += group.row.count;
      difference.cost_ns[side] += group.cost_ns;
    }
  }
  std::vector<Difference> out;
  out.reserve(found.size());
  for (auto& [id, difference] : found) out.push_back(std::move(difference));
  std::stable_sort(out.begin(), out.end(), [](const Difference& x, const Difference& y) {
    return std::pair(std::abs(x.cost_change()), std::abs(x.count_change())) >
           std::pair(std::abs(y.cost_change()), std::abs(y.count_change()));
  });
  return out;
}

}  // namespace trapline
