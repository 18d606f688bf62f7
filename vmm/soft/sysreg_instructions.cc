// SYS: cache maintenance, address translation, TLB maintenance (C5.3, C5.4, C5.5).
#include "vmm/memory/memory_type.h"
#include "vmm/memory/nested_walk_inl.h"
#include "vmm/soft/el2.h"
#include "vmm/soft/mmu.h"
#include "vmm/soft/nested_counter.h"
#include "vmm/soft/sysreg.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

// WnR is always set for cache maintenance and AT (D17.2.37).
using iss::kCm, iss::kWnr, iss::kS1ptw;

Next data_abort_exit(Cpu& cpu, uint64_t va, const MmuResult& result) {
  Exit& exit = cpu.exit;
  exit = Exit{};
  exit.kind = ExitKind::kDataAbort;
  exit.vcpu = static_cast<uint8_t>(cpu.index);
  exit.valid_mask =
      static_cast<uint8_t>(Exit::kEsr | Exit::kFar | (result.ipa_valid ? Exit::kIpa : 0));
  exit.esr = make_esr(Ec::kDataAbortLower, kCm | kWnr | (result.s1ptw ? kS1ptw : 0) | result.fsc);
  exit.far = va;
  exit.ipa = result.ipa;
  exit.pc = cpu.pc;
  return Next::kExit;
}

enum class CacheOp : uint8_t { kClean, kInvalidate, kInstruction };

// PAN never applies. From EL1 a clean or an instruction-cache operation makes no permission fault;
// DC IVAC needs the right to write, EL0 the right to read (D8.4, "cache maintenance").
Next cache_by_va(Cpu& cpu, uint64_t va, CacheOp op) {
  // Hypervisors clean all memory that they give away, line by line.
  if (op == CacheOp::kClean && tlb_reads_memory(cpu, va)) return Next::kContinue;
  const bool el0 = cpu.ps.el == 0;
  TranslationRegs regs = cpu.sys.mmu;
  regs.pan = false;
  const WalkFor purpose = op == CacheOp::kInvalidate ? WalkFor::kWrite : WalkFor::kRead;
  const bool check_stage2 = el0 || op == CacheOp::kInvalidate;
  const MmuResult result = translate_with(cpu, regs, va, purpose, el0, check_stage2);
  switch (result.kind) {
    case MmuResult::Kind::kStage1Fault:
      take_abort(cpu, Ec::kDataAbortLower, kCm | kWnr | result.fsc, va, cpu.pc);
      return Next::kJump;
    case MmuResult::Kind::kGuestStage2Fault:
      take_stage2_abort(cpu, Ec::kDataAbortLower, kCm | kWnr, va, result, cpu.pc);
      return Next::kJump;
    case MmuResult::Kind::kStage2Fault:
      return data_abort_exit(cpu, va, result);
    case MmuResult::Kind::kOk:
      break;
  }
  if (op != CacheOp::kInstruction) return Next::kContinue;  // data caches are coherent
  const auto line = reinterpret_cast<uintptr_t>(result.host) & ~uintptr_t{63};
  icache_invalidate_line(cpu, reinterpret_cast<const uint8_t*>(line), true);
  return Next::kResync;
}

// PAR_EL1, D17.2.108.
constexpr uint64_t kParRes1 = uint64_t{1} << 11;
constexpr uint64_t kParF = 1;

constexpr uint64_t kParPtw = uint64_t{1} << 8;     // on a walk of stage 1
constexpr uint64_t kParStage2 = uint64_t{1} << 9;  // S

struct AtForm {
  Regime regime;
  bool el0, write;
  bool both_stages = false;
  bool with_pan = false;
};

// Of a walk that succeeded; `nested` if stage 2 counts.
uint64_t par_of(const TranslationRegs& regs, const Stage1Walk& walk, const NestedWalk* nested) {
  MemoryType type = stage1_memory_type(regs, walk);
  uint64_t output = walk.ipa;
  if (nested != nullptr && (regs.guest_stage2 & kGuestStage2On) != 0) {
    type = combined_memory_type(regs, type, nested->stage2);
    output = nested->ipa;
  }
  return uint64_t{type.attr} << 56 | (output & ~kPageMask) | kParRes1 |
         uint64_t{type.shareability} << 7;
}

Next address_translate(Cpu& cpu, uint64_t va, const AtForm& form) {
  TranslationRegs regs = regime_registers(cpu, form.regime);
  regs.pan = form.with_pan && cpu.ps.pan;
  TableReader reader(*cpu.stage2);
  const WalkFor purpose = form.write ? WalkFor::kWrite : WalkFor::kRead;
  if ((regs.guest_stage2 & kGuestStage2On) == 0) {
    const Stage1Walk walk = walk_stage1(regs, va, purpose, form.el0, reader);
    switch (walk.status) {
      case Stage1Walk::Status::kFault:
        cpu.sys.par_el1 = kParRes1 | uint64_t{walk.fsc} << 1 | kParF;
        return Next::kContinue;
      case Stage1Walk::Status::kTableFault: {
        // A stage-2 fault on the walk is not reported in PAR_EL1 but taken (D8.8.1).
        MmuResult result;
        result.fsc = reader.fsc();
        result.s1ptw = true;
        result.ipa = (walk.table_ipa & ~kPageMask) | (va & kPageMask);
        return data_abort_exit(cpu, va, result);
      }
      case Stage1Walk::Status::kOk:
        cpu.sys.par_el1 = par_of(regs, walk, nullptr);
        return Next::kContinue;
    }
  }
  const NestedWalk nested = walk_nested(regs, va, purpose, form.el0, reader);
  switch (nested.status) {
    case NestedWalk::Status::kStage1Fault:
      cpu.sys.par_el1 = kParRes1 | uint64_t{nested.fsc} << 1 | kParF;
      return Next::kContinue;
    case NestedWalk::Status::kTableFault:
      cpu.sys.par_el1 = kParRes1 | uint64_t{nested.fsc} << 1 | kParF;
      return Next::kContinue;
    case NestedWalk::Status::kStage2Fault:
      if (nested.s1ptw && !form.both_stages && cpu.ps.el == 1) {
        MmuResult result;
        result.fsc = nested.fsc;
        result.s1ptw = true;
        result.ipa = nested.fault_ipa;
        take_stage2_abort(cpu, Ec::kDataAbortLower, kCm | kWnr, va, result, cpu.pc);
        return Next::kJump;
      }
      if (!nested.s1ptw && !form.both_stages) break;  // stage 1 alone was asked for, and is there
      cpu.sys.par_el1 =
          kParRes1 | kParStage2 | (nested.s1ptw ? kParPtw : 0) | uint64_t{nested.fsc} << 1 | kParF;
      return Next::kContinue;
    case NestedWalk::Status::kOk:
      break;
  }
  cpu.sys.par_el1 = par_of(regs, nested.stage1, form.both_stages ? &nested : nullptr);
  return Next::kContinue;
}

// Of the EL1 operations at the present EL: those of EL2&0 while its own EL0 is what they are for.
TlbiTarget tlbi_target_of_el1(const Cpu& cpu) {
  if (!cpu.has_el2) return {};
  if (cpu.ps.el == 2 && host_el0(cpu)) return {Regime::kEl20};
  return {Regime::kEl10, regime_registers(cpu, Regime::kEl10).vmid};
}

// TLBI <op>{IS}, Xt: Xt[43:0] is VA[55:12], Xt[63:48] the ASID (C5.5).
Next tlbi(Cpu& cpu, uint32_t word, const SystemWord& w) {
  if (w.crm != 3 && w.crm != 7) return undefined(cpu);
  if (under_hypervisor(cpu) && has(cpu, kHcrTtlb)) return trap_to_el2(cpu, word);
  const bool broadcast = w.crm == 3 || (under_hypervisor(cpu) && has(cpu, kHcrFb));
  const uint64_t xt = cpu.r.x[w.rt];
  const auto va = static_cast<uint64_t>(static_cast<int64_t>(xt << 20) >> 8);
  const TlbiTarget target = tlbi_target_of_el1(cpu);
  auto asid = static_cast<uint16_t>(xt >> 48);
  const uint64_t tcr = target.regime == Regime::kEl20 ? cpu.sys.el2.tcr : cpu.sys.el1.tcr;
  if ((tcr >> 36 & 1) == 0) asid &= 0xff;  // TCR_ELx.AS
  switch (w.op2) {
    case 0:  // VMALLE1
      if (w.rt != 31) return undefined(cpu);
      tlb_invalidate(cpu, target, TlbiScope::kAll, 0, 0, broadcast);
      return Next::kResync;
    case 1:  // VAE1
    case 5:  // VALE1
      tlb_invalidate(cpu, target, TlbiScope::kVa, va, asid, broadcast);
      return Next::kResync;
    case 2:  // ASIDE1
      tlb_invalidate(cpu, target, TlbiScope::kAsid, 0, asid, broadcast);
      return Next::kResync;
    case 3:  // VAAE1
    case 7:  // VAALE1
      tlb_invalidate(cpu, target, TlbiScope::kVaAllAsid, va, 0, broadcast);
      return Next::kResync;
    default:
      return undefined(cpu);
  }
}

// op1 == 4, CRn == 8, at EL2. An address of a guest's is not in the TLB, where VA leads to PA at
// once: those by IPA drop all of that VMID.
Next tlbi_el2(Cpu& cpu, const SystemWord& w) {
  const uint64_t xt = cpu.r.x[w.rt];
  const auto va = static_cast<uint64_t>(static_cast<int64_t>(xt << 20) >> 8);
  const TlbiTarget own{has(cpu, kHcrE2h) ? Regime::kEl20 : Regime::kEl2};
  const TlbiTarget guest{Regime::kEl10, regime_registers(cpu, Regime::kEl10).vmid};
  const auto all = [&](TlbiTarget target, bool broadcast) {
    tlb_invalidate(cpu, target, TlbiScope::kAll, 0, 0, broadcast);
    return Next::kResync;
  };
  const bool shareable = w.crm == 3;
  switch (w.crm << 3 | w.op2) {
    case 0 << 3 | 1:  // IPAS2E1IS
    case 0 << 3 | 5:  // IPAS2LE1IS
      return all(guest, true);
    case 4 << 3 | 1:  // IPAS2E1
    case 4 << 3 | 5:  // IPAS2LE1
      return all(guest, false);
    case 3 << 3 | 0:  // ALLE2{IS}
    case 7 << 3 | 0:
      return w.rt == 31 ? all(own, shareable) : undefined(cpu);
    case 3 << 3 | 4:  // ALLE1{IS}
    case 7 << 3 | 4:
      return w.rt == 31 ? all({Regime::kEl10}, shareable) : undefined(cpu);
    case 3 << 3 | 6:  // VMALLS12E1{IS}
    case 7 << 3 | 6:
      return w.rt == 31 ? all(guest, shareable) : undefined(cpu);
    case 3 << 3 | 1:  // VAE2{IS}, VALE2{IS}
    case 3 << 3 | 5:
    case 7 << 3 | 1:
    case 7 << 3 | 5:
      tlb_invalidate(cpu, own, TlbiScope::kVaAllAsid, va, 0, shareable);
      return Next::kResync;
    default:
      return undefined(cpu);
  }
}

// The bits of HCR_EL2 that trap an operation of op1 == 0 or 3, CRn == 7, from below.
uint64_t cache_traps(unsigned crm, unsigned op2) {
  switch (crm << 3 | op2) {
    case 1 << 3 | 0:   // IC IALLUIS
    case 5 << 3 | 0:   // IC IALLU
    case 5 << 3 | 1:   // IC IVAU
    case 11 << 3 | 1:  // DC CVAU
      return kHcrTpu;
    case 6 << 3 | 1:   // DC IVAC
    case 10 << 3 | 1:  // DC CVAC
    case 14 << 3 | 1:  // DC CIVAC
      return kHcrTpc;
    case 6 << 3 | 2:   // DC ISW
    case 10 << 3 | 2:  // DC CSW
    case 14 << 3 | 2:  // DC CISW
      return kHcrTsw;
    case 4 << 3 | 1:  // DC ZVA
      return kHcrTdz;
    default:
      return 0;
  }
}
bool cache_is_trapped(const Cpu& cpu, const SystemWord& w) {
  return under_hypervisor(cpu) && (cpu.sys.el2.hcr & cache_traps(w.crm, w.op2)) != 0;
}

// AT of EL1's stages. With E2H and TGE those of EL2 itself.
Next address_translate_el1(Cpu& cpu, const SystemWord& w, uint64_t va) {
  const Regime regime = cpu.ps.el == 2 && host_el0(cpu) ? Regime::kEl20 : Regime::kEl10;
  AtForm form{.regime = regime, .el0 = (w.op2 & 2) != 0, .write = (w.op2 & 1) != 0};
  form.with_pan = w.crm == 9;
  return address_translate(cpu, va, form);
}

// op1 == 0, CRn == 7: EL1 and above.
Next cache_or_at_el1(Cpu& cpu, uint32_t word, const SystemWord& w) {
  const uint64_t xt = cpu.r.x[w.rt];
  if (cache_is_trapped(cpu, w)) return trap_to_el2(cpu, word);
  switch (w.crm << 3 | w.op2) {
    case 1 << 3 | 0:  // IC IALLUIS
    case 5 << 3 | 0:  // IC IALLU
      if (w.rt != 31) return undefined(cpu);
      icache_invalidate_all(cpu, w.crm == 1);
      return Next::kResync;
    case 6 << 3 | 1:  // DC IVAC
      return cache_by_va(cpu, xt, CacheOp::kInvalidate);
    case 6 << 3 | 2:   // DC ISW
    case 10 << 3 | 2:  // DC CSW
    case 14 << 3 | 2:  // DC CISW
      return Next::kContinue;
    case 8 << 3 | 0:  // AT S1E1R
    case 8 << 3 | 1:  // AT S1E1W
    case 8 << 3 | 2:  // AT S1E0R
    case 8 << 3 | 3:  // AT S1E0W
    case 9 << 3 | 0:  // AT S1E1RP
    case 9 << 3 | 1:  // AT S1E1WP
      return address_translate_el1(cpu, w, xt);
    default:
      return undefined(cpu);
  }
}

// op1 == 4, CRn == 7, CRm == 8: at EL2.
Next at_el2(Cpu& cpu, const SystemWord& w) {
  if (w.crm != 8 || w.op2 == 2 || w.op2 == 3) return undefined(cpu);
  AtForm form{.regime = Regime::kEl10, .el0 = (w.op2 & 2) != 0, .write = (w.op2 & 1) != 0};
  if (w.op2 < 2) {  // S1E2R, S1E2W
    form.regime = has(cpu, kHcrE2h) ? Regime::kEl20 : Regime::kEl2;
  } else {  // S12E1R, S12E1W, S12E0R, S12E0W
    form.both_stages = true;
  }
  return address_translate(cpu, cpu.r.x[w.rt], form);
}

// op1 == 3, CRn == 7: also EL0 if SCTLR_EL1.UCI says so. DC ZVA is the engine's, except its trap.
Next cache_el0(Cpu& cpu, uint32_t word, const SystemWord& w) {
  const bool el0 = cpu.ps.el == 0;
  const unsigned op = w.crm << 3 | w.op2;
  if (op == (4 << 3 | 1)) {  // DC ZVA
    if (el0 && (cpu.sys.mmu.sctlr & kSctlrDze) == 0) return trap_system(cpu, word);
    return cache_is_trapped(cpu, w) ? trap_to_el2(cpu, word) : undefined(cpu);
  }
  CacheOp kind;
  switch (op) {
    case 5 << 3 | 1:  // IC IVAU
      kind = CacheOp::kInstruction;
      break;
    case 10 << 3 | 1:  // DC CVAC
    case 11 << 3 | 1:  // DC CVAU
    case 14 << 3 | 1:  // DC CIVAC
      kind = CacheOp::kClean;
      break;
    default:
      return undefined(cpu);
  }
  if (el0 && (cpu.sys.mmu.sctlr & kSctlrUci) == 0) return trap_system(cpu, word);
  if (cache_is_trapped(cpu, w)) return trap_to_el2(cpu, word);
  return cache_by_va(cpu, cpu.r.x[w.rt], kind);
}

}  // namespace

Next execute_sys(Cpu& cpu, uint32_t word, const SystemWord& w) {
  if (w.read) return undefined(cpu);  // SYSL: none exists here
  if (cpu.ledger != nullptr && cpu.ps.el == 2) cpu.ledger->access(w.id(), true);
  if (w.op1 == 3 && w.crn == 7) return cache_el0(cpu, word, w);
  if (w.op1 == 0 && cpu.ps.el != 0) {
    if (w.crn == 7) return cache_or_at_el1(cpu, word, w);
    if (w.crn == 8) return tlbi(cpu, word, w);
  }
  if (w.op1 == 4 && cpu.ps.el == 2) {
    if (w.crn == 7) return at_el2(cpu, w);
    if (w.crn == 8) return tlbi_el2(cpu, w);
  }
  const bool implementation_defined = w.crn == 11 || w.crn == 15;
  if (implementation_defined && cpu.ps.el == 1 && under_hypervisor(cpu) && has(cpu, kHcrTidcp)) {
    return trap_to_el2(cpu, word);
  }
  return undefined(cpu);
}

}  // namespace trapline::soft
