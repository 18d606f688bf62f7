// The joint between the exit path and a backend: why a vCPU stopped, and how it goes on.
#ifndef TRAPLINE_VMM_VCPU_VCPU_H_
#define TRAPLINE_VMM_VCPU_VCPU_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "decode/access.h"
#include "mmio/cpu_view.h"
#include "mmio/emulate.h"
#include "mmio/state.h"
#include "mmio/sysreg.h"
#include "vmm/vcpu/irqchip.h"
#include "vmm/vcpu/nested_ledger.h"
#include "vmm/vcpu/stage1_walk.h"
#include "vmm/vcpu/translation_regs.h"

namespace trapline {

enum class ExitKind : uint8_t {
  kBudget,         // run(budget) is used up (icount, --max-insns); no event
  kKicked,         // kick(): look at what changed
  kDataAbort,      // stage-2 data abort; esr, far, ipa as valid_mask says
  kPrefetchAbort,  // stage-2 instruction abort
  kSysreg,         // MRS/MSR that a device answers for; sysreg payload
  kHvc,            // HVC, or SMC where the guest has an EL2: esr tells which; imm in its ISS
  kWfi,            // nothing pending: wait
  kWfe,
  kCrashed,   // beyond help: 1,000 consecutive exceptions at the vectors, nothing retired
  kDebug,     // gdb breakpoint, watchpoint or a finished single step; the PC is on the next
              // instruction. Of a watchpoint: far as valid_mask says, and esr's WnR
  kShutdown,  // the backend's own PSCI (KVM system event)
  kReset,
  kFailed,  // the backend cannot go on (KVM FAIL_ENTRY, INTERNAL_ERROR)
  kCount
};

struct Exit {
  enum Valid : uint8_t { kEsr = 1, kFar = 2, kIpa = 4 };

  ExitKind kind = ExitKind::kBudget;
  uint8_t vcpu = 0;
  uint8_t valid_mask = 0;
  // A kDataAbort with ISV=1 and no other flag but WnR, of a translated address that is aligned:
  // what devices mostly see. Only kind, vcpu, esr and ipa are filled in, and of the view the
  // registers are all that is ready. Answered by kGoOn or by kWhole, and nothing to leave.
  bool brief = false;
  // sysreg payload
  uint8_t sysreg_rt = 0;
  SysregId sysreg = 0;
  bool sysreg_write = false;
  uint64_t sysreg_value = 0;  // of a write

  uint64_t esr = 0;  // ESR_EL2 layout, D17.2.37: EC 31:26, IL 25, ISS 24:0
  uint64_t far = 0;  // FAR_EL2: VA of the fault, tag included
  uint64_t ipa = 0;  // HPFAR_EL2.FIPA page plus FAR's low 12 bits. UNKNOWN after a permission
                     // fault that is not on a stage-1 walk: then valid_mask lacks kIpa
  uint64_t pc = 0;   // of the instruction that exited
};

// How a vCPU goes on after an exit.
enum class Resume : uint8_t {
  kGoOn,  // the registers of the view are as the instruction leaves them: step past it. After
          // kHvc, kWfi and kWfe, whose preferred return address is the next instruction: from there
  kAgain,  // the same instruction once more, read from memory
  kFault,  // an exception to EL1 is delivered instead of it: the sink has filled `fault`
  kLeave,  // nothing is done: run() returns
  kWhole,  // of a brief exit: nothing was done, and the whole exit is wanted
};

struct Answer {
  Resume how;
  bool then_leave = false;  // when that is done, run() returns
  friend constexpr bool operator==(Answer, Answer) = default;
};

// Deals with the exits of a vCPU: the only way out of it. Called inside run(), on the vCPU's
// thread, with no lock held.
class ExitSink {
 public:
  virtual ~ExitSink() = default;
  // After kBudget, kKicked, kCrashed and kDebug run() returns whatever is answered.
  virtual Answer handle(const Exit& exit, CpuView& view) = 0;

  // Of a CPU whose hardware has an exclusive monitor of its own, after kGoOn to a load-exclusive:
  // the store-exclusive behind it, which would fail for ever, is executed here, and what lies
  // between. All registers are in the view, whose PC is the next instruction; at the end its PC is
  // where the CPU goes on: kGoOn and kAgain; or of the instruction that faults: kFault. If that is
  // exit.pc, nothing but the load has been done.
  virtual Answer finish_exclusive(const Exit& /*exit*/, CpuView& /*view*/) {
    return {Resume::kGoOn};
  }

  // What the sink wants of each exit that a backend would have to fetch: the PC, and all registers.
  enum class Wants : uint8_t { kNothing, kPc, kAll } wants = Wants::kNothing;

  // With Resume::kFault. `ec` 0x20 and 0x24 are aborts with a FAR; else `iss` is all.
  GuestFault fault{};
};

// Returns from run() with each exit, and nothing done: for who drives a vCPU by hand.
class ExitCatcher final : public ExitSink {
 public:
  Answer handle(const Exit& exit, CpuView& /*view*/) override {
    if (exit.brief) return {Resume::kWhole};
    caught = exit;
    return {Resume::kLeave};
  }
  Exit caught;
};

// The result of reading an instruction word at a PC as the CPU would fetch it.
struct Fetched {
  // Behind a hypervisor's stage 2: five levels of stage 1, each behind three of stage 2, and those
  // of the address (addresses have 40 bits).
  static constexpr unsigned kMaxLoads = 23;

  bool ok = false;    // false: the PC does not translate any more, or not to memory
  uint8_t loads = 0;  // table descriptors read: so many elements of the arrays are set
  uint32_t word = 0;
  uint64_t ipa = 0;
  // What a cache entry made from this may hold and recheck.
  const uint32_t* word_host = nullptr;
  const uint64_t* desc_host[kMaxLoads];
  uint64_t desc_ipa[kMaxLoads];
  uint64_t desc[kMaxLoads];
};

// The guest's TLB and instruction cache maintenance, in order: TLBI and IC by their SYS encodings,
// with their operands.
struct MaintenanceLog {
  struct Entry {
    SysregId op;
    uint64_t operand;
  };
  static constexpr size_t kMost = 4096;
  void note(SysregId op, uint64_t operand) {
    if (entries.size() < kMost) {
      entries.push_back({op, operand});
    } else {
      ++lost;
    }
  }
  std::vector<Entry> entries;
  uint64_t lost = 0;  // after these, for which there was no room
};

// Register names for batches. x0-x30 are 0..30.
enum RegisterIndex : unsigned { kRegSp = 31, kRegPc = 32, kRegPstate = 33 };

// A debugger's watchpoint: of bytes at [va, va + size), for accesses that read, write, or either.
struct Watchpoint {
  uint64_t va;
  uint64_t size;
  bool read, write;
  bool operator==(const Watchpoint&) const = default;
};

class Vcpu;

// The machine-wide side of a backend: its vCPUs, and stage 2.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;  // as statistics say it
  virtual Vcpu& vcpu(unsigned index) = 0;
  // Change stage 2 (S2Perm rights). Complete on all vCPUs when it returns; callable from a vCPU
  // thread inside a device's write (flash changes mode).
  virtual void map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) = 0;
  virtual void unmap(uint64_t ipa, uint64_t size) = 0;
  // After it returns true no vCPU can write the 4 KiB page without GuestMemory's observers hearing
  // of it. False: this backend cannot (KVM).
  virtual bool watch(uint64_t ipa_page) = 0;
  // Pages got GuestMemory::kTrackDirty or kShown: when it returns, no vCPU writes to one of them
  // any more without GuestMemory's hearing of it. Any thread but a vCPU's, while they run or not.
  virtual void track_writes() {}
  // Empty: the state of vCPUs and interrupt controller can be saved and loaded, and writes tracked.
  // Else one line that says why not.
  virtual std::string why_no_state() const { return {}; }
  // True: interrupt controller, per-CPU timers and PSCI are those of the host's kernel. Their
  // registers and calls do not exit, and a vCPU that is off waits in run().
  virtual bool in_kernel() const { return false; }
  // Of such a backend, once, when all vCPUs are there.
  virtual std::unique_ptr<Irqchip> make_irqchip() { return nullptr; }
  // A store of 32 bits at `ipa` is no exit any more: the host's kernel adds to the eventfd `fd`.
  // False: it is one.
  virtual bool signal_on_store(uint64_t /*ipa*/, int /*fd*/) { return false; }
  // What the backend counts of itself, for statistics. While no vCPU runs.
  virtual void counters(CounterVisitor /*visit*/, void* /*context*/) const {}
  // What the guest's own guests cost it, summed over the vCPUs; none if nobody asked, or can say.
  // While no vCPU runs.
  virtual std::optional<NestedLedger> nested_ledger() const { return std::nullopt; }
};

// Hears, on the vCPU's thread and outside run(), of sleep that only an interrupt ends.
class SleepWatch {
 public:
  virtual ~SleepWatch() = default;
  // Returns how long it may last, in host ns: who watches then sees to it that there is an
  // interrupt.
  virtual uint64_t falls_asleep() = 0;
  virtual void wakes() = 0;
};

class Vcpu {
 public:
  virtual ~Vcpu() = default;

  // Runs, at most `budget` instructions (a backend that cannot count ignores the budget), until the
  // sink lets it leave. Only on the vCPU's own thread, like everything here that does not say
  // otherwise.
  virtual void run(uint64_t budget, ExitSink& sink) = 0;
  // One instruction, then kDebug, unless its own exit leaves: gdb, and exclusive forwarding on KVM.
  // No interrupt is taken, so that a step stays where its user looks.
  virtual void step(ExitSink& sink) = 0;
  // gdb software breakpoints that leave guest memory alone: the PCs at which run() exits by kDebug.
  virtual void set_breakpoints(const uint64_t* pcs, unsigned count) = 0;
  // run() and step() exit by kDebug before the access, whatever the guest's own debug registers
  // say; the next run() from there goes on past it, as from a breakpoint, unless the list was
  // changed. False: the backend cannot watch so much, and watches nothing.
  virtual bool set_watchpoints(const Watchpoint* /*list*/, unsigned count) { return count == 0; }

  // --- the instruction that exited -----------------------------------------------------------
  // Before the emulation of an exit that says neither syndrome nor FAR: the registers that the
  // instruction names are in the view. Nothing to do where the view's are the CPU's own.
  virtual void bring(const Access& /*access*/) {}
  // The instruction word at `pc` by a stage-1 walk and a fetch, now.
  virtual Fetched fetch(uint64_t pc) = 0;
  // The walk of fetch() without the read of the word: false where fetch() would not be `ok`. For
  // the exit path, which times the two apart.
  virtual bool translate_pc(uint64_t pc, Fetched& out) {
    out = fetch(pc);
    return out.ok;
  }
  // Asked after the word was read: another CPU has invalidated translations since the exit, so that
  // what was walked and read may be something else's by now.
  virtual bool fetch_overtaken() const { return false; }
  // What the tables make of `va` now, for EL0 or the current regime's privileged level, PAN aside;
  // where a hypervisor's stage 2 follows, with the output and the rights of both.
  virtual Stage1Walk look_up(uint64_t va, WalkFor purpose, bool el0) = 0;
  virtual const TranslationRegs& translation_regs() = 0;

  // At assembly: what this vCPU executes of it goes into `log`. False: the backend does not see it.
  virtual bool log_maintenance(MaintenanceLog* /*log*/) { return false; }

  // --- the counter -----------------------------------------------------------------------------
  // A backend that answers CNTVCT and CNTPCT itself lends two words, at assembly: from the tick in
  // either of them on it lets those reads exit, for a timer whose interrupt the count would show
  // before it is raised. Null: it has no use for them.
  virtual std::atomic<uint64_t>* timers_due() { return nullptr; }

  // At assembly: where the PMU's overflow interrupt goes, which the backend drives from run().
  // False: it has no PMU of its own.
  virtual bool connect_pmu(IrqLine* /*line*/) { return false; }

  // --- interrupts and control: any thread ------------------------------------------------------
  virtual void set_irq(bool level) = 0;
  virtual void set_fiq(bool level) = 0;
  // The virtual interrupts that a hypervisor's list registers make.
  virtual void set_virq(bool /*level*/) {}
  virtual void set_vfiq(bool /*level*/) {}
  // Makes run() leave by kKicked soon, also if called while it is not running.
  virtual void kick() = 0;
  // An interrupt is waiting (masked or not): a WFI would not wait.
  virtual bool wakeup_pending() = 0;
  // What ends a WFE is there: an event, an unmasked interrupt, or a store to the memory that the
  // exclusive monitor marks. A backend whose WFE does not exit keeps the defaults.
  virtual bool event_pending() { return true; }
  // How long a WFE that starts now may wait, in ns of the machine's clock: to the next event of the
  // event stream, and in any case not for ever.
  virtual uint64_t longest_event_wait() { return 0; }
  // Blocks the vCPU's own thread, outside run(), until wakeup_pending() (with `wfe`
  // event_pending(), which it then clears), a kick(), or the timeout (host ns). Never consumes a
  // kick.
  virtual void wait_for_event(uint64_t timeout_ns, bool wfe = false) = 0;
  // At assembly: who hears of each sleep in there. A backend that waits elsewhere has no use for
  // it.
  virtual void watch_sleep(SleepWatch* /*watch*/) {}

  // --- state -----------------------------------------------------------------------------------
  // Power-on reset: EL1h, or EL2h where there is EL2; DAIF masked, MMU off, then PC and x0 as
  // given.
  virtual void reset(uint64_t pc, uint64_t x0) = 0;
  virtual uint64_t get_register(unsigned index) = 0;  // RegisterIndex
  // Batches, a bit an index, ascending: one ioctl each on KVM.
  virtual void get_registers(uint64_t mask, uint64_t* out) = 0;
  virtual void set_register(unsigned index, uint64_t value) = 0;
  virtual Vreg get_vector(unsigned index) = 0;  // 0..31
  virtual void set_vector(unsigned index, Vreg value) = 0;
  virtual uint64_t get_sysreg(SysregId id) = 0;  // for register dumps and gdb; 0 if unknown
  // With what a guest's write means for the rest of the CPU. False: nothing that can be written.
  virtual bool set_sysreg(SysregId /*id*/, uint64_t /*value*/) { return false; }
  // Instructions retired since creation; 0 on a backend that cannot count.
  virtual uint64_t retired() const = 0;
  virtual void save(StateWriter& out) = 0;
  virtual bool load(StateReader& in) = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_VCPU_H_
