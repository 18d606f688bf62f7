#include "vmm/trace/trace_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "vmm/stats/histogram.h"
#include "vmm/stats/profile_model.h"
#include "vmm/symbols/disassemble.h"
#include "vmm/trace/reader.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::trace {
namespace {

constexpr size_t kMostEvents = 4'000'000, kMostRows = 32768;

class Builder final : public Listener {
 public:
  explicit Builder(const Configuration& configuration) : configuration_(configuration) {
    vcpus_.resize(configuration.cpus);
  }

  bool exit(unsigned vcpu, uint64_t number, const ExitEvent& event) override;
  bool slept(unsigned vcpu, uint64_t cycles) override;
  bool place(unsigned /*vcpu*/, uint64_t pc, uint32_t word) override {
    if (words_.size() < kMostRows * 4) words_.emplace(pc, word);
    return true;
  }
  bool written(unsigned, uint64_t, uint64_t) override {
    ++writes_;
    return true;
  }

  Profile take(const nlohmann::json& names);

 private:
  struct Row {
    Histogram time;
    uint64_t sleep = 0;
    uint32_t number = 0;
  };
  // vCPU, PC, class, ISV, target
  using Key = std::tuple<unsigned, uint64_t, const char*, int, uint64_t>;
  static constexpr uint64_t kSysreg = uint64_t{1} << 63, kNothing = ~uint64_t{0};
  struct PerVcpu {
    uint64_t exits = 0, idle = 0, first = 0, last = 0;
    Row* last_wait = nullptr;
    bool any = false;
  };
  static const char* class_of(const Exit& exit);
  ExitKey key_of(const Key& key, const nlohmann::json& names) const;

  const Configuration& configuration_;
  std::map<Key, std::unique_ptr<Row>> rows_;
  std::vector<PerVcpu> vcpus_;
  std::vector<trapline::ExitEvent> events_;
  std::unordered_map<uint64_t, uint32_t> words_;
  uint64_t first_ = ~uint64_t{0}, last_ = 0, dropped_ = 0, writes_ = 0, other_ = 0;
};

const char* Builder::class_of(const Exit& exit) {
  switch (exit.kind) {
    case ExitKind::kDataAbort:
      return arm_class_name(ExitClass::kDataAbortIsv1);
    case ExitKind::kPrefetchAbort:
      return arm_class_name(ExitClass::kPrefetchAbort);
    case ExitKind::kSysreg:
      return arm_class_name(ExitClass::kSysreg);
    case ExitKind::kHvc:
      return arm_class_name(ExitClass::kHvc);
    case ExitKind::kWfi:
    case ExitKind::kWfe:
      return arm_class_name(ExitClass::kWfx);
    default:
      return arm_class_name(ExitClass::kOther);
  }
}

bool Builder::exit(unsigned vcpu, uint64_t /*number*/, const ExitEvent& event) {
  const Exit& exit = event.exit;
  uint64_t target = kNothing;
  if (exit.kind == ExitKind::kSysreg) {
    target = kSysreg | exit.sysreg;
  } else if ((event.flags & ExitEvent::kAccesses) != 0 && !event.accesses.empty()) {
    const DeviceAccess& last = event.accesses.back();
    constexpr uint64_t kLargest = uint64_t{2} << 20;  // as in ExitTarget
    const bool bank = last.region < configuration_.regions.size() &&
                      configuration_.regions[last.region].size > kLargest;
    target = uint64_t{last.region} << 48 | (bank ? 0 : last.offset & 0xffff'ffff);
  }
  const int isv =
      exit.kind == ExitKind::kDataAbort ? static_cast<int>(DataAbort{exit.esr}.valid()) : -1;
  Key key{vcpu, exit.pc, class_of(exit), isv, target};
  auto found = rows_.find(key);
  if (found == rows_.end()) {
    if (rows_.size() >= kMostRows) {
      ++other_;
      key = {vcpu, 0, "", -1, kNothing};
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

ExitKey Builder::key_of(const Key& key, const nlohmann::json& names) const {
  ExitKey out;
  out.exit_class = std::get<2>(key);
  const uint64_t target = std::get<4>(key);
  const auto name = [&](const char* part, const std::string& what) -> std::string {
    if (!names.is_object() || !names.contains(part) || !names[part].is_object()) return {};
    const auto found = names[part].find(what);
    return found != names[part].end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (target == kNothing) return out;
  if ((target & kSysreg) != 0) {
    const auto id = static_cast<SysregId>(target);
    out.reg = name("sysregs", fmt::format("{:x}", id));
    if (out.reg.empty()) out.reg = DeviceNames(nullptr, {}).sysreg(id);
    out.device = DeviceNames::sysreg_device(out.reg);
    return out;
  }
  const uint64_t region = target >> 48, offset = target & 0xffff'ffff;
  if (region < configuration_.regions.size()) out.device = configuration_.regions[region].device;
  out.reg = name("registers", fmt::format("{:x}", target));
  if (out.reg.empty()) out.reg = fmt::format("+{:#x}", offset);
  return out;
}

Profile Builder::take(const nlohmann::json& names) {
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
    row.key = key_of(key, names);
    row.isv = static_cast<ProfileRow::Isv>(std::get<3>(key));
    row.other = row.key.exit_class.empty();
    row.count = from->time.count();
    row.time = distribution_of(from->time, ns);
    row.sleep_ns = static_cast<double>(from->sleep) * ns;
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
  Builder builder(reader->configuration());
  auto read = reader->read(builder);
  if (!read) return Error{read.error()};
  Profile profile = builder.take(reader->names());
  profile.file = path;
  profile.source = fmt::format("trapline's recording, {} backend", reader->configuration().backend);
  if (!reader->why().empty()) profile.notes.push_back(reader->why());
  return profile;
}

}  // namespace trapline::trace
