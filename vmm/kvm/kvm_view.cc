#include "vmm/kvm/kvm_view.h"

#include "vmm/kvm/uapi/registers.h"
#include "vmm/memory/nested_walk_inl.h"
#include "vmm/memory/regime_view.h"
#include "vmm/memory/table_reader.h"

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
  describe_regime<HostWalkFeatures>(mmu, *this);
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
  const NestedWalk walk = walk_nested<HostWalkFeatures>(regs, va, walk_for(dir), el0, reader);
  if (walk.status == NestedWalk::Status::kOk) {
    out.device = walk.device;
    out.ipa = walk.ipa;
    return out;
  }
  // A hypervisor's stage 2 cannot refuse what the hardware has just let through, but it may have
  // changed since: the instruction is executed again.
  out.status = walk.status == NestedWalk::Status::kStage2Fault ? Translation::Status::kRetry
                                                               : Translation::Status::kFault;
  out.fault.far = va;
  out.fault.fsc = walk.fsc;  // a table where there is no memory: an external abort on the walk
  const bool read_passes = (walk.fsc & 0x3c) == kFscPermission && walk.stage1.readable;
  out.fault.write = dir == Direction::kWrite || (dir == Direction::kReadWrite && read_passes);
  return out;
}

uint8_t* KvmView::ram(uint64_t ipa, Direction dir) {
  const Stage2Walk walk = stage2_.walk(ipa);
  return walk.allows(dir != Direction::kWrite, dir != Direction::kRead) ? walk.host : nullptr;
}

}  // namespace trapline::kvm
