// A vCPU as the machine keeps it. Internal to Machine.
#ifndef TRAPLINE_VMM_MACHINE_MACHINE_CPU_H_
#define TRAPLINE_VMM_MACHINE_MACHINE_CPU_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "vmm/debug/debuggee.h"
#include "vmm/exit/exit.h"
#include "vmm/machine/machine.h"
#include "vmm/stats/exit_profile.h"
#include "vmm/stats/latency.h"
#include "vmm/stats/run_clock.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

struct Machine::Cpu final : SleepWatch {
  Cpu(unsigned n, Vcpu& v, const ExitServices& services, InstructionSource::Choice choice)
      : index(n), vcpu(v), exits(v, services, choice) {}

  // With threads: the vCPU's thread wakes itself for its own timer.
  void watch_sleep(GenericTimer& t, Clock& c) {
    timer = &t;
    host_clock = &c;
    vcpu.watch_sleep(this);
  }
  uint64_t falls_asleep() override {
    const uint64_t deadline = timer->falls_asleep(index), now = host_clock->now();
    if (deadline == CompareTimer::kNever) return ~uint64_t{0};
    return deadline > now ? (deadline - now) * Clock::kNsPerTick : 0;
  }
  void wakes() override { timer->wakes(index); }

  // Any thread: out of run().
  void kick() {
    if (profiled.load(std::memory_order_relaxed))
      kicked_at.store(host_cycles(), std::memory_order_relaxed);
    vcpu.kick();
  }
  // While one lives the vCPU runs: on the clock if somebody may look, and watched if it is
  // profiled.
  class Running {
   public:
    explicit Running(Cpu& cpu) : cpu_(cpu) {
      if (!cpu_.timed) return;
      start_ = host_cycles();
      cpu_.clock.begins(start_);
    }
    ~Running() {
      if (!cpu_.timed) return;
      const uint64_t end = host_cycles();
      cpu_.clock.ends(end);
      if (!cpu_.profiled.load(std::memory_order_relaxed)) return;
      cpu_.profile->ran(cycles_between(start_, end));
      const uint64_t kicked = cpu_.kicked_at.exchange(0, std::memory_order_relaxed);
      if (kicked > start_ && kicked < end) cpu_.profile->kicked(end - kicked);
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    Cpu& cpu_;
    uint64_t start_ = 0;
  };

  unsigned index;
  Vcpu& vcpu;
  ExitHandler exits;
  std::unique_ptr<ExitLatency> latency;  // --stats
  std::unique_ptr<ExitProfile> profile;  // --profile, or started by `ctl`; changes while parked
  std::atomic<bool> profiled{false};     // `profile` is being filled
  bool timed = false;                    // --profile, --name, --metrics
  RunClock clock;                        // where it is timed
  std::atomic<uint64_t> kicked_at{0};    // host cycles, where it is profiled; 0: not kicked
  // Guarded by power_mutex_ for others; the CPU's own thread moves kOnPending to kOn.
  std::atomic<Power> power{Power::kOff};
  uint64_t entry = 0, context = 0;
  enum class Wait : uint8_t { kNone, kInterrupt, kEvent };
  Wait wait = Wait::kNone;  // in WFI or a suspend, or in WFE
  uint64_t wait_until = 0;  // kEvent, in turn: instructions of the clock
  bool restart = false;     // WFI ends in a restart (PSCI power-down suspend)
  // What the debugger lets it do; changes while it is parked.
  DebugGo go = DebugGo::kRun;
  // Instructions at the crash last reported: a debugger that goes on after it meets it again.
  uint64_t crash_told_at = ~uint64_t{0};
  GenericTimer* timer = nullptr;
  Clock* host_clock = nullptr;
  std::thread thread;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_MACHINE_CPU_H_
