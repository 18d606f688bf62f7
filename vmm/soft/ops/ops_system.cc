// "System" instructions that the engine does by itself: hints, barriers and the registers that
// programs touch all the time. The rest goes to execute_system().
#include "vmm/memory/walk_inl.h"
#include "vmm/soft/el2.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/machine.h"
#include "vmm/soft/ops/ops_common.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

// After a change of PSTATE.DAIF: an interrupt that is pending now is taken before the next
// instruction.
#define TL_NEXT_AFTER_UNMASK                                                                     \
  do {                                                                                           \
    update_attention_mask(*cpu, *e);                                                             \
    if (TL_UNLIKELY((cpu->attention.load(std::memory_order_relaxed) & e->attention_mask) != 0 || \
                    (cpu->sys.mdscr_el1 & 0x8001) != 0)) { /* SS, MDE */                         \
      TL_GOTO(leave_after);                                                                      \
    }                                                                                            \
    TL_NEXT;                                                                                     \
  } while (0)

// The instruction at `op` is done; the outer loop has something to look at.
void leave_after(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  suspend_at(cpu, op, icount, e);
  retire_one(cpu, e);
  cpu->pc += 4;
  e->leave = Leave::kLookup;
}

// Performs the word at `op`; true if the block goes on.
[[gnu::noinline]] bool run_system(Cpu* cpu, EngineState* e, uint32_t word) {
  Next next = execute_system(*cpu, word);
  switch (next) {
    case Next::kContinue:
      e->flags.unpack(cpu->nzcv);
      update_attention_mask(*cpu, *e);
      if ((cpu->attention.load(std::memory_order_relaxed) & e->attention_mask) == 0) return true;
      retire_one(cpu, e);
      cpu->pc += 4;
      e->leave = Leave::kLookup;
      return false;
    case Next::kResync:
      retire_one(cpu, e);
      cpu->pc += 4;
      e->context_dirty = true;
      e->leave = Leave::kLookup;
      return false;
    case Next::kJump:
      note_exception(*cpu, *e);
      e->leave = Leave::kException;
      return false;
    case Next::kExit:
      e->context_dirty = true;
      e->leave = Leave::kExit;
      return false;
  }
  return true;
}

TL_OP(op_clrex) {
  cpu->monitor.valid = false;
  TL_NEXT;
}

TL_OP(dsb_wait) {
  suspend_at(cpu, op, icount, e);
  maintenance_wait(*cpu, *e);
  // Our own queue may have been served meanwhile: no block of before may be entered by a link.
  retire_one(cpu, e);
  cpu->pc += 4;
  e->leave = Leave::kLookup;
}
TL_OP(op_dsb) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (TL_UNLIKELY(e->broadcast_pending)) TL_GOTO(dsb_wait);
  TL_NEXT;
}
TL_OP(op_dmb) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  TL_NEXT;
}
TL_OP(op_dmb_ld) {
  std::atomic_thread_fence(std::memory_order_acquire);
  TL_NEXT;
}

void wait_exit(Cpu* cpu, EngineState* e, ExitKind kind) {
  cpu->exit = Exit{};
  cpu->exit.kind = kind;
  cpu->exit.vcpu = static_cast<uint8_t>(cpu->index);
  cpu->exit.pc = cpu->pc;
  retire_one(cpu, e);
  cpu->pc += 4;
  step_advance(*cpu);
  e->leave = Leave::kExit;
}
// SCTLR_ELx.nTWI, nTWE clear: EL0 may not wait (D17.2.118). HCR_EL2.TWI, TWE: nor EL1.
bool wait_trapped(Cpu* cpu, EngineState* e, uint64_t sctlr_bit, Hcr hcr_bit, uint32_t iss) {
  if (cpu->ps.el == 0 && (cpu->sys.mmu.sctlr & sctlr_bit) == 0) {
    take_sync(*cpu, Ec::kWfx, 0x01e00000 | iss, cpu->pc);
  } else if (under_hypervisor(*cpu) && has(*cpu, hcr_bit)) {
    trap_to_el2(*cpu, Ec::kWfx, 0x01e00000 | iss, cpu->pc);
  } else {
    return false;
  }
  note_exception(*cpu, *e);
  e->leave = Leave::kException;
  return true;
}
// After an instruction that may have waited for an interrupt, or shows that it is there: if PSTATE
// lets it through it is taken now, and not where the block happens to end.
#define TL_NEXT_AFTER_LOOK                                           \
  do {                                                               \
    if (TL_UNLIKELY(!block_goes_on(*cpu, *e))) TL_GOTO(leave_after); \
    TL_NEXT;                                                         \
  } while (0)

TL_OP(op_wfi) {
  if ((cpu->attention.load() & cpu->wake_bits) != 0) TL_NEXT_AFTER_LOOK;
  suspend_at(cpu, op, icount, e);
  if (!wait_trapped(cpu, e, kSctlrNtwi, kHcrTwi, 0)) wait_exit(cpu, e, ExitKind::kWfi);
}
TL_OP(op_wfe) {
  if (event_pending(*cpu)) {
    clear_event(*cpu);
    TL_NEXT_AFTER_LOOK;
  }
  suspend_at(cpu, op, icount, e);
  if (!wait_trapped(cpu, e, kSctlrNtwe, kHcrTwe, 1)) wait_exit(cpu, e, ExitKind::kWfe);
}
[[gnu::noinline]] void send_event(Cpu* self) {
  for (Cpu* each : self->shared->cpus) raise_attention(*each, Cpu::kEvent);
}
TL_OP(op_sev) {
  send_event(cpu);
  TL_NEXT;
}
TL_OP(op_sevl) {
  cpu->event = true;
  TL_NEXT;
}

// --- registers -----------------------------------------------------------------------------------

TL_OP(op_mrs_nzcv) {
  cpu->r.x[op->d] = e->flags.pack();
  TL_NEXT;
}
TL_OP(op_msr_nzcv) {
  e->flags.unpack(static_cast<uint32_t>(cpu->r.x[op->n]));
  TL_NEXT;
}
// kField: what of the CPU.
template <auto kField>
TL_OP(op_mrs_field) {
  cpu->r.x[op->d] = cpu->sys.*kField;
  TL_NEXT;
}
template <auto kField>
TL_OP(op_msr_field) {
  cpu->sys.*kField = cpu->r.x[op->n];
  TL_NEXT;
}
template <auto kField>
TL_OP(op_mrs_el2) {
  cpu->r.x[op->d] = cpu->sys.el2.*kField;
  TL_NEXT;
}
template <auto kField>
TL_OP(op_msr_el2) {
  cpu->sys.el2.*kField = cpu->r.x[op->n];
  TL_NEXT;
}
TL_OP(op_mrs_const) {
  cpu->r.x[op->d] = op->word;
  TL_NEXT;
}
TL_OP(op_mrs_fpcr) {
  cpu->r.x[op->d] = cpu->fpcr;
  TL_NEXT;
}
TL_OP(op_mrs_fpsr) {
  cpu->r.x[op->d] = cpu->fpsr;
  TL_NEXT;
}
// AHP, DN, FZ, RMode; no trap enables, no half precision (D17: RES0 and RAZ/WI fields).
TL_OP(op_msr_fpcr) {
  cpu->fpcr = static_cast<uint32_t>(cpu->r.x[op->n]) & 0x07c00000;
  TL_NEXT;
}
TL_OP(op_msr_fpsr) {
  cpu->fpsr = static_cast<uint32_t>(cpu->r.x[op->n]) & 0x0800009f;
  TL_NEXT;
}
TL_OP(op_daifset) {
  cpu->ps.daif |= op->m;
  update_attention_mask(*cpu, *e);
  TL_NEXT;
}
TL_OP(op_daifclr) {
  cpu->ps.daif &= static_cast<uint8_t>(~op->m);
  TL_NEXT_AFTER_UNMASK;
}
TL_OP(op_mrs_daif) {
  cpu->r.x[op->d] = uint64_t{cpu->ps.daif} << 6;
  TL_NEXT;
}
TL_OP(op_msr_daif) {
  cpu->ps.daif = static_cast<uint8_t>(cpu->r.x[op->n] >> 6 & 15);
  TL_NEXT_AFTER_UNMASK;
}
// SP_EL0 is UNDEFINED while it is the stack pointer.
TL_OP(op_mrs_sp_el0) {
  if (TL_UNLIKELY(cpu->ps.sp_sel == 0)) TL_GOTO(op_system);
  cpu->r.x[op->d] = cpu->sys.sp_el0;
  TL_NEXT;
}
TL_OP(op_msr_sp_el0) {
  if (TL_UNLIKELY(cpu->ps.sp_sel == 0)) TL_GOTO(op_system);
  cpu->sys.sp_el0 = cpu->r.x[op->n];
  TL_NEXT;
}

// A register that a device answers for (ICC_*, the timers), at the highest level, where nothing
// else can be wrong with the access: execute_system()'s exit, written in place.
TL_OP(op_device_register) {
  suspend_at(cpu, op, icount, e);
  const uint32_t word = op->word;
  Exit& exit = cpu->exit;
  exit.kind = ExitKind::kSysreg;
  exit.vcpu = static_cast<uint8_t>(cpu->index);
  exit.valid_mask = Exit::kEsr;
  exit.sysreg_rt = word & 31;
  exit.sysreg = static_cast<SysregId>(word >> 5);
  exit.sysreg_write = (word >> 21 & 1) == 0;
  exit.sysreg_value = exit.sysreg_write ? cpu->r.x[op->n] : 0;
  exit.esr = make_esr(Ec::kSysreg, sysreg_iss(word));
  exit.pc = cpu->pc;
  if (!take_exit(*cpu, *e)) return;
  TL_NEXT;
}

// False: the count would show a timer's condition before its interrupt.
[[gnu::noinline]] bool read_counter(Cpu* cpu, const Op* op) {
  const uint64_t now = cpu->clock->now();
  if (timer_is_due(*cpu, now)) return false;
  cpu->r.x[op->d] = now;
  return true;
}
TL_OP(op_mrs_cntvct) {
  if (TL_UNLIKELY(cpu->ps.el == 0 && (cpu->sys.cntkctl_el1 & 2) == 0)) TL_GOTO(op_system);
  suspend_at(cpu, op, icount, e);  // the icount clock reads the retired count
  if (TL_UNLIKELY(!read_counter(cpu, op))) TL_GOTO(op_device_register);
  TL_NEXT_AFTER_LOOK;
}

// --- predecoding ---------------------------------------------------------------------------------

Predecoded hint(uint32_t word, Op& op) {
  op.fn = op_nop;
  switch (bits(word, 11, 5)) {  // the others are hints that this CPU does not know: NOP
    case 2:
      op.fn = op_wfe;
      break;
    case 3:
      op.fn = op_wfi;
      break;
    case 4:
      op.fn = op_sev;
      break;
    case 5:
      op.fn = op_sevl;
      break;
  }
  return Predecoded::kNext;
}

Predecoded barrier(uint32_t word, Op& op) {
  switch (bits(word, 7, 5)) {
    case 2:
      op.fn = op_clrex;
      return Predecoded::kNext;
    case 4:
      op.fn = op_dsb;
      return Predecoded::kNext;
    case 5:
      op.fn = bits(word, 9, 8) == 1 ? op_dmb_ld : op_dmb;
      return Predecoded::kNext;
  }
  return predecode_undefined(word, op);  // DSB nXS: not shown
}

constexpr SysregId kNzcv = sysreg_id(3, 3, 4, 2, 0), kDaif = sysreg_id(3, 3, 4, 2, 1),
                   kFpcr = sysreg_id(3, 3, 4, 4, 0), kFpsr = sysreg_id(3, 3, 4, 4, 1),
                   kTpidrEl0 = sysreg_id(3, 3, 13, 0, 2), kTpidrroEl0 = sysreg_id(3, 3, 13, 0, 3),
                   kTpidrEl1 = sysreg_id(3, 0, 13, 0, 4), kSpEl0 = sysreg_id(3, 0, 4, 1, 0),
                   kCurrentEl = sysreg_id(3, 0, 4, 2, 2), kCntvct = sysreg_id(3, 3, 14, 0, 2),
                   kElrEl1 = sysreg_id(3, 0, 4, 0, 1), kSpsrEl1 = sysreg_id(3, 0, 4, 0, 0),
                   kEsrEl1 = sysreg_id(3, 0, 5, 2, 0), kFarEl1 = sysreg_id(3, 0, 6, 0, 0),
                   kElrEl2 = sysreg_id(3, 4, 4, 0, 1), kSpsrEl2 = sysreg_id(3, 4, 4, 0, 0),
                   kEsrEl2 = sysreg_id(3, 4, 5, 2, 0), kFarEl2 = sysreg_id(3, 4, 6, 0, 0),
                   kTpidrEl2 = sysreg_id(3, 4, 13, 0, 2);

// With E2H the exception registers of EL1 are, by name, EL2's.
SysregId named_at_el2(SysregId id, uint8_t mode) {
  if ((mode & kModeE2h) == 0) return id;
  switch (id) {
    case kElrEl1:
      return kElrEl2;
    case kSpsrEl1:
      return kSpsrEl2;
    case kEsrEl1:
      return kEsrEl2;
    case kFarEl1:
      return kFarEl2;
    default:
      return id;
  }
}

// What EL2 does often. The registers of EL1 it goes to by the table.
Handler read_handler_el2(SysregId id, uint8_t mode, Op& op) {
  if ((mode & kModeCounted) != 0) return op_system;
  switch (named_at_el2(id, mode)) {
    case kDaif:
      return op_mrs_daif;
    case kSpEl0:
      return op_mrs_sp_el0;
    case kTpidrEl1:
      return op_mrs_field<&SystemRegisters::tpidr_el1>;
    case kTpidrEl2:
      return op_mrs_el2<&El2Registers::tpidr>;
    case kElrEl2:
      return op_mrs_el2<&El2Registers::elr>;
    case kSpsrEl2:
      return op_mrs_el2<&El2Registers::spsr>;
    case kEsrEl2:
      return op_mrs_el2<&El2Registers::esr>;
    case kFarEl2:
      return op_mrs_el2<&El2Registers::far>;
    case kCurrentEl:
      op.word = 2 << 2;
      return op_mrs_const;
  }
  return op_system;
}
Handler write_handler_el2(SysregId id, uint8_t mode) {
  if ((mode & kModeCounted) != 0) return op_system;
  switch (named_at_el2(id, mode)) {
    case kDaif:
      return op_msr_daif;
    case kSpEl0:
      return op_msr_sp_el0;
    case kTpidrEl1:
      return op_msr_field<&SystemRegisters::tpidr_el1>;
    case kTpidrroEl0:
      return op_msr_field<&SystemRegisters::tpidrro_el0>;
    case kTpidrEl2:
      return op_msr_el2<&El2Registers::tpidr>;
    case kElrEl2:
      return op_msr_el2<&El2Registers::elr>;
  }
  return op_system;
}

Handler read_handler(SysregId id, uint8_t mode, Op& op) {
  const bool fp = (mode & kModeFp) != 0;
  switch (id) {
    case kNzcv:
      return op_mrs_nzcv;
    case kFpcr:
      return fp ? op_mrs_fpcr : op_fp_disabled;
    case kFpsr:
      return fp ? op_mrs_fpsr : op_fp_disabled;
    case kTpidrEl0:
      return op_mrs_field<&SystemRegisters::tpidr_el0>;
    case kTpidrroEl0:
      return op_mrs_field<&SystemRegisters::tpidrro_el0>;
    case kCntvct:  // which EL2 gives an offset
      return (mode & (kModeEl2 | kModeUnderEl2)) == 0 ? op_mrs_cntvct : op_system;
  }
  if ((mode & kModePrivileged) == 0) return op_system;
  if ((mode & kModeEl2) != 0) return read_handler_el2(id, mode, op);
  if ((mode & kModeUnderEl2) != 0 && (id == kEsrEl1 || id == kFarEl1)) return op_system;  // TRVM
  switch (id) {
    case kDaif:
      return op_mrs_daif;
    case kTpidrEl1:
      return op_mrs_field<&SystemRegisters::tpidr_el1>;
    case kSpEl0:
      return op_mrs_sp_el0;
    case kElrEl1:
      return op_mrs_field<&SystemRegisters::elr_el1>;
    case kSpsrEl1:
      return op_mrs_field<&SystemRegisters::spsr_el1>;
    case kEsrEl1:
      return op_mrs_field<&SystemRegisters::esr_el1>;
    case kFarEl1:
      return op_mrs_field<&SystemRegisters::far_el1>;
    case kCurrentEl:
      op.word = 1 << 2;
      return op_mrs_const;
  }
  return op_system;
}

Handler write_handler(SysregId id, uint8_t mode) {
  const bool fp = (mode & kModeFp) != 0;
  switch (id) {
    case kNzcv:
      return op_msr_nzcv;
    case kFpcr:
      return fp ? op_msr_fpcr : op_fp_disabled;
    case kFpsr:
      return fp ? op_msr_fpsr : op_fp_disabled;
    case kTpidrEl0:
      return op_msr_field<&SystemRegisters::tpidr_el0>;
  }
  if ((mode & kModePrivileged) == 0) return op_system;
  if ((mode & kModeEl2) != 0) return write_handler_el2(id, mode);
  switch (id) {
    case kDaif:
      return op_msr_daif;
    case kTpidrEl1:
      return op_msr_field<&SystemRegisters::tpidr_el1>;
    case kTpidrroEl0:
      return op_msr_field<&SystemRegisters::tpidrro_el0>;
    case kSpEl0:
      return op_msr_sp_el0;
    case kElrEl1:
      return op_msr_field<&SystemRegisters::elr_el1>;
  }
  return op_system;
}

}  // namespace

TL_OP(op_nop) { TL_NEXT; }

// The word is read again: it is rare enough not to carry it in the op.
TL_OP(op_system) {
  suspend_at(cpu, op, icount, e);
  if (!run_system(cpu, e, op->word)) return;
  TL_NEXT;
}

TL_OP(op_undefined) {
  suspend_at(cpu, op, icount, e);
  take_sync(*cpu, Ec::kUnknown, 0, cpu->pc);
  note_exception(*cpu, *e);
  e->leave = Leave::kException;
}
TL_OP(op_fp_disabled) {
  suspend_at(cpu, op, icount, e);
  take_fp_trap(*cpu);
  note_exception(*cpu, *e);
  e->leave = Leave::kException;
}

Predecoded predecode_undefined(uint32_t word, Op& op) {
  op.word = word;
  op.fn = op_undefined;
  return Predecoded::kEnd;
}

// A device's register that the access reaches whatever else is set: at EL1 without EL2, and of the
// GIC at EL2. (Under E2H the timers' names are others'.)
bool reaches_device(SysregId id, bool read, uint8_t mode) {
  if ((mode & (kModePrivileged | kModeUnderEl2 | kModeCounted)) != kModePrivileged) return false;
  const SysregRow* row = find_sysreg(id);
  if (row == nullptr || row->effect != SysregEffect::kDevice || row->offset >= 0) return false;
  if ((mode & kModeEl2) == 0) return (row->access & (read ? kEl1Read : kEl1Write)) != 0;
  const bool of_gic = (id >> 7 & 15) == 12;
  return of_gic && (row->access & (read ? kEl1Read | kEl2Read : kEl1Write | kEl2Write)) != 0;
}

Predecoded predecode_system(uint32_t word, PredecodeContext& context, Op& op) {
  const bool read = word >> 21 & 1, privileged = (context.mode & kModePrivileged) != 0;
  unsigned op0 = bits(word, 20, 19), op1 = bits(word, 18, 16), crn = bits(word, 15, 12),
           crm = bits(word, 11, 8), op2 = bits(word, 7, 5);
  op.word = word;
  if (op0 >= 2) {
    SysregId id = sysreg_id(op0, op1, crn, crm, op2);
    op.d = slot_zr_dest(bits(word, 4, 0));
    op.n = slot_zr(bits(word, 4, 0));
    op.fn = read ? read_handler(id, context.mode, op) : write_handler(id, context.mode);
    if (op.fn == op_system && reaches_device(id, read, context.mode)) op.fn = op_device_register;
    return Predecoded::kNext;
  }
  if (const Handler handler = flag_instruction(word, context.model)) {
    op.fn = handler;
    return Predecoded::kNext;
  }
  if (op0 == 0 && !read && op1 == 3 && bits(word, 4, 0) == 31) {
    if (crn == 2) return hint(word, op);
    if (crn == 3) return barrier(word, op);
    if (crn == 4 && privileged && (op2 == 6 || op2 == 7)) {  // DAIFSet, DAIFClr
      op.m = static_cast<uint8_t>(crm);
      op.fn = op2 == 6 ? op_daifset : op_daifclr;
      return Predecoded::kNext;
    }
  }
  if (op0 == 1 && !read && op1 == 3 && crn == 7 && crm == 4 && op2 == 1) {  // DC ZVA
    return predecode_memory(word, context, op);
  }
  op.fn = op_system;
  return Predecoded::kNext;
}

}  // namespace trapline::soft
