// What TraceExits found, as a Profile; and its series, which grow with the recording.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "vmm/report/ftrace_exits.h"

namespace trapline {
namespace {

constexpr size_t kMostSeries = 64;

std::string plural(uint64_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

}  // namespace

// Nobody says beforehand how long it was: where the slices do not suffice, each becomes twice as
// long.
void TraceExits::count_in_series(uint16_t key, uint64_t now) {
  const uint64_t at = now - std::min(now, first_);
  while (at / slice_ns_ >= kSlices) {
    for (auto& counts : series_) {
      for (size_t i = 0; i < kSlices / 2; ++i) counts[i] = counts[2 * i] + counts[2 * i + 1];
      std::fill(counts.begin() + kSlices / 2, counts.end(), 0);
    }
    slice_ns_ *= 2;
  }
  if (series_.size() <= key) series_.resize(keys_.size());
  ++series_[key][at / slice_ns_];
}

void TraceExits::fill_series(Profile& profile) const {
  profile.slice_ns = static_cast<double>(slice_ns_);
  const uint64_t slices = std::min<uint64_t>((last_ - first_) / slice_ns_ + 1, kSlices);
  std::vector<std::pair<uint64_t, uint16_t>> busiest;
  for (size_t key = 0; key < series_.size(); ++key) {
    const auto& counts = series_[key];
    const uint64_t total = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
    if (total != 0) busiest.push_back({total, static_cast<uint16_t>(key)});
  }
  std::sort(busiest.begin(), busiest.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  Series rest{.key = {"other", "", ""}, .counts = std::vector<uint64_t>(slices)};
  bool any_rest = false;
  for (size_t i = 0; i < busiest.size(); ++i) {
    const auto& counts = series_[busiest[i].second];
    if (i < kMostSeries && busiest[i].second != TraceKeys::kOther) {
      profile.series.push_back(
          {keys_.key(busiest[i].second), {counts.begin(), counts.begin() + slices}});
      continue;
    }
    any_rest = true;
    for (size_t k = 0; k < slices; ++k) rest.counts[k] += counts[k];
  }
  if (any_rest) profile.series.push_back(std::move(rest));
}

void TraceExits::finish(Profile& profile) {
  for (Thread& thread : threads_) {
    if (thread.in_exit) end_exit(thread, last_, false);
    if (thread.in_guest) thread.guest_ns += last_ - std::min(last_, thread.entered);
    thread.in_guest = false;
  }
  profile.duration_ns = static_cast<double>(last_ - first_);
  profile.rows.reserve(rows_.size());
  for (Row& row : rows_) {
    ProfileRow out;
    out.vcpu = row.key.vcpu;
    out.other = row.other;
    if (!row.other) {
      out.pc = row.key.pc;
      out.key = keys_.key(row.key.key);
      out.isv = static_cast<ProfileRow::Isv>(row.key.isv);
    }
    out.count = row.count;
    out.to_user = row.to_user;
    out.time = row.times.distribution();
    out.sleep_ns = static_cast<double>(row.sleep_ns);
    if (row.kernel_ns != 0) out.stages_ns["kernel"] = static_cast<double>(row.kernel_ns);
    if (row.user_ns != 0) out.stages_ns["user"] = static_cast<double>(row.user_ns);
    profile.rows.push_back(std::move(out));
    row.times = {};
  }
  std::vector<const Thread*> order;
  for (const Thread& thread : threads_) order.push_back(&thread);
  std::sort(order.begin(), order.end(),
            [](const Thread* a, const Thread* b) { return a->vcpu < b->vcpu; });
  std::string names;
  for (const Thread* thread : order) {
    profile.vcpus.push_back({thread->vcpu, static_cast<double>(thread->guest_ns),
                             static_cast<double>(thread->exit_ns),
                             static_cast<double>(thread->idle_ns)});
    if (order.size() <= 16) {
      names += fmt::format("{}{} is '{}' ({})", names.empty() ? "" : ", ", thread->vcpu,
                           thread->name, thread->pid);
    }
  }
  fill_series(profile);
  profile.events = std::move(events_);
  if (user_times_.count() != 0) profile.latencies["user_space"] = user_times_.distribution();
  if (wakeup_times_.count() != 0) {
    profile.latencies["wakeup_to_entry"] = wakeup_times_.distribution();
  }
  profile.counters["kvm_userspace_exit"] = to_user_;
  profile.counters["kvm_mmio"] = mmio_;
  profile.counters["kvm_guest_fault"] = faults_;
  profile.counters["kvm_sys_access"] = registers_;
  profile.counters["lost_events"] = lost_;

  std::vector<std::string>& notes = profile.notes;
  if (lost_ != 0) {
    notes.push_back(fmt::format("{} lost at {}: what follows from them is missing",
                                plural(lost_, "event"), plural(lost_places_, "place")));
  }
  if (untimed_ != 0) {
    notes.push_back(
        fmt::format("{} without an entry behind: counted, not timed", plural(untimed_, "exit")));
  }
  if (!names.empty()) notes.push_back("vCPU " + names);
  if (exits_ > most_events_) {
    notes.push_back(
        fmt::format("single exits are kept of the first {} of {}: a selection by time sees those",
                    most_events_, exits_));
  }
  if (in_other_rows_ != 0) {
    notes.push_back(fmt::format("{} found no row of their own: they are in `other`",
                                plural(in_other_rows_, "exit")));
  }
  if (too_many_threads_ != 0) {
    notes.push_back("more than 1024 vCPU threads: the events of the others are left out");
  }
  if (wfi_ != 0 && wakeups_ == 0) {
    notes.push_back(
        "no kvm_vcpu_wakeup: all from a WFI's kvm_wfx_arm64 to its entry is taken as sleep");
  }
  if (data_aborts_ != 0 && mmio_ + faults_ == 0) {
    notes.push_back("no kvm_mmio, no kvm_guest_fault: devices are unknown (record kvm:*)");
  }
  if (register_exits_ != 0 && registers_ == 0) {
    notes.push_back("no kvm_sys_access: system registers are unknown (record kvm:*)");
  }
}

}  // namespace trapline
