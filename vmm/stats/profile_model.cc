#include "vmm/stats/profile_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "vmm/symbols/disassemble.h"

namespace trapline {

std::string DeviceNames::sysreg(SysregId id) const {
  for (const SysregDevice* device : sysregs_) {
    if (std::string_view name = device->register_name(id); !name.empty()) return std::string(name);
  }
  return fmt::format("S{}_{}_C{}_C{}_{}", id >> 14 & 3, id >> 11 & 7, id >> 7 & 15, id >> 3 & 15,
                     id & 7);
}

std::string DeviceNames::sysreg_device(const std::string& name) {
  return name.starts_with("ICC") ? "gicc" : name.starts_with("CNT") ? "timer" : "sysreg";
}

std::string DeviceNames::reg(const Device& device, uint64_t offset) const {
  const std::string_view name = device.register_name(offset);
  return name.empty() ? fmt::format("+{:#x}", offset) : std::string(name);
}

ExitKey DeviceNames::key(ExitTarget target) const {
  ExitKey key;
  key.exit_class = arm_class_name(target.exit_class());
  if (target.is_sysreg()) {
    key.reg = sysreg(target.sysreg());
    key.device = sysreg_device(key.reg);
  } else if (target.is_device() && bus_ != nullptr && target.region() < bus_->regions().size()) {
    const Device& device = Bus::device_of(bus_->regions()[target.region()]);
    key.device = std::string(device.name());
    key.reg = reg(device, target.offset());
  }
  return key;
}

const char* arm_class_name(ExitClass c) {
  switch (c) {
    case ExitClass::kDataAbortIsv1:
    case ExitClass::kDataAbortIsv0:
      return "DABT_LOW";
    case ExitClass::kPrefetchAbort:
      return "IABT_LOW";
    case ExitClass::kSysreg:
      return "SYS64";
    case ExitClass::kHvc:
      return "HVC64";
    case ExitClass::kWfx:
      return "WFx";
    default:
      return "UNKNOWN";
  }
}

ProfileRow::Isv isv_of(ExitClass c) {
  if (c == ExitClass::kDataAbortIsv1) return ProfileRow::Isv::kValid;
  if (c == ExitClass::kDataAbortIsv0) return ProfileRow::Isv::kInvalid;
  return ProfileRow::Isv::kNotApplicable;
}

Distribution distribution_of(const Histogram& histogram, double ns_per_cycle) {
  const auto ns = [=](uint64_t cycles) { return static_cast<double>(cycles) * ns_per_cycle; };
  Distribution out;
  out.count = histogram.count();
  out.sum_ns = ns(histogram.sum());
  out.min_ns = ns(histogram.min());
  out.max_ns = ns(histogram.max());
  for (const Histogram::Bucket& bucket : histogram.buckets()) {
    out.buckets.push_back({ns(bucket.low), ns(bucket.high), bucket.count});
  }
  return out;
}

namespace {

class Builder {
 public:
  Builder(const DeviceNames& names, const SymbolTable& symbols, double ns_per_cycle)
      : names_(names), symbols_(symbols), ns_per_cycle_(ns_per_cycle) {}

  void add(const ProfileReading& vcpu) {
    for (const Attribution::Row& row : vcpu.rows) out_.rows.push_back(row_of(vcpu.vcpu, row));
    if (vcpu.other.time.count() != 0) {
      out_.rows.push_back(row_of(vcpu.vcpu, vcpu.other));
      ProfileRow& row = out_.rows.back();
      row.other = true;
      row.key = {};
      row.symbol.clear();
      row.text.clear();
    }
    out_.vcpus.push_back({vcpu.vcpu, ns(vcpu.guest), ns(vcpu.exits), ns(vcpu.idle)});
    if (vcpu.stacks) add_stacks(*vcpu.stacks);
    add_latency("irq_to_iar", vcpu.irq_to_iar);
    add_latency("kick_to_exit", vcpu.kick_to_exit);
  }

  void add_series(const std::vector<ProfileReading>& vcpus) {
    unsigned log2 = 0;
    for (const ProfileReading& vcpu : vcpus) log2 = std::max(log2, vcpu.timeline.slice_log2());
    out_.slice_ns = ns(uint64_t{1} << log2);
    std::map<ExitKey, std::vector<uint64_t>> sums;
    size_t used = 0;
    for (const ProfileReading& vcpu : vcpus) {
      const auto all = vcpu.timeline.series(log2);
      for (size_t i = 0; i < all.size(); ++i) {
        auto& counts = sums[i == 0 ? ExitKey{"other", {}, {}} : names_.key(all[i].target)];
        counts.resize(Timeline::kSlices);
        for (size_t slice = 0; slice < Timeline::kSlices; ++slice) {
          counts[slice] += all[i].counts[slice];
          if (counts[slice] != 0) used = std::max(used, slice + 1);
        }
      }
    }
    for (auto& [key, counts] : sums) {
      counts.resize(used);
      if (std::any_of(counts.begin(), counts.end(), [](uint64_t n) { return n != 0; })) {
        out_.series.push_back({key, std::move(counts)});
      }
    }
  }

  Profile& out() { return out_; }

 private:
  double ns(uint64_t cycles) const { return static_cast<double>(cycles) * ns_per_cycle_; }

  ProfileRow row_of(unsigned vcpu, const Attribution::Row& from) {
    ProfileRow row;
    row.vcpu = vcpu;
    row.pc = from.pc;
    row.key = names_.key(from.target);
    row.isv = isv_of(from.target.exit_class());
    row.count = from.time.count();
    row.time = distribution_of(from.time, ns_per_cycle_);
    // Sums over the sample become sums over all, as parts of the time that is known of all: by
    // counts, one long exit in the sample would make them longer than the exits are.
    const double scale =
        from.staged == 0 ? 0
                         : static_cast<double>(from.time.sum()) / static_cast<double>(from.staged);
    for (size_t i = 0; i < from.stages.size(); ++i) {
      if (from.stages[i] == 0) continue;
      row.stages_ns[stage_name(static_cast<Stage>(i))] = ns(from.stages[i]) * scale;
    }
    row.sleep_ns = ns(from.sleep);
    row.word = from.word;
    if (from.word != 0) row.text = disassemble(from.word, from.pc);
    row.symbol = symbols_.describe(from.pc);
    return row;
  }

  std::string frame(uint64_t pc) const {
    const SymbolTable::Symbol* symbol = symbols_.find(pc);
    if (symbol == nullptr) return fmt::format("{:#x}", pc);
    return symbol->module.empty() ? symbol->name : symbol->module + ":" + symbol->name;
  }

  void add_stacks(const StackSamples& samples) {
    std::map<std::pair<std::vector<std::string>, ExitKey>, StackSamples::Sum> sums;
    for (const auto& [key, sum] : samples.stacks()) {
      std::vector<std::string> frames;
      for (auto at = key.returns.rbegin(); at != key.returns.rend(); ++at) {
        frames.push_back(frame(*at - 4));
      }
      // A function without a frame of its own: its caller is in x30 alone. Else x30 is the frame's,
      // or points into the function, behind a call that it made.
      const SymbolTable::Symbol* here = symbols_.find(key.pc);
      const bool leaf = here != nullptr && symbols_.find(key.link) != nullptr &&
                        symbols_.find(key.link - 4) != here &&
                        (key.returns.empty() || key.returns.front() != key.link);
      if (leaf) frames.push_back(frame(key.link - 4));
      frames.push_back(frame(key.pc));
      StackSamples::Sum& total = sums[{std::move(frames), names_.key(key.target)}];
      total.count += sum.count;
      total.cycles += sum.cycles;
    }
    for (const auto& [key, sum] : sums) {
      out_.stacks.push_back({key.first, key.second, sum.count, ns(sum.cycles)});
    }
    if (samples.dropped() != 0) {
      out_.notes.push_back(fmt::format("{} stack samples found no room beside {} others",
                                       samples.dropped(), StackSamples::kStacks));
    }
  }

  void add_latency(const char* name, const Histogram& histogram) {
    if (histogram.count() == 0) return;
    out_.latencies[name].merge(distribution_of(histogram, ns_per_cycle_));
  }

  const DeviceNames& names_;
  const SymbolTable& symbols_;
  double ns_per_cycle_;
  Profile out_;
};

}  // namespace

Profile profile_of(const std::vector<ProfileReading>& vcpus, const DeviceNames& names,
                   const SymbolTable& symbols, double ns_per_cycle, uint64_t duration,
                   unsigned stages_every) {
  Builder builder(names, symbols, ns_per_cycle);
  for (const ProfileReading& vcpu : vcpus) builder.add(vcpu);
  builder.add_series(vcpus);
  Profile& out = builder.out();
  out.duration_ns = static_cast<double>(duration) * ns_per_cycle;
  out.timed_every = 1;
  if (stages_every > 1) {
    out.notes.push_back(
        fmt::format("stages were timed of one exit in {}, and are scaled to all", stages_every));
  }
  std::stable_sort(out.rows.begin(), out.rows.end(), [](const ProfileRow& a, const ProfileRow& b) {
    return a.time.sum_ns > b.time.sum_ns;
  });
  return std::move(out);
}

}  // namespace trapline
