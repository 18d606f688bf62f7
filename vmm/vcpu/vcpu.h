// The joint between the exit loop and a backend: why a vCPU stopped, and how it goes on.
#ifndef TRAPLINE_VMM_VCPU_VCPU_H_
#define TRAPLINE_VMM_VCPU_VCPU_H_

#include <atomic>
#include <cstdint>

#include "decode/access.h"
#include "mmio/cpu_view.h"
#include "mmio/emulate.h"
#include "mmio/state.h"
#include "mmio/sysreg.h"

namespace trapline {

enum class ExitKind : uint8_t {
  kBudget,         // run(budget) is used up (icount, --max-insns); no event
  kKicked,         // kick(): look at what changed
  kDataAbort,      // stage-2 data abort; esr, far, ipa as valid_mask says
  kPrefetchAbort,  // stage-2 instruction abort
  kSysreg,         // MRS/MSR that a device answers for; sysreg payload
  kHvc,            // imm in esr ISS; the PC is already past it (the preferred return address)
  kWfi,            // nothing pending: wait. The PC is already past it
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

// The registers that decide how a PC is translated; also the cache key's context.
struct TranslationRegs {
  uint64_t sctlr = 0;
  uint64_t tcr = 0;
  uint64_t ttbr0 = 0;
  uint64_t ttbr1 = 0;
  uint64_t mair = 0;
  uint16_t vmid = 0;
  uint8_t el = 1;  // current: 0 or 1
  bool pan = false;
  // Names the values of all the others but `pan`: while it stays the same, so do they. 0: the
  // backend cannot tell; compare.
  uint64_t serial = 0;
};

// The result of reading an instruction word at a PC as the CPU would fetch it.
struct Fetched {
  bool ok = false;    // false: the PC does not translate any more, or not to memory
  uint8_t loads = 0;  // table descriptors read
  uint32_t word = 0;
  uint64_t ipa = 0;
  // What a cache entry made from this may hold and recheck.
  const uint32_t* word_host = nullptr;
  const uint64_t* desc_host[5] = {};
  uint64_t desc_ipa[5] = {};
  uint64_t desc[5] = {};
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

// The machine-wide side of a backend.
class Backend {
 public:
  virtual ~Backend() = default;
  // Change stage 2 (S2Perm rights). Complete on all vCPUs when it returns; callable from a vCPU
  // thread inside a device's write (flash changes mode).
  virtual void map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) = 0;
  virtual void unmap(uint64_t ipa, uint64_t size) = 0;
  // After it returns true no vCPU can write the 4 KiB page without GuestMemory's observers hearing
  // of it. False: this backend cannot (KVM).
  virtual bool watch(uint64_t ipa_page) = 0;
};

// Deals with an exit while the vCPU stays inside run().
class ExitSink {
 public:
  enum class Inside : uint8_t {
    kPerformed,  // the registers are as the instruction leaves them: step past it
    kEnded,      // by complete(), complete_sysreg() or inject_*()
    kReturned,   // nothing was done: run() returns the exit
  };
  virtual ~ExitSink() = default;
  // A kDataAbort, a kSysreg or a kHvc, this one with the PC still on it. `view` is what
  // Vcpu::view() would give for any access of this exit.
  virtual Inside handle_inside(const Exit& exit, CpuView& view) = 0;
  // Asked first for a data abort with ISV=1 and no other flag but WnR, of a translated address that
  // is aligned: what devices mostly see. Of `view` the PC and the flags are not made ready, and no
  // page is known. True: kPerformed. False: nothing was done, and the exit is made.
  virtual bool perform_inside(uint64_t /*esr*/, uint64_t /*ipa*/, CpuView& /*view*/) {
    return false;
  }
};

class Vcpu {
 public:
  virtual ~Vcpu() = default;

  // A backend to which leaving run() is dear may give the exits that always resume to the sink
  // instead of returning them; from run(), on the vCPU's thread, with no lock held and nothing of
  // the guest's running on it. Null (the default): every exit is returned.
  virtual void set_exit_sink(ExitSink* /*sink*/) {}

  // Runs until an exit, but at most `budget` instructions (a backend that cannot count ignores the
  // budget). Only on the vCPU's own thread, like everything here that does not say otherwise.
  virtual Exit run(uint64_t budget) = 0;
  // One instruction, then kDebug (or the exit it caused): gdb, and exclusive forwarding on KVM. No
  // interrupt is taken, so that a step stays where its user looks.
  virtual Exit step() = 0;
  // gdb software breakpoints that leave guest memory alone: the PCs at which run() returns kDebug.
  virtual void set_breakpoints(const uint64_t* pcs, unsigned count) = 0;
  // run() and step() return kDebug before the access, whatever the guest's own debug registers say;
  // the next run() from there goes on past it, as from a breakpoint, unless the list was changed.
  // False: the backend cannot watch so much, and watches nothing.
  virtual bool set_watchpoints(const Watchpoint* /*list*/, unsigned count) { return count == 0; }

  // --- data aborts -------------------------------------------------------------------------
  // A backend that gets no syndrome for simple accesses (KVM_EXIT_MMIO) synthesises one: ISV=1,
  // SSE=0, SF=1, SRT=0, no kFar; its view identity-maps `ipa` and lends a scratch x[0], and its
  // complete() hands that back. The view through which the access may be emulated, with the
  // registers it names fetched.
  virtual CpuView& view(const Exit& exit, const Access& access) = 0;
  // The end of a data abort: kDone stores registers and steps past the instruction; kProgress and
  // kRetry resume at it (kRetry also drops whatever was predecoded at that PC); kFault delivers.
  virtual void complete(const Exit& exit, const Access& access, const Outcome& outcome) = 0;
  // A synchronous external abort (data or prefetch, by exit.kind), or an UNDEFINED exception.
  virtual void inject_external_abort(const Exit& exit) = 0;
  virtual void inject_undefined(const Exit& exit) = 0;
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
  virtual const TranslationRegs& translation_regs() = 0;

  // --- system registers ----------------------------------------------------------------------
  // Ends a kSysreg exit: writes rt for a read, steps past the instruction.
  virtual void complete_sysreg(const Exit& exit, uint64_t value) = 0;

  // A backend that answers CNTVCT and CNTPCT itself lends two words, at assembly: from the tick in
  // either of them on it lets those reads exit, for a timer whose interrupt the count would show
  // before it is raised. Null: it has no use for them.
  virtual std::atomic<uint64_t>* timers_due() { return nullptr; }

  // --- interrupts and control: any thread ------------------------------------------------------
  virtual void set_irq(bool level) = 0;
  virtual void set_fiq(bool level) = 0;
  // Makes run() return kKicked soon, also if called while it is not running.
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

  // --- state -----------------------------------------------------------------------------------
  // Power-on reset: EL1h, DAIF masked, MMU off, then PC and x0 as given.
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
