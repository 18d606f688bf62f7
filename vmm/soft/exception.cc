#include "vmm/soft/exception.h"

#include <algorithm>

#include "vmm/memory/walk_inl.h"
#include "vmm/soft/el2.h"
#include "vmm/soft/nested_counter.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

// SPSR_EL1 for AArch64 state, D17.2.123.
constexpr uint64_t kSpsrPan = uint64_t{1} << 22;
constexpr uint64_t kSpsrSs = uint64_t{1} << 21;
constexpr uint64_t kSpsrIl = uint64_t{1} << 20;
constexpr unsigned kSpsrDaifShift = 6;
constexpr uint64_t kNzcv = 0xf000'0000;
// PSTATE.M: EL in bits 3:2, SPSel in bit 0.
enum Mode : uint64_t { kEl0t = 0, kModeMask = 0x1f };

uint64_t& stacked_sp(Cpu& cpu, unsigned el, unsigned sp_sel) {
  if (el == 0 || sp_sel == 0) return cpu.sys.sp_el0;
  return el == 1 ? cpu.sys.sp_el1 : cpu.sys.el2.sp;
}

void restore_dit(Cpu& cpu, uint64_t spsr) {
  cpu.ps.dit = cpu.model >= CpuModel::kMax && (spsr & kPstateDit) != 0;
}

// What depends on EL, PAN and the debug masks has to hear of a change.
void set_pstate_context(Cpu& cpu, unsigned el, unsigned sp_sel, bool pan) {
  const bool changed = cpu.ps.el != el || cpu.ps.pan != pan;
  if (cpu.pmu.active) [[unlikely]]
    pmu_sync(cpu);
  cpu.ps.pan = pan;
  cpu.sys.mmu.pan = pan;
  if (cpu.ps.el != el || cpu.ps.sp_sel != sp_sel) {
    stacked_sp(cpu, cpu.ps.el, cpu.ps.sp_sel) = cpu.r.x[kSlotSp];
    cpu.ps.el = static_cast<uint8_t>(el);
    cpu.ps.sp_sel = static_cast<uint8_t>(sp_sel);
    cpu.sys.mmu.el = static_cast<uint8_t>(el);
    cpu.r.x[kSlotSp] = stacked_sp(cpu, el, sp_sel);
  }
  if (cpu.pmu.active) [[unlikely]]
    pmu_changed(cpu);
  if (changed) {
    if (cpu.has_el2) {
      update_regime(cpu);
    } else {
      translation_context_changed(cpu);
    }
  }
  if ((cpu.sys.mdscr_el1 & (kMdscrSs | kMdscrMde)) != 0) debug_context_changed(cpu);
}

// PAN after an exception to `el`: set unless SCTLR_ELx.SPAN says to leave it, D8.4.
bool pan_at(const Cpu& cpu, unsigned el) {
  if (el == 1) return cpu.ps.pan || (cpu.sys.el1.sctlr & kSctlrSpan) == 0;
  return cpu.ps.pan || (host_el0(cpu) && (cpu.sys.el2.sctlr & kSctlrSpan) == 0);
}

// AArch64.TakeException (J1.3.1).
void enter(Cpu& cpu, VectorKind kind, uint64_t return_pc, unsigned el) {
  if (cpu.pmu.active) [[unlikely]]
    pmu_event(cpu, kPmuExcTaken);
  const uint64_t spsr = pstate_to_spsr(cpu);
  uint64_t vectors;
  if (el == 1) {
    cpu.sys.spsr_el1 = spsr;
    cpu.sys.elr_el1 = return_pc;
    vectors = cpu.sys.vbar_el1;
  } else {
    cpu.sys.el2.spsr = spsr;
    cpu.sys.el2.elr = return_pc;
    vectors = cpu.sys.el2.vbar;
  }
  uint64_t offset = static_cast<uint16_t>(kind);
  if (cpu.ps.el < el) {
    offset += 0x400;
  } else if (cpu.ps.sp_sel == 1) {
    offset += 0x200;
  }
  cpu.ps.daif = 0xf;
  cpu.ps.il = false;
  cpu.ps.ss = cpu.ps.stepped = false;
  set_pstate_context(cpu, el, 1, pan_at(cpu, el));
  cpu.pc = (vectors & ~uint64_t{0x7ff}) + offset;
}

bool is_debug_exception(Ec ec) {
  switch (ec) {
    case Ec::kBreakpointLower:
    case Ec::kStepLower:
    case Ec::kWatchpointLower:
    case Ec::kBrk:
      return true;
    default:
      return false;
  }
}

// Where a synchronous exception goes that no trap sends elsewhere, D1.3.6.
unsigned target_of(const Cpu& cpu, Ec ec) {
  if (!cpu.has_el2) return 1;
  if (cpu.ps.el == 2 || (cpu.ps.el == 0 && has(cpu, kHcrTge))) return 2;
  return is_debug_exception(ec) && debug_is_routed_to_el2(cpu) ? 2 : 1;
}

void take_sync_to(Cpu& cpu, unsigned el, Ec ec, uint32_t iss, uint64_t return_pc) {
  // Consecutive exceptions between which nothing retires: a guest whose vectors fault (kCrashed).
  if (cpu.retired != cpu.retired_at_exception) {
    cpu.retired_at_exception = cpu.retired;
    cpu.futile_exceptions = 0;
  }
  ++cpu.futile_exceptions;
  if (cpu.ledger != nullptr && el == 2) [[unlikely]] {
    cpu.ledger->exception(VectorKind::kSync, ec, iss, return_pc);
  }
  // SVC completes before its exception is taken (AArch64.CallSupervisor calls SSAdvance).
  if (ec == Ec::kSvc64) step_advance(cpu);
  switch (ec) {
    case Ec::kInstAbortLower:
    case Ec::kDataAbortLower:
    case Ec::kBreakpointLower:
    case Ec::kStepLower:
    case Ec::kWatchpointLower:
      if (cpu.ps.el == el) ec = static_cast<Ec>(static_cast<uint8_t>(ec) + 1);
      break;
    default:
      break;
  }
  (el == 1 ? cpu.sys.esr_el1 : cpu.sys.el2.esr) = make_esr(ec, iss);
  enter(cpu, VectorKind::kSync, return_pc, el);
}

}  // namespace

void set_el_and_spsel(Cpu& cpu, unsigned el, unsigned sp_sel) {
  set_pstate_context(cpu, el, sp_sel, cpu.ps.pan);
}

uint64_t pstate_to_spsr(const Cpu& cpu) {
  uint64_t spsr = cpu.nzcv & kNzcv;
  if (cpu.ps.dit) spsr |= kPstateDit;
  if (cpu.ps.pan) spsr |= kSpsrPan;
  if (cpu.ps.ss) spsr |= kSpsrSs;
  if (cpu.ps.il) spsr |= kSpsrIl;
  spsr |= uint64_t{cpu.ps.daif} << kSpsrDaifShift;
  spsr |= cpu.ps.el == 0 ? kEl0t : uint64_t{cpu.ps.el} << 2 | cpu.ps.sp_sel;
  return spsr;
}

void spsr_to_pstate(Cpu& cpu, uint64_t spsr) {
  cpu.nzcv = static_cast<uint32_t>(spsr & kNzcv);
  restore_dit(cpu, spsr);
  cpu.ps.ss = (spsr & kSpsrSs) != 0;
  cpu.ps.il = (spsr & kSpsrIl) != 0;
  cpu.ps.daif = spsr >> kSpsrDaifShift & 0xf;
  const unsigned highest = cpu.has_el2 ? 2 : 1;
  const unsigned el = std::min<unsigned>(spsr >> 2 & 3, highest);
  set_pstate_context(cpu, el, el == 0 ? 0 : spsr & 1, (spsr & kSpsrPan) != 0);
}

void take_sync(Cpu& cpu, Ec ec, uint32_t iss, uint64_t return_pc) {
  take_sync_to(cpu, target_of(cpu, ec), ec, iss, return_pc);
}

void trap_to_el2(Cpu& cpu, Ec ec, uint32_t iss, uint64_t return_pc) {
  take_sync_to(cpu, 2, ec, iss, return_pc);
}

void take_abort(Cpu& cpu, Ec ec, uint32_t iss, uint64_t far, uint64_t return_pc) {
  const unsigned el = target_of(cpu, ec);
  (el == 1 ? cpu.sys.far_el1 : cpu.sys.el2.far) = far;
  take_sync_to(cpu, el, ec, iss, return_pc);
}

void take_stage2_abort(Cpu& cpu, Ec ec, uint32_t iss, uint64_t far, const MmuResult& fault,
                       uint64_t return_pc) {
  cpu.sys.el2.far = far;
  // FIPA is IPA[47:12] from bit 4 on; after a plain permission fault it is UNKNOWN: as it was.
  if (fault.ipa_valid) cpu.sys.el2.hpfar = fault.ipa >> kPageLog2 << 4;
  take_sync_to(cpu, 2, ec, iss | (fault.s1ptw ? uint32_t{iss::kS1ptw} : 0) | fault.fsc, return_pc);
}

void take_interrupt(Cpu& cpu, VectorKind kind, unsigned el) {
  if (cpu.ledger != nullptr && el == 2) [[unlikely]] {
    cpu.ledger->exception(kind, Ec::kUnknown, 0, cpu.pc);
  }
  enter(cpu, kind, cpu.pc, el);
}

void take_virtual_serror(Cpu& cpu) {
  constexpr auto kSError = static_cast<Ec>(0x2f);
  cpu.sys.el2.hcr &= ~uint64_t{kHcrVse};
  cpu.sys.esr_el1 = make_esr(kSError, 0);
  enter(cpu, VectorKind::kSError, cpu.pc, 1);
}

void take_fp_trap(Cpu& cpu) {
  constexpr uint32_t kIss = 1u << 24 | 0xeu << 20;  // CV, COND = AL
  if (fp_trap_el(cpu) == 2) {
    // CPACR_EL1's under TGE, which has no EL1 to go to: AArch64.AdvSIMDFPAccessTrap.
    const bool of_el1 =
        has(cpu, kHcrTge) && cpu.ps.el == 0 && !host_el0(cpu) && (cpu.sys.cpacr_el1 >> 20 & 3) != 3;
    trap_to_el2(cpu, of_el1 ? Ec::kUnknown : Ec::kFpAccess, of_el1 ? 0 : kIss, cpu.pc);
  } else {
    take_sync(cpu, Ec::kFpAccess, kIss, cpu.pc);
  }
}

// D1.3.6, "Asynchronous exception routing": what goes to a higher EL no mask of this one holds
// back, what would go to a lower one waits. The host's EL0 has its masks, as EL0 under EL1.
void update_interrupts(Cpu& cpu) {
  const bool el2 = cpu.ps.el == 2, tge = has(cpu, kHcrTge), host = !el2 && host_el0(cpu);
  const bool irq_to_el2 = tge || has(cpu, kHcrImo), fiq_to_el2 = tge || has(cpu, kHcrFmo);
  const bool virtual_irq = !el2 && !tge && has(cpu, kHcrImo);
  const bool virtual_fiq = !el2 && !tge && has(cpu, kHcrFmo);
  const bool virtual_serror = !el2 && !tge && has(cpu, kHcrAmo) && has(cpu, kHcrVse);
  constexpr uint32_t kVirqs = Cpu::kVirq | Cpu::kSetVirq, kVfiqs = Cpu::kVfiq | Cpu::kSetVfiq;
  for (unsigned masks = 0; masks < 8; ++masks) {
    const bool irq_masked = (masks & 2) != 0, fiq_masked = (masks & 1) != 0;
    uint32_t bits = 0;
    const bool irq_free = irq_to_el2 && !host, fiq_free = fiq_to_el2 && !host;
    if (el2 ? irq_to_el2 && !irq_masked : irq_free || !irq_masked) bits |= Cpu::kIrq;
    if (el2 ? fiq_to_el2 && !fiq_masked : fiq_free || !fiq_masked) bits |= Cpu::kFiq;
    if (virtual_irq && !irq_masked) bits |= kVirqs;
    if (virtual_fiq && !fiq_masked) bits |= kVfiqs;
    if (virtual_serror && (masks & 4) == 0) bits |= Cpu::kSetVserror;
    cpu.interrupt_bits[masks] = bits;
  }
  cpu.wake_bits = Cpu::kIrq | Cpu::kFiq | (virtual_irq ? kVirqs : 0) | (virtual_fiq ? kVfiqs : 0);
  uint32_t set = 0;
  if (has(cpu, kHcrVi)) set |= Cpu::kSetVirq;
  if (has(cpu, kHcrVf)) set |= Cpu::kSetVfiq;
  if (virtual_serror) set |= Cpu::kSetVserror;
  constexpr uint32_t kAll = Cpu::kSetVirq | Cpu::kSetVfiq | Cpu::kSetVserror;
  const uint32_t now = cpu.attention.load(std::memory_order_relaxed) & kAll;
  if ((set & ~now) != 0) cpu.attention.fetch_or(set, std::memory_order_seq_cst);
  if ((now & ~set) != 0) cpu.attention.fetch_and(~(now & ~set), std::memory_order_seq_cst);
}

void take_software_step(Cpu& cpu, bool exclusive) {
  // D17.2.37 "Software Step exception": ISV, EX, IFSC = debug exception. ISV = 0 if the exception
  // return made the step pending, with nothing stepped. A monitor that is set was set by the
  // stepped instruction, since the return before it cleared it.
  const bool stepped = cpu.ps.stepped;
  const bool ex = stepped && (exclusive || cpu.monitor.valid);
  const uint32_t iss = (stepped ? 1u << 24 : 0) | (ex ? 1u << 6 : 0) | kFscDebug;
  take_sync(cpu, Ec::kStepLower, iss, cpu.pc);
}

namespace {

// ELStateUsingAArch32K and friends have nothing to say here: M[4] set is illegal, as is a level
// that is not there, a higher one, and EL1 under TGE (IllegalExceptionReturn).
bool illegal_return(const Cpu& cpu, uint64_t mode) {
  const unsigned el = mode >> 2 & 3;
  if ((mode & 0x12) != 0 || el > cpu.ps.el) return true;
  if (el == 0) return (mode & 1) != 0;
  return el == 1 && cpu.ps.el == 2 && has(cpu, kHcrTge);
}

}  // namespace

// AArch64.ExceptionReturn, SetPSTATEFromPSR and IllegalExceptionReturn (J1.3.1, J1.3.3).
void exception_return(Cpu& cpu) {
  if (cpu.pmu.active) [[unlikely]]
    pmu_event(cpu, kPmuExcReturn);
  const uint64_t spsr = cpu.ps.el == 2 ? cpu.sys.el2.spsr : cpu.sys.spsr_el1;
  const uint64_t target = cpu.ps.el == 2 ? cpu.sys.el2.elr : cpu.sys.elr_el1;
  const bool from_el2 = cpu.ps.el == 2;
  const uint64_t mode = spsr & kModeMask;
  const bool illegal = illegal_return(cpu, mode);
  const unsigned el = illegal ? cpu.ps.el : mode >> 2;
  const unsigned sp_sel = illegal ? cpu.ps.sp_sel : mode & 1;

  // DebugExceptionReturnSS: SPSR.SS counts only when the return enables debug exceptions.
  bool ss = false;
  if ((cpu.sys.mdscr_el1 & kMdscrSs) != 0 && !debug_exceptions_enabled(cpu) &&
      debug_exceptions_enabled_from(cpu, el, (spsr >> 9 & 1) != 0)) {
    ss = (spsr & kSpsrSs) != 0;
  }
  cpu.nzcv = static_cast<uint32_t>(spsr & kNzcv);
  cpu.ps.daif = spsr >> kSpsrDaifShift & 0xf;
  restore_dit(cpu, spsr);
  cpu.ps.il = illegal || (spsr & kSpsrIl) != 0;
  cpu.ps.ss = ss;
  cpu.ps.stepped = false;
  cpu.monitor.valid = false;
  cpu.event = true;
  // An illegal return restores PAN like NZCV and DAIF, but not EL and SP.
  set_pstate_context(cpu, el, sp_sel, (spsr & kSpsrPan) != 0);
  cpu.pc = strip_tag(cpu.sys.mmu, target);  // AArch64.BranchAddr
  if (cpu.ledger != nullptr && from_el2) [[unlikely]] {
    cpu.ledger->eret(cpu.pc);
  }
}

void deliver(Cpu& cpu, const GuestFault& fault, uint64_t pc) {
  const auto ec = static_cast<Ec>(fault.ec);
  switch (ec) {
    case Ec::kDataAbortLower:
    case Ec::kDataAbortSame:
    case Ec::kInstAbortLower: {
      const Ec lower = ec == Ec::kInstAbortLower ? ec : Ec::kDataAbortLower;
      const uint32_t iss = fault.iss | (fault.write ? iss::kWnr : 0);
      if (fault.route == GuestFault::Route::kStage2) {
        MmuResult result;
        result.fsc = fault.fsc;
        result.s1ptw = fault.s1ptw;
        result.ipa = fault.ipa;
        result.ipa_valid = fault.ipa_valid;
        take_stage2_abort(cpu, lower, iss, fault.far, result, pc);
      } else {
        take_abort(cpu, lower, iss | fault.fsc, fault.far, pc);
      }
      return;
    }
    default:
      take_sync(cpu, ec, fault.iss, pc);
  }
}

}  // namespace trapline::soft
