// A vCPU as an emulation sees it: registers that were fetched for it, the guest's stage 1 walked by
// ourselves (KVM translates nothing for user space), RAM by our copy of stage 2.
#ifndef TRAPLINE_VMM_KVM_KVM_VIEW_H_
#define TRAPLINE_VMM_KVM_KVM_VIEW_H_

#include "mmio/cpu_view.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::kvm {

// TTBR0_EL1 or TTBR1_EL1, of the upper half, as of now.
class TableBases {
 public:
  virtual uint64_t table_base(bool upper) = 0;

 protected:
  ~TableBases() = default;
};

class KvmView final : public CpuView {
 public:
  KvmView(GuestMemory& memory, const Stage2& stage2, TableBases& bases)
      : memory_(memory), stage2_(stage2), bases_(bases) {}

  // Of an exit that KVM has described itself (KVM_EXIT_MMIO): addresses are IPAs, and data is
  // little-endian; no register of the CPU's is in it.
  void describe_mmio();
  // Of the instruction at `instruction_pc`, by the vCPU's registers of now; but of the table bases
  // only the one that is needed is asked for.
  void describe(const TranslationRegs& regs, uint64_t pstate, uint64_t instruction_pc);

  Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) override;
  uint8_t* ram(uint64_t ipa, Direction dir) override;
  void ram_written(uint64_t ipa, unsigned size) override { memory_.guest_wrote(ipa, size); }

 private:
  GuestMemory& memory_;
  const Stage2& stage2_;
  TableBases& bases_;
  const TranslationRegs* mmu_ = nullptr;  // null: describe_mmio()
  bool uao_ = false;
};

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_KVM_VIEW_H_
