#include "vmm/kvm/kvm_view.h"

#include "vmm/kvm/registers.h"
#include "vmm/memory/regime_view.h"
#include "vmm/memory/table_reader.h"
#include "vmm/memory/walk_inl.h"

namespace trapline::kvm {

void KvmView::describe_mmio() {
  mmu_ = nullptr;
  big_endian = sp_alignment_check = alignment_check = false;
  tbi_lower = tbi_upper = false;
  known_va_page = ~uint64_t{0};
}

void KvmView::describe(const TranslationRegs& mmu, uint64_t pstate_bits, uint64_t instruction_pc) {
  mmu_ = &mmu;
  pc = instruction_pc;
  nzcv = static_cast<uint32_t>(pstate_bits & pstate::kNzcv);
  uao_ = (pstate_bits & pstate::kUao) != 0;
  known_va_page = ~uint64_t{0};
  describe_regime(mmu, *this);
}

Translation KvmView::translate(uint64_t va, unsigned /*size*/, Direction dir, bool unprivileged) {
  Translation out{};
  if (mmu_ == nullptr) {
    out.ipa = va;
    return out;
  }
  const bool el0 = mmu_->el == 0 || (unprivileged && !uao_);
  TranslationRegs regs = *mmu_;
  const bool upper = upper_region(va);
  if ((regs.sctlr & kSctlrM) != 0) (upper ? regs.ttbr1 : regs.ttbr0) = bases_.table_base(upper);
  TableReader reader(stage2_);
  const Stage1Walk walk = walk_stage1<HostWalkFeatures>(regs, va, walk_for(dir), el0, reader);
  if (walk.status == Stage1Walk::Status::kOk) {
    out.device = walk.device;
    out.ipa = walk.ipa;
    return out;
  }
  out.status = Translation::Status::kFault;
  out.fault.far = va;
  // A table where there is no memory: an external abort on the walk.
  out.fault.fsc = walk.status == Stage1Walk::Status::kTableFault
                      ? static_cast<uint8_t>(kFscExternalOnWalk | (walk.level & 3))
                      : walk.fsc;
  const bool read_passes = (walk.fsc & 0x3c) == kFscPermission && walk.readable;
  out.fault.write = dir == Direction::kWrite || (dir == Direction::kReadWrite && read_passes);
  return out;
}

uint8_t* KvmView::ram(uint64_t ipa, Direction dir) {
  const Stage2Walk walk = stage2_.walk(ipa);
  return walk.allows(dir != Direction::kWrite, dir != Direction::kRead) ? walk.host : nullptr;
}

}  // namespace trapline::kvm
