// Recording: who writes down each vCPU's exits, and the names that a trace ends with.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "vmm/machine/guest_symbols.h"
#include "vmm/machine/machine_cpu.h"
#include "vmm/stats/profile_model.h"

namespace trapline {

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
  return recording_->finish(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace trapline
