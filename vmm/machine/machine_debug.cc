// The machine as a debugger sees it, and who waits for whom while it is halted.
#include <algorithm>
#include <csignal>

#include "vmm/machine/machine_cpu.h"

namespace trapline {

// --- the debugger's side ---

Vcpu& Machine::cpu(unsigned index) { return cpus_[index]->vcpu; }

bool Machine::read_sysreg(unsigned index, SysregId id, uint64_t& value) {
  value = cpus_[index]->vcpu.get_sysreg(id);
  if (backend_->in_kernel()) return true;
  // Those of devices: 0 above. None of what gdb_target names has a side effect.
  if (timer_->sysreg_read(id, index, value)) return true;
  if ((id >> 7 & 15) == 12 || id == sysreg_id(3, 0, 4, 6, 0)) {
    uint64_t of_gic = 0;
    if (irqchip_->cpu_interface()->sysreg_read(id, index, of_gic)) value = of_gic;
  }
  return true;
}

std::string Machine::cpu_state(unsigned index) {
  const Cpu& cpu = *cpus_[index];
  if (cpu.power == Power::kOff) return "off";
  if (cpu.power == Power::kOnPending) return "is being turned on";
  switch (cpu.wait) {
    case Cpu::Wait::kNone:
      return "runs";
    case Cpu::Wait::kInterrupt:
      return "waits for an interrupt";
    case Cpu::Wait::kEvent:
      return "waits for an event";
  }
  return {};
}

std::string Machine::device_at(uint64_t ipa) {
  Bus::Hint hint;
  const Bus::Region* region = bus_.find(ipa, 1, hint);
  return region == nullptr ? std::string() : std::string(Bus::device_of(*region).name());
}

// --- the debugger's side: who waits for whom ---

bool Machine::halt() {
  halted_ = true;
  wait_until_parked();
  return !life_.stopping();
}

void Machine::pause() {
  ++pauses_;
  wait_until_parked();
}

void Machine::unpause() {
  std::lock_guard lock(power_mutex_);
  --pauses_;
  power_changed_.notify_all();
}

// A reset under way ends, and its new threads park.
void Machine::wait_until_parked() {
  for (auto& cpu : cpus_) cpu->kick();
  std::unique_lock lock(power_mutex_);
  power_changed_.notify_all();
  power_changed_.wait(lock, [&] { return (running() && parked_ == threads_) || life_.stopping(); });
}

void Machine::resume(const DebugGo* go) {
  std::lock_guard lock(power_mutex_);
  for (auto& cpu : cpus_) cpu->go = *go++;
  halted_ = false;
  power_changed_.notify_all();
}

bool Machine::park_if_halted(const Cpu* cpu) {
  const bool stays = cpu != nullptr && cpu->go == DebugGo::kStay;
  if (!halt_wanted() && !stays) [[likely]] {
    return false;
  }
  std::unique_lock lock(power_mutex_);
  ++parked_;
  power_changed_.notify_all();
  power_changed_.wait(lock, [&] {
    return (!halt_wanted() && (cpu == nullptr || cpu->go != DebugGo::kStay)) || !running();
  });
  --parked_;
  return true;
}

// A vCPU stopped by itself: it stays where it is until the debugger goes on.
void Machine::debug_stop(Cpu& cpu, const DebugStop& stop) {
  halted_ = true;
  gdb_->stopped(cpu.index, stop);
}

// On the CPU's thread. WFI, WFE and suspend are over: a step does not wait.
void Machine::debug_step(Cpu& cpu) {
  if (cpu.power == Power::kOn) {
    if (cpu.wait != Cpu::Wait::kNone) wake(cpu, 0);
    cpu.vcpu.step(cpu.exits);
    const AfterExit after = cpu.exits.after();
    if (after == AfterExit::kKicked) return;  // not yet: halted or stopped meanwhile, or again
    act(cpu, after);
    if (after == AfterExit::kDebug || after == AfterExit::kCrashed) return;
  }
  debug_stop(cpu, {.signal = SIGTRAP, .stepped = true});
}

}  // namespace trapline
