// How vCPUs run: a thread each, or all in turn on one; what becomes of an exit that left run().
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "mmio/side_work.h"
#include "vmm/host/messages.h"
#include "vmm/machine/machine_cpu.h"

namespace trapline {
namespace {

constexpr uint64_t kSlice = 20'000'000;  // with --max-insns and threads: between two looks
constexpr int kHeldMs = 50;              // output that nobody takes: between two looks

}  // namespace

// --- PSCI ---

PowerControl::Power Machine::power(unsigned cpu) { return cpus_[cpu]->power; }

bool Machine::cpu_on(unsigned index, uint64_t entry, uint64_t context) {
  std::lock_guard lock(power_mutex_);
  Cpu& cpu = *cpus_[index];
  if (cpu.power != Power::kOff) return false;
  cpu.entry = entry;
  cpu.context = context;
  cpu.power = Power::kOnPending;
  const SideWork side(SideWork::Kind::kWake);
  power_changed_.notify_all();
  return true;
}

uint64_t Machine::instructions() const {
  uint64_t total = 0;
  for (const auto& cpu : cpus_) total += cpu->vcpu.retired();
  return total;
}

uint64_t Machine::slice(uint64_t most) const {
  if (options_.max_insns == 0) return most;
  uint64_t done = instructions();
  return done >= options_.max_insns ? 0 : std::min(most, options_.max_insns - done);
}

// --- running ---

// PSCI CPU_ON (and power-on) leave the reset to the CPU's own thread.
void Machine::begin_if_turned_on(Cpu& cpu) {
  if (cpu.power != Power::kOnPending) return;
  irqchip_->reset_cpu(cpu.index);
  timer_->reset_cpu(cpu.index);
  cpu.vcpu.reset(cpu.entry, cpu.context);
  cpu.power = Power::kOn;
}

void Machine::act(Cpu& cpu, AfterExit after) {
  const Exit& exit = cpu.exits.left_by();
  switch (after) {
    case AfterExit::kResume:
    case AfterExit::kKicked:
      break;
    case AfterExit::kRestart:
      cpu.restart = true;
      cpu.wait = Cpu::Wait::kInterrupt;
      break;
    case AfterExit::kWait:
      cpu.wait = Cpu::Wait::kInterrupt;
      look_for_dead_end(cpu, exit.pc);
      break;
    case AfterExit::kWaitEvent:
      cpu.wait = Cpu::Wait::kEvent;
      look_for_dead_end(cpu, exit.pc);
      if (icount_clock_ != nullptr) {
        // An instruction a nanosecond.
        cpu.wait_until = icount_clock_->instructions() + cpu.vcpu.longest_event_wait();
      }
      break;
    case AfterExit::kCpuOff: {
      {
        std::lock_guard lock(power_mutex_);
        cpu.power = Power::kOff;
      }
      tell_dead_end();
      break;
    }
    case AfterExit::kSystemOff:
      end(kPoweredOff, "the guest powered off");
      break;
    case AfterExit::kSystemReset:
      reset_soon("the guest asked for it");
      break;
    case AfterExit::kCrashed:
      crash_report(cpu);
      if (gdb_ != nullptr && gdb_->attached()) {
        debug_stop(cpu, {.signal = SIGSEGV});
      } else {
        end(kGuestFailed, "the guest is beyond help");
      }
      break;
    case AfterExit::kDebug:
      if (gdb_ != nullptr) {
        const bool watched = (exit.valid_mask & Exit::kFar) != 0;
        debug_stop(cpu, {.signal = SIGTRAP,
                         .stepped = cpu.go == DebugGo::kStep && !watched,
                         .watched = watched,
                         .address = exit.far,
                         .is_write = DataAbort{exit.esr}.write()});
      }
      break;
    case AfterExit::kFailed:
      message(fmt::format("trapline: vcpu {}: the backend cannot go on\n", cpu.index));
      end(kGuestFailed, "the backend cannot go on");
      break;
  }
}

// In turn: a waiting vCPU waits on.
bool Machine::waits(Cpu& cpu) {
  switch (cpu.wait) {
    case Cpu::Wait::kNone:
      return false;
    case Cpu::Wait::kInterrupt:
      return !cpu.vcpu.wakeup_pending();
    case Cpu::Wait::kEvent:
      return !cpu.vcpu.event_pending() && icount_clock_->instructions() < cpu.wait_until;
  }
  return false;
}

// The vCPU's WFI, WFE or suspend is over. It may end early (a kick, the time): WFI and WFE may
// complete at any time (D1.6.1, D1.6.2), and so may PSCI's CPU_SUSPEND.
void Machine::wake(Cpu& cpu, uint64_t timeout_ns) {
  const bool wfe = std::exchange(cpu.wait, Cpu::Wait::kNone) == Cpu::Wait::kEvent;
  const uint64_t start = host_cycles();
  cpu.vcpu.wait_for_event(timeout_ns, wfe);
  const uint64_t slept = cycles_between(start, host_cycles());
  if (cpu.profiled.load(std::memory_order_relaxed)) cpu.profile->slept(slept);
  if (recording_ != nullptr) recording_->vcpu(cpu.index).slept(slept);
  if (std::exchange(cpu.restart, false)) {
    cpu.vcpu.reset(cpu.exits.restart_entry(), cpu.exits.restart_context());
  }
}

void Machine::limit_reached() {
  message(fmt::format("trapline: --max-insns {} reached\n", options_.max_insns));
  end(kLimitReached, "--max-insns was reached");
}

// One thread a vCPU; this one waits.
void Machine::run_threads() {
  for (auto& cpu : cpus_) {
    try {
      cpu->thread = std::thread([this, &cpu] {
        try {
          cpu_thread(*cpu);
        } catch (const std::exception& error) {
          give_up(fmt::format("vcpu {}: {}", cpu->index, error.what()));
        }
      });
    } catch (const std::system_error& error) {
      give_up(fmt::format("vcpu {}: cannot start a thread: {}", cpu->index, error.what()));
    }
  }
  for (auto& cpu : cpus_) {
    if (cpu->thread.joinable()) cpu->thread.join();
  }
}

void Machine::cpu_thread(Cpu& cpu) {
  constexpr uint64_t kLongWait = 1'000'000'000;  // ns
  while (running()) {
    begin_if_turned_on(cpu);
    if (park_if_halted(&cpu)) continue;
    if (cpu.go == DebugGo::kStep) [[unlikely]] {
      if (slice(1) == 0) return limit_reached();
      debug_step(cpu);
      continue;
    }
    if (cpu.power != Power::kOn) {
      std::unique_lock lock(power_mutex_);
      power_changed_.wait(lock,
                          [&] { return cpu.power != Power::kOff || halt_wanted() || !running(); });
      continue;
    }
    if (console_.held()) {
      console_.wait_while_held(kHeldMs);
      continue;
    }
    if (cpu.wait != Cpu::Wait::kNone) {
      wake(cpu, cpu.wait == Cpu::Wait::kEvent ? cpu.vcpu.longest_event_wait() : kLongWait);
    }
    uint64_t budget = options_.max_insns == 0 ? ~uint64_t{0} : slice(kSlice);
    if (budget == 0) return limit_reached();
    {
      const Cpu::Running running(cpu);
      cpu.vcpu.run(budget, cpu.exits);
    }
    act(cpu, cpu.exits.after());
  }
}

// All vCPUs in turn on this thread, a quantum each; time is what they executed.
void Machine::run_in_turn() {
  constexpr int kIdlePollMs = 10;
  while (running()) {
    if (!round_.under_way) {  // else a saved machine goes on within it
      for (auto& cpu : cpus_) begin_if_turned_on(*cpu);
      if (park_if_halted(nullptr)) continue;
      console_.poll(0);
      round_ = {.under_way = true, .left = kQuantum};
    }
    for (; round_.cpu < cpus_.size(); ++round_.cpu, round_.left = kQuantum) {
      take_turn(*cpus_[round_.cpu]);
      if (!running()) return;
    }
    round_.under_way = false;
    if (round_.ran) continue;
    // Everybody waits: time jumps to the next deadline or to the end of a WFE. On a terminal real
    // time passes with virtual time, but for WFEs, which come thick and fast.
    uint64_t wfe_left = ~uint64_t{0};
    for (const auto& cpu : cpus_) {
      if (cpu->power == Power::kOff || cpu->wait != Cpu::Wait::kEvent) continue;
      if (cpu->go == DebugGo::kStay) continue;
      wfe_left = std::min(wfe_left, cpu->wait_until - icount_clock_->instructions());
    }
    if (console_.interactive() && wfe_left == ~uint64_t{0}) console_.poll(kIdlePollMs);
    if (!icount_clock_->skip_to_next(wfe_left)) {
      // No deadline, and WFIs that do not end by themselves.
      for (const auto& cpu : cpus_) idle_watch_.waits_for_ever(cpu->index);
      tell_dead_end();
      console_.poll(kIdlePollMs);
    }
    icount_clock_->fire_due();
  }
}

// One vCPU, until its quantum is used up or it waits.
void Machine::take_turn(Cpu& cpu) {
  // Every exit leaves run(): the turn is what is timed.
  const Cpu::Running turn(cpu);
  while (round_.left != 0 && running()) {
    // A debugger, or a save, halts the turn, and it goes on with what is left of it: else a
    // breakpoint that the first CPU meets often would keep the others from ever running.
    if (park_if_halted(nullptr)) continue;
    if (console_.held()) {  // the turn goes on where it was: the guest sees nothing of it
      console_.wait_while_held(kHeldMs);
      continue;
    }
    if (cpu.go == DebugGo::kStay) return;
    if (cpu.go == DebugGo::kStep) [[unlikely]] {
      icount_clock_->fire_due();
      begin_if_turned_on(cpu);
      round_.ran = true;
      if (slice(1) == 0) return limit_reached();
      debug_step(cpu);
      continue;
    }
    if (cpu.power == Power::kOff) return;
    if (console_.input_due()) console_.poll(0);
    icount_clock_->fire_due();
    if (cpu.wait != Cpu::Wait::kNone) {
      if (waits(cpu)) return;
      wake(cpu, 0);
    }
    const uint64_t budget = slice(std::min(round_.left, icount_clock_->budget()));
    if (budget == 0) {
      if (slice(1) != 0) continue;  // a deadline is due
      return limit_reached();
    }
    const uint64_t before = cpu.vcpu.retired();
    begin_if_turned_on(cpu);
    round_.ran = true;
    cpu.vcpu.run(budget, cpu.exits);
    const AfterExit after = cpu.exits.after();
    act(cpu, after);
    const uint64_t executed = cpu.vcpu.retired() - before;
    spend_turn(executed, executed < budget && after == AfterExit::kKicked);
    if (after == AfterExit::kCrashed) return;
  }
}

// What run() executed comes off the quantum, and at least one: an exit without an instruction must
// not last for ever. A kick is none of the guest's: the turn is as long as without it.
void Machine::spend_turn(uint64_t executed, bool kicked) {
  round_.left -= std::min(round_.left, executed);
  round_.moved |= executed != 0;
  if (kicked) return;
  if (!round_.moved) round_.left -= std::min<uint64_t>(round_.left, 1);
  round_.moved = false;
}

}  // namespace trapline
