// Recording: who writes down each vCPU's exits, the names that a trace begins with, in case it is
// broken off, and those that it ends with.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "vmm/machine/guest_symbols.h"
#include "vmm/machine/machine_cpu.h"
#include "vmm/stats/profile_model.h"

namespace trapline {
namespace {

std::string text_of(const nlohmann::json& names) {
  return names.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Of every register that has a name, whatever the guest will touch.
std::string all_names(const Bus& bus, const std::vector<const SysregDevice*>& sysregs) {
  constexpr uint64_t kMost = 256 << 10;  // bytes of a region: beyond them there are copies
  nlohmann::json out;
  out["registers"] = out["sysregs"] = nlohmann::json::object();
  for (const Bus::Region& region : bus.regions()) {
    if (Bus::is_part(region) || region.has_parts || region.size > kLargestFile) continue;
    const Device& device = Bus::device_of(region);
    for (uint64_t offset = 0; offset < std::min(region.size, kMost); offset += 4) {
      const std::string_view name = device.register_name(offset);
      if (name.empty()) continue;
      out["registers"][fmt::format("{:x}", uint64_t{region.index} << 48 | offset)] = name;
    }
  }
  constexpr SysregId kFirst = sysreg_id(2, 0, 0, 0, 0), kLast = sysreg_id(3, 7, 15, 15, 7);
  for (unsigned id = kFirst; id <= kLast; ++id) {
    for (const SysregDevice* device : sysregs) {
      const std::string_view name = device->register_name(static_cast<SysregId>(id));
      if (!name.empty()) out["sysregs"].emplace(fmt::format("{:x}", id), name);
    }
  }
  return text_of(out);
}

}  // namespace

std::vector<const SysregDevice*> Machine::sysreg_devices() const {
  if (backend_->in_kernel()) return {};
  return {irqchip_->cpu_interface(), timer_.get()};
}

std::string Machine::start_recording() {
  trace::Recording::Setup setup;
  setup.cpus = options_.cpus;
  setup.icount = options_.icount;
  setup.icache = name_of(options_.icache);
  setup.decoder = name_of(options_.decoder);
  setup.isv = options_.isv_never ? "never" : "auto";
  setup.cpu = options_.backend == BackendChoice::kKvm ? "host" : name_of(options_.cpu);
  setup.bus = &bus_;
  setup.backend = backend_.get();
  auto recording = trace::Recording::create(options_.record, setup);
  if (!recording) return "--record " + recording.error();
  recording_ = std::move(*recording);
  recording_->put_names(all_names(bus_, sysreg_devices()));
  for (auto& cpu : cpus_) {
    trace::ExitRecorder& recorder = recording_->vcpu(cpu->index);
    recorder.attend(cpu->vcpu, cpu->exits.counters().counters, *this);
    cpu->exits.set_power(&recorder);
    cpu->exits.add_observer(&recorder, Attention::kEveryAccess);
  }
  return {};
}

std::string Machine::finish_recording(const RunReport& figures) {
  const DeviceNames names(figures.bus, figures.sysreg_devices);
  const GuestSymbols symbols =
      guest_symbols(options_.symbols, symbols_, kernel_place(memory_, cpus_[0]->vcpu));
  nlohmann::json out;
  out["ns_per_cycle"] = figures.ns_per_cycle;
  out["symbols"] = out["registers"] = out["sysregs"] = nlohmann::json::object();
  for (const auto& count : figures.total.register_counts()) {
    if ((count.key & VcpuCounters::kSysregBit) == 0) continue;
    const auto id = static_cast<SysregId>(count.key);
    out["sysregs"][fmt::format("{:x}", id)] = names.sysreg(id);
  }
  for (const auto& cpu : cpus_) {
    const trace::ExitRecorder& recorder = recording_->vcpu(cpu->index);
    for (const uint64_t pc : recorder.places()) {
      std::string symbol = symbols.table.describe(pc);
      if (!symbol.empty()) out["symbols"][fmt::format("{:x}", pc)] = std::move(symbol);
    }
    for (const uint64_t target : recorder.targets()) {
      const Device& device = Bus::device_of(bus_.regions()[target >> 48]);
      out["registers"][fmt::format("{:x}", target)] = names.reg(device, target & 0xffff'ffff'ffff);
    }
    const CacheCounters cache = cpu->exits.instructions().cache_counters();
    out["vcpus"].push_back({{"exits", recorder.exits()},
                            {"hits", cache.hits},
                            {"misses", cache.misses},
                            {"decodes", cpu->exits.counters().counters.decode_ok}});
  }
  return recording_->finish(text_of(out));
}

}  // namespace trapline
