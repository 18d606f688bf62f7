// The exit loop's heart: one Exit in, the guest's state moved on, and what the vCPU does next out.
// Follow an exit from here: handle() -> data_abort() -> InstructionSource -> emulate() ->
// complete(). Some need not leave run() for it: handle_inside(), perform_inside().
#ifndef TRAPLINE_VMM_EXIT_EXIT_H_
#define TRAPLINE_VMM_EXIT_EXIT_H_

#include <cstdint>

#include "mmio/bus.h"
#include "mmio/emulate.h"
#include "mmio/sysreg.h"
#include "vmm/exit/instruction_source.h"
#include "vmm/exit/psci.h"
#include "vmm/stats/statistics.h"
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
  bool icount = false;  // patience is counted in rounds, not in seconds
};

enum class AfterExit : uint8_t {
  kResume,
  kKicked,  // look at what the machine wants
  kBudget,
  kWait,       // WFI: until an interrupt is pending
  kWaitEvent,  // WFE
  kSuspend,    // PSCI CPU_SUSPEND standby: as kWait
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

  AfterExit handle(const Exit& exit);
  Inside handle_inside(const Exit& exit, CpuView& view) override;
  bool perform_inside(uint64_t esr, uint64_t ipa, CpuView& view) override;

  InstructionSource& instructions() { return instructions_; }
  VcpuStatistics& statistics() { return statistics_; }
  uint64_t restart_entry() const { return restart_entry_; }
  uint64_t restart_context() const { return restart_context_; }

 private:
  AfterExit handle_other(const Exit& exit);
  template <typename Clock>
  void data_abort(const Exit& exit, DataAbort abort, Clock&& clock);
  void emulated(const Exit& exit, const Access& access, uint64_t va, const Outcome& outcome);
  void unsupported_instruction(const Exit& exit);
  void cache_maintenance(const Exit& exit);
  AfterExit hvc(const Exit& exit);
  bool sysreg(const Exit& exit, uint64_t& value);
  void retry(const Exit& exit, const Access& access, bool disagreement);
  void external_abort(const Exit& exit);
  bool patience_is_over(const Exit& exit);

  Vcpu& vcpu_;
  ExitServices services_;
  InstructionSource instructions_;
  VcpuStatistics statistics_;
  EmulateContext emulate_;
  uint64_t restart_entry_ = 0, restart_context_ = 0;

  // Rule 1's patience: the instruction that is being retried, and since when.
  uint64_t stuck_pc_ = ~uint64_t{0};
  uint64_t stuck_rounds_ = 0;
  uint64_t stuck_since_ns_ = 0;
};

// One line on standard error about what a guest did, at most a few a second over all kinds.
void log_guest(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_EXIT_H_
