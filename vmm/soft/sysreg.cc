#include "vmm/soft/sysreg.h"

#include "vmm/memory/walk_inl.h"
#include "vmm/soft/el2.h"
#include "vmm/soft/nested_counter.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

// CNTKCTL_EL1, D17.11; CNTHCTL_EL2's under E2H.
enum Cntkctl : uint64_t { kEl0pcten = 1, kEl0vcten = 2, kEl0vten = 1 << 8, kEl0pten = 1 << 9 };

// ICH_HCR_EL2: traps of ICC_* and ICV_* alike.
enum IchHcr : uint64_t {
  kIchTc = 1 << 10,
  kIchTall0 = 1 << 11,
  kIchTall1 = 1 << 12,
  kIchTdir = 1 << 14
};

// EL0's gates. False: the access traps, to EL1 or to EL2 whose EL0 it is.
bool gate_open(const Cpu& cpu, SysregGate gate, bool read) {
  const uint64_t sctlr = cpu.sys.mmu.sctlr;
  const uint64_t cntkctl = host_el0(cpu) ? cpu.sys.el2.cnthctl : cpu.sys.cntkctl_el1;
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
    case SysregGate::kPmuEn:
      return (cpu.pmu.user & kPmuUserEn) != 0;
    case SysregGate::kPmuSw:
      return (cpu.pmu.user & (kPmuUserEn | kPmuUserSw)) != 0;
    case SysregGate::kPmuCr:
      return (cpu.pmu.user & (kPmuUserEn | (read ? kPmuUserCr : 0u))) != 0;
    case SysregGate::kPmuEr:
      return (cpu.pmu.user & (kPmuUserEn | (read ? kPmuUserEr : 0u))) != 0;
    case SysregGate::kPmuErBoth:
      return (cpu.pmu.user & (kPmuUserEn | kPmuUserEr)) != 0;
  }
  return true;
}

// What CNTHCTL_EL2 lets EL1 and EL0 do, in either layout.
bool counter_allowed(const Cpu& cpu) {
  return (cpu.sys.el2.cnthctl >> (has(cpu, kHcrE2h) ? 10 : 0) & 1) != 0;
}
bool timer_allowed(const Cpu& cpu) {
  return (cpu.sys.el2.cnthctl >> (has(cpu, kHcrE2h) ? 11 : 1) & 1) != 0;
}

bool is_trapped(const Cpu& cpu, SysregTrap trap, bool read) {
  const El2Registers& el2 = cpu.sys.el2;
  const auto debug = [&](Mdcr bit) {  // TGE counts as all of them (D17.3.17)
    return (el2.mdcr & (bit | kMdcrTde)) != 0 || has(cpu, kHcrTge);
  };
  const auto ich = [&](IchHcr bit) { return (el2.ich_hcr & bit) != 0; };
  switch (trap) {
    case SysregTrap::kVm:
      return has(cpu, read ? kHcrTrvm : kHcrTvm);
    case SysregTrap::kTid1:
      return read && has(cpu, kHcrTid1);
    case SysregTrap::kTid2:
      return has(cpu, kHcrTid2);
    case SysregTrap::kTid3:
      return read && has(cpu, kHcrTid3);
    case SysregTrap::kTacr:
      return has(cpu, kHcrTacr);
    case SysregTrap::kCpacr:
      return (el2.cptr >> 31 & 1) != 0;
    case SysregTrap::kDebug:
      return debug(kMdcrTda);
    case SysregTrap::kDebugRom:
      return debug(kMdcrTdra);
    case SysregTrap::kDebugOs:
      return debug(kMdcrTdosa);
    case SysregTrap::kPmu:
      return (el2.mdcr & kMdcrTpm) != 0;
    case SysregTrap::kPmcr:
      return (el2.mdcr & (kMdcrTpm | kMdcrTpmcr)) != 0;
    case SysregTrap::kCounter:
      return !counter_allowed(cpu);
    case SysregTrap::kTimer:
      return !timer_allowed(cpu);
    case SysregTrap::kSre:
      return (el2.icc_sre & 8) == 0;
    case SysregTrap::kSgi:
      return has(cpu, kHcrImo) || has(cpu, kHcrFmo) || ich(kIchTc);
    case SysregTrap::kGroup0:
      return ich(kIchTall0);
    case SysregTrap::kGroup1:
      return ich(kIchTall1);
    case SysregTrap::kDir:
      return ich(kIchTc) || ich(kIchTdir);
    case SysregTrap::kEither:
      return ich(kIchTc);
    case SysregTrap::kNone:
      return false;
  }
  return false;
}

// An ICC_* access that is the virtual CPU interface's.
bool is_virtual(const Cpu& cpu, SysregTrap trap) {
  switch (trap) {
    case SysregTrap::kGroup0:
      return has(cpu, kHcrFmo);
    case SysregTrap::kGroup1:
      return has(cpu, kHcrImo);
    case SysregTrap::kEither:
    case SysregTrap::kDir:
      return has(cpu, kHcrImo) || has(cpu, kHcrFmo);
    default:
      return false;
  }
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
      update_regime(cpu);
      return Next::kResync;
    case SysregEffect::kDebug:
      debug_context_changed(cpu);
      return Next::kResync;
  }
  return Next::kContinue;
}

Next exit_to_device(Cpu& cpu, uint32_t word, const SystemWord& w, SysregId id) {
  Exit& exit = cpu.exit;
  exit = Exit{};
  exit.kind = ExitKind::kSysreg;
  exit.vcpu = static_cast<uint8_t>(cpu.index);
  exit.valid_mask = Exit::kEsr;
  exit.esr = make_esr(Ec::kSysreg, sysreg_iss(word));
  exit.pc = cpu.pc;
  exit.sysreg = id;
  exit.sysreg_rt = w.rt;
  exit.sysreg_write = !w.read;
  exit.sysreg_value = w.read ? 0 : cpu.r.x[w.rt];
  return Next::kExit;
}

// What of a row's access the present EL needs.
bool row_allows(const Cpu& cpu, const SysregRow& row, bool read) {
  uint8_t needed;
  switch (cpu.ps.el) {
    case 0:
      needed = read ? kEl0Read : kEl0Write;
      break;
    case 1:
      needed = read ? kEl1Read : kEl1Write;
      break;
    default:
      needed = read ? kEl1Read | kEl2Read : kEl1Write | kEl2Write;
      break;
  }
  return (row.access & needed) != 0 && (cpu.has_vhe || (row.access & kNeedsVhe) == 0) &&
         (cpu.model >= CpuModel::kMax || (row.access & kNeedsMax) == 0);
}

// No row: the identification space reads as zero, the implementation-defined one traps by TIDCP.
Next execute_unknown(Cpu& cpu, uint32_t word, const SystemWord& w, SysregId id) {
  if (under_hypervisor(cpu)) {
    const bool implementation_defined = w.op0 == 3 && (w.crn == 11 || w.crn == 15);
    if (cpu.ps.el == 1 && implementation_defined && has(cpu, kHcrTidcp))
      return trap_to_el2(cpu, word);
    if (cpu.ps.el == 1 && in_id_space(id) && w.read && has(cpu, kHcrTid3))
      return trap_to_el2(cpu, word);
  }
  if (in_id_space(id) && w.read && cpu.ps.el != 0) {
    if (w.rt != 31) cpu.r.x[w.rt] = 0;
    return Next::kContinue;
  }
  return undefined(cpu);
}

Next execute_register(Cpu& cpu, uint32_t word, const SystemWord& w) {
  SysregId id = w.id(), meant = id;
  if (cpu.has_el2) [[unlikely]] {
    if (cpu.ledger != nullptr && cpu.ps.el == 2) cpu.ledger->access(id, !w.read);
    constexpr SysregId kRvbarEl1 = sysreg_id(3, 0, 12, 0, 1);
    meant = canonical_sysreg(cpu, id);
    if (meant == 0 || meant == kRvbarEl1) return undefined(cpu);
    if (cpu.ps.el != 0) id = meant;  // EL0 has the rights that the name gives, CNTP_* and CNTV_*
  }
  const SysregRow* row = find_sysreg(id);
  if (row == nullptr) return execute_unknown(cpu, word, w, id);
  const bool el0 = cpu.ps.el == 0;
  if (!row_allows(cpu, *row, w.read)) return undefined(cpu);
  if (el0 && !gate_open(cpu, row->gate, w.read)) return trap_system(cpu, word);
  if (row->gate == SysregGate::kFpen && fp_trap_el(cpu) != 0) {
    take_fp_trap(cpu);
    return Next::kJump;
  }
  if (under_hypervisor(cpu)) [[unlikely]] {
    if (is_trapped(cpu, row->trap, w.read)) return trap_to_el2(cpu, word);
    if (is_virtual(cpu, row->trap)) return exit_to_device(cpu, word, w, icv_id(id));
  } else if (cpu.ps.el == 0 && host_el0(cpu)) {  // MDCR_EL2's are in force there, too
    const bool by_mdcr = row->trap == SysregTrap::kDebug || row->trap == SysregTrap::kPmu ||
                         row->trap == SysregTrap::kPmcr;
    if (by_mdcr && is_trapped(cpu, row->trap, w.read)) return trap_to_el2(cpu, word);
  }
  // Of the two registers that have storage here as well, ICH_HCR_EL2 counts on its own.
  constexpr SysregId kIchHcr = sysreg_id(3, 4, 12, 11, 0);
  if (row->effect == SysregEffect::kDevice && (row->offset < 0 || !w.read || id == kIchHcr)) {
    if (row->offset >= 0 && !w.read) set_sysreg_value(cpu, *row, cpu.r.x[w.rt]);
    return exit_to_device(cpu, word, w, meant);
  }
  // SP_EL0 is UNDEFINED while it is the current stack pointer.
  if (row->id == sysreg_id(3, 0, 4, 1, 0) && cpu.ps.sp_sel == 0) return undefined(cpu);

  if (row->trap == SysregTrap::kPmu || row->trap == SysregTrap::kPmcr) pmu_sync(cpu);
  if (w.read) {
    const uint64_t value = sysreg_value(cpu, *row);
    const bool counter = row->gate == SysregGate::kPct || row->gate == SysregGate::kVct;
    // With EL2 the virtual count has an offset, and may be earlier than its interrupt.
    if (counter && !cpu.has_el2 && timer_is_due(cpu, value))
      return exit_to_device(cpu, word, w, id);
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
    // DSB, DMB, ISB; SB is the engine's.
    return w.op2 == 2 || (w.op2 >= 4 && w.op2 <= 6) ? Next::kContinue : undefined(cpu);
  }
  if (w.crn != 4) return undefined(cpu);
  switch (w.op1 << 3 | w.op2) {
    case 0 << 3 | 5:  // SPSel
      if (cpu.ps.el == 0) return undefined(cpu);
      set_el_and_spsel(cpu, cpu.ps.el, w.crm & 1);
      return Next::kContinue;
    case 0 << 3 | 4:  // PAN
      if (cpu.ps.el == 0) return undefined(cpu);
      cpu.ps.pan = cpu.sys.mmu.pan = (w.crm & 1) != 0;
      translation_context_changed(cpu);
      return Next::kResync;
    case 3 << 3 | 2:  // DIT
      if (cpu.model < CpuModel::kMax) return undefined(cpu);
      cpu.ps.dit = (w.crm & 1) != 0;
      return Next::kContinue;
    case 3 << 3 | 6:  // DAIFSet
    case 3 << 3 | 7:  // DAIFClr
      if (cpu.ps.el == 0 && !gate_open(cpu, SysregGate::kUma, false)) return trap_system(cpu, word);
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
