#include "vmm/trace/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>
#include <unordered_map>
#include <utility>
#include <vector>

#include "vmm/exit/exit.h"
#include "vmm/trace/replay_cpu.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline::trace {
namespace {

constexpr size_t kMostDifferences = 20;
constexpr uint64_t kOvertakenVersion = ~uint64_t{0};  // of an exclusive monitor: no gate has it

// Everything may be watched: writes come from the trace.
class ReplayBackend final : public Backend {
 public:
  const char* name() const override { return "replay"; }
  Vcpu& vcpu(unsigned) override { __builtin_unreachable(); }
  void map(uint64_t, uint64_t, uint8_t*, uint8_t) override {}
  void unmap(uint64_t, uint64_t) override {}
  bool watch(uint64_t) override { return true; }
};

class Watcher final : public ExitObserver {
 public:
  explicit Watcher(const ReplayOptions& options) : options_(options) {}
  void exited(const ExitRecord& record) override { options_.watch(vcpu, *event, record); }
  unsigned vcpu = 0;
  const ExitEvent* event = nullptr;  // as it was recorded

 private:
  const ReplayOptions& options_;
};

// One vCPU of the trace with an exit path of its own.
struct Lane {
  Lane(const Configuration& configuration, const ReplayOptions& options, ReplayBackend& backend)
      : vcpu(memory),
        view(script_now),
        sysregs(script_now),
        power(script_now, configuration.cpus),
        watcher(options) {
    for (size_t i = 0; i < configuration.regions.size(); ++i) {
      const Region& region = configuration.regions[i];
      devices.push_back(
          std::make_unique<ReplayDevice>(script_now, static_cast<uint16_t>(i), region.device));
      error = bus.add(region.base, region.size, devices.back().get(), region.device_offset);
      if (!error.empty()) return;
    }
    ExitServices services;
    services.bus = &bus;
    services.gate = configuration.cpus > 1 ? &gate : nullptr;
    services.gic = services.timer = &sysregs;
    services.power = &power;
    services.icount = configuration.icount;
    handler = std::make_unique<ExitHandler>(
        vcpu, services,
        InstructionSource::Choice{options.decoder, options.icache, false, &backend, true});
    if (options.timed) {
      latency = std::make_unique<ExitLatency>();
      handler->add_observer(latency.get(), Attention::kEveryExit);
    }
    if (options.watch) handler->add_observer(&watcher, Attention::kEveryExit);
  }

  std::string error;
  Script script;
  Script* script_now = &script;
  SourceMemory memory;
  ReplayVcpu vcpu;
  ReplayView view;
  ReplaySysregs sysregs;
  ReplayPower power;
  Bus bus;
  DeviceGate gate;
  std::vector<std::unique_ptr<ReplayDevice>> devices;
  std::unique_ptr<ExitLatency> latency;
  Watcher watcher;
  std::unique_ptr<ExitHandler> handler;
  std::unordered_map<uint64_t, TranslationRegs> contexts;
  std::vector<SourceData> sources;
  uint64_t monitor_version = 0;                          // of the last load-exclusive
  std::array<uint64_t, ExitEvent::kRegisters> before{};  // as the exit met them
};

std::string compare_fault(const GuestFault& recorded, const GuestFault& replayed) {
  if (recorded.far == replayed.far && recorded.fsc == replayed.fsc &&
      recorded.write == replayed.write && recorded.ec == replayed.ec &&
      recorded.iss == replayed.iss) {
    return {};
  }
  return fmt::format(
      "fault: recorded EC {:#x} FSC {:#x} FAR {:#x}, replayed EC {:#x} FSC {:#x} "
      "FAR {:#x}",
      recorded.ec, recorded.fsc, recorded.far, replayed.ec, replayed.fsc, replayed.far);
}

class Player final : public Listener {
 public:
  Player(const Configuration& configuration, const ReplayOptions& options) : options_(options) {
    for (unsigned i = 0; i < configuration.cpus; ++i) {
      lanes_.push_back(std::make_unique<Lane>(configuration, options, backend_));
    }
  }
  std::string error() const { return lanes_[0]->error; }

  bool context(unsigned vcpu, uint64_t number, const TranslationRegs& regs) override {
    lanes_[vcpu]->contexts[number] = regs;
    return true;
  }
  bool source(unsigned vcpu, uint64_t /*number*/, const SourceData& source) override {
    lanes_[vcpu]->sources.push_back(source);
    return true;
  }
  bool view_state(unsigned vcpu, const ViewState& state) override {
    state.lend_to(lanes_[vcpu]->view);
    return true;
  }
  bool written(unsigned vcpu, uint64_t ipa, uint64_t size) override {
    if (!options_.lose_writes) lanes_[vcpu]->handler->instructions().memory_written(ipa, size);
    return true;
  }
  bool maintained(unsigned /*vcpu*/, SysregId /*op*/, uint64_t /*operand*/) override {
    ++result_.maintenance;
    return true;
  }
  bool maintenance_lost(unsigned /*vcpu*/, uint64_t count) override {
    result_.maintenance += count;
    return true;
  }
  bool map_changed(unsigned vcpu) override {
    lanes_[vcpu]->handler->instructions().memory_map_changed();
    return true;
  }
  bool exit(unsigned vcpu, uint64_t number, const ExitEvent& event) override;

  ReplayResult take();

 private:
  void prepare(Lane& lane, const ExitEvent& event);
  std::string compare(Lane& lane, const ExitEvent& event, Answer answer);

  const ReplayOptions& options_;
  ReplayBackend backend_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  ReplayResult result_;
};

void Player::prepare(Lane& lane, const ExitEvent& event) {
  ReplayView& view = lane.view;
  for_each_bit(event.before_mask, [&](unsigned i) { view.registers.x[i] = event.before[i]; });
  view.registers.x[kSlotXzr] = 0;
  std::copy_n(view.registers.x, lane.before.size(), lane.before.begin());
  view.vcpu = event.exit.vcpu;
  if ((event.flags & ExitEvent::kState) != 0) {
    view.nzcv = event.rare->nzcv_before;
    // The gate's version is of this replay's own stores. That another vCPU's intervened shows in a
    // store-exclusive that reached no device.
    view.own_monitor = event.rare->monitor_before;
    view.own_monitor.version = event.accesses.empty() ? kOvertakenVersion : lane.monitor_version;
  }
  if ((event.flags & ExitEvent::kVectors) != 0) {
    for_each_bit(event.v_before_mask, [&](unsigned i) { view.vectors[i] = event.v_before[i]; });
  }
  const SourceData* source = nullptr;
  if (event.source != 0 && event.source <= lane.sources.size()) {
    source = &lane.sources[event.source - 1];
    lane.memory.apply(*source, options_.misread ? options_.misread(source->word) : source->word);
  }
  lane.vcpu.lead(lane.contexts[event.context], event.context, source, event);
  lane.script.begin(event);
  view.begin();
}

bool Player::exit(unsigned vcpu, uint64_t number, const ExitEvent& event) {
  Lane& lane = *lanes_[vcpu];
  prepare(lane, event);
  lane.watcher.vcpu = vcpu;
  lane.watcher.event = &event;
  const uint64_t start = host_cycles();
  const Answer answer = lane.handler->handle(event.exit, lane.view);
  result_.handle_cycles += host_cycles() - start;
  if (const uint64_t version = lane.view.own_monitor.version; version != kOvertakenVersion) {
    lane.monitor_version = version;
  }
  ++result_.exits;
  // Their answers are due to what a trace has no part of.
  if ((event.flags & (ExitEvent::kStuck | ExitEvent::kOvertaken)) != 0) {
    ++result_.not_compared;
  } else if (std::string what = compare(lane, event, answer); !what.empty()) {
    ++result_.differing;
    if (result_.differences.size() < kMostDifferences) {
      result_.differences.push_back({vcpu, number, event.exit.pc, std::move(what)});
    }
  }
  // Whatever was done, the recorded state goes on.
  std::copy(lane.before.begin(), lane.before.end(), lane.view.registers.x);
  for_each_bit(event.after_mask, [&](unsigned i) { lane.view.registers.x[i] = event.after[i]; });
  if ((event.flags & ExitEvent::kVectors) != 0) {
    for_each_bit(event.v_after_mask, [&](unsigned i) { lane.view.vectors[i] = event.v_after[i]; });
  }
  return true;
}

std::string Player::compare(Lane& lane, const ExitEvent& event, Answer answer) {
  if (answer != event.answer) {
    return fmt::format("answer: recorded {}{}, replayed {}{}", static_cast<int>(event.answer.how),
                       event.answer.then_leave ? " then leave" : "", static_cast<int>(answer.how),
                       answer.then_leave ? " then leave" : "");
  }
  if (answer.how == Resume::kFault) {
    if (std::string what = compare_fault(event.fault, lane.handler->fault); !what.empty()) {
      return what;
    }
  }
  for (unsigned i = 0; i < ExitEvent::kRegisters; ++i) {
    if (i == kSlotXzr || i == kSlotDiscard) continue;
    const bool changed = (event.after_mask >> i & 1) != 0;
    const uint64_t before = lane.before[i];
    const uint64_t expected = changed ? event.after[i] : before;
    if (lane.view.registers.x[i] != expected) {
      return fmt::format("{}: recorded {:#x}, replayed {:#x}",
                         i == kSlotSp ? std::string("sp") : fmt::format("x{}", i), expected,
                         lane.view.registers.x[i]);
    }
  }
  if ((event.flags & ExitEvent::kState) != 0) {
    if (lane.view.nzcv != event.rare->nzcv_after) return "other flags (NZCV)";
    const ExclusiveMonitor &m = lane.view.own_monitor, &r = event.rare->monitor_after;
    if (m.valid != r.valid || (m.valid && (m.ipa != r.ipa || m.bytes != r.bytes))) {
      return "another exclusive monitor";
    }
  }
  if ((event.flags & ExitEvent::kVectors) != 0) {
    for (uint32_t left = event.v_after_mask; left != 0; left &= left - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(left));
      const Vreg &recorded = event.v_after[i], &replayed = lane.view.vectors[i];
      if (recorded != replayed) {
        return fmt::format("v{}: recorded {:016x}{:016x}, replayed {:016x}{:016x}", i, recorded.hi,
                           recorded.lo, replayed.hi, replayed.lo);
      }
    }
  }
  return lane.script.end();
}

ReplayResult Player::take() {
  for (const auto& lane : lanes_) {
    result_.counters.merge(lane->handler->counters());
    const CacheCounters c = lane->handler->instructions().cache_counters();
    result_.icache.hits += c.hits;
    result_.icache.misses += c.misses;
    result_.icache.invalidations += c.invalidations;
    if (lane->latency == nullptr) continue;
    if (result_.latency == nullptr) result_.latency = std::make_unique<ExitLatency>();
    result_.latency->merge(*lane->latency);
  }
  return std::move(result_);
}

}  // namespace

ReplayOptions ReplayOptions::named(std::string_view decoder, std::string_view icache) {
  ReplayOptions out;
  if (decoder == "capstone") out.decoder = DecoderChoice::kCapstone;
  for (size_t i = 0; i < std::size(kPolicyNames); ++i) {
    if (icache == kPolicyNames[i]) out.icache = static_cast<CachePolicy>(i);
  }
  return out;
}

Result<ReplayResult> replay(Reader& reader, const ReplayOptions& options) {
  Player player(reader.configuration(), options);
  if (!player.error().empty()) return Error{"the trace's devices: " + player.error()};
  auto read = reader.read(player);
  if (!read) return Error{read.error()};
  ReplayResult result = player.take();
  result.cut_off = reader.why();
  return result;
}

}  // namespace trapline::trace
