// The software CPU behind the Vcpu and Backend joints, and the factory that assembles a machine's
// worth of them.
#ifndef TRAPLINE_VMM_SOFT_SOFT_VCPU_H_
#define TRAPLINE_VMM_SOFT_SOFT_VCPU_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "vmm/soft/cpu.h"
#include "vmm/soft/engine/soft_view.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::soft {

class SoftVcpu final : public Vcpu {
 public:
  // `shared` and the engine state are the machine's business: use make_soft_machine().
  explicit SoftVcpu(Cpu& cpu);
  ~SoftVcpu() override;

  void set_exit_sink(ExitSink* sink) override;
  Exit run(uint64_t budget) override;
  Exit step() override;
  void set_breakpoints(const uint64_t* pcs, unsigned count) override;
  bool set_watchpoints(const Watchpoint* list, unsigned count) override;

  CpuView& view(const Exit& exit, const Access& access) override;
  void complete(const Exit& exit, const Access& access, const Outcome& outcome) override;
  void inject_external_abort(const Exit& exit) override;
  void inject_undefined(const Exit& exit) override;
  Fetched fetch(uint64_t pc) override;
  bool translate_pc(uint64_t pc, Fetched& out) override;
  bool fetch_overtaken() const override;
  const TranslationRegs& translation_regs() override { return cpu_.sys.mmu; }

  void complete_sysreg(const Exit& exit, uint64_t value) override;
  std::atomic<uint64_t>* timers_due() override { return cpu_.timers_due; }

  void set_irq(bool level) override;
  void set_fiq(bool level) override;
  void kick() override;
  bool wakeup_pending() override;
  bool event_pending() override;
  uint64_t longest_event_wait() override;

  // Returns at once if what it waits for is already there; with `wfe` it clears the event register.
  void wait_for_event(uint64_t timeout_ns, bool wfe = false) override;

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
  unsigned failing_walk_level(uint64_t va, bool fetch) const;

  Cpu& cpu_;
  SoftView view_;
  uint64_t last_wait_ns_ = ~uint64_t{0};
};

class SoftBackend final : public Backend {
 public:
  SoftBackend(GuestMemory& memory, Stage2& stage2, SharedState& shared)
      : memory_(memory), stage2_(stage2), shared_(shared) {}
  void map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) override;
  void unmap(uint64_t ipa, uint64_t size) override;
  bool watch(uint64_t ipa_page) override;

 private:
  GuestMemory& memory_;
  Stage2& stage2_;
  SharedState& shared_;
};

// All vCPUs of a machine, with the state they share. Vcpu i has MPIDR Aff0 = i.
class SoftMachine {
 public:
  virtual ~SoftMachine() = default;
  virtual unsigned cpus() const = 0;
  virtual SoftVcpu& vcpu(unsigned index) = 0;
  virtual SoftBackend& backend() = 0;
  virtual SharedState& shared() = 0;
};

// The arguments outlive the machine. The vCPUs come reset to PC 0; the guest memory's observers get
// the machine's instruction-cache hook. `isv_never`: no data abort carries a syndrome.
// `translate_after`: runs of a block after which it is translated to host code; 0: never.
std::unique_ptr<SoftMachine> make_soft_machine(GuestMemory& memory, Stage2& stage2, Clock& clock,
                                               unsigned cpus, bool isv_never,
                                               uint16_t translate_after = kTranslateAfter);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_SOFT_VCPU_H_
