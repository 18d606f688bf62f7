#include "vmm/soft/exception.h"

#include "vmm/memory/walk_inl.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

// SPSR_EL1 for AArch64 state, D17.2.123.
constexpr uint64_t kSpsrPan = uint64_t{1} << 22;
constexpr uint64_t kSpsrSs = uint64_t{1} << 21;
constexpr uint64_t kSpsrIl = uint64_t{1} << 20;
constexpr unsigned kSpsrDaifShift = 6;
constexpr uint64_t kNzcv = 0xf000'0000;
enum Mode : uint64_t { kEl0t = 0, kEl1t = 4, kEl1h = 5, kModeMask = 0x1f };

uint64_t& stacked_sp(Cpu& cpu, unsigned el, unsigned sp_sel) {
  return el == 0 || sp_sel == 0 ? cpu.sys.sp_el0 : cpu.sys.sp_el1;
}

// What depends on EL, PAN and the debug masks has to hear of a change.
void set_pstate_context(Cpu& cpu, unsigned el, unsigned sp_sel, bool pan) {
  const bool changed = cpu.ps.el != el || cpu.ps.pan != pan;
  cpu.ps.pan = pan;
  cpu.sys.mmu.pan = pan;
  if (cpu.ps.el != el || cpu.ps.sp_sel != sp_sel) {
    stacked_sp(cpu, cpu.ps.el, cpu.ps.sp_sel) = cpu.r.x[kSlotSp];
    cpu.ps.el = static_cast<uint8_t>(el);
    cpu.ps.sp_sel = static_cast<uint8_t>(sp_sel);
    cpu.sys.mmu.el = static_cast<uint8_t>(el);
    cpu.r.x[kSlotSp] = stacked_sp(cpu, el, sp_sel);
  }
  if (changed) translation_context_changed(cpu);
  if ((cpu.sys.mdscr_el1 & (kMdscrSs | kMdscrMde)) != 0) debug_context_changed(cpu);
}

// AArch64.TakeException (J1.3.1), to EL1.
void enter(Cpu& cpu, VectorKind kind, uint64_t return_pc) {
  cpu.sys.spsr_el1 = pstate_to_spsr(cpu);
  cpu.sys.elr_el1 = return_pc;
  uint64_t offset = static_cast<uint16_t>(kind);
  if (cpu.ps.el == 0) {
    offset += 0x400;
  } else if (cpu.ps.sp_sel == 1) {
    offset += 0x200;
  }
  cpu.ps.daif = 0xf;
  cpu.ps.il = false;
  cpu.ps.ss = cpu.ps.stepped = false;
  const bool pan = cpu.ps.pan || (cpu.sys.mmu.sctlr & kSctlrSpan) == 0;
  set_pstate_context(cpu, 1, 1, pan);
  cpu.pc = (cpu.sys.vbar_el1 & ~uint64_t{0x7ff}) + offset;
}

}  // namespace

void set_el_and_spsel(Cpu& cpu, unsigned el, unsigned sp_sel) {
  set_pstate_context(cpu, el, sp_sel, cpu.ps.pan);
}

uint64_t pstate_to_spsr(const Cpu& cpu) {
  uint64_t spsr = cpu.nzcv & kNzcv;
  if (cpu.ps.pan) spsr |= kSpsrPan;
  if (cpu.ps.ss) spsr |= kSpsrSs;
  if (cpu.ps.il) spsr |= kSpsrIl;
  spsr |= uint64_t{cpu.ps.daif} << kSpsrDaifShift;
  spsr |= cpu.ps.el == 0 ? kEl0t : cpu.ps.sp_sel == 0 ? kEl1t : kEl1h;
  return spsr;
}

void spsr_to_pstate(Cpu& cpu, uint64_t spsr) {
  cpu.nzcv = static_cast<uint32_t>(spsr & kNzcv);
  cpu.ps.ss = (spsr & kSpsrSs) != 0;
  cpu.ps.il = (spsr & kSpsrIl) != 0;
  cpu.ps.daif = spsr >> kSpsrDaifShift & 0xf;
  const unsigned el = (spsr & kModeMask) == kEl0t ? 0 : 1;
  set_pstate_context(cpu, el, (spsr & kModeMask) == kEl1h ? 1 : 0, (spsr & kSpsrPan) != 0);
}

void take_sync(Cpu& cpu, Ec ec, uint32_t iss, uint64_t return_pc) {
  // Consecutive exceptions between which nothing retires: a guest whose vectors fault (kCrashed).
  if (cpu.retired != cpu.retired_at_exception) {
    cpu.retired_at_exception = cpu.retired;
    cpu.futile_exceptions = 0;
  }
  ++cpu.futile_exceptions;
  // SVC completes before its exception is taken (AArch64.CallSupervisor calls SSAdvance).
  if (ec == Ec::kSvc64) step_advance(cpu);
  switch (ec) {
    case Ec::kInstAbortLower:
    case Ec::kDataAbortLower:
    case Ec::kBreakpointLower:
    case Ec::kStepLower:
    case Ec::kWatchpointLower:
      if (cpu.ps.el == 1) ec = static_cast<Ec>(static_cast<uint8_t>(ec) + 1);
      break;
    default:
      break;
  }
  cpu.sys.esr_el1 = make_esr(ec, iss);
  enter(cpu, VectorKind::kSync, return_pc);
}

void take_abort(Cpu& cpu, Ec ec, uint32_t iss, uint64_t far, uint64_t return_pc) {
  cpu.sys.far_el1 = far;
  take_sync(cpu, ec, iss, return_pc);
}

void take_interrupt(Cpu& cpu, VectorKind kind) { enter(cpu, kind, cpu.pc); }

void take_software_step(Cpu& cpu, bool exclusive) {
  // D17.2.37 "Software Step exception": ISV, EX, IFSC = debug exception. ISV = 0 if the exception
  // return made the step pending, with nothing stepped. A monitor that is set was set by the
  // stepped instruction, since the return before it cleared it.
  const bool stepped = cpu.ps.stepped;
  const bool ex = stepped && (exclusive || cpu.monitor.valid);
  const uint32_t iss = (stepped ? 1u << 24 : 0) | (ex ? 1u << 6 : 0) | kFscDebug;
  take_sync(cpu, Ec::kStepLower, iss, cpu.pc);
}

// AArch64.ExceptionReturn, SetPSTATEFromPSR and IllegalExceptionReturn (J1.3.1, J1.3.3).
void exception_return(Cpu& cpu) {
  const uint64_t spsr = cpu.sys.spsr_el1;
  const uint64_t mode = spsr & kModeMask;
  const bool illegal = mode != kEl0t && mode != kEl1t && mode != kEl1h;
  const unsigned el = illegal ? cpu.ps.el : mode == kEl0t ? 0 : 1;
  const unsigned sp_sel = illegal ? cpu.ps.sp_sel : mode == kEl1h ? 1 : 0;

  // DebugExceptionReturnSS: SPSR.SS counts only when the return enables debug exceptions.
  bool ss = false;
  if ((cpu.sys.mdscr_el1 & kMdscrSs) != 0 && !debug_exceptions_enabled(cpu) &&
      debug_exceptions_enabled_from(cpu, el, (spsr >> 9 & 1) != 0)) {
    ss = (spsr & kSpsrSs) != 0;
  }
  cpu.nzcv = static_cast<uint32_t>(spsr & kNzcv);
  cpu.ps.daif = spsr >> kSpsrDaifShift & 0xf;
  cpu.ps.il = illegal || (spsr & kSpsrIl) != 0;
  cpu.ps.ss = ss;
  cpu.ps.stepped = false;
  cpu.monitor.valid = false;
  cpu.event = true;
  // An illegal return restores PAN like NZCV and DAIF, but not EL and SP.
  set_pstate_context(cpu, el, sp_sel, (spsr & kSpsrPan) != 0);
  cpu.pc = strip_tag(cpu.sys.mmu, cpu.sys.elr_el1);  // AArch64.BranchAddr
}

void deliver(Cpu& cpu, const GuestFault& fault, uint64_t pc) {
  const auto ec = static_cast<Ec>(fault.ec);
  switch (ec) {
    case Ec::kDataAbortLower:
    case Ec::kDataAbortSame:
    case Ec::kInstAbortLower:
      take_abort(cpu, ec == Ec::kInstAbortLower ? ec : Ec::kDataAbortLower,
                 fault.iss | (fault.write ? iss::kWnr : 0) | fault.fsc, fault.far, pc);
      return;
    default:
      take_sync(cpu, ec, fault.iss, pc);
  }
}

}  // namespace trapline::soft
