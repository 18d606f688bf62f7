// Loads and stores that a handler could not do: TLB misses, device pages, page crossings, flagged
// pages, structures, faults. Memory is accessed by mmio::emulate(), the one meaning of a load.
#include "decode/a64_decoder.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/mmu.h"
#include "vmm/soft/ops/ops_common.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

enum class SlowResult : uint8_t {
  kDone,   // performed: on with the next instruction
  kAgain,  // the TLB now has what was missing: the same handler once more
  kExit,   // cpu.exit is a data abort
  kLeave,  // an exception, or look again: e.leave says
};

// --- what a word asks for ------------------------------------------------------------------------

SlowWord::Form form_of(const Access& access) {
  if (!is_of_one_register(access)) return SlowWord::kOther;
  switch (access.mode) {
    case AddressMode::kBase:
    case AddressMode::kOffset:
    case AddressMode::kPreIndex:
    case AddressMode::kPostIndex:
      return SlowWord::kBaseOffset;
    case AddressMode::kRegister:
      return SlowWord::kRegisterOffset;
    default:
      return SlowWord::kOther;
  }
}

[[gnu::noinline]] void decode_slow_word(const Cpu& cpu, uint32_t word, SlowWord& slow) {
  slow = SlowWord{};
  if (decode(word, slow.access) != DecodeStatus::kAccess) return;
  const Access& access = slow.access;
  slow.word = word;
  slow.iss = (cpu.isv_never ? 0 : iss_of(access)) |
             (access.op == trapline::Op::kStore ? uint32_t{iss::kWnr} : 0);
  slow.offset = access.mode == AddressMode::kPostIndex ? 0 : access.imm;
  slow.form = form_of(access);
  slow.base = slot_sp(access.rn);
  slow.unaligned = static_cast<uint8_t>(access.element_bytes() - 1);
  slow.load = access.op == trapline::Op::kLoad;
}

// False: no load or store. Decoded once for all its executions: a word says the same everywhere.
[[gnu::always_inline]] inline const SlowWord& slow_word(const Cpu& cpu, EngineState& e,
                                                        uint32_t word) {
  SlowWord& slow = e.slow_words[(word * 0x9e3779b1u) >> 24];
  static_assert(kSlowWords == 256);
  if (TL_UNLIKELY(slow.word != word)) decode_slow_word(cpu, word, slow);
  return slow;
}

// --- exits ---------------------------------------------------------------------------------------

[[gnu::always_inline]] inline void data_abort_exit(Cpu& cpu, uint64_t va, uint32_t iss,
                                                   uint64_t ipa, bool ipa_known) {
  Exit& exit = cpu.exit;
  exit.kind = ExitKind::kDataAbort;
  exit.vcpu = static_cast<uint8_t>(cpu.index);
  exit.pc = cpu.pc;
  exit.far = va;
  exit.esr = make_esr(Ec::kDataAbortLower, iss);
  exit.ipa = ipa_known ? ipa : 0;
  exit.valid_mask = Exit::kEsr | Exit::kFar | (ipa_known ? Exit::kIpa : 0);
}

SlowResult stage2_fault(Cpu& cpu, uint64_t va, uint32_t instruction_iss, bool write,
                        const MmuResult& fault) {
  const uint32_t iss =
      fault.fsc | (write ? iss::kWnr : 0) | (fault.s1ptw ? uint32_t{iss::kS1ptw} : instruction_iss);
  data_abort_exit(cpu, va, iss, (fault.ipa & ~kPageMask) | (va & kPageMask), fault.ipa_valid);
  return SlowResult::kExit;
}

// From a TLB entry whose tag says kTlbIo.
SlowResult device_exit(Cpu& cpu, const TlbEntry& t, uint64_t va, uint32_t instruction_iss,
                       bool write) {
  const uint8_t fsc = tlb_fault_status(t.meta);
  data_abort_exit(cpu, va, fsc | (write ? iss::kWnr : 0) | instruction_iss,
                  (t.meta & kTlbIpaMask) | (va & kPageMask), (fsc & 0x3c) != kFscPermission);
  return SlowResult::kExit;
}

SlowResult once_more(EngineState& e) {
  e.leave = Leave::kLookup;
  e.keeps_step = true;
  return SlowResult::kLeave;
}

SlowResult taken_exception(Cpu& cpu, EngineState& e) {
  note_exception(cpu, e);
  return SlowResult::kLeave;
}

// --- what an access needs ------------------------------------------------------------------------

Direction direction_of(trapline::Op op) {
  if (!writes_memory(op)) return Direction::kRead;
  return reads_memory(op) ? Direction::kReadWrite : Direction::kWrite;
}

// The alignment without which the access itself faults whatever the memory type; 1: none.
unsigned required_alignment(const Access& access) {
  switch (access.op) {
    case trapline::Op::kLoad:
    case trapline::Op::kStore:
      return access.acquire || access.acquire_pc || access.release ? access.bytes() : 1;
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
  const WalkFor purpose = walk_for(dir);
  const bool el0 = as_el0(cpu, access.unprivileged);
  const bool misaligned = (va & (access.element_bytes() - 1)) != 0;
  for (const uint64_t byte : {va, va + size - 1}) {
    const MmuResult result = mmu_translate(cpu, byte, purpose, el0);
    if (result.kind == MmuResult::Kind::kStage1Fault || (result.device && misaligned)) return true;
  }
  return false;
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

// Stage 2 refuses, also on the walk: an exit, unless it was mapped meanwhile.
SlowResult exit_for(Cpu& cpu, EngineState& e, const SlowWord& slow, const GuestFault& fault) {
  const bool el0 = as_el0(cpu, slow.access.unprivileged);
  const MmuResult again =
      mmu_translate(cpu, fault.far, fault.write ? WalkFor::kWrite : WalkFor::kRead, el0);
  if (again.kind == MmuResult::Kind::kStage2Fault) {
    return stage2_fault(cpu, fault.far, slow.iss, fault.write, again);
  }
  return once_more(e);
}

SlowResult emulate_access(Cpu& cpu, EngineState& e, const SlowWord& slow, uint64_t va) {
  Outcome outcome = emulate(slow.access, va, e.view, nullptr, e.emulate_context);
  switch (outcome.status) {
    case Outcome::Status::kDone:
      return SlowResult::kDone;
    case Outcome::Status::kFault:
      if (outcome.fault.ec == static_cast<uint8_t>(Ec::kDataAbortLower) &&
          outcome.fault.route == GuestFault::Route::kRouted &&
          (outcome.fault.fsc & 0x3c) == kFscExternalOnWalk) {
        return exit_for(cpu, e, slow, outcome.fault);
      }
      // Of a fault of the hypervisor's stage 2 it is told what hardware tells a hypervisor: --isv
      // never is for exits alone, since Xen decodes nothing but a few post-indexed accesses.
      if (outcome.fault.route == GuestFault::Route::kStage2 && !outcome.fault.s1ptw) {
        outcome.fault.iss |= slow.iss | iss_of(slow.access);
      }
      deliver(cpu, outcome.fault, cpu.pc);
      return taken_exception(cpu, e);
    case Outcome::Status::kNeedsExit:
      return exit_for(cpu, e, slow, outcome.fault);
    case Outcome::Status::kUnsupported:
      take_sync(cpu, Ec::kUnknown, 0, cpu.pc);
      return taken_exception(cpu, e);
    case Outcome::Status::kRetry:
    case Outcome::Status::kProgress:
      break;
  }
  return once_more(e);
}

// The access of the instruction at cpu.pc, whose state is exact.
SlowResult perform_access(Cpu& cpu, EngineState& e, const SlowWord& slow) {
  ++e.stats.slow_accesses;
  if (slow.word == 0) {
    // The instruction was overwritten since it was predecoded.
    blocks_drop_line(e, reinterpret_cast<const uint8_t*>(
                            reinterpret_cast<uintptr_t>(e.block->host + (cpu.pc - e.block->pc)) &
                            ~uintptr_t{63}));
    return once_more(e);
  }
  const Access& access = slow.access;
  if (access.op == trapline::Op::kPrefetch) return SlowResult::kDone;
  SoftView& view = e.view;
  const SoftView::Inside inside(view);
  view.refresh(cpu.pc);
  uint64_t va = effective_address(access, view);
  unsigned size = access.bytes();
  if (access.op == trapline::Op::kZeroBlock) {
    size = 1u << view.zero_block_log2;
    va &= ~uint64_t{size - 1};
  }
  const Direction dir = direction_of(access.op);
  const bool reads = dir != Direction::kWrite, writes = dir != Direction::kRead;

  const bool sp_fault = access.rn == kRegZr && access.mode != AddressMode::kLiteral &&
                        access.mode != AddressMode::kRegisterVa && view.sp_alignment_check &&
                        (cpu.r.x[kSlotSp] & 15) != 0;
  const bool one_page = ((va ^ (va + size - 1)) & ~kPageMask) == 0;
  const unsigned alignment =
      view.alignment_check ? access.element_bytes() : required_alignment(access);
  const bool exclusive_store = access.op == trapline::Op::kStoreExclusive;
  if (!sp_fault && one_page && (va & (alignment - 1)) == 0) {
    const bool el0 = as_el0(cpu, access.unprivileged);
    const uint64_t page = va & ~kPageMask;
    TlbEntry& t = *tlb_slot(el0 ? e.tlb_el0 : e.tlb, va);
    if ((reads && !tag_known(t.read_tag, page)) || (writes && !tag_known(t.write_tag, page))) {
      MmuResult fault;
      if (tlb_fill(cpu, va, walk_for(dir), el0, fault) &&
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
      if (!e.watching) return device_exit(cpu, t, va, slow.iss, write);
    }
    if (writes && !io && t.write_tag == (page | kTlbSlow) && promote_write(cpu, t, va)) {
      return SlowResult::kAgain;
    }
  }
  if (e.watching && !sp_fault && !stage1_refuses(cpu, access, va, size, dir, alignment)) {
    if (debug_gdb_watchpoint(cpu, e, va, size, reads, writes)) return SlowResult::kLeave;
    if (e.hw_watchpoints && debug_watchpoint(cpu, va, size, reads, writes, access.unprivileged)) {
      return taken_exception(cpu, e);
    }
  }
  return emulate_access(cpu, e, slow, va);
}

// The way out for a plain access to a device that the TLB already knows, with nothing else asked.
struct DeviceAbort {
  uint64_t va, ipa;
  uint32_t iss;
  bool ipa_known;
};
[[gnu::always_inline]] inline bool device_abort(const Cpu* cpu, const EngineState* e,
                                                const SlowWord& slow, DeviceAbort& out) {
  const uint64_t* x = cpu->r.x;
  uint64_t va = x[slow.base];
  if (TL_LIKELY(slow.form == SlowWord::kBaseOffset)) {
    va += static_cast<uint64_t>(int64_t{slow.offset});
  } else if (slow.form == SlowWord::kRegisterOffset) {
    const Access& access = slow.access;
    uint64_t offset = x[access.rm];
    if (access.extend == Extend::kUxtw) offset = static_cast<uint32_t>(offset);
    if (access.extend == Extend::kSxtw) {
      offset = static_cast<uint64_t>(int64_t{static_cast<int32_t>(static_cast<uint32_t>(offset))});
    }
    va += offset << access.shift;
  } else {
    return false;
  }
  const TlbEntry* table = slow.access.unprivileged ? e->tlb_el0 : e->tlb;
  const TlbEntry& t = table[va >> kPageLog2 & (kTlbEntries - 1)];
  const uint64_t tag = slow.load ? t.read_tag : t.write_tag;
  if (tag != ((va & ~kPageMask) | kTlbIo) || (va & slow.unaligned) != 0 || e->watching ||
      (slow.base == kSlotSp && (x[kSlotSp] & 15) != 0)) {
    return false;
  }
  const uint8_t fsc = tlb_fault_status(t.meta);
  out.va = va;
  out.ipa = (t.meta & kTlbIpaMask) | (va & kPageMask);
  out.iss = slow.iss | fsc;
  out.ipa_known = (fsc & 0x3c) != kFscPermission;
  return true;
}

uint32_t word_at(const Op* op, const EngineState* e) {
  return __atomic_load_n(
      reinterpret_cast<const uint32_t*>(e->block->host + 4 * (op - e->block->ops)),
      __ATOMIC_RELAXED);
}

// Not in a handler, whose tail call needs its frame to be free of variables that others know.
[[gnu::noinline]] SlowResult exit_or_perform(Cpu* cpu, EngineState* e, uint32_t word) {
  DeviceAbort abort;
  const SlowWord& slow = slow_word(*cpu, *e, word);
  if (!device_abort(cpu, e, slow, abort)) return perform_access(*cpu, *e, slow);
  data_abort_exit(*cpu, abort.va, abort.iss, abort.ipa, abort.ipa_known);
  return SlowResult::kExit;
}

void slow_exit(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  suspend_at(cpu, op, icount, e);
  switch (exit_or_perform(cpu, e, word_at(op, e))) {
    case SlowResult::kExit:
      if (!take_exit(*cpu, *e)) return;
      TL_NEXT;
    case SlowResult::kDone:
      TL_NEXT;
    case SlowResult::kAgain:
      TL_TAIL return op->fn(cpu, op, icount, e);
    case SlowResult::kLeave:
      return;
  }
}

// What the sink may do without the whole exit. True: it has.
[[gnu::always_inline]] inline bool brief_exit(Cpu* cpu, EngineState* e, uint32_t word) {
  DeviceAbort abort;
  const SlowWord& slow = slow_word(*cpu, *e, word);
  if ((slow.iss & iss::kIsv) == 0 || !device_abort(cpu, e, slow, abort) || !abort.ipa_known) {
    return false;
  }
  Exit& exit = cpu->exit;
  exit.kind = ExitKind::kDataAbort;
  exit.brief = true;
  exit.esr = make_esr(Ec::kDataAbortLower, abort.iss);
  exit.ipa = abort.ipa;
  e->view.current();
  const Answer answer = ask_sink(*cpu, *e);
  exit.brief = false;
  return answer.how == Resume::kGoOn;
}

}  // namespace

// First the short way.
void slow_access(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  const bool performed = brief_exit(cpu, e, word_at(op, e));
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

}  // namespace trapline::soft
