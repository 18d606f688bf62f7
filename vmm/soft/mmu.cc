#include "vmm/soft/mmu.h"

#include <algorithm>

#include "vmm/memory/nested_walk_inl.h"
#include "vmm/soft/el2.h"

namespace trapline::soft {

namespace {

// Where there is a hypervisor's stage 2. The one who called sees stage 1's walk, with the rights
// and the output of both.
bool walk_both(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
               TableReader& reader, Stage1Walk& walk, MmuResult& fault, bool check_stage2) {
  const NestedWalk nested = walk_nested(regs, va, purpose, el0, reader, check_stage2);
  walk = outcome(nested);
  fault = MmuResult{};
  fault.fsc = nested.fsc;
  fault.s1ptw = nested.s1ptw;
  switch (nested.status) {
    case NestedWalk::Status::kOk:
      return true;
    case NestedWalk::Status::kStage1Fault:
      fault.kind = MmuResult::Kind::kStage1Fault;
      return false;
    case NestedWalk::Status::kStage2Fault:
      fault.kind = MmuResult::Kind::kGuestStage2Fault;
      fault.ipa = nested.fault_ipa;
      fault.ipa_valid = nested.ipa_valid;
      fault.readable = !nested.s1ptw && nested.stage2.readable;
      fault.device = !nested.s1ptw && nested.stage1.device;
      return false;
    case NestedWalk::Status::kTableFault:
      // A table of the hypervisor's that is not in memory: an external abort, taken to EL2.
      if (nested.of_stage2) {
        fault.kind = MmuResult::Kind::kGuestStage2Fault;
        fault.ipa = nested.fault_ipa;
        return false;
      }
      fault.kind = MmuResult::Kind::kStage2Fault;
      fault.fsc = reader.fsc();
      fault.ipa = (nested.ipa & ~kPageMask) | (va & kPageMask);
      return false;
  }
  return false;
}

}  // namespace

bool walk_guest(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
                TableReader& reader, Stage1Walk& walk, MmuResult& fault, bool check_stage2) {
  if ((regs.guest_stage2 & kGuestStage2On) != 0) [[unlikely]] {
    return walk_both(regs, va, purpose, el0, reader, walk, fault, check_stage2);
  }
  walk = walk_stage1(regs, va, purpose, el0, reader);
  if (walk.status == Stage1Walk::Status::kOk) return true;
  fault = MmuResult{};
  if (walk.status == Stage1Walk::Status::kFault) {
    fault.kind = MmuResult::Kind::kStage1Fault;
    fault.fsc = walk.fsc;
  } else {
    // HPFAR names the table's page, also after a permission fault (D17.2.65); the low bits of the
    // IPA are FAR's by the joint's definition.
    fault.kind = MmuResult::Kind::kStage2Fault;
    fault.fsc = reader.fsc();
    fault.s1ptw = true;
    fault.ipa = (walk.table_ipa & ~kPageMask) | (va & kPageMask);
  }
  return false;
}

MmuResult translate_with(const Cpu& cpu, const TranslationRegs& regs, uint64_t va, WalkFor purpose,
                         bool el0, bool check_stage2) {
  MmuResult out;
  TableReader reader(*cpu.stage2);
  Stage1Walk s1;
  if (!walk_guest(regs, va, purpose, el0, reader, s1, out, check_stage2)) return out;

  out.ipa = s1.ipa;
  const Stage2Walk s2 = cpu.stage2->walk(s1.ipa);
  if (!s2.ok) {
    out.kind = MmuResult::Kind::kStage2Fault;
    out.fsc = s2.fsc;
    return out;
  }
  bool allowed = true;
  switch (purpose) {
    case WalkFor::kRead:
      allowed = s2.readable;
      break;
    case WalkFor::kWrite:
      allowed = s2.writable;
      break;
    case WalkFor::kReadWrite:
      allowed = s2.readable && s2.writable;
      break;
    case WalkFor::kFetch:
      allowed = s2.executable;
      break;
  }
  if (!allowed && check_stage2) {
    out.kind = MmuResult::Kind::kStage2Fault;
    out.fsc = static_cast<uint8_t>(kFscPermission | s2.level);
    out.ipa_valid = false;
    return out;
  }
  out.kind = MmuResult::Kind::kOk;
  out.host = s2.host;
  out.device = s1.device || s2.device;
  out.global = s1.global;
  out.readable = s1.readable && s2.readable;
  out.writable = s1.writable && s2.writable;
  out.executable = s1.executable && s2.executable;
  out.page_log2 = std::min(s1.page_log2, s2.page_log2);
  return out;
}

MmuResult mmu_translate(Cpu& cpu, uint64_t va, WalkFor purpose, bool el0) {
  return translate_with(cpu, cpu.sys.mmu, va, purpose, el0, true);
}

// --- the regimes of EL2 --------------------------------------------------------------------------

TranslationRegs regime_registers(const Cpu& cpu, Regime regime) {
  const auto& el1 = cpu.sys.el1;
  const El2Registers& el2 = cpu.sys.el2;
  TranslationRegs regs;
  regs.regime = regime;
  switch (regime) {
    case Regime::kEl10:
      regs.sctlr = el1.sctlr, regs.tcr = el1.tcr, regs.mair = el1.mair;
      regs.ttbr0 = el1.ttbr0, regs.ttbr1 = el1.ttbr1;
      break;
    case Regime::kEl2:
      regs.sctlr = el2.sctlr, regs.tcr = tcr_of_el2(el2.tcr), regs.mair = el2.mair;
      regs.ttbr0 = el2.ttbr0;
      return regs;
    case Regime::kEl20:
      regs.sctlr = el2.sctlr, regs.tcr = el2.tcr, regs.mair = el2.mair;
      regs.ttbr0 = el2.ttbr0, regs.ttbr1 = el2.ttbr1;
      return regs;
  }
  if (!cpu.has_el2) return regs;
  put_below_hypervisor(regs, el2.hcr, el2.sctlr, el2.vttbr, el2.vtcr);
  return regs;
}

void update_regime(Cpu& cpu) {
  TranslationRegs& now = cpu.sys.mmu;
  if (!cpu.has_el2) {  // at each switch of processes
    const auto& el1 = cpu.sys.el1;
    now.sctlr = el1.sctlr, now.tcr = el1.tcr, now.mair = el1.mair;
    now.ttbr0 = el1.ttbr0, now.ttbr1 = el1.ttbr1;
    now.vmid = 1;  // any
  } else {
    now = regime_registers(cpu, regime_of(cpu, cpu.ps.el));
    update_interrupts(cpu);
  }
  now.el = cpu.ps.el;
  now.pan = cpu.ps.pan;
  translation_context_changed(cpu);
}

bool as_el0(const Cpu& cpu, bool unprivileged) {
  if (cpu.ps.el == 0) return true;
  return unprivileged && (cpu.ps.el == 1 || host_el0(cpu));
}

unsigned fp_trap_el(const Cpu& cpu) {
  const unsigned el = cpu.ps.el;
  if (el < 2 && !host_el0(cpu)) {  // CPACR_EL1.FPEN: x0 traps all, 01 traps EL0
    const unsigned fpen = cpu.sys.cpacr_el1 >> 20 & 3;
    if (el == 0 ? fpen != 3 : (fpen & 1) == 0) return has(cpu, kHcrTge) ? 2 : 1;
  }
  if (!cpu.has_el2) return 0;
  const uint64_t cptr = cpu.sys.el2.cptr;
  if (!has(cpu, kHcrE2h)) return (cptr >> 10 & 1) != 0 ? 2 : 0;  // TFP
  const unsigned fpen = cptr >> 20 & 3;  // as CPACR_EL1's: of the host's EL0
  if ((fpen & 1) == 0 || (fpen == 1 && el == 0 && has(cpu, kHcrTge))) return 2;
  return 0;
}

}  // namespace trapline::soft
