// The exit path: every Exit of a vCPU comes to handle(), which says how the vCPU goes on.
// Follow one from here: handle() -> data_abort() -> InstructionSource -> emulate() -> Answer.
#ifndef TRAPLINE_VMM_EXIT_EXIT_H_
#define TRAPLINE_VMM_EXIT_EXIT_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "mmio/bus.h"
#include "mmio/emulate.h"
#include "mmio/sysreg.h"
#include "vmm/exit/counters.h"
#include "vmm/exit/instruction_source.h"
#include "vmm/exit/observer.h"
#include "vmm/exit/psci.h"
#include "vmm/vcpu/syndrome.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

// What the machine lends to every vCPU's exit handler.
struct ExitServices {
  const Bus* bus = nullptr;
  DeviceGate* gate = nullptr;
  SysregDevice* gic = nullptr;    // ICC_*
  SysregDevice* timer = nullptr;  // CNT*
  PowerControl* power = nullptr;
  // A device may bring the next deadline nearer, so that run() ends at each exit; and patience is
  // counted in rounds, not in seconds.
  bool icount = false;
};

// Why run() returned.
enum class AfterExit : uint8_t {
  kResume,     // nothing to do: run on
  kKicked,     // look at what the machine wants
  kWait,       // WFI, PSCI CPU_SUSPEND standby: until an interrupt is pending
  kWaitEvent,  // WFE
  kRestart,    // PSCI power-down suspend: wait, then start again at restart_entry()
  kCpuOff,
  kSystemOff,
  kSystemReset,
  kCrashed,
  kDebug,
  kFailed,
};

class ExitHandler final : public ExitSink {
 public:
  ExitHandler(Vcpu& vcpu, const ExitServices& services, InstructionSource::Choice choice);

  Answer handle(const Exit& exit, CpuView& view) override;
  Answer finish_exclusive(const Exit& exit, CpuView& view) override;

  // After run(): why it returned, told once; and with which exit, unless it is kResume.
  AfterExit after() { return std::exchange(after_, AfterExit::kResume); }
  const Exit& left_by() const { return left_by_; }

  // At assembly, or while the vCPU does not run. One of a sample costs the other exits a decrement;
  // one of every exit costs each the long way and two looks at the clock; none costs nothing.
  void add_observer(ExitObserver* observer, Attention attention);
  void remove_observer(ExitObserver* observer);
  // One exit in `n` on average, at intervals that no periodic guest can match; 1: each. From the
  // next sample on.
  void sample_every(unsigned n) { sample_every_ = n; }

  // At assembly.
  void set_power(PowerControl* power) { services_.power = power; }

  InstructionSource& instructions() { return instructions_; }
  VcpuCounters& counters() { return counters_; }
  uint64_t restart_entry() const { return restart_entry_; }
  uint64_t restart_context() const { return restart_context_; }
  void set_restart(uint64_t entry, uint64_t context) {
    restart_entry_ = entry;
    restart_context_ = context;
  }

 private:
  // Counts the accesses of devices, and notes the last one for the observers.
  class Watcher final : public AccessObserver {
   public:
    explicit Watcher(ExitHandler& handler) : handler_(handler) {}
    void device_access(const Bus::Region& region, uint64_t offset, unsigned size, bool write,
                       uint64_t value, bool abort) override;
    void unmapped_access(uint64_t ipa, unsigned size, bool write) override;

   private:
    ExitHandler& handler_;
  };

  template <typename Clock>
  Answer dispatch(const Exit& exit, CpuView& view, Clock&& clock);
  Answer observed(const Exit& exit, CpuView& view);
  Answer brief_access(const Exit& exit, CpuView& view);
  template <typename Clock>
  Answer data_abort(const Exit& exit, CpuView& view, Clock& clock);
  template <typename Clock>
  Resume perform(const Exit& exit, DataAbort abort, CpuView& view, Clock& clock);
  bool agrees(const Exit& exit, const Access& access, bool write, uint64_t& va, CpuView& view);
  Resume emulated(const Exit& exit, uint64_t va, const Outcome& outcome);
  Resume unsupported_instruction(const Exit& exit);
  Answer other(const Exit& exit);
  Answer hvc(const Exit& exit, uint64_t* x);
  Answer sysreg(const Exit& exit, uint64_t* x);
  Answer power_call(const Exit& exit, uint64_t* x);
  Resume retry(const Exit& exit, bool disagreement);
  Resume external_abort(const Exit& exit);
  bool patience_is_over(const Exit& exit);
  Answer leave(const Exit& exit, AfterExit after) {
    after_ = after;
    left_by_ = exit;
    return {Resume::kLeave};
  }
  Answer resumed(Resume how) const { return {how, services_.icount}; }

  Vcpu& vcpu_;
  ExitServices services_;
  InstructionSource instructions_;
  VcpuCounters counters_;
  EmulateContext emulate_;
  bool takes_brief_;
  AfterExit after_ = AfterExit::kResume;
  Exit left_by_;
  uint64_t restart_entry_ = 0, restart_context_ = 0;

  void watch();
  int64_t next_sample();
  void tell_access();

  static constexpr int64_t kNever = int64_t{1} << 62;
  // Who is told of what; who is told of accesses is told of every exit, too.
  std::vector<ExitObserver*> of_samples_, of_exits_, of_accesses_;
  int64_t until_observed_ = kNever;  // exits, this one included
  int64_t until_sample_ = 1;         // of those, where every one is observed
  unsigned sample_every_ = 1;
  uint32_t sample_state_ = 0x9e3779b9;
  Watcher watcher_{*this};
  ExitRecord record_;

  // Rule 1's patience: the instruction that is being retried, and since when.
  uint64_t stuck_pc_ = ~uint64_t{0};
  uint64_t stuck_rounds_ = 0;
  uint64_t stuck_since_ns_ = 0;
};

// One line on standard error about what a guest did, at most a few a second over all kinds.
void log_guest(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_EXIT_H_
