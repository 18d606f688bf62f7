// The software CPU behind the Vcpu and Backend joints, and the factory that assembles a machine's
// worth of them.
#ifndef TRAPLINE_VMM_SOFT_SOFT_VCPU_H_
#define TRAPLINE_VMM_SOFT_SOFT_VCPU_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "vmm/soft/cpu.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::soft {

class SoftVcpu final : public Vcpu {
 public:
  // `shared` and the engine state are the machine's business: use make_soft_machine().
  explicit SoftVcpu(Cpu& cpu);
  ~SoftVcpu() override;

  void run(uint64_t budget, ExitSink& sink) override;
  void step(ExitSink& sink) override;
  void set_breakpoints(const uint64_t* pcs, unsigned count) override;
  bool set_watchpoints(const Watchpoint* list, unsigned count) override;

  Fetched fetch(uint64_t pc) override;
  bool translate_pc(uint64_t pc, Fetched& out) override;
  bool fetch_overtaken() const override;
  Stage1Walk look_up(uint64_t va, WalkFor purpose, bool el0) override;
  const TranslationRegs& translation_regs() override { return cpu_.sys.mmu; }
  bool log_maintenance(MaintenanceLog* log) override {
    cpu_.maintenance_log = log;
    return true;
  }

  std::atomic<uint64_t>* timers_due() override { return cpu_.timers_due; }
  bool connect_pmu(IrqLine* line) override {
    cpu_.pmu.line = line;
    return cpu_.model >= CpuModel::kMax;
  }

  void set_irq(bool level) override;
  void set_fiq(bool level) override;
  void set_virq(bool level) override;
  void set_vfiq(bool level) override;
  void kick() override;
  bool wakeup_pending() override;
  bool event_pending() override;
  uint64_t longest_event_wait() override;

  // Returns at once if what it waits for is already there; with `wfe` it clears the event register.
  void wait_for_event(uint64_t timeout_ns, bool wfe = false) override;
  void watch_sleep(SleepWatch* watch) override { sleep_watch_ = watch; }

  void reset(uint64_t pc, uint64_t x0) override;
  uint64_t get_register(unsigned index) override;
  void get_registers(uint64_t mask, uint64_t* out) override;
  void set_register(unsigned index, uint64_t value) override;
  Vreg get_vector(unsigned index) override;
  void set_vector(unsigned index, Vreg value) override;
  uint64_t get_sysreg(SysregId id) override;
  bool set_sysreg(SysregId id, uint64_t value) override;
  // Exact outside run() and in whatever run() calls back (the clock behind CNTVCT_EL0). On another
  // thread while the vCPU runs: what it was at some exit or exception, or at the last look around.
  uint64_t retired() const override;
  void save(StateWriter& out) override;
  bool load(StateReader& in) override;

  Cpu& cpu() { return cpu_; }

 private:
  Cpu& cpu_;
  uint64_t last_wait_ns_ = ~uint64_t{0};
  SleepWatch* sleep_watch_ = nullptr;
};

// All vCPUs of a machine, with the state they share. Vcpu i has MPIDR Aff0 = i.
class SoftMachine : public Backend {
 public:
  const char* name() const override { return "soft"; }
  SoftVcpu& vcpu(unsigned index) override = 0;
  virtual unsigned cpus() const = 0;
  virtual SharedState& shared() = 0;
};

// The arguments outlive the machine. The vCPUs come reset to PC 0; the guest memory's observers get
// the machine's instruction-cache hook. `isv_never`: no exit by a data abort has a syndrome.
// `translate_after`: runs of a block after which it is translated to host code; 0: never. `el2`:
// the vCPUs have EL2, and start there. `model`: what they show in their ID registers.
struct El2Choice {
  bool on = false;
  bool vhe = true;
  bool ledger = false;
};
std::unique_ptr<SoftMachine> make_soft_machine(GuestMemory& memory, Stage2& stage2, Clock& clock,
                                               unsigned cpus, bool isv_never,
                                               uint16_t translate_after = kTranslateAfter,
                                               El2Choice el2 = {}, CpuModel model = CpuModel::kMax);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_SOFT_VCPU_H_
