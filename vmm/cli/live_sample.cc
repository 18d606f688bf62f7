#include "vmm/cli/live_sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vmm/cli/live_view.h"

namespace trapline {
namespace {

using nlohmann::json;

const json& field(const json& object, const char* key) {
  static const json kNothing = json::object();
  if (!object.is_object()) return kNothing;
  const auto at = object.find(key);
  return at == object.end() ? kNothing : *at;
}

uint64_t count_of(const json& object, const char* key) {
  const json& value = field(object, key);
  return value.is_number_unsigned() ? value.get<uint64_t>() : 0;
}

Distribution distribution_of(const json& object) {
  Distribution out;
  out.count = count_of(object, "count");
  out.sum_ns = number_of(object, "sum");
  out.min_ns = number_of(object, "min");
  out.max_ns = number_of(object, "max");
  for (const json& bucket : field(object, "buckets")) {
    if (!bucket.is_array() || bucket.size() != 3 || !bucket[0].is_number() ||
        !bucket[1].is_number() || !bucket[2].is_number_unsigned()) {
      continue;
    }
    out.buckets.push_back(
        {bucket[0].get<double>(), bucket[1].get<double>(), bucket[2].get<uint64_t>()});
  }
  return out;
}

// The clock is measured anew for each document, so that a bucket's bounds move a little: far less
// than to its neighbour's, 3 % away.
Distribution between(const Distribution& before, const Distribution& now) {
  constexpr double kSame = 0.01;
  Distribution out;
  auto old = before.buckets.begin();
  for (Distribution::Bucket bucket : now.buckets) {
    const double slack = bucket.high_ns * kSame;
    while (old != before.buckets.end() && old->high_ns < bucket.high_ns - slack) ++old;
    if (old != before.buckets.end() && std::abs(old->high_ns - bucket.high_ns) <= slack) {
      bucket.count -= std::min(bucket.count, old->count);
    }
    if (bucket.count == 0) continue;
    out.count += bucket.count;
    out.buckets.push_back(bucket);
  }
  if (out.count == 0) return out;
  out.sum_ns = std::max(0.0, now.sum_ns - before.sum_ns);
  out.min_ns = std::max(now.min_ns, out.buckets.front().low_ns);
  out.max_ns = std::min(now.max_ns, out.buckets.back().high_ns);
  return out;
}

uint64_t minus(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

using Counts = std::map<std::string, LiveCount>;

Counts between(const Counts& before, const Counts& now) {
  Counts out;
  for (const auto& [name, count] : now) {
    const auto old = before.find(name);
    out[name] = old == before.end() ? count
                                    : LiveCount{minus(count.count, old->second.count),
                                                between(old->second.time, count.time)};
  }
  return out;
}

}  // namespace

LiveSample live_sample(const json& stat) {
  LiveSample out;
  out.wall_s = number_of(stat, "wall_seconds");
  out.instructions = count_of(stat, "insns");
  out.exits = count_of(field(stat, "exits"), "total");
  static constexpr std::pair<const char*, const char*> kClasses[] = {
      {"data_abort.isv1", "DABT_LOW isv1"},
      {"data_abort.isv0", "DABT_LOW isv0"},
      {"prefetch_abort", "IABT_LOW"},
      {"sysreg", "SYS64"},
      {"hvc", "HVC64"},
      {"wfx", "WFx"},
      {"other", "UNKNOWN"}};
  const json& latency = field(stat, "latency_ns");
  for (const auto& [key, name] : kClasses) {
    const json& entry = field(latency, key);
    out.classes[name] = {count_of(entry, "exits"), distribution_of(entry)};
  }
  for (const auto& [device, entry] : field(stat, "devices").items()) {
    for (const auto& [reg, counts] : field(entry, "registers").items()) {
      LiveCount& count = out.registers[fmt::format("{} {}", device, reg)];
      count.count = count_of(counts, "reads") + count_of(counts, "writes");
      count.time = distribution_of(field(counts, "latency_ns"));
    }
  }
  for (const json& entry : field(stat, "vcpus")) {
    LiveVcpu vcpu;
    vcpu.state = text_of(entry, "state");
    vcpu.instructions = count_of(entry, "insns");
    for (const json& n : field(entry, "exits")) {
      if (n.is_number_unsigned()) vcpu.exits += n.get<uint64_t>();
    }
    vcpu.guest_ns = number_of(entry, "guest_ns");
    vcpu.exit_ns = number_of(entry, "exit_ns");
    vcpu.idle_ns = number_of(entry, "idle_ns");
    out.vcpus.push_back(std::move(vcpu));
  }
  return out;
}

LiveSample live_sample(const Profile& profile) {
  LiveSample out;
  const auto add = [](LiveCount& to, const ProfileRow& row) {
    to.count += row.count;
    to.time.merge(row.time);
  };
  out.vcpus.resize(profile.vcpus.size());
  for (const ProfileRow& row : profile.rows) {
    std::string name = row.other ? "other" : row.key.exit_class;
    if (row.isv != ProfileRow::Isv::kNotApplicable) {
      name += row.isv == ProfileRow::Isv::kValid ? " isv1" : " isv0";
    }
    add(out.classes[name], row);
    if (!row.key.device.empty() || !row.key.reg.empty()) {
      add(out.registers[fmt::format("{} {}", row.key.device, row.key.reg)], row);
    }
    out.exits += row.count;
    if (row.vcpu < out.vcpus.size()) out.vcpus[row.vcpu].exits += row.count;
  }
  for (const VcpuTime& time : profile.vcpus) {
    if (time.vcpu >= out.vcpus.size()) continue;
    LiveVcpu& vcpu = out.vcpus[time.vcpu];
    vcpu.guest_ns = time.guest_ns;
    vcpu.exit_ns = time.exit_ns;
    vcpu.idle_ns = time.idle_ns;
  }
  return out;
}

LiveSample between(const LiveSample& before, const LiveSample& now) {
  LiveSample out = now;
  out.wall_s = std::max(0.0, now.wall_s - before.wall_s);
  out.instructions = minus(now.instructions, before.instructions);
  out.exits = minus(now.exits, before.exits);
  out.classes = between(before.classes, now.classes);
  out.registers = between(before.registers, now.registers);
  for (size_t i = 0; i < std::min(before.vcpus.size(), now.vcpus.size()); ++i) {
    const LiveVcpu& old = before.vcpus[i];
    LiveVcpu& vcpu = out.vcpus[i];
    vcpu.exits = minus(vcpu.exits, old.exits);
    vcpu.instructions = minus(vcpu.instructions, old.instructions);
    // An estimate of a sample may fall.
    vcpu.guest_ns = std::max(0.0, vcpu.guest_ns - old.guest_ns);
    vcpu.exit_ns = std::max(0.0, vcpu.exit_ns - old.exit_ns);
    vcpu.idle_ns = std::max(0.0, vcpu.idle_ns - old.idle_ns);
  }
  return out;
}

}  // namespace trapline
