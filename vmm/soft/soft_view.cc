#include "vmm/soft/soft_view.h"

#include "vmm/soft/id_registers.h"
#include "vmm/soft/mmu.h"
#include "vmm/soft/soft_internal.h"

namespace trapline::soft {

void SoftView::refresh_regime() {
  const TranslationRegs& mmu = cpu_.sys.mmu;
  const bool el0 = mmu.el == 0;
  regs = &cpu_.r;
  v = cpu_.v;
  vcpu = cpu_.index;
  monitor = &cpu_.monitor;
  zero_block_log2 = static_cast<unsigned>(id::kDczid) + 2;
  big_endian = (mmu.sctlr & (el0 ? kSctlrE0e : kSctlrEe)) != 0;
  sp_alignment_check = (mmu.sctlr & (el0 ? kSctlrSa0 : kSctlrSa)) != 0;
  alignment_check = (mmu.sctlr & kSctlrA) != 0;
  const TranslationRegion lower = translation_region(mmu, false);
  const TranslationRegion upper = translation_region(mmu, true);
  tbi_lower = lower.top_byte_ignore;
  tbi_upper = upper.top_byte_ignore;
  va_bits_lower = lower.input_bits;
  va_bits_upper = upper.input_bits;
  seen_serial_ = mmu.serial;
}

Translation SoftView::translate(uint64_t va, unsigned, Direction dir, bool unprivileged) {
  const bool el0 = unprivileged || cpu_.ps.el == 0;
  const WalkFor purpose = dir == Direction::kRead    ? WalkFor::kRead
                          : dir == Direction::kWrite ? WalkFor::kWrite
                                                     : WalkFor::kReadWrite;
  TableReader reader(*cpu_.stage2);
  const Stage1Walk walk = walk_stage1(cpu_.sys.mmu, va, purpose, el0, reader);
  Translation out{};
  if (walk.status == Stage1Walk::Status::kOk) {
    out.status = Translation::Status::kOk;
    out.device = walk.device;
    out.ipa = walk.ipa;
    return out;
  }
  out.status = Translation::Status::kFault;
  out.fault.far = va;
  // A table that stage 2 does not map: what the VMM makes of the S1PTW exit.
  out.fault.fsc = walk.status == Stage1Walk::Status::kFault
                      ? walk.fsc
                      : static_cast<uint8_t>(kFscExternalOnWalk | (walk.level & 3));
  // WnR of a read-modify-write: 0 if a read would fault, too (D17.2.37).
  const bool read_passes = (walk.fsc & 0x3c) == kFscPermission && walk.readable;
  out.fault.write = dir == Direction::kWrite || (dir == Direction::kReadWrite && read_passes);
  return out;
}

uint8_t* SoftView::ram(uint64_t ipa, Direction dir) {
  const Stage2Walk walk = cpu_.stage2->walk(ipa);
  return walk.allows(dir != Direction::kWrite, dir != Direction::kRead) ? walk.host : nullptr;
}

void SoftView::ram_written(uint64_t ipa, unsigned size) {
  // The store before, the flags after: watch() sets the flag and then reads the bytes, and one of
  // the two must see the other. (On the engine's own paths watch() waits for the block's end.)
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::atomic<uint8_t>* flags = cpu_.memory->page_flags(ipa);
  if (flags != nullptr && flags->load(std::memory_order_seq_cst) != 0) {
    cpu_.memory->guest_wrote(ipa, size);
  }
}

}  // namespace trapline::soft
