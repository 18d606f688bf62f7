#include "vmm/trace/trace_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "decode/capstone_adapter.h"
#include "vmm/stats/histogram.h"
#include "vmm/stats/profile_model.h"
#include "vmm/symbols/disassemble.h"
#include "vmm/trace/reader.h"
#include "vmm/trace/replay.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline::trace {
namespace {

constexpr size_t kMostEvents = 4'000'000, kMostRows = 32768;

class Builder final : public Listener {
 public:
  explicit Builder(const Configuration& configuration) : configuration_(configuration) {
    vcpus_.resize(configuration.cpus);
  }

  bool exit(unsigned vcpu, uint64_t number, const ExitEvent& event) override;
  // The same exit once more, as a replay met it.
  void replayed(unsigned vcpu, const ExitEvent& event, const ExitRecord& record);
  bool slept(unsigned vcpu, uint64_t cycles) override;
  bool place(unsigned /*vcpu*/, uint64_t pc, uint32_t word) override {
    if (words_.size() < kMostRows * 4) words_.emplace(pc, word);
    return true;
  }
  bool written(unsigned, uint64_t, uint64_t) override {
    ++writes_;
    return true;
  }

  // `replay_ns`: ns a cycle of the host where the replay ran.
  Profile take(const nlohmann::json& names, double replay_ns);

 private:
  struct Row {
    Histogram time;
    std::array<uint64_t, static_cast<size_t>(Stage::kCount)> stages{};  // cycles of the replay
    uint64_t sleep = 0;
    uint32_t number = 0;
  };
  // vCPU, PC, what was reached; whether it is the row of all that found none of their own
  using Key = std::tuple<unsigned, uint64_t, ExitTarget, bool>;
  struct PerVcpu {
    uint64_t exits = 0, idle = 0, first = 0, last = 0;
    Row* last_wait = nullptr;
    bool any = false;
  };
  ExitTarget target_of(const ExitEvent& event) const;
  ExitKey key_of(ExitTarget target, const nlohmann::json& names) const;

  const Configuration& configuration_;
  std::map<Key, std::unique_ptr<Row>> rows_;
  std::vector<PerVcpu> vcpus_;
  std::vector<trapline::ExitEvent> events_;
  std::unordered_map<uint64_t, uint32_t> words_;
  uint64_t first_ = ~uint64_t{0}, last_ = 0, dropped_ = 0, writes_ = 0, other_ = 0;
};

ExitTarget Builder::target_of(const ExitEvent& event) const {
  ExitTarget target(class_of(event.exit));
  if (event.exit.kind == ExitKind::kSysreg) {
    target.reach(event.exit.sysreg);
  } else if ((event.flags & ExitEvent::kAccesses) != 0 && !event.accesses.empty()) {
    const DeviceAccess& last = event.accesses.back();
    const bool known = last.region < configuration_.regions.size();
    target.reach(last.region, known ? configuration_.regions[last.region].size : 0, last.offset);
  }
  return target;
}

void Builder::replayed(unsigned vcpu, const ExitEvent& event, const ExitRecord& record) {
  auto found = rows_.find({vcpu, event.exit.pc, target_of(event), false});
  if (found == rows_.end()) found = rows_.find({vcpu, 0, ExitTarget(), true});
  if (found == rows_.end()) return;
  for (size_t i = 0; i < record.stages.size(); ++i) {
    if ((record.stages_passed >> i & 1) != 0) found->second->stages[i] += record.stages[i];
  }
}

bool Builder::exit(unsigned vcpu, uint64_t /*number*/, const ExitEvent& event) {
  const Exit& exit = event.exit;
  Key key{vcpu, exit.pc, target_of(event), false};
  auto found = rows_.find(key);
  if (found == rows_.end()) {
    if (rows_.size() >= kMostRows) {
      ++other_;
      key = {vcpu, 0, ExitTarget(), true};
    }
    found = rows_.try_emplace(key, nullptr).first;
    if (found->second == nullptr) {
      found->second = std::make_unique<Row>();
      found->second->number = static_cast<uint32_t>(rows_.size() - 1);
    }
  }
  Row& row = *found->second;
  row.time.record(event.total);
  PerVcpu& cpu = vcpus_[vcpu];
  if (!std::exchange(cpu.any, true)) cpu.first = event.start;
  cpu.last = event.start + event.total;
  cpu.exits += event.total;
  first_ = std::min(first_, event.start);
  last_ = std::max(last_, cpu.last);
  if (exit.kind == ExitKind::kWfi || exit.kind == ExitKind::kWfe) cpu.last_wait = &row;
  if (events_.size() >= kMostEvents) {
    ++dropped_;
    return true;
  }
  trapline::ExitEvent out;
  out.start_ns = static_cast<double>(event.start);
  out.total_ns = static_cast<double>(event.total);
  out.row = row.number;
  if (exit.kind == ExitKind::kSysreg) {
    out.value = event.value;
    out.write = exit.sysreg_write;
  } else if (!event.accesses.empty()) {
    out.value = event.accesses.back().value;
    out.write = event.accesses.back().write;
  }
  events_.push_back(out);
  return true;
}

bool Builder::slept(unsigned vcpu, uint64_t cycles) {
  PerVcpu& cpu = vcpus_[vcpu];
  cpu.idle += cycles;
  if (cpu.last_wait != nullptr) cpu.last_wait->sleep += cycles;
  return true;
}

ExitKey Builder::key_of(ExitTarget target, const nlohmann::json& names) const {
  ExitKey out;
  out.exit_class = arm_class_name(target.exit_class());
  const auto name = [&](const char* part, const std::string& what) -> std::string {
    if (!names.is_object() || !names.contains(part) || !names[part].is_object()) return {};
    const auto found = names[part].find(what);
    return found != names[part].end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (target.is_sysreg()) {
    out.reg = name("sysregs", fmt::format("{:x}", target.sysreg()));
    if (out.reg.empty()) out.reg = DeviceNames(nullptr, {}).sysreg(target.sysreg());
    out.device = DeviceNames::sysreg_device(out.reg);
  } else if (target.is_device()) {
    const uint64_t region = target.region();
    if (region < configuration_.regions.size()) out.device = configuration_.regions[region].device;
    out.reg = name("registers", fmt::format("{:x}", region << 48 | target.offset()));
    if (out.reg.empty()) out.reg = fmt::format("+{:#x}", target.offset());
  }
  return out;
}

Profile Builder::take(const nlohmann::json& names, double replay_ns) {
  Profile out;
  const double ns =
      names.is_object() && names.contains("ns_per_cycle") && names["ns_per_cycle"].is_number()
          ? names["ns_per_cycle"].get<double>()
          : configuration_.ns_per_cycle;
  out.rows.resize(rows_.size());
  for (const auto& [key, from] : rows_) {
    ProfileRow& row = out.rows[from->number];
    row.vcpu = std::get<0>(key);
    row.pc = std::get<1>(key);
    const auto target = std::get<ExitTarget>(key);
    row.other = std::get<bool>(key);
    if (!row.other) row.key = key_of(target, names);
    row.isv = row.other ? ProfileRow::Isv::kNotApplicable : isv_of(target.exit_class());
    row.count = from->time.count();
    row.time = distribution_of(from->time, ns);
    row.sleep_ns = static_cast<double>(from->sleep) * ns;
    for (size_t i = 0; i < from->stages.size(); ++i) {
      if (from->stages[i] == 0) continue;
      row.stages_ns[stage_name(static_cast<Stage>(i))] =
          static_cast<double>(from->stages[i]) * replay_ns;
    }
    if (const auto word = words_.find(row.pc); word != words_.end() && !row.other) {
      row.word = word->second;
      row.text = disassemble(row.word, row.pc);
    }
    if (names.is_object() && names.contains("symbols") && names["symbols"].is_object()) {
      const auto symbol = names["symbols"].find(fmt::format("{:x}", row.pc));
      if (symbol != names["symbols"].end() && symbol->is_string()) {
        row.symbol = symbol->get<std::string>();
      }
    }
  }
  for (trapline::ExitEvent& event : events_) {
    event.start_ns = (event.start_ns - static_cast<double>(first_)) * ns;
    event.total_ns *= ns;
  }
  std::stable_sort(events_.begin(), events_.end(),
                   [](const auto& a, const auto& b) { return a.start_ns < b.start_ns; });
  out.events = std::move(events_);
  if (last_ > first_) out.duration_ns = static_cast<double>(last_ - first_) * ns;
  for (unsigned i = 0; i < vcpus_.size(); ++i) {
    const PerVcpu& cpu = vcpus_[i];
    if (!cpu.any) continue;
    const double all = static_cast<double>(cpu.last - cpu.first) * ns;
    VcpuTime time{i, 0, static_cast<double>(cpu.exits) * ns, static_cast<double>(cpu.idle) * ns};
    time.guest_ns = std::max(0.0, all - time.exit_ns - time.idle_ns);
    out.vcpus.push_back(time);
  }
  out.counters["writes_to_code_or_tables"] = writes_;
  if (dropped_ != 0) {
    out.notes.push_back(
        fmt::format("the last {} exits are in the sums only: a report keeps {} single ones",
                    dropped_, kMostEvents));
  }
  if (other_ != 0) out.notes.push_back(fmt::format("{} exits found no row of their own", other_));
  return out;
}

}  // namespace

bool is_trace(const std::string& path) {
  char first[sizeof kMagic];
  std::ifstream file(path, std::ios::binary);
  return file.read(first, sizeof first) && looks_like_trace({first, sizeof first});
}

Result<Profile> read_trace_profile(const std::string& path) {
  auto reader = Reader::open(path);
  if (!reader) return Error{reader.error()};
  const Configuration& recorded = reader->configuration();
  Builder builder(recorded);
  auto read = reader->read(builder);
  if (!read) return Error{read.error()};
  // What the stages took is in no recording: a replay tells.
  ReplayOptions how = ReplayOptions::named(recorded.decoder, recorded.icache);
  if (!CapstoneDecoder::missing().empty()) how.decoder = DecoderChoice::kNative;
  how.watch = [&](unsigned vcpu, const ExitEvent& event, const ExitRecord& record) {
    builder.replayed(vcpu, event, record);
  };
  const uint64_t start_ns = steady_ns(), start_cycles = host_cycles();
  auto again = replay(*reader, how);
  const double replay_ns = static_cast<double>(steady_ns() - start_ns) /
                           static_cast<double>(host_cycles() - start_cycles);
  Profile profile = builder.take(reader->names(), replay_ns);
  if (again) {
    profile.icache = {{"hits", again->icache.hits},
                      {"misses", again->icache.misses},
                      {"invalidations", again->icache.invalidations}};
    profile.notes.push_back(fmt::format(
        "the stages and what the cache did are of a replay, here, with --icache {} --decoder {}",
        name_of(how.icache), how.decoder == DecoderChoice::kCapstone ? "capstone" : "native"));
  } else {
    profile.notes.push_back("no stages: " + again.error());
  }
  profile.file = path;
  profile.source = fmt::format("trapline's recording, {} backend", reader->configuration().backend);
  profile.broken = reader->why();
  if (!profile.broken.empty()) profile.notes.push_back(profile.broken);
  return profile;
}

}  // namespace trapline::trace
