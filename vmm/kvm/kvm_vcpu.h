// A vCPU of KVM's. Follow an exit from run(): handle() -> mmio() or nisv() -> the sink ->
// write_back() -> KVM_RUN again.
#ifndef TRAPLINE_VMM_KVM_KVM_VCPU_H_
#define TRAPLINE_VMM_KVM_KVM_VCPU_H_

#include <linux/kvm.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "vmm/kvm/file.h"
#include "vmm/kvm/kernel_exits.h"
#include "vmm/kvm/kvm_view.h"
#include "vmm/kvm/uapi/gate.h"
#include "vmm/kvm/uapi/registers.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::kvm {

// What a vCPU's thread counts; others read it when no vCPU runs.
struct VcpuCounts {
  uint64_t runs = 0;         // KVM_RUN
  uint64_t interrupted = 0;  // of those: ended by a signal
  uint64_t mmio = 0;         // KVM_EXIT_MMIO
  // KVM_EXIT_ARM_NISV, and the ioctls between it and the next KVM_RUN: of exits whose instruction
  // was in the cache, and of those that were walked for.
  uint64_t nisv[2] = {}, nisv_ioctls[2] = {};
  uint64_t aborts = 0;      // external aborts injected
  uint64_t exceptions = 0;  // others, by writing the registers
};

// What all vCPUs of a machine share.
struct Shared {
  GuestMemory& memory;
  Stage2& stage2;
  Gate gate;
  size_t run_bytes = 0;                       // KVM_GET_VCPU_MMAP_SIZE
  bool can_abort = false;                     // KVM_CAP_ARM_INJECT_EXT_DABT
  unsigned breakpoints = 0, watchpoints = 0;  // KVM_GUESTDBG_USE_HW has so many
  bool el2 = false;                           // guests have it
  kvm_vcpu_init init{};
};

class KvmVcpu final : public Vcpu, private TableBases {
 public:
  // Created and initialised, off but for the first. `fd` is its own.
  KvmVcpu(Shared& shared, unsigned index, File fd, kvm_run* run);
  ~KvmVcpu() override;
  KvmVcpu(const KvmVcpu&) = delete;
  KvmVcpu& operator=(const KvmVcpu&) = delete;

  void run(uint64_t budget, ExitSink& sink) override;
  void step(ExitSink& sink) override;
  void set_breakpoints(const uint64_t* pcs, unsigned count) override;
  bool set_watchpoints(const Watchpoint* list, unsigned count) override;

  void bring(const Access& access) override;
  Fetched fetch(uint64_t pc) override;
  bool translate_pc(uint64_t pc, Fetched& out) override;
  Stage1Walk look_up(uint64_t va, WalkFor purpose, bool el0) override;
  const TranslationRegs& translation_regs() override;

  // Interrupts come to it inside the kernel.
  void set_irq(bool /*level*/) override {}
  void set_fiq(bool /*level*/) override {}
  void kick() override;
  bool wakeup_pending() override { return true; }
  void wait_for_event(uint64_t /*timeout_ns*/, bool /*wfe*/) override {}

  void reset(uint64_t pc, uint64_t x0) override;
  uint64_t get_register(unsigned index) override;
  void get_registers(uint64_t mask, uint64_t* out) override;
  void set_register(unsigned index, uint64_t value) override;
  Vreg get_vector(unsigned index) override;
  void set_vector(unsigned index, Vreg value) override;
  uint64_t get_sysreg(SysregId id) override;
  bool set_sysreg(SysregId id, uint64_t value) override;
  uint64_t retired() const override { return 0; }
  void save(StateWriter& out) override;
  bool load(StateReader& in) override;

  // Any thread. Out of KVM_RUN, if it is inside; run() goes on.
  void leave_kvm();
  bool inside() const { return inside_.load(std::memory_order_seq_cst); }
  const VcpuCounts& counts() const { return counts_; }
  const KernelExits& kernel_exits() const { return kernel_exits_; }
  // As made, before it first runs. False, and errno.
  bool initialise();

 private:
  enum class Next : uint8_t { kRun, kLeave };

  // KVM_RUN; false: it was interrupted.
  bool enter();
  // The part of the last exit that KVM does at the next KVM_RUN, now: the PC is right then.
  void complete();
  Next handle(ExitSink& sink);
  Next mmio(ExitSink& sink);
  Next nisv(ExitSink& sink);
  Next debug(ExitSink& sink);
  Next after(Answer answer, ExitSink& sink);
  Next event(ExitSink& sink, ExitKind kind);
  Next fail(ExitSink& sink, const char* what, uint64_t detail);

  uint64_t get(uint64_t id);
  void set(uint64_t id, uint64_t value);
  // What translates, with the table base of one half; translation_regs() has both.
  void load_mmu();
  uint64_t table_base(bool upper) override;
  // Registers as of now, fetched once between two KVM_RUNs.
  uint64_t pc();
  uint64_t pstate();
  void bring_general(uint64_t mask);
  void bring_vectors(uint32_t mask);
  // HCR_EL2; 0 where guests have no EL2.
  uint64_t hcr();
  uint64_t sp_id();
  uint64_t slot_id(unsigned slot) { return slot == kSlotSp ? sp_id() : x_register(slot); }
  void forget();
  void write_back();
  void go_to(uint64_t next);
  void deliver(const GuestFault& fault, bool described);
  void refuse_undescribed();
  void write_exception(const GuestFault& fault, uint64_t at);
  bool inject_abort();

  // gdb.
  void arm_debug();
  void begin_past();
  Next stepped(ExitSink& sink);
  Next debug_stop(ExitSink& sink, bool watched);
  bool at_breakpoint(uint64_t pc) const;

  Shared& shared_;
  const unsigned index_;
  File fd_;
  KernelExits kernel_exits_;
  kvm_run* run_;
  KvmView view_;
  VcpuCounts counts_;
  uint64_t ioctls_ = 0;  // KVM_GET_ONE_REG, KVM_SET_ONE_REG and KVM_SET_VCPU_EVENTS

  // Other threads' business.
  std::atomic<pid_t> thread_{0};
  std::atomic<bool> inside_{false};  // KVM_RUN
  std::atomic<bool> kicked_{false};
  bool unfinished_ = false;  // complete() has something to do

  // What was fetched since KVM_RUN.
  bool pc_known_ = false, pstate_known_ = false, mmu_known_ = false, hcr_known_ = false;
  bool base_known_[2] = {};
  uint64_t pc_ = 0, pstate_ = 0, hcr_ = 0, base_[2] = {};
  TranslationRegs mmu_;
  bool half_only_ = false;              // translation_regs() is asked for the PC's half alone
  uint64_t brought_ = 0, results_ = 0;  // of general_: fetched; to be written in any case
  GeneralRegisters general_{}, before_{};
  uint32_t v_brought_ = 0, v_results_ = 0;
  Vreg vectors_[32]{}, v_before_[32]{};
  bool walked_ = false;  // for the instruction that exited
  ExclusiveMonitor monitor_;
  bool lse2_ = false;

  std::vector<uint64_t> breakpoints_;
  std::vector<Watchpoint> watchpoints_;
  static constexpr uint64_t kNowhere = ~uint64_t{0};
  uint64_t stopped_at_ = kNowhere;  // where the debugger saw it last
  bool armed_ = false;              // KVM_SET_GUEST_DEBUG is in force
  bool stepping_ = false, passing_ = false;
};

// The signal that gets a vCPU's thread out of KVM_RUN; installed once a process.
void install_kick_signal();

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_KVM_VCPU_H_
