#include "vmm/soft/mmu.h"

#include <algorithm>

namespace trapline::soft {

MmuResult translate_with(const Cpu& cpu, const TranslationRegs& regs, uint64_t va, WalkFor purpose,
                         bool el0, bool check_stage2) {
  MmuResult out;
  TableReader reader(*cpu.stage2);
  const Stage1Walk s1 = walk_stage1(regs, va, purpose, el0, reader);
  switch (s1.status) {
    case Stage1Walk::Status::kOk:
      break;
    case Stage1Walk::Status::kFault:
      out.kind = MmuResult::Kind::kStage1Fault;
      out.fsc = s1.fsc;
      return out;
    case Stage1Walk::Status::kTableFault:
      // HPFAR names the table's page, also after a permission fault (D17.2.65); the low bits of the
      // IPA are FAR's by the joint's definition.
      out.kind = MmuResult::Kind::kStage2Fault;
      out.fsc = reader.fsc();
      out.s1ptw = true;
      out.ipa = (s1.table_ipa & ~kPageMask) | (va & kPageMask);
      return out;
  }

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

}  // namespace trapline::soft
