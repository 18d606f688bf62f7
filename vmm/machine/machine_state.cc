// The machine's state as parts that are saved and loaded, and how it holds still meanwhile.
#include <fmt/format.h>

#include <utility>

#include "vmm/machine/machine_cpu.h"

namespace trapline {
namespace {

constexpr uint32_t kClockVersion = 1, kPowerVersion = 1, kConsoleVersion = 1;
constexpr uint32_t kMostInput = 64 << 20;  // bytes that a state may bring

}  // namespace

std::string Machine::why_no_state() const {
  if (std::string why = backend_->why_no_state(); !why.empty()) return why;
  if (recording_ != nullptr) return "--record: a trace has one machine from its start to its end";
  return {};
}

// --- holding still ---

std::string Machine::hold() {
  if (life_.state() == LifeState::kCreated) return "the VM has not begun to run";
  {
    std::lock_guard lock(power_mutex_);
    state_held_ = true;
  }
  pause();
  if (life_.stopping()) {
    unpause();
    std::lock_guard lock(power_mutex_);
    state_held_ = false;
    power_changed_.notify_all();
    return kAtItsEnd;
  }
  input_held_ = console_.hold_input();
  peripherals_->quiesce();
  if (host_clock_ != nullptr) host_clock_->freeze();
  return {};
}

void Machine::release() {
  if (host_clock_ != nullptr) host_clock_->go(true);
  if (!life_.stopping()) peripherals_->resume();
  input_held_ = {};
  unpause();
  std::lock_guard lock(power_mutex_);
  state_held_ = false;
  power_changed_.notify_all();
}

void Machine::leave(int status, const std::string& why) {
  end(status, why);
  release();
}

std::string Machine::hand_over_files() { return peripherals_->unlock_files(); }
std::string Machine::take_files_back() { return peripherals_->lock_files(); }

// --- the parts ---

// Interrupt controller before devices: they say what their lines are when they are loaded. The
// clock before all that sets deadlines.
std::vector<StateUnit> Machine::state_units() {
  std::vector<StateUnit> units;
  units.push_back({"clock", [this](StateWriter& out) { save_clock(out); },
                   [this](StateReader& in) { return load_clock(in); }});
  for (auto& cpu : cpus_) {
    Vcpu& vcpu = cpu->vcpu;
    units.push_back({fmt::format("cpu{}", cpu->index),
                     [&vcpu](StateWriter& out) { vcpu.save(out); },
                     [&vcpu](StateReader& in) { return vcpu.load(in); }});
  }
  units.push_back({"power", [this](StateWriter& out) { save_power(out); },
                   [this](StateReader& in) { return load_power(in); }});
  units.push_back({"gic", [this](StateWriter& out) { irqchip_->save(out); },
                   [this](StateReader& in) { return irqchip_->load(in); }});
  units.push_back({"timers", [this](StateWriter& out) { timer_->save(out); },
                   [this](StateReader& in) { return timer_->load(in); }});
  for (Device* device : peripherals_->devices()) {
    units.push_back({std::string(device->name()), [device](StateWriter& out) { device->save(out); },
                     [device](StateReader& in) { return device->load(in); }});
  }
  units.push_back({"console", [this](StateWriter& out) { save_console(out); },
                   [this](StateReader& in) { return load_console(in); }});
  return units;
}

void Machine::save_clock(StateWriter& out) {
  out.put(kClockVersion);
  out.put(icount_clock_ != nullptr ? icount_clock_->skipped() : clock_->now());
}

bool Machine::load_clock(StateReader& in) {
  if (in.get<uint32_t>() != kClockVersion) return false;
  const auto time = in.get<uint64_t>();
  if (!in.ok() || time > ~uint64_t{0} / Clock::kNsPerTick) return false;
  if (icount_clock_ != nullptr) {
    icount_clock_->set_skipped(time);
  } else {
    host_clock_->freeze(time);
    peripherals_->set_time();
  }
  return true;
}

void Machine::save_power(StateWriter& out) {
  out.put(kPowerVersion);
  out.put<uint32_t>(static_cast<uint32_t>(cpus_.size()));
  for (const auto& cpu : cpus_) {
    out.put(cpu->power.load());
    out.put(cpu->wait);
    out.put<uint8_t>(cpu->restart ? 1 : 0);
    out.put(cpu->entry);
    out.put(cpu->context);
    out.put(cpu->wait_until);
    out.put(cpu->exits.restart_entry());
    out.put(cpu->exits.restart_context());
  }
  out.put<uint8_t>(round_.under_way ? 1 : 0);
  out.put<uint8_t>(round_.ran ? 1 : 0);
  out.put<uint8_t>(round_.moved ? 1 : 0);
  out.put<uint32_t>(round_.cpu);
  out.put(round_.left);
}

bool Machine::load_power(StateReader& in) {
  if (in.get<uint32_t>() != kPowerVersion || in.get<uint32_t>() != cpus_.size()) return false;
  bool good = true;
  for (const auto& cpu : cpus_) {
    const auto power = in.get<Power>();
    const auto wait = in.get<Cpu::Wait>();
    good = good && power <= Power::kOnPending && wait <= Cpu::Wait::kEvent;
    cpu->power = good ? power : Power::kOff;
    cpu->wait = good ? wait : Cpu::Wait::kNone;
    cpu->restart = in.get<uint8_t>() != 0;
    cpu->entry = in.get<uint64_t>();
    cpu->context = in.get<uint64_t>();
    cpu->wait_until = in.get<uint64_t>();
    const auto entry = in.get<uint64_t>();
    cpu->exits.set_restart(entry, in.get<uint64_t>());
  }
  round_.under_way = in.get<uint8_t>() != 0;
  round_.ran = in.get<uint8_t>() != 0;
  round_.moved = in.get<uint8_t>() != 0;
  round_.cpu = in.get<uint32_t>();
  round_.left = in.get<uint64_t>();
  return good && in.ok() && round_.cpu <= cpus_.size() && round_.left <= kQuantum;
}

void Machine::save_console(StateWriter& out) {
  const std::vector<uint8_t>& waiting = console_.waiting_input();
  out.put(kConsoleVersion);
  out.put(static_cast<uint32_t>(waiting.size()));
  out.bytes(waiting.data(), waiting.size());
}

bool Machine::load_console(StateReader& in) {
  if (in.get<uint32_t>() != kConsoleVersion) return false;
  const auto size = in.get<uint32_t>();
  if (size > kMostInput || size > in.left()) return false;
  std::vector<uint8_t> waiting(size);
  in.bytes(waiting.data(), size);
  console_.set_waiting_input(std::move(waiting));
  return true;
}

// --- going on ---

void Machine::begin_load() {
  peripherals_->quiesce();  // until run()
  restored_ = true;
  boots_ = 1;
}

std::string Machine::end_load(bool files_changed, bool copied) {
  memory_.map_changed();
  if (files_changed) {
    if (std::string error = peripherals_->store_flash(); !error.empty()) return error;
  }
  // Under icount the run is to be the one that was saved.
  if (copied && !options_.icount) peripherals_->new_generation();
  return {};
}

}  // namespace trapline
