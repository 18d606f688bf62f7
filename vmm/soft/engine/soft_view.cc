#include "vmm/soft/engine/soft_view.h"

#include "vmm/memory/regime_view.h"
#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/id_registers.h"
#include "vmm/soft/mmu.h"

namespace trapline::soft {
namespace {

// Stage 1, and of stage 2 what a TLB entry says of it: ram() asks for the rest.
bool tlb_knows(EngineState& e, uint64_t va, Direction dir, bool el0, Translation& out) {
  const uint64_t page = va & ~kPageMask;
  const TlbEntry& t = *tlb_slot(el0 ? e.tlb_el0 : e.tlb, va);
  if ((dir != Direction::kWrite && !tag_known(t.read_tag, page)) ||
      (dir != Direction::kRead && !tag_known(t.write_tag, page))) {
    return false;
  }
  out.status = Translation::Status::kOk;
  out.device = (t.meta & kTlbDevice) != 0;
  out.ipa = (t.meta & kTlbIpaMask) | (va & kPageMask);
  return true;
}

}  // namespace

void SoftView::refresh_regime() {
  const TranslationRegs& mmu = cpu_.sys.mmu;
  regs = &cpu_.r;
  v = cpu_.v;
  vcpu = cpu_.index;
  monitor = &cpu_.monitor;
  zero_block_log2 = static_cast<unsigned>(id::kDczid) + 2;
  describe_regime(mmu, *this);
  seen_serial_ = mmu.serial;
}

Translation SoftView::translate(uint64_t va, unsigned, Direction dir, bool unprivileged) {
  const bool el0 = as_el0(cpu_, unprivileged);
  Translation out{};
  if (inside() && tlb_knows(*cpu_.engine, va, dir, el0, out)) return out;
  TableReader reader(*cpu_.stage2);
  Stage1Walk walk;
  MmuResult fault;
  if (walk_guest(cpu_.sys.mmu, va, walk_for(dir), el0, reader, walk, fault)) {
    out.status = Translation::Status::kOk;
    out.device = walk.device;
    out.ipa = walk.ipa;
    return out;
  }
  // A table that is none any more may have been read: such a fault is nobody's. Whoever wrote there
  // did so after its TLBI and DSB, so that what we read, and this fence, make its request visible.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (maintenance_asked()) {
    out.status = Translation::Status::kRetry;
    return out;
  }
  out.status = Translation::Status::kFault;
  out.fault.far = va;
  // A table that stage 2 does not map: what the VMM makes of the S1PTW exit.
  out.fault.fsc = fault.kind == MmuResult::Kind::kStage2Fault
                      ? static_cast<uint8_t>(kFscExternalOnWalk | (walk.level & 3))
                      : fault.fsc;
  bool readable = walk.readable;
  if (fault.kind == MmuResult::Kind::kGuestStage2Fault) {
    out.fault.route = GuestFault::Route::kStage2;
    out.fault.s1ptw = fault.s1ptw;
    out.fault.ipa = fault.ipa;
    out.fault.ipa_valid = fault.ipa_valid;
    readable = fault.readable;
    out.device = fault.device;
  }
  // WnR of a read-modify-write: 0 if a read would fault, too (D17.2.37).
  const bool read_passes = (fault.fsc & 0x3c) == kFscPermission && readable;
  out.fault.write = dir == Direction::kWrite || (dir == Direction::kReadWrite && read_passes);
  return out;
}

uint8_t* SoftView::ram(uint64_t ipa, Direction dir) {
  const Stage2Walk walk = cpu_.stage2->walk(ipa);
  return walk.allows(dir != Direction::kWrite, dir != Direction::kRead) ? walk.host : nullptr;
}

bool SoftView::maintenance_asked() const {
  return (cpu_.attention.load(std::memory_order_relaxed) & Cpu::kMaintenance) != 0;
}

// The CPU is away, so that another's TLBI and DSB do not wait for it, but what it has translated
// since it left must not be used after them: the page may be someone else's by then. So it is back
// for the length of an access. By the argument in maintenance.cc ("Order") either the issuer sees
// it back and waits for end_ram_access(), or the request is seen here. A request stays in the
// attention word until the CPU serves it, which it does between blocks (and while it waits for
// others, but not at a device: wait_for()), never during an emulation.
bool SoftView::begin_ram_access() {
  EngineState& e = *cpu_.engine;
  presence_before_ = e.presence.load(std::memory_order_relaxed);
  enter_guest(e);
  if (!maintenance_asked()) [[likely]] {
    return true;
  }
  end_ram_access();
  return false;
}

void SoftView::end_ram_access() { leave_guest_for(*cpu_.engine, presence_before_); }

void SoftView::ram_written(uint64_t ipa, unsigned size) {
  // The store before, the flags after: watch() sets the flag and then reads the bytes, and one of
  // the two must see the other. (For the slow path watch() waits for the block's end, and who sets
  // kHasCode need not see a store of ours that no IC IVAU followed: mark_code_page().)
  if (!inside()) std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::atomic<uint8_t>* flags = cpu_.memory->page_flags(ipa);
  if (flags != nullptr && flags->load(std::memory_order_seq_cst) != 0) {
    cpu_.memory->guest_wrote(ipa, size);
  }
}

}  // namespace trapline::soft
