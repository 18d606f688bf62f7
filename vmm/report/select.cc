#include "vmm/report/select.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "vmm/report/summary.h"

namespace trapline {
namespace {

constexpr size_t kSlices = 200;

bool contains(const std::string& text, const std::string& part) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

bool key_matches(const ExitKey& key, const std::string& filter) {
  return contains(key.exit_class, filter) || contains(key.device, filter) ||
         contains(key.reg, filter);
}

bool row_matches(const ProfileRow& row, const Selection& s) {
  if (s.vcpu >= 0 && row.vcpu != static_cast<unsigned>(s.vcpu)) return false;
  return s.filter.empty() || key_matches(row.key, s.filter) || contains(row.symbol, s.filter) ||
         contains(row.text, s.filter);
}

bool stack_matches(const StackRow& stack, const std::string& filter) {
  if (filter.empty() || key_matches(stack.key, filter)) return true;
  return std::any_of(stack.frames.begin(), stack.frames.end(),
                     [&](const std::string& frame) { return contains(frame, filter); });
}

// The rows' counts and times, from the events that are left.
void recount(Profile& profile) {
  std::vector<std::map<double, Distribution::Bucket>> buckets(profile.rows.size());
  for (ProfileRow& row : profile.rows) {
    row.count = row.to_user = 0;
    row.time = {};
    row.sleep_ns = 0;
    row.stages_ns.clear();  // not known of a single exit
  }
  for (const ExitEvent& event : profile.events) {
    ProfileRow& row = profile.rows[event.row];
    const double ns = std::max(0.0, event.total_ns - event.sleep_ns);
    row.time.min_ns = row.time.count == 0 ? ns : std::min(row.time.min_ns, ns);
    row.time.max_ns = std::max(row.time.max_ns, ns);
    row.time.sum_ns += ns;
    ++row.time.count;
    ++row.count;
    row.sleep_ns += event.sleep_ns;
    row.to_user += event.to_user ? 1 : 0;
    const Distribution::Bucket bucket = bucket_of(ns);
    ++buckets[event.row].try_emplace(bucket.low_ns, bucket).first->second.count;
  }
  for (size_t i = 0; i < buckets.size(); ++i) {
    for (const auto& [low, bucket] : buckets[i]) profile.rows[i].time.buckets.push_back(bucket);
  }
}

// Drops the rows that `keep` refuses or that are empty, and their events.
template <typename Keep>
void keep_rows(Profile& profile, Keep keep) {
  constexpr auto kGone = UINT32_MAX;
  std::vector<uint32_t> place(profile.rows.size(), kGone);
  size_t kept = 0;
  for (size_t i = 0; i < profile.rows.size(); ++i) {
    if (!keep(profile.rows[i])) continue;
    place[i] = static_cast<uint32_t>(kept);
    if (kept != i) profile.rows[kept] = std::move(profile.rows[i]);
    ++kept;
  }
  profile.rows.resize(kept);
  std::erase_if(profile.events, [&](const ExitEvent& e) { return place[e.row] == kGone; });
  for (ExitEvent& event : profile.events) event.row = place[event.row];
}

// Each vCPU's split of [from, to), from the events in it.
void split_again(Profile& profile, double window_ns) {
  std::map<unsigned, VcpuTime> times;
  for (const VcpuTime& time : profile.vcpus) times[time.vcpu].vcpu = time.vcpu;
  for (const ExitEvent& event : profile.events) {
    const auto it = times.find(profile.rows[event.row].vcpu);
    if (it == times.end()) continue;
    it->second.idle_ns += event.sleep_ns;
    it->second.exit_ns += std::max(0.0, event.total_ns - event.sleep_ns);
  }
  for (VcpuTime& time : profile.vcpus) {
    time = times[time.vcpu];
    time.guest_ns = std::max(0.0, window_ns - time.exit_ns - time.idle_ns);
  }
}

std::string describe(const Selection& s) {
  std::string text;
  if (s.vcpu >= 0) text += fmt::format(" vCPU {},", s.vcpu);
  if (s.from_ns > 0) text += " from " + format_ns(s.from_ns) + " (now 0),";
  if (s.to_ns < 1e300) text += " to " + format_ns(s.to_ns) + ",";
  if (s.min_ns > 0) text += " that took at least " + format_ns(s.min_ns) + ",";
  if (!s.filter.empty()) text += fmt::format(" with '{}',", s.filter);
  text.pop_back();
  return text;
}

}  // namespace

Distribution::Bucket bucket_of(double ns) {
  constexpr double kAnOctave = 32;
  if (ns < kAnOctave) return {std::floor(ns), std::floor(ns) + 1, 0};
  const double width = std::exp2(std::floor(std::log2(ns))) / kAnOctave;
  const double low = std::floor(ns / width) * width;
  return {low, low + width, 0};
}

void add_timeline(Profile& profile) {
  if (profile.events.empty() || !profile.series.empty() || profile.duration_ns <= 0) return;
  profile.slice_ns = profile.duration_ns / kSlices;
  std::map<ExitKey, std::vector<uint64_t>> counts;
  for (const ExitEvent& event : profile.events) {
    auto& of_key = counts[profile.rows[event.row].key];
    of_key.resize(kSlices);
    const double slice = std::clamp(event.start_ns / profile.slice_ns, 0.0, kSlices - 1.0);
    ++of_key[static_cast<size_t>(slice)];
  }
  for (auto& [key, of_key] : counts) profile.series.push_back({key, std::move(of_key)});
}

Result<Profile> select(Profile profile, const Selection& s) {
  const bool in_time = s.from_ns > 0 || s.to_ns < 1e300;
  const bool single = in_time || s.min_ns > 0;
  if (!single && s.vcpu < 0 && s.filter.empty()) return profile;
  if (single && profile.events.empty()) {
    return Error{profile.file +
                 ": has sums only; --from, --to and --min-ns need single exits: a recording "
                 "(run --record) or a host's trace"};
  }
  if (s.vcpu >= 0 && std::none_of(profile.rows.begin(), profile.rows.end(), [&](const auto& row) {
        return row.vcpu == static_cast<unsigned>(s.vcpu);
      })) {
    return Error{fmt::format("{}: no exit of a vCPU {}", profile.file, s.vcpu)};
  }
  std::erase_if(profile.vcpus, [&](const VcpuTime& time) {
    return s.vcpu >= 0 && time.vcpu != static_cast<unsigned>(s.vcpu);
  });
  std::erase_if(profile.events, [&](const ExitEvent& e) {
    return e.row >= profile.rows.size() || e.start_ns < s.from_ns || e.start_ns >= s.to_ns;
  });
  if (in_time) {
    profile.duration_ns = std::max(0.0, std::min(s.to_ns, profile.duration_ns) - s.from_ns);
    for (ExitEvent& event : profile.events) event.start_ns -= s.from_ns;
    split_again(profile, profile.duration_ns);
  }
  std::erase_if(profile.events,
                [&](const ExitEvent& e) { return e.total_ns - e.sleep_ns < s.min_ns; });
  // A source may keep single exits of its beginning only: of them, no timeline of all is made.
  const bool all_events = single || profile.events.size() == profile.exits();
  const uint64_t before = profile.exits();
  if (single) recount(profile);
  keep_rows(profile, [&](const ProfileRow& row) { return row.count != 0 && row_matches(row, s); });
  profile.notes.push_back(
      fmt::format("selected:{}: {} of {} exits", describe(s), profile.exits(), before));

  // Of the parts that no event makes again, those stay which hold for the selection, too.
  const auto leave_out = [&](const char* what) {
    profile.notes.push_back(fmt::format("left out of the selection: {}", what));
  };
  if (!profile.nested.empty()) {
    profile.nested.clear();
    leave_out("what nesting would cost");
  }
  if (all_events) {
    profile.series.clear();
    add_timeline(profile);
  } else if (s.vcpu >= 0 && !profile.series.empty()) {
    profile.series.clear();
    leave_out("the timeline, which is over all vCPUs");
  } else if (std::erase_if(profile.series,
                           [&](const Series& one) { return !key_matches(one.key, s.filter); }) !=
                 0 &&
             profile.series.empty() && !profile.rows.empty()) {
    leave_out("the timeline, which knows classes, devices and registers only");
  }
  if ((single || s.vcpu >= 0) && !profile.stacks.empty()) {
    profile.stacks.clear();
    leave_out("the stacks, which are over all exits");
  }
  std::erase_if(profile.stacks,
                [&](const StackRow& stack) { return !stack_matches(stack, s.filter); });
  if (!profile.latencies.empty() || !profile.icache.empty()) {
    profile.notes.push_back("the latencies and what the cache did are those of all exits");
  }
  return profile;
}

}  // namespace trapline
