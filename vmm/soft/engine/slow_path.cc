// Loads and stores that a handler could not do: TLB misses, device pages, page crossings, flagged
// pages, structures, faults. Memory is accessed by mmio::emulate(), the one meaning of a load.
#include "vmm/soft/engine/slow_path.h"

#include "decode/a64_decoder.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/mmu.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

constexpr uint32_t kIssIsv = 1 << 24;
constexpr uint32_t kIssSse = 1 << 21;
constexpr uint32_t kIssSf = 1 << 15;
constexpr uint32_t kIssAr = 1 << 14;
constexpr uint32_t kIssS1ptw = 1 << 7;
constexpr uint32_t kIssWnr = 1 << 6;

// --- syndromes -----------------------------------------------------------------------------------

// LDR, STR of the whole register at an unsigned offset: what drivers use.
constexpr uint32_t kUnsignedOffsetMask = 0x3f800000, kUnsignedOffset = 0x39000000;

// ISS[24:14] of a load or store of Rt whose size, bits 31:30, is its register's.
[[gnu::always_inline]] inline uint32_t sized_syndrome(uint32_t word) {
  const uint32_t size = word >> 30;
  return kIssIsv | (word & 31) << 16 | size << 22 | (size == 3 ? kIssSf : 0);
}

// ISS[24:14] of a stage-2 data abort by this instruction (D17.2.37): valid for loads and stores of
// one general register without write-back, else 0.
[[gnu::always_inline]] inline uint32_t instruction_syndrome(uint32_t word) {
  const uint32_t size = word >> 30;
  const uint32_t common = kIssIsv | (word & 31) << 16;
  const uint32_t sized = sized_syndrome(word);
  if ((word & kUnsignedOffsetMask) == kUnsignedOffset) return sized;
  if ((word & 0x3f000000) == 0x08000000) {  // LDAR, STLR: o2 = 1, o1 = 0, o0 = 1
    return (word & 0x00a08000) == 0x00808000 ? sized | kIssAr : 0;
  }
  if ((word & 0x3f000000) == 0x18000000) {  // literal
    if (size == 3) return 0;
    const uint32_t wide = size != 0 ? kIssSf : 0;
    return size == 2 ? common | 2u << 22 | kIssSse | kIssSf : common | (2u + size) << 22 | wide;
  }
  if ((word & 0x3e000000) != 0x38000000 || (word & 1u << 26) != 0) return 0;
  if ((word & 1u << 24) == 0) {
    const uint32_t low = word >> 10 & 3;
    if ((word & 1u << 21) != 0) {
      if (low != 2) return 0;  // atomics
    } else if ((low & 1) != 0) {
      return 0;  // post- and pre-indexed
    }
  }
  switch (word >> 22 & 3) {
    case 0:
    case 1:
      return sized;
    case 2:  // to 64 bits; with size 3 a prefetch
      return size == 3 ? 0 : common | size << 22 | kIssSse | kIssSf;
    default:
      return size >= 2 ? 0 : common | size << 22 | kIssSse;
  }
}

[[gnu::always_inline]] inline void data_abort_exit(Cpu& cpu, EngineState& e, uint64_t va,
                                                   uint32_t iss, uint64_t ipa, bool ipa_known) {
  // In place: a copy of what was written in small pieces would wait for each of them.
  Exit& exit = *e.out;
  exit.kind = ExitKind::kDataAbort;
  exit.vcpu = static_cast<uint8_t>(cpu.index);
  exit.pc = cpu.pc;
  exit.far = va;
  exit.esr = make_esr(Ec::kDataAbortLower, iss);
  exit.ipa = ipa_known ? ipa : 0;
  exit.valid_mask = Exit::kEsr | Exit::kFar | (ipa_known ? Exit::kIpa : 0);
}

SlowResult stage2_fault(Cpu& cpu, EngineState& e, uint64_t va, uint32_t word, bool write,
                        const MmuResult& fault) {
  uint32_t iss = fault.fsc | (write ? kIssWnr : 0);
  if (fault.s1ptw) {
    iss |= kIssS1ptw;
  } else if (!cpu.isv_never) {
    iss |= instruction_syndrome(word);
  }
  data_abort_exit(cpu, e, va, iss, (fault.ipa & ~kPageMask) | (va & kPageMask), fault.ipa_valid);
  return SlowResult::kExit;
}

// From a TLB entry whose tag says kTlbIo.
SlowResult device_exit(Cpu& cpu, EngineState& e, const TlbEntry& t, uint64_t va, uint32_t word,
                       bool write) {
  const uint8_t fsc = tlb_fault_status(t.meta);
  uint32_t iss = fsc | (write ? kIssWnr : 0);
  if (!cpu.isv_never) iss |= instruction_syndrome(word);
  const bool permission = (fsc & 0x3c) == kFscPermission;
  data_abort_exit(cpu, e, va, iss, (t.meta & kTlbIpaMask) | (va & kPageMask), !permission);
  return SlowResult::kExit;
}

SlowResult deliver(Cpu& cpu, EngineState& e, const GuestFault& fault) {
  const auto ec = static_cast<Ec>(fault.ec);
  if (ec == Ec::kDataAbortLower || ec == Ec::kDataAbortSame) {
    take_abort(cpu, Ec::kDataAbortLower, (fault.write ? kIssWnr : 0) | fault.fsc, fault.far,
               cpu.pc);
  } else {
    take_sync(cpu, ec, fault.iss, cpu.pc);
  }
  note_exception(cpu, e);
  e.leave = Leave::kException;
  return SlowResult::kLeave;
}

// --- what an access needs ------------------------------------------------------------------------

Direction direction_of(const Access& access) {
  switch (access.op) {
    case trapline::Op::kLoad:
    case trapline::Op::kLoadExclusive:
    case trapline::Op::kLoadMultiple:
    case trapline::Op::kLoadLane:
    case trapline::Op::kLoadReplicate:
      return Direction::kRead;
    case trapline::Op::kStore:
    case trapline::Op::kStoreExclusive:
    case trapline::Op::kStoreMultiple:
    case trapline::Op::kStoreLane:
    case trapline::Op::kZeroBlock:
      return Direction::kWrite;
    default:
      return Direction::kReadWrite;
  }
}

// The alignment without which the access itself faults whatever the memory type; 1: none.
unsigned required_alignment(const Access& access) {
  switch (access.op) {
    case trapline::Op::kLoad:
    case trapline::Op::kStore:
      return access.acquire || access.release ? access.bytes() : 1;
    case trapline::Op::kLoadMultiple:
    case trapline::Op::kStoreMultiple:
    case trapline::Op::kLoadLane:
    case trapline::Op::kStoreLane:
    case trapline::Op::kLoadReplicate:
    case trapline::Op::kZeroBlock:
      return 1;
    default:
      return access.bytes();
  }
}

// Stage 1 refuses the access: that comes before a watchpoint (D1.3.5.5, synchronous exception
// prioritisation).
bool stage1_refuses(Cpu& cpu, const Access& access, uint64_t va, unsigned size, Direction dir,
                    unsigned alignment) {
  if ((va & (alignment - 1)) != 0) return true;
  const WalkFor purpose = dir == Direction::kRead    ? WalkFor::kRead
                          : dir == Direction::kWrite ? WalkFor::kWrite
                                                     : WalkFor::kReadWrite;
  const bool el0 = access.unprivileged || cpu.ps.el == 0;
  const bool misaligned = (va & (access.element_bytes() - 1)) != 0;
  for (const uint64_t byte : {va, va + size - 1}) {
    const MmuResult result = mmu_translate(cpu, byte, purpose, el0);
    if (result.kind == MmuResult::Kind::kStage1Fault || (result.device && misaligned)) return true;
  }
  return false;
}

bool tag_known(uint64_t tag, uint64_t page) {
  return ((tag ^ page) & (~kPageMask | kTlbInvalid)) == 0;
}

void refresh_view(Cpu& cpu, EngineView& view) {
  const TranslationRegs& mmu = cpu.sys.mmu;
  const bool el0 = cpu.ps.el == 0;
  view.regs = &cpu.r;
  view.v = cpu.v;
  view.pc = cpu.pc;
  view.big_endian = (mmu.sctlr & (el0 ? kSctlrE0e : kSctlrEe)) != 0;
  view.sp_alignment_check = (mmu.sctlr & (el0 ? kSctlrSa0 : kSctlrSa)) != 0;
  view.alignment_check = (mmu.sctlr & kSctlrA) != 0;
  view.tbi_lower = (mmu.tcr >> 37 & 1) != 0;
  view.tbi_upper = (mmu.tcr >> 38 & 1) != 0;
  view.vcpu = cpu.index;
  view.nzcv = cpu.nzcv;
  view.monitor = &cpu.monitor;
  view.walk_faulted = false;
}

// A store to a page that was flagged when the entry was made: true if it no longer is.
bool promote_write(Cpu& cpu, TlbEntry& t, uint64_t va) {
  if ((t.meta & kTlbDevice) != 0) return false;
  const auto* host = reinterpret_cast<const uint8_t*>(va + t.addend);
  const std::atomic<uint8_t>* flags = flags_of_host(*cpu.memory, host);
  if (flags == nullptr || flags->load(std::memory_order_seq_cst) != 0) return false;
  if (debug_page_watched(cpu, va & ~kPageMask)) return false;
  if ((t.read_tag & (kTlbSlow | kTlbAligned)) != 0) return false;  // stage 2 says Device
  t.write_tag &= ~uint64_t{kTlbSlow};
  return true;
}

SlowResult emulate_access(Cpu& cpu, EngineState& e, uint32_t word, const Access& access,
                          uint64_t va) {
  EngineView& view = e.view;
  const Outcome outcome = emulate(access, va, view, nullptr, e.emulate_context);
  switch (outcome.status) {
    case Outcome::Status::kDone:
      return SlowResult::kDone;
    case Outcome::Status::kFault:
      return deliver(cpu, e, outcome.fault);
    case Outcome::Status::kNeedsExit: {
      const bool write = outcome.fault.write;
      const bool el0 = access.unprivileged || cpu.ps.el == 0;
      const MmuResult again =
          mmu_translate(cpu, outcome.fault.far, write ? WalkFor::kWrite : WalkFor::kRead, el0);
      if (again.kind == MmuResult::Kind::kStage2Fault) {
        return stage2_fault(cpu, e, outcome.fault.far, word, write, again);
      }
      break;  // mapped meanwhile: once more
    }
    case Outcome::Status::kRetry:
      if (view.walk_faulted) {
        return stage2_fault(cpu, e, view.walk_va, word, view.walk_write, view.walk_fault);
      }
      break;
    case Outcome::Status::kProgress:
      break;
    case Outcome::Status::kUnsupported:
      take_sync(cpu, Ec::kUnknown, 0, cpu.pc);
      note_exception(cpu, e);
      e.leave = Leave::kException;
      return SlowResult::kLeave;
  }
  e.leave = Leave::kLookup;
  return SlowResult::kLeave;
}

}  // namespace

SlowResult perform_access(Cpu& cpu, EngineState& e, uint32_t word) {
  ++e.stats.slow_accesses;
  Access access;
  if (decode(word, access) != DecodeStatus::kAccess) {
    // The instruction was overwritten since it was predecoded.
    blocks_drop_line(e, reinterpret_cast<const uint8_t*>(
                            reinterpret_cast<uintptr_t>(e.block->host + (cpu.pc - e.block->pc)) &
                            ~uintptr_t{63}));
    e.leave = Leave::kLookup;
    return SlowResult::kLeave;
  }
  if (access.op == trapline::Op::kPrefetch) return SlowResult::kDone;
  EngineView& view = e.view;
  refresh_view(cpu, view);
  uint64_t va = effective_address(access, view);
  unsigned size = access.bytes();
  if (access.op == trapline::Op::kZeroBlock) {
    size = 1u << view.zero_block_log2;
    va &= ~uint64_t{size - 1};
  }
  const Direction dir = direction_of(access);
  const bool reads = dir != Direction::kWrite, writes = dir != Direction::kRead;

  const bool sp_fault = access.rn == kRegZr && access.mode != AddressMode::kLiteral &&
                        access.mode != AddressMode::kRegisterVa && view.sp_alignment_check &&
                        (cpu.r.x[kSlotSp] & 15) != 0;
  const bool one_page = ((va ^ (va + size - 1)) & ~kPageMask) == 0;
  const unsigned alignment =
      view.alignment_check ? access.element_bytes() : required_alignment(access);
  const bool exclusive_store = access.op == trapline::Op::kStoreExclusive;
  if (!sp_fault && one_page && (va & (alignment - 1)) == 0) {
    const bool el0 = access.unprivileged || cpu.ps.el == 0;
    const uint64_t page = va & ~kPageMask;
    TlbEntry& t = *tlb_slot(el0 ? e.tlb_el0 : e.tlb, va);
    if ((reads && !tag_known(t.read_tag, page)) || (writes && !tag_known(t.write_tag, page))) {
      const WalkFor purpose = dir == Direction::kRead    ? WalkFor::kRead
                              : dir == Direction::kWrite ? WalkFor::kWrite
                                                         : WalkFor::kReadWrite;
      MmuResult fault;
      if (tlb_fill(cpu, va, purpose, el0, fault) == TlbFill::kFilled &&
          ((reads ? t.read_tag : 0) | (writes ? t.write_tag : 0)) == page) {
        return SlowResult::kAgain;
      }
    }
    const bool misaligned = (va & (access.element_bytes() - 1)) != 0;
    const bool io =
        (reads && t.read_tag == (page | kTlbIo)) || (writes && t.write_tag == (page | kTlbIo));
    // What Device memory refuses, whatever stage 2 says: DC ZVA, too (D7.5.9.4).
    const bool refused =
        (t.meta & kTlbDevice) != 0 && (misaligned || access.op == trapline::Op::kZeroBlock);
    if (io && !exclusive_store && !refused) {
      // A read-modify-write that could not even read is reported as a read (D17.2.37, WnR).
      const bool write = !(reads && t.read_tag == (page | kTlbIo));
      if (!e.watching) return device_exit(cpu, e, t, va, word, write);
    }
    if (writes && !io && t.write_tag == (page | kTlbSlow) && promote_write(cpu, t, va)) {
      return SlowResult::kAgain;
    }
  }
  if (e.watching && !sp_fault && !stage1_refuses(cpu, access, va, size, dir, alignment)) {
    if (debug_gdb_watchpoint(cpu, e, va, size, reads, writes)) return SlowResult::kLeave;
    if (e.hw_watchpoints && debug_watchpoint(cpu, va, size, reads, writes, access.unprivileged)) {
      note_exception(cpu, e);
      e.leave = Leave::kException;
      return SlowResult::kLeave;
    }
  }
  return emulate_access(cpu, e, word, access, va);
}

namespace {

// The way out for a device access that the TLB already knows, without decoding anything.
struct DeviceAbort {
  uint64_t va, ipa;
  uint32_t iss;
  bool ipa_known;
};

// Of a load or store of Rt with the base register Rn; false: something is not so plain.
[[gnu::always_inline]] inline bool device_abort(const Cpu* cpu, const EngineState* e, uint32_t word,
                                                uint64_t va, uint32_t iss, bool load,
                                                const TlbEntry* tlb, DeviceAbort& out) {
  const unsigned size = word >> 30, rn = word >> 5 & 31;
  const TlbEntry& t = tlb[va >> kPageLog2 & (kTlbEntries - 1)];
  const uint64_t tag = load ? t.read_tag : t.write_tag;
  if (tag != ((va & ~kPageMask) | kTlbIo) || (va & ((1u << size) - 1)) != 0 ||
      (rn == 31 && (cpu->r.x[kSlotSp] & 15) != 0) || e->watching) {
    return false;
  }
  const uint8_t fsc = tlb_fault_status(t.meta);
  out.va = va;
  out.ipa = (t.meta & kTlbIpaMask) | (va & kPageMask);
  out.iss = (cpu->isv_never ? 0 : iss) | fsc | (load ? 0 : kIssWnr);
  out.ipa_known = (fsc & 0x3c) != kFscPermission;
  return true;
}

// The same of any word.
bool device_abort(const Cpu* cpu, const EngineState* e, uint32_t word, DeviceAbort& out) {
  const uint32_t iss = instruction_syndrome(word);
  const bool indexed = (word & 0x3f200400) == 0x38000400;  // with write-back
  if ((iss == 0 && !indexed) || (word & 0x3b000000) == 0x18000000) return false;
  const unsigned size = word >> 30;
  uint64_t va = cpu->r.x[slot_sp(word >> 5 & 31)];
  bool load = (word >> 22 & 3) != 0, unprivileged = false;
  if ((word & 0x3f000000) == 0x08000000) {
    load = (word >> 22 & 1) != 0;
  } else if ((word & 1u << 24) != 0) {
    va += uint64_t{word >> 10 & 0xfff} << size;
  } else if ((word & 1u << 21) == 0) {
    const uint32_t form = word >> 10 & 3;  // unscaled, post-indexed, unprivileged, pre-indexed
    if (form != 1) va += static_cast<uint64_t>(sbits(word, 20, 12));
    unprivileged = form == 2;
  } else {
    uint64_t offset = cpu->r.x[word >> 16 & 31];
    const uint32_t option = word >> 13 & 7;
    if (option == 2) offset = static_cast<uint32_t>(offset);
    if (option == 6) {
      offset = static_cast<uint64_t>(int64_t{static_cast<int32_t>(static_cast<uint32_t>(offset))});
    }
    va += offset << ((word >> 12 & 1) != 0 ? size : 0);
  }
  return device_abort(cpu, e, word, va, iss, load, unprivileged ? e->tlb_el0 : e->tlb, out);
}

// An LDR or STR at an unsigned offset.
[[gnu::always_inline]] inline bool plain_device_abort(const Cpu* cpu, const EngineState* e,
                                                      uint32_t word, DeviceAbort& out) {
  const uint64_t offset = uint64_t{word >> 10 & 0xfff} << (word >> 30);
  return device_abort(cpu, e, word, cpu->r.x[slot_sp(word >> 5 & 31)] + offset,
                      sized_syndrome(word), (word >> 22 & 1) != 0, e->tlb, out);
}

uint32_t word_at(const Op* op, const EngineState* e) {
  return __atomic_load_n(
      reinterpret_cast<const uint32_t*>(e->block->host + 4 * (op - e->block->ops)),
      __ATOMIC_RELAXED);
}

// Not in a handler, whose tail call needs its frame to be free of variables that others know.
[[gnu::noinline]] SlowResult exit_or_perform(Cpu* cpu, EngineState* e, uint32_t word) {
  DeviceAbort abort;
  if (!device_abort(cpu, e, word, abort)) return perform_access(*cpu, *e, word);
  data_abort_exit(*cpu, *e, abort.va, abort.iss, abort.ipa, abort.ipa_known);
  return SlowResult::kExit;
}

void slow_exit(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  suspend_at(cpu, op, icount, e);
  switch (exit_or_perform(cpu, e, word_at(op, e))) {
    case SlowResult::kExit:
      if (!resume_inside(*cpu, *e)) return;
      TL_NEXT;
    case SlowResult::kDone:
      TL_NEXT;
    case SlowResult::kAgain:
      TL_TAIL return op->fn(cpu, op, icount, e);
    case SlowResult::kLeave:
      return;
  }
}

}  // namespace

// First what the sink does without an Exit.
void slow_access(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  const uint32_t word = word_at(op, e);
  DeviceAbort abort;
  if ((word & kUnsignedOffsetMask) != kUnsignedOffset || !sink_is_open(*cpu, *e) ||
      !plain_device_abort(cpu, e, word, abort) || !abort.ipa_known || cpu->isv_never) {
    TL_GOTO(slow_exit);
  }
  leave_guest(*e);
  const bool performed = e->sink->perform_inside(make_esr(Ec::kDataAbortLower, abort.iss),
                                                 abort.ipa, e->sink_view->current());
  come_back(*e);
  if (TL_LIKELY(block_goes_on(*cpu, *e))) {
    if (TL_LIKELY(performed)) TL_NEXT;
    TL_GOTO(slow_exit);
  }
  suspend_at(cpu, op, icount, e);
  if (performed) {
    retire_one(cpu, e);
    cpu->pc += 4;
  }
  e->leave = Leave::kLookup;
}

// --- EngineView ----------------------------------------------------------------------------------

Translation EngineView::translate(uint64_t va, unsigned, Direction dir, bool unprivileged) {
  Translation out{};
  const bool el0 = unprivileged || cpu_.ps.el == 0;
  EngineState& e = *cpu_.engine;
  const uint64_t page = va & ~kPageMask;
  TlbEntry& t = *tlb_slot(el0 ? e.tlb_el0 : e.tlb, va);
  const bool reads = dir != Direction::kWrite, writes = dir != Direction::kRead;
  const bool known =
      (!reads || tag_known(t.read_tag, page)) && (!writes || tag_known(t.write_tag, page));
  MmuResult fault;
  TlbFill fill = TlbFill::kFilled;
  if (!known) {
    const WalkFor purpose = dir == Direction::kRead    ? WalkFor::kRead
                            : dir == Direction::kWrite ? WalkFor::kWrite
                                                       : WalkFor::kReadWrite;
    fill = tlb_fill(cpu_, va, purpose, el0, fault);
  }
  switch (fill) {
    case TlbFill::kFilled:
      out.status = Translation::Status::kOk;
      out.device = (t.meta & kTlbDevice) != 0;
      out.ipa = (t.meta & kTlbIpaMask) | (va & kPageMask);
      return out;
    case TlbFill::kWalkFault:
      walk_faulted = true;
      walk_fault = fault;
      walk_va = va;
      walk_write = dir == Direction::kWrite;
      out.status = Translation::Status::kRetry;
      return out;
    case TlbFill::kStage1Fault:
      break;
  }
  out.status = Translation::Status::kFault;
  out.fault.far = va;
  out.fault.fsc = fault.fsc;
  // WnR of a read-modify-write: 0 if a read would fault, too (D17.2.37).
  out.fault.write = dir == Direction::kWrite;
  if (dir == Direction::kReadWrite && (fault.fsc & 0x3c) == kFscPermission) {
    MmuResult ignored;
    out.fault.write = tlb_fill(cpu_, va, WalkFor::kRead, el0, ignored) == TlbFill::kFilled;
  }
  return out;
}

uint8_t* EngineView::ram(uint64_t ipa, Direction dir) {
  const Stage2Walk walk = cpu_.stage2->walk(ipa);
  return walk.allows(dir != Direction::kWrite, dir != Direction::kRead) ? walk.host : nullptr;
}

// No fence between the store and the look at the flags, unlike SoftView's. Who sets kWatched waits
// for this CPU's block to end before it reads the page; who sets kHasCode need not see a store of
// ours that no IC IVAU followed (mark_code_page()).
void EngineView::ram_written(uint64_t ipa, unsigned size) {
  const std::atomic<uint8_t>* flags = cpu_.memory->page_flags(ipa);
  if (flags != nullptr && flags->load(std::memory_order_seq_cst) != 0) {
    cpu_.memory->guest_wrote(ipa, size);
  }
}

}  // namespace trapline::soft
