// Branches and exception generation: "Branches, Exception Generating and System instructions",
// C4.1.93, without the system part; and how blocks begin and end.
#include "vmm/soft/nested_counter.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {

// --- the ends of blocks --------------------------------------------------------------------------

namespace {
// The whole block was executed; goes on at `target` through the outer loop.
[[gnu::noinline]] void leave_at(Cpu* cpu, EngineState* e, int64_t icount, uint64_t target) {
  e->icount = icount;
  cpu->retired = e->retire_base - static_cast<uint64_t>(icount);
  cpu->nzcv = e->flags.pack();
  cpu->pc = target;
  e->leave = Leave::kLookup;
}
void leave_linking(Cpu* cpu, const Op* op, int64_t icount, EngineState* e, uint64_t target,
                   Block** link, bool local) {
  (void)op;
  e->pending_link = e->block->linkable ? link : nullptr;
  e->pending_source = e->block;
  e->pending_local = local;
  e->pending_pc = target;
  leave_at(cpu, e, icount, target);
}
uint64_t block_end(const EngineState* e) { return e->block->pc + 4 * uint64_t{e->block->len}; }
bool same_page(uint64_t a, uint64_t b) { return ((a ^ b) & ~kPageMask) == 0; }
}  // namespace

// The block at `op` was about to start, its instructions taken off the count.
void block_poll(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  Block* b = block_of(op);
  leave_at(cpu, e, icount + b->len, b->pc);
}

namespace {
TL_OP(op_dead_block) {
  leave_at(cpu, e, icount + e->block->len, e->block->pc);
  (void)op;
}
}  // namespace
const Handler kDeadBlock = op_dead_block;

namespace {
TL_OP(op_counted_block) {
  Block* b = block_of(op);
  if (TL_UNLIKELY(--b->runs_left == 0)) {
    e->translator->translate(*cpu, *e, *b);
    TL_TAIL return op->fn(cpu, op, icount, e);
  }
  TL_TAIL return b->plain(cpu, op, icount, e);
}
}  // namespace
const Handler kCountedBlock = op_counted_block;

// imm: the target, relative to the block's pc.
void leave_taken(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  uint64_t target = e->block->pc + static_cast<int64_t>(op->imm);
  leave_linking(cpu, op, icount, e, target, &links_of(op)->taken, same_page(target, e->block->pc));
}
void leave_next(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  uint64_t target = block_end(e);
  leave_linking(cpu, op, icount, e, target, &links_of(op)->next, same_page(target, e->block->pc));
}

namespace {
// For host code that does not know yet what it leads to.
template <bool kTaken, bool kLocal>
TL_OP(op_chain) {
  Block* next = kTaken ? links_of(op)->taken : links_of(op)->next;
  if (TL_UNLIKELY(next == nullptr || (!kLocal && next->token != e->token))) {
    TL_GOTO((kTaken ? leave_taken : leave_next));
  }
  if (next->code != 0) e->translator->chain(e->chain_site, *next, kLocal);
  op = next->ops;
  TL_GOTO(enter);
}
TL_OP(op_chain_dead) { leave_at(cpu, e, icount, block_of(op)->pc); }
}  // namespace
const ChainHandlers kChainHandlers = {op_chain<true, true>, op_chain<true, false>,
                                      op_chain<false, true>, op_chain<false, false>, op_chain_dead};

namespace {

template <bool kLocal>
TL_OP(op_b) {
  TL_FOLLOW(taken, leave_taken);
}
template <bool kLocal>
TL_OP(op_bl) {
  cpu->r.x[30] = e->block->pc + 4 * uint64_t{e->block->len};
  TL_FOLLOW(taken, leave_taken);
}
template <bool kLocal>
TL_OP(op_end) {
  TL_FOLLOW(next, leave_next);
}
template <int kCond, bool kLocal>
TL_OP(op_b_cond) {
  if (holds<kCond>(e)) TL_FOLLOW(taken, leave_taken);
  TL_FOLLOW(next, leave_next);
}
template <typename T, bool kNonzero, bool kLocal>
TL_OP(op_cbz) {
  if ((static_cast<T>(cpu->r.x[op->n]) != 0) == kNonzero) TL_FOLLOW(taken, leave_taken);
  TL_FOLLOW(next, leave_next);
}
template <bool kNonzero, bool kLocal>
TL_OP(op_tbz) {
  if ((cpu->r.x[op->n] >> op->s & 1) == kNonzero) TL_FOLLOW(taken, leave_taken);
  TL_FOLLOW(next, leave_next);
}
// ISB: what was changed before it counts after it, so the next block's context is always compared,
// and the attention word read anew. A CPU that learnt from memory of another's IC, completed
// without waiting for us (SharedState::memory_written()), finds the request there: it was made
// before that memory was written. The fence is free on x86; an arm64 host could else load the
// attention word before what the guest loaded ahead of its ISB.
TL_OP(op_isb) {
  constexpr bool kLocal = false;
  std::atomic_thread_fence(std::memory_order_acquire);
  TL_FOLLOW(next, leave_next);
}

void leave_indirect(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  leave_at(cpu, e, icount, cpu->r.x[op->n]);
}
// Not before the lookup succeeded: Rn may be X30.
void leave_call_indirect(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  uint64_t target = cpu->r.x[op->n];
  cpu->r.x[30] = block_end(e);
  leave_at(cpu, e, icount, target);
}
TL_OP(op_br) {
  uint64_t target = cpu->r.x[op->n];
  Block* b = jump_target(*e, target);
  if (TL_UNLIKELY(b->pc != target || b->token != e->token)) TL_GOTO(leave_indirect);
  op = b->ops;
  TL_GOTO(enter);
}
TL_OP(op_blr) {
  uint64_t target = cpu->r.x[op->n];
  Block* b = jump_target(*e, target);
  if (TL_UNLIKELY(b->pc != target || b->token != e->token)) TL_GOTO(leave_call_indirect);
  cpu->r.x[30] = e->block->pc + 4 * uint64_t{e->block->len};
  op = b->ops;
  TL_GOTO(enter);
}

// --- exceptions ----------------------------------------------------------------------------------

// Of instructions that are not executed: the preferred return address is their own.
void raise(Cpu* cpu, EngineState* e, Ec ec, uint32_t iss) {
  take_sync(*cpu, ec, iss, cpu->pc);
  note_exception(*cpu, *e);
  e->leave = Leave::kException;
}

TL_OP(op_svc) {
  suspend_at(cpu, op, icount, e);
  retire_one(cpu, e);
  cpu->ps.ss = false;  // the step is over: SPSR says so
  take_sync(*cpu, Ec::kSvc64, op->word, cpu->pc + 4);
  note_exception(*cpu, *e);
  e->leave = Leave::kException;
}
TL_OP(op_hvc) {
  suspend_at(cpu, op, icount, e);
  Exit& exit = cpu->exit;
  exit.kind = ExitKind::kHvc;
  exit.vcpu = static_cast<uint8_t>(cpu->index);
  exit.pc = cpu->pc;
  exit.esr = uint64_t{static_cast<uint8_t>(Ec::kHvc64)} << 26 | uint64_t{1} << 25 | op->word;
  exit.valid_mask = Exit::kEsr;
  // The return from EL2 synchronises, as an ISB does.
  constexpr bool kLocal = false;
  if (!take_exit(*cpu, *e)) return;
  cpu->ps.ss = false;  // as in carry_out()
  e->keeps_step = true;
  std::atomic_thread_fence(std::memory_order_acquire);
  TL_FOLLOW(next, leave_next);
}
// Where the guest has an EL2. HCR_EL2.HCD: UNDEFINED, as it is at EL2 without EL3's SCR_EL3.HCE.
TL_OP(op_hvc_to_el2) {
  suspend_at(cpu, op, icount, e);
  if (has(*cpu, kHcrHcd)) {
    raise(cpu, e, Ec::kUnknown, 0);
    return;
  }
  if (cpu->ledger != nullptr && cpu->ps.el == 2) cpu->ledger->hvc();
  retire_one(cpu, e);
  step_advance(*cpu);
  trap_to_el2(*cpu, Ec::kHvc64, op->word, cpu->pc + 4);
  note_exception(*cpu, *e);
  e->leave = Leave::kException;
}
// There: PSCI's conduit, unless HCR_EL2.TSC traps it, which comes first.
TL_OP(op_smc) {
  suspend_at(cpu, op, icount, e);
  if (under_hypervisor(*cpu) && has(*cpu, kHcrTsc)) {
    trap_to_el2(*cpu, Ec::kSmc64, op->word, cpu->pc);
    note_exception(*cpu, *e);
    e->leave = Leave::kException;
    return;
  }
  if (cpu->ledger != nullptr && cpu->ps.el == 2) cpu->ledger->smc();
  Exit& exit = cpu->exit;
  exit = Exit{};
  exit.kind = ExitKind::kHvc;
  exit.vcpu = static_cast<uint8_t>(cpu->index);
  exit.pc = cpu->pc;
  exit.esr = make_esr(Ec::kSmc64, op->word);
  exit.valid_mask = Exit::kEsr;
  e->context_dirty = true;
  e->leave = Leave::kExit;
}
TL_OP(op_brk) {
  suspend_at(cpu, op, icount, e);
  raise(cpu, e, Ec::kBrk, op->word);
}
TL_OP(op_eret) {
  suspend_at(cpu, op, icount, e);
  retire_one(cpu, e);
  exception_return(*cpu);
  e->keeps_step = true;
  e->context_dirty = true;
  e->leave = Leave::kLookup;
}

// --- predecoding ---------------------------------------------------------------------------------

int32_t branch_offset(const PredecodeContext& context, int64_t offset) {
  return static_cast<int32_t>(offset + 4 * static_cast<int64_t>(context.index));
}
bool leaves_page(const PredecodeContext& context, int64_t offset) {
  return !same_page(context.pc, context.pc + static_cast<uint64_t>(offset));
}

template <bool kLocal>
Handler b_cond_handler(unsigned cond) {
  return choose<16>(cond, []<int kCond>() -> Handler { return op_b_cond<kCond, kLocal>; });
}
template <bool kLocal>
Handler cbz_handler(bool sf, bool nonzero) {
  return sf ? (nonzero ? op_cbz<uint64_t, true, kLocal> : op_cbz<uint64_t, false, kLocal>)
            : (nonzero ? op_cbz<uint32_t, true, kLocal> : op_cbz<uint32_t, false, kLocal>);
}

Predecoded exception_generation(uint32_t word, PredecodeContext& context, Op& op) {
  unsigned opc = bits(word, 23, 21), op2 = bits(word, 4, 2), ll = bits(word, 1, 0);
  const bool el2 = (context.mode & (kModeEl2 | kModeUnderEl2)) != 0;
  op.word = bits(word, 20, 5);
  if (op2 == 0 && opc == 0 && ll == 1) {
    op.fn = op_svc;
  } else if (op2 == 0 && opc == 0 && ll == 2 && (context.mode & kModePrivileged) != 0) {
    op.fn = el2 ? op_hvc_to_el2 : op_hvc;
  } else if (op2 == 0 && opc == 0 && ll == 3 && (context.mode & kModePrivileged) != 0 && el2) {
    op.fn = op_smc;
  } else if (op2 == 0 && opc == 1 && ll == 0) {
    op.fn = op_brk;
  } else {  // SMC without EL2 and EL3, HLT without a halting debugger, DCPS, unallocated
    return predecode_undefined(word, op);
  }
  return op.fn == op_hvc ? Predecoded::kLinks : Predecoded::kEnd;
}

Predecoded branch_register(uint32_t word, PredecodeContext& context, Op& op) {
  op.n = slot_zr(bits(word, 9, 5));
  if (bits(word, 20, 10) != 0x7c0 || bits(word, 4, 0) != 0) {  // others: FEAT_PAuth
    return predecode_undefined(word, op);
  }
  switch (bits(word, 24, 21)) {
    case 0:
    case 2:
      op.fn = op_br;
      return Predecoded::kEnd;
    case 1:
      op.fn = op_blr;
      return Predecoded::kEnd;
    case 4:
      if (op.n != 31 || (context.mode & kModePrivileged) == 0) break;
      op.fn = op_eret;
      return Predecoded::kEnd;
  }
  return predecode_undefined(word, op);
}

}  // namespace

int local_condition(const Op& op) { return op.fn == b_cond_handler<true>(op.d) ? op.d : -1; }

void make_block_end(Op& op, unsigned length, bool crosses_page) {
  op.imm = static_cast<int32_t>(4 * length);
  op.fn = crosses_page ? op_end<false> : op_end<true>;
}

Predecoded predecode_branch(uint32_t word, PredecodeContext& context, Op& op) {
  bool next_leaves = leaves_page(context, 4);
  unsigned op0 = bits(word, 31, 29);
  if ((op0 & 3) == 0) {  // B, BL
    int64_t offset = sbits(word, 25, 0) * 4;
    op.imm = branch_offset(context, offset);
    bool local = !leaves_page(context, offset);
    if (op0 >> 2) {
      op.fn = local ? op_bl<true> : op_bl<false>;
    } else {
      op.fn = local ? op_b<true> : op_b<false>;
    }
    return Predecoded::kLinks;
  }
  if ((op0 & 3) == 1) {
    op.n = slot_zr(bits(word, 4, 0));
    bool nonzero = word >> 24 & 1;
    int64_t offset;
    if ((word >> 25 & 1) == 0) {
      offset = sbits(word, 23, 5) * 4;
      bool local = !next_leaves && !leaves_page(context, offset);
      bool sf = word >> 31;
      op.fn = local ? cbz_handler<true>(sf, nonzero) : cbz_handler<false>(sf, nonzero);
    } else {
      offset = sbits(word, 18, 5) * 4;
      bool local = !next_leaves && !leaves_page(context, offset);
      op.s = static_cast<uint8_t>((word >> 31) << 5 | bits(word, 23, 19));
      op.fn = local ? (nonzero ? op_tbz<true, true> : op_tbz<false, true>)
                    : (nonzero ? op_tbz<true, false> : op_tbz<false, false>);
    }
    op.imm = branch_offset(context, offset);
    return Predecoded::kLinks;
  }
  if (op0 == 2) {
    if ((word >> 24 & 3) != 0 || (word >> 4 & 1) != 0) return predecode_undefined(word, op);
    int64_t offset = sbits(word, 23, 5) * 4;
    op.imm = branch_offset(context, offset);
    bool local = !next_leaves && !leaves_page(context, offset);
    unsigned cond = bits(word, 3, 0);
    op.d = static_cast<uint8_t>(cond);
    op.fn = local ? b_cond_handler<true>(cond) : b_cond_handler<false>(cond);
    return Predecoded::kLinks;
  }
  if (op0 != 6) return predecode_undefined(word, op);
  if ((word >> 25 & 1) != 0) return branch_register(word, context, op);
  if ((word >> 24 & 1) == 0) return exception_generation(word, context, op);
  if (bits(word, 23, 22) != 0) return predecode_undefined(word, op);
  if ((word & 0xfffff0ff) == 0xd50330df) {  // ISB
    op.imm = static_cast<int32_t>(4 * (context.index + 1));
    op.fn = op_isb;
    return Predecoded::kLinks;
  }
  return predecode_system(word, context, op);
}

}  // namespace trapline::soft
