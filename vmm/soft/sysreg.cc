#include "vmm/soft/sysreg.h"

#include "vmm/memory/walk_inl.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

// CNTKCTL_EL1, D17.11.
enum Cntkctl : uint64_t { kEl0pcten = 1, kEl0vcten = 2, kEl0vten = 1 << 8, kEl0pten = 1 << 9 };

// EL0's gates. False: the access traps to EL1.
bool gate_open(const Cpu& cpu, SysregGate gate) {
  const uint64_t sctlr = cpu.sys.mmu.sctlr;
  const uint64_t cntkctl = cpu.sys.cntkctl_el1;
  switch (gate) {
    case SysregGate::kNone:
    case SysregGate::kFpen:
      return true;
    case SysregGate::kUct:
      return (sctlr & kSctlrUct) != 0;
    case SysregGate::kUma:
      return (sctlr & kSctlrUma) != 0;
    case SysregGate::kTdcc:
      return (cpu.sys.mdscr_el1 & kMdscrTdcc) == 0;
    case SysregGate::kPct:
      return (cntkctl & kEl0pcten) != 0;
    case SysregGate::kVct:
      return (cntkctl & kEl0vcten) != 0;
    case SysregGate::kFrq:
      return (cntkctl & (kEl0pcten | kEl0vcten)) != 0;
    case SysregGate::kPtimer:
      return (cntkctl & kEl0pten) != 0;
    case SysregGate::kVtimer:
      return (cntkctl & kEl0vten) != 0;
  }
  return true;
}

// CPACR_EL1.FPEN: x0 traps everything, 01 traps EL0.
bool fp_enabled(const Cpu& cpu) {
  const unsigned fpen = cpu.sys.cpacr_el1 >> 20 & 3;
  return cpu.ps.el == 0 ? fpen == 3 : (fpen & 1) != 0;
}

Next after_write(Cpu& cpu, SysregEffect effect) {
  switch (effect) {
    case SysregEffect::kNone:
    case SysregEffect::kDevice:
      return Next::kContinue;
    case SysregEffect::kNewBlock:
      // PSTATE.D may have changed: it masks breakpoints, watchpoints and steps.
      if ((cpu.sys.mdscr_el1 & (kMdscrSs | kMdscrMde)) != 0) debug_context_changed(cpu);
      return Next::kResync;
    case SysregEffect::kTranslation:
      translation_context_changed(cpu);
      return Next::kResync;
    case SysregEffect::kDebug:
      debug_context_changed(cpu);
      return Next::kResync;
  }
  return Next::kContinue;
}

Next exit_to_device(Cpu& cpu, uint32_t word, const SystemWord& w) {
  Exit& exit = cpu.exit;
  exit = Exit{};
  exit.kind = ExitKind::kSysreg;
  exit.vcpu = static_cast<uint8_t>(cpu.index);
  exit.valid_mask = Exit::kEsr;
  exit.esr = make_esr(Ec::kSysreg, sysreg_iss(word));
  exit.pc = cpu.pc;
  exit.sysreg = w.id();
  exit.sysreg_rt = w.rt;
  exit.sysreg_write = !w.read;
  exit.sysreg_value = w.read ? 0 : cpu.r.x[w.rt];
  return Next::kExit;
}

Next execute_register(Cpu& cpu, uint32_t word, const SystemWord& w) {
  const SysregRow* row = find_sysreg(w.id());
  if (row == nullptr) {
    if (in_id_space(w.id()) && w.read && cpu.ps.el == 1) {
      if (w.rt != 31) cpu.r.x[w.rt] = 0;
      return Next::kContinue;
    }
    return undefined(cpu);
  }
  const bool el0 = cpu.ps.el == 0;
  const uint8_t needed = el0 ? (w.read ? kEl0Read : kEl0Write) : (w.read ? kEl1Read : kEl1Write);
  if ((row->access & needed) == 0) return undefined(cpu);
  if (el0 && !gate_open(cpu, row->gate)) return trap_system(cpu, word);
  if (row->gate == SysregGate::kFpen && !fp_enabled(cpu)) {
    take_sync(cpu, Ec::kFpAccess, 1u << 24 | 0xeu << 20, cpu.pc);  // CV, COND = AL
    return Next::kJump;
  }
  if (row->effect == SysregEffect::kDevice) return exit_to_device(cpu, word, w);
  // SP_EL0 is UNDEFINED while it is the current stack pointer.
  if (row->id == sysreg_id(3, 0, 4, 1, 0) && cpu.ps.sp_sel == 0) return undefined(cpu);

  if (w.read) {
    const uint64_t value = sysreg_value(cpu, *row);
    const bool counter = row->gate == SysregGate::kPct || row->gate == SysregGate::kVct;
    if (counter && timer_is_due(cpu, value)) return exit_to_device(cpu, word, w);
    if (w.rt != 31) cpu.r.x[w.rt] = value;
    return Next::kContinue;
  }
  set_sysreg_value(cpu, *row, cpu.r.x[w.rt]);
  return after_write(cpu, row->effect);
}

// op0 == 0: MSR (immediate), hints, barriers. C5.1.
Next execute_op0_zero(Cpu& cpu, uint32_t word, const SystemWord& w) {
  if (w.read || w.rt != 31) return undefined(cpu);
  if (w.op1 == 3 && w.crn == 2) return Next::kContinue;  // hints: the engine does those that act
  if (w.op1 == 3 && w.crn == 3) {
    if (w.op2 == 2) cpu.monitor.valid = false;  // CLREX
    // DSB, DMB, ISB; op2 7 is SB, which is not shown.
    return w.op2 == 2 || (w.op2 >= 4 && w.op2 <= 6) ? Next::kContinue : undefined(cpu);
  }
  if (w.crn != 4) return undefined(cpu);
  switch (w.op1 << 3 | w.op2) {
    case 0 << 3 | 5:  // SPSel
      if (cpu.ps.el == 0) return undefined(cpu);
      set_el_and_spsel(cpu, 1, w.crm & 1);
      return Next::kContinue;
    case 0 << 3 | 4:  // PAN
      if (cpu.ps.el == 0) return undefined(cpu);
      cpu.ps.pan = cpu.sys.mmu.pan = (w.crm & 1) != 0;
      return after_write(cpu, SysregEffect::kTranslation);
    case 3 << 3 | 6:  // DAIFSet
    case 3 << 3 | 7:  // DAIFClr
      if (cpu.ps.el == 0 && !gate_open(cpu, SysregGate::kUma)) return trap_system(cpu, word);
      if (w.op2 == 6) {
        cpu.ps.daif |= w.crm;
      } else {
        cpu.ps.daif &= static_cast<uint8_t>(~w.crm);
      }
      return after_write(cpu, SysregEffect::kNewBlock);
    default:
      return undefined(cpu);
  }
}

}  // namespace

// What execute_sys() did, for whoever records it: TLBI is CRn 8; IC is CRm 1 and 5 of CRn 7.
static Next log_maintenance(Cpu& cpu, const SystemWord& w, Next next) {
  if (cpu.maintenance_log == nullptr || next == Next::kJump) return next;
  if (w.crn == 8 || (w.crn == 7 && (w.crm == 1 || w.crm == 5))) {
    cpu.maintenance_log->note(sysreg_id(1, w.op1, w.crn, w.crm, w.op2), cpu.r.x[w.rt]);
  }
  return next;
}

Next execute_system(Cpu& cpu, uint32_t word) {
  const SystemWord w = SystemWord::from(word);
  switch (w.op0) {
    case 0:
      return execute_op0_zero(cpu, word, w);
    case 1:
      return log_maintenance(cpu, w, execute_sys(cpu, word, w));
    default:
      return execute_register(cpu, word, w);
  }
}

bool read_sysreg_raw(const Cpu& cpu, SysregId id, uint64_t& value) {
  const SysregRow* row = find_sysreg(id);
  if (row == nullptr || row->effect == SysregEffect::kDevice) {
    value = 0;
    return row == nullptr && in_id_space(id);
  }
  value = sysreg_value(cpu, *row);
  return true;
}

}  // namespace trapline::soft
