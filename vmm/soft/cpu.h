// The state of one software CPU and the seams between its parts:
//   engine/, ops/, jit/       blocks, integer, branches, loads and stores, the run loop
//   mmu, sysreg*, exception   the MMU, system registers, exceptions
//   fp/                       floating point, Advanced SIMD
// Outside the engine's hot handlers every field here is exact: pc, nzcv and the retired count are
// materialised before a seam function is called.
#ifndef TRAPLINE_VMM_SOFT_CPU_H_
#define TRAPLINE_VMM_SOFT_CPU_H_

#include <atomic>
#include <cstdint>

#include "mmio/clock.h"
#include "mmio/cpu_view.h"
#include "mmio/sysreg.h"
#include "vmm/config/cpu_model.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/memory/walk.h"
#include "vmm/soft/pmu.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::soft {

// What the two stages of a hypervisor's own translation, and EL2 otherwise, are controlled by.
struct El2Registers {
  uint64_t hcr = 0, sctlr = 0, tcr = 0, ttbr0 = 0, ttbr1 = 0, mair = 0, vtcr = 0, vttbr = 0;
  uint64_t vbar = 0, elr = 0, spsr = 0, esr = 0, far = 0, hpfar = 0;
  uint64_t cptr = 0, mdcr = 0, hstr = 0, hacr = 0, actlr = 0, amair = 0, afsr0 = 0, afsr1 = 0;
  uint64_t tpidr = 0, contextidr = 0, vpidr = 0, vmpidr = 0, cnthctl = 0, cntvoff = 0;
  uint64_t icc_sre = 0, ich_hcr = 0, sp = 0;
};

// State that MRS/MSR reach and that the CPU itself acts on.
struct SystemRegisters {
  // Of the current regime, as they act: made of the two banks below by update_regime(). el and pan
  // mirror PSTATE.
  TranslationRegs mmu;
  struct El1Translation {
    uint64_t sctlr = 0, tcr = 0, ttbr0 = 0, ttbr1 = 0, mair = 0;
  } el1;
  El2Registers el2;
  uint64_t vbar_el1 = 0, elr_el1 = 0, spsr_el1 = 0, esr_el1 = 0, far_el1 = 0, par_el1 = 0;
  uint64_t sp_el0 = 0, sp_el1 = 0;  // the one not in use; the current one lives in slot kSlotSp
  uint64_t tpidr_el0 = 0, tpidrro_el0 = 0, tpidr_el1 = 0, contextidr_el1 = 0;
  uint64_t cpacr_el1 = 0, csselr_el1 = 0, amair_el1 = 0, actlr_el1 = 0;
  uint64_t afsr0_el1 = 0, afsr1_el1 = 0, cntkctl_el1 = 0, mdscr_el1 = 0;
  uint64_t mpidr_el1 = 0;
  uint64_t osdlr_el1 = 0, oslar_locked = 1, mdccint_el1 = 0;
  uint64_t dbgbvr[16] = {}, dbgbcr[16] = {}, dbgwvr[16] = {}, dbgwcr[16] = {};
};

struct Pstate {
  uint8_t el = 1;      // 0 to 2
  uint8_t sp_sel = 1;  // SPSel; at EL0 SP_EL0 is always used
  uint8_t daif = 0xf;  // D=8 A=4 I=2 F=1
  bool pan = false;
  bool dit = false;      // data independent timing: FEAT_DIT
  bool il = false;       // illegal execution state
  bool ss = false;       // software step
  bool stepped = false;  // ss became 0 by an instruction, not by an exception return
};

// Why a seam function wants the engine to stop what it is doing.
enum class Next : uint8_t {
  kContinue,  // carry on with the next instruction
  kJump,      // cpu.pc was set (exception, ERET): look up a new block
  kExit,      // cpu.exit is filled in, for the sink
  kResync,    // translation context changed at this instruction: pc + 4, but start a new block
};

// A block is translated to host code when it has run this often.
inline constexpr uint16_t kTranslateAfter = 16;

// A number that one thread counts and others may read meanwhile: what they see is some value that
// it had. Relaxed accesses: the price of plain ones.
class Count {
 public:
  operator uint64_t() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }
  Count& operator=(uint64_t value) {
    __atomic_store_n(&value_, value, __ATOMIC_RELAXED);
    return *this;
  }
  Count& operator++() { return *this = *this + 1; }

 private:
  uint64_t value_ = 0;
};

struct SharedState;  // what the vCPUs of one machine share: owned by vmm/soft/machine.h
struct EngineState;  // TLB, block cache, lazy flags: private to the engine
class NestedCounter;

struct Cpu {
  GeneralRegisters r{};  // slots 31 (XZR), 32 (current SP), 33 (discard): cpu_view.h
  uint64_t pc = 0;
  uint32_t nzcv = 0;  // bits 31:28, materialised
  uint32_t fpcr = 0, fpsr = 0;
  alignas(16) Vreg v[32]{};
  Pstate ps;
  SystemRegisters sys;
  Pmu pmu;
  uint64_t last_serial = 0;  // the newest TranslationRegs::serial

  ExclusiveMonitor monitor;  // cleared by CLREX and exception return
  // The event register (D1.6.1) as this CPU sets it: SEVL, exception return. Others set kEvent.
  bool event = false;

  // Interrupt lines and requests, from any thread. `attention` is the one word that the engine
  // polls at block entry: nonzero means some line or request needs a look.
  std::atomic<uint32_t> attention{0};
  enum Attention : uint32_t {
    kIrq = 1,          // line level
    kFiq = 2,          // line level
    kKick = 4,         // consumed by run()
    kMaintenance = 8,  // TLB or instruction-cache work from another CPU is queued
    kStop = 16,        // single step or breakpoint bookkeeping
    kEvent = 32,       // the event register as other CPUs set it: SEV
    kVirq = 64,        // level of the virtual interrupt that list registers make
    kVfiq = 128,
    kSetVirq = 256,  // HCR_EL2.VI, VF and VSE
    kSetVfiq = 512,
    kSetVserror = 1024,
  };

  // Of `attention`: the interrupts that PSTATE.AIF, the index, lets through, and those that end a
  // WFI. Different only where there is EL2: update_interrupts().
  uint32_t interrupt_bits[8] = {kIrq | kFiq, kIrq, kFiq, 0, kIrq | kFiq, kIrq, kFiq, 0};
  uint32_t wake_bits = kIrq | kFiq;

  // From either of these ticks on a read of the counter exits: Vcpu::timers_due().
  std::atomic<uint64_t> timers_due[2] = {~uint64_t{0}, ~uint64_t{0}};

  // A futex: 1 while the CPU's thread sleeps in WFI or WFE, or is about to; see raise_attention().
  std::atomic<uint32_t> sleeping{0};

  Exit exit;  // the one on its way to the sink; filled when a seam function returns Next::kExit
  unsigned index = 0;
  CpuModel model = CpuModel::kMax;             // --cpu
  bool has_el2 = false;                        // --el2
  bool has_vhe = false;                        // and FEAT_VHE
  bool isv_never = false;                      // --isv never: no exit has a syndrome
  uint16_t translate_after = kTranslateAfter;  // runs of a block until it is; 0: never
  Count retired;                               // exact at seams, on the CPU's thread
  // Consecutive synchronous exceptions with nothing retired. take_sync() counts, and starts again
  // when `retired` moved; at 1,000 the CPU is crashed (kCrashed).
  unsigned futile_exceptions = 0;
  uint64_t retired_at_exception = 0;

  GuestMemory* memory = nullptr;
  Stage2* stage2 = nullptr;
  Clock* clock = nullptr;
  SharedState* shared = nullptr;
  EngineState* engine = nullptr;
  NestedCounter* ledger = nullptr;            // --nested-ledger
  MaintenanceLog* maintenance_log = nullptr;  // Vcpu::log_maintenance()
};

// --- system: engine/wait.cc ----------------------------------------------------------------------

// A timer is due that has not raised its interrupt. If it has, `attention` shows it afterwards.
inline bool timer_is_due(const Cpu& cpu, uint64_t now) {
  return now >= cpu.timers_due[0].load(std::memory_order_acquire) ||
         now >= cpu.timers_due[1].load(std::memory_order_acquire);
}

// Sets attention bits from any thread (SEV's kEvent too) and wakes the CPU if it sleeps.
void raise_attention(Cpu& cpu, uint32_t bits);
// A WFE would not wait: the event register is set, an unmasked interrupt is there, or the marked
// memory was written, which opens the monitor and so sets the event register. On the CPU's thread.
bool event_pending(const Cpu& cpu);
void clear_event(Cpu& cpu);

// --- system: mmu.cc ------------------------------------------------------------------------------

// A full translation of one byte address, no TLB. The engine caches the result per 4 KiB.
struct MmuResult {
  enum class Kind : uint8_t {
    kOk,
    kStage1Fault,
    kGuestStage2Fault,  // of the hypervisor's stage 2, where the guest is one: taken to EL2
    kStage2Fault,       // of ours: an exit
  };
  Kind kind = Kind::kStage1Fault;
  // kOk
  uint8_t* host = nullptr;  // of the byte asked for
  uint64_t ipa = 0;         // also for kStage2Fault; for kGuestStage2Fault the inner guest's
  bool device = false;      // combined type: alignment is checked by the caller; for
                            // kGuestStage2Fault stage 1's
  bool global = true;
  bool readable = false, writable = false, executable = false;  // both stages, at that EL
  uint8_t page_log2 = 12;  // the smaller leaf of the two stages
  // faults
  uint8_t fsc = 0;
  bool s1ptw = false;     // stage-2 fault on a stage-1 table walk
  bool ipa_valid = true;  // HPFAR is UNKNOWN after a plain stage-2 permission fault
};
MmuResult mmu_translate(Cpu& cpu, uint64_t va, WalkFor purpose, bool el0);

// --- system: vmm/soft/exception.cc ---------------------------------------------------------------

// Exception classes, D17.2.37.
enum class Ec : uint8_t {
  kUnknown = 0x00,
  kWfx = 0x01,
  kFpAccess = 0x07,
  kIllegalState = 0x0e,
  kSvc64 = 0x15,
  kHvc64 = 0x16,
  kSmc64 = 0x17,
  kSysreg = 0x18,
  kInstAbortLower = 0x20,
  kInstAbortSame = 0x21,
  kPcAlignment = 0x22,
  kDataAbortLower = 0x24,
  kDataAbortSame = 0x25,
  kSpAlignment = 0x26,
  kFpException = 0x2c,
  kBreakpointLower = 0x30,
  kBreakpointSame = 0x31,
  kStepLower = 0x32,
  kStepSame = 0x33,
  kWatchpointLower = 0x34,
  kWatchpointSame = 0x35,
  kBrk = 0x3c,
};
enum class VectorKind : uint16_t { kSync = 0x000, kIrq = 0x080, kFiq = 0x100, kSError = 0x180 };

// Takes an exception to the EL that it is routed to (D1.3.6): SPSR, ELR = return_pc, ESR (sync
// only), PSTATE, PC = vector. The "same or lower EL" variant of EC is chosen here: pass the kLower
// one.
void take_sync(Cpu& cpu, Ec ec, uint32_t iss, uint64_t return_pc);
void take_abort(Cpu& cpu, Ec ec, uint32_t iss, uint64_t far, uint64_t return_pc);  // also FAR_ELx
void take_interrupt(Cpu& cpu, VectorKind kind, unsigned el);                       // at cpu.pc
// What HCR_EL2 and its kin trap, wherever it would have been routed otherwise.
void trap_to_el2(Cpu& cpu, Ec ec, uint32_t iss, uint64_t return_pc);
// Of kGuestStage2Fault: also FAR_EL2 and HPFAR_EL2. `iss`: what is to be set besides the fault's
// own.
void take_stage2_abort(Cpu& cpu, Ec ec, uint32_t iss, uint64_t far, const MmuResult& fault,
                       uint64_t return_pc);
// What emulation, or the sink, finds instead of the instruction at `pc`.
void deliver(Cpu& cpu, const GuestFault& fault, uint64_t pc);
// ERET: restores PSTATE from SPSR_EL1 with the illegal-return checks, PC from ELR_EL1.
void exception_return(Cpu& cpu);
// SPSR layout of the present state, and back (for gdb and snapshots).
uint64_t pstate_to_spsr(const Cpu& cpu);
void spsr_to_pstate(Cpu& cpu, uint64_t spsr);
// Switches PSTATE.SP/EL and swaps the stack-pointer slot accordingly.
void set_el_and_spsel(Cpu& cpu, unsigned el, unsigned sp_sel);

// --- system: mmu.cc ------------------------------------------------------------------------------

// Whether an access is checked as EL0's: at EL0, and LDTR and STTR at EL1 and, under E2H and TGE,
// at EL2.
bool as_el0(const Cpu& cpu, bool unprivileged);

// --- system: vmm/soft/sysreg.cc ------------------------------------------------------------------

// Executes any word of the "System" space that the engine does not do itself: MRS, MSR (register
// and immediate), SYS/SYSL (TLBI, IC, DC, AT), and the undefined ones. cpu.pc is on the
// instruction. Undefined and trapped accesses take their exception here (kJump); ICC_* and timer
// registers fill cpu.exit (kExit).
Next execute_system(Cpu& cpu, uint32_t word);
// For gdb and register dumps; false if unknown.
bool read_sysreg_raw(const Cpu& cpu, SysregId id, uint64_t& value);

// --- engine, called by system --------------------------------------------------------------------

enum class TlbiScope : uint8_t { kAll, kAsid, kVa, kVaAllAsid };
// Whose translations: a regime's, and of EL1&0 one VMID's or, with kAnyVmid, all.
struct TlbiTarget {
  static constexpr uint32_t kAnyVmid = 1 << 16;
  Regime regime = Regime::kEl10;
  uint32_t vmid = kAnyVmid;
};
// TLB invalidation on this CPU now and, if `broadcast`, on the others before this CPU's next DSB
// completes. va is the address (already shifted), asid for kAsid and kVa.
void tlb_invalidate(Cpu& cpu, TlbiTarget target, TlbiScope scope, uint64_t va, uint16_t asid,
                    bool broadcast);
// The TLB, filled if need be, says that a load of a byte at `va` would read memory: no fault of any
// stage, and no exit. False may also mean that a walk has to tell.
bool tlb_reads_memory(Cpu& cpu, uint64_t va);
// Predecoded instructions: of one 64-byte line by physical page (IC IVAU, after translation, by
// host address), or all (IC IALLU{IS}).
void icache_invalidate_line(Cpu& cpu, const uint8_t* host_line, bool broadcast);
void icache_invalidate_all(Cpu& cpu, bool broadcast);
// Machine-wide, from any thread (`issuer` null: not a vCPU thread), complete on return: stage 2 of
// the range changed (drops TLB entries and blocks), or a page got a flag that wants its writes
// seen.
void tlb_invalidate_ipa(SharedState& shared, Cpu* issuer, uint64_t ipa, uint64_t size);
void tlb_demote_writes(SharedState& shared, Cpu* issuer, uint64_t ipa_page);
// Likewise, of all pages with GuestMemory::kTrackDirty or kShown; not from a vCPU's thread.
void tlb_demote_tracked_writes(SharedState& shared);
void engine_context_changed(Cpu& cpu);
// SystemRegisters::mmu anew: a register of a bank was written, or EL2 is there and PSTATE.EL has
// changed. mmu.cc.
void update_regime(Cpu& cpu);
// EL or PAN changed (and update_regime() was called if need be): whatever was derived is stale.
inline void translation_context_changed(Cpu& cpu) {
  cpu.sys.mmu.serial = ++cpu.last_serial;
  engine_context_changed(cpu);
}
// Breakpoint/watchpoint registers or MDSCR changed.
void debug_context_changed(Cpu& cpu);

// DC ZVA and every load or store that the engine's fast path does not do: the engine's own slow
// path (vmm/soft/engine/slow_path.cc), through mmio::emulate() with the RAM side of a CpuView.

// --- fpsimd: fp/ ---------------------------------------------------------------------------------

// Data-processing words of the "Scalar Floating-Point and Advanced SIMD" group (C4.1), including
// moves to and from general registers; no memory accesses. Returns an index into the table, 0 for
// unallocated words (UNDEFINED) and those of a later model. Called when a block is predecoded.
uint16_t fp_lookup(uint32_t word, CpuModel model);
// Executes; reads and writes cpu.v, cpu.r (slots: Rn/Rd 31 is XZR: read slot 31, write slot 33),
// cpu.nzcv (FCMP, FCCMP), cpu.fpcr, cpu.fpsr. Never traps: FP traps are not implemented, and read
// as such in FPCR; CPACR_EL1 is the engine's business.
using FpFunction = void (*)(Cpu& cpu, uint32_t word);
// Filled by the first fp_lookup().
extern FpFunction fp_functions[];

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_CPU_H_
