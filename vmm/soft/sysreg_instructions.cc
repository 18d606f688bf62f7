// SYS: cache maintenance, address translation, TLB maintenance (C5.3, C5.4, C5.5).
#include "vmm/soft/mmu.h"
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

Next address_translate(Cpu& cpu, uint64_t va, bool el0, bool write, bool with_pan) {
  TranslationRegs regs = cpu.sys.mmu;
  regs.pan = with_pan && cpu.ps.pan;
  TableReader reader(*cpu.stage2);
  const Stage1Walk walk =
      walk_stage1(regs, va, write ? WalkFor::kWrite : WalkFor::kRead, el0, reader);
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
      break;
  }
  uint64_t attr = 0, shareability = 2;  // Device and Non-cacheable read as Outer Shareable
  if ((regs.sctlr & kSctlrM) != 0) {
    attr = regs.mair >> (walk.attr_index * 8) & 0xff;
    if (!walk.device && attr != 0x44) {
      uint64_t leaf = walk.descriptor[walk.table_loads - 1];
      if ((regs.sctlr & kSctlrEe) != 0) leaf = __builtin_bswap64(leaf);
      shareability = leaf >> 8 & 3;
    }
  }
  cpu.sys.par_el1 = attr << 56 | (walk.ipa & ~kPageMask) | kParRes1 | shareability << 7;
  return Next::kContinue;
}

// TLBI <op>{IS}, Xt: Xt[43:0] is VA[55:12], Xt[63:48] the ASID (C5.5).
Next tlbi(Cpu& cpu, const SystemWord& w) {
  const bool broadcast = w.crm == 3;
  if (w.crm != 3 && w.crm != 7) return undefined(cpu);
  const uint64_t xt = cpu.r.x[w.rt];
  const auto va = static_cast<uint64_t>(static_cast<int64_t>(xt << 20) >> 8);
  auto asid = static_cast<uint16_t>(xt >> 48);
  if ((cpu.sys.mmu.tcr >> 36 & 1) == 0) asid &= 0xff;  // TCR_EL1.AS
  switch (w.op2) {
    case 0:  // VMALLE1
      if (w.rt != 31) return undefined(cpu);
      tlb_invalidate(cpu, TlbiScope::kAll, 0, 0, broadcast);
      return Next::kResync;
    case 1:  // VAE1
    case 5:  // VALE1
      tlb_invalidate(cpu, TlbiScope::kVa, va, asid, broadcast);
      return Next::kResync;
    case 2:  // ASIDE1
      tlb_invalidate(cpu, TlbiScope::kAsid, 0, asid, broadcast);
      return Next::kResync;
    case 3:  // VAAE1
    case 7:  // VAALE1
      tlb_invalidate(cpu, TlbiScope::kVaAllAsid, va, 0, broadcast);
      return Next::kResync;
    default:
      return undefined(cpu);
  }
}

// op1 == 0, CRn == 7: EL1 only.
Next cache_or_at_el1(Cpu& cpu, const SystemWord& w) {
  const uint64_t xt = cpu.r.x[w.rt];
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
      return address_translate(cpu, xt, false, w.op2 == 1, false);
    case 8 << 3 | 2:  // AT S1E0R
    case 8 << 3 | 3:  // AT S1E0W
      return address_translate(cpu, xt, true, w.op2 == 3, false);
    case 9 << 3 | 0:  // AT S1E1RP
    case 9 << 3 | 1:  // AT S1E1WP
      return address_translate(cpu, xt, false, w.op2 == 1, true);
    default:
      return undefined(cpu);
  }
}

// op1 == 3, CRn == 7: also EL0 if SCTLR_EL1.UCI says so. DC ZVA is the engine's, except its trap.
Next cache_el0(Cpu& cpu, uint32_t word, const SystemWord& w) {
  const bool el0 = cpu.ps.el == 0;
  const unsigned op = w.crm << 3 | w.op2;
  if (op == (4 << 3 | 1)) {  // DC ZVA
    if (el0 && (cpu.sys.mmu.sctlr & kSctlrDze) == 0) return trap_system(cpu, word);
    return undefined(cpu);
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
  return cache_by_va(cpu, cpu.r.x[w.rt], kind);
}

}  // namespace

Next execute_sys(Cpu& cpu, uint32_t word, const SystemWord& w) {
  if (w.read) return undefined(cpu);  // SYSL: none exists here
  if (w.op1 == 3 && w.crn == 7) return cache_el0(cpu, word, w);
  if (w.op1 != 0 || cpu.ps.el == 0) return undefined(cpu);
  if (w.crn == 7) return cache_or_at_el1(cpu, w);
  if (w.crn == 8) return tlbi(cpu, w);
  return undefined(cpu);
}

}  // namespace trapline::soft
