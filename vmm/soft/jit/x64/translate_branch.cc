// Branches, and the end of a block that nothing else ends: C4.1.93.
#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {

// Whether the target, or both, lie in the block's page: kLocal of the op's handler.
bool X64Translator::local(bool both) const {
  const uint64_t taken = block_->pc + static_cast<uint64_t>(int64_t{op_->imm});
  const uint64_t pages = (taken ^ block_->pc) | (both ? next_pc() ^ block_->pc : 0);
  return (pages & ~kPageMask) == 0;
}

// The link of the op at hand. What it leads to is not known yet, or not to have code.
void X64Translator::follow(bool taken, bool local) {
  const Way way = taken ? (local ? kTakenLocal : kTaken) : (local ? kNextLocal : kNext);
  if (local) {
    const uint32_t displacement = jump();
    leave_by(way, displacement, displacement);
  } else {
    mov(r8, ptr[rcx + token_at_]);
    cmp(r8, ptr[rip + (begin_ + no_token_)]);
    const uint32_t other_token = jump(kNe);
    leave_by(way, other_token, jump());
  }
}

// The branch is taken on `cc`.
void X64Translator::either(Cc cc, bool local) {
  const uint32_t to_taken = jump(cc);
  if (local) {
    leave_by(kTakenLocal, to_taken, to_taken);
    follow(false, true);
  } else {
    follow(false, false);
    bind(to_taken);
    follow(true, false);
  }
}

// Subroutine: the block at rsi, to rax, with what enter() does to its count, by the jump cache.
// ZF: it was found. Clear: it was not, or something is to be done first; rdx is as it was.
void X64Translator::emit_find_block() {
  mov(rax, rsi);
  shr(rax, 2);
  mov(r8, rsi);
  shr(r8, EngineState::kJumpFold);
  xor_(eax, r8d);
  and_(eax, (1 << EngineState::kJumpCacheLog2) - 1);
  lea(r8, ptr[rip + jump_cache_]);
  mov(eax, ptr[r8 + rax * 4]);
  lea(r8, ptr[rip + arena_]);
  add(rax, r8);
  mov(r8, ptr[rcx + token_at_]);
  xor_(r8, ptr[rax + offsetof(Block, token)]);
  xor_(rsi, ptr[rax + offsetof(Block, pc)]);
  or_(r8, rsi);
  mov(r9d, ptr[rdi + attention_]);
  and_(r9d, ptr[rcx + mask_at_]);
  or_(r8, r9);
  const uint32_t not_found = jump(kNe);
  mov(r8d, ptr[rax + offsetof(Block, len)]);
  sub(rdx, r8);
  const uint32_t too_far = jump(kS);
  xor_(r9d, r9d);
  ret();
  bind(too_far);
  add(rdx, r8);
  or_(eax, 1);
  bind(not_found);
  ret();
}

// Subroutine: the call at hand returns to the code at r9, for the guest to r8.
void X64Translator::emit_push_return() {
  constexpr int kBytes = sizeof(ReturnEntry);
  mov(eax, ptr[rcx + return_top_at_]);
  add(eax, kBytes);
  and_(eax, (EngineState::kReturns - 1) * kBytes);
  mov(ptr[rcx + return_top_at_], eax);
  lea(rax, ptr[rcx + rax + returns_at_]);
  mov(ptr[rax + offsetof(ReturnEntry, pc)], r8);
  mov(ptr[rax + offsetof(ReturnEntry, code)], r9);
  mov(r8, ptr[rcx + token_at_]);
  mov(ptr[rax + offsetof(ReturnEntry, token)], r8);
  ret();
}

// Subroutine: the code that a return to rsi goes to, in rax. ZF: the newest call was made for it.
void X64Translator::emit_pop_return() {
  constexpr int kBytes = sizeof(ReturnEntry);
  mov(eax, ptr[rcx + return_top_at_]);
  mov(r9, ptr[rcx + token_at_]);
  lea(r8, ptr[rcx + rax + returns_at_]);
  add(eax, (EngineState::kReturns - 1) * kBytes);
  and_(eax, (EngineState::kReturns - 1) * kBytes);
  mov(ptr[rcx + return_top_at_], eax);
  mov(rax, ptr[r8 + offsetof(ReturnEntry, code)]);
  xor_(r9, ptr[r8 + offsetof(ReturnEntry, token)]);
  xor_(rsi, ptr[r8 + offsetof(ReturnEntry, pc)]);
  or_(r9, rsi);
  ret();
}

// Before a call: that it returns to a landing, which is to be bound to follow_return().
uint32_t X64Translator::expect_return() {
  mov(r8, next_pc());
  lea(r9, ptr[rip + begin_]);
  const uint32_t landing = here() - 4;
  call_routine(push_return_);
  return landing;
}

// The call's landing: the link that is `next` of other branches.
void X64Translator::follow_return(uint32_t landing) {
  bind(landing);
  follow(false, ((next_pc() ^ block_->pc) & ~kPageMask) == 0);
}

X64Translator::Emitted X64Translator::branch_and_link(bool local) {
  const uint32_t landing = expect_return();
  store_constant(30, next_pc());
  follow(true, local);
  follow_return(landing);
  return Emitted::kEnd;
}

// RET to Rn; the handler does it if the newest call was not made for it.
X64Translator::Emitted X64Translator::return_to() {
  mov(rsi, x(op_->n));
  call_routine(pop_return_);
  leave_by(kHandler, jump(kNe), reinterpret_cast<uint64_t>(op_->fn));
  jmp(rax);
  return Emitted::kEnd;
}

// BR, BLR: to the address in Rn, which may be X30; the handler does what is not plain.
X64Translator::Emitted X64Translator::indirect(bool link) {
  mov(rsi, x(op_->n));
  const uint32_t landing = link ? expect_return() : 0;
  call_routine(find_block_);
  leave_by(kHandler, jump(kNe), reinterpret_cast<uint64_t>(op_->fn));
  if (link) {
    mov(r8, next_pc());
    store(30, r8);
  }
  lea(rsi, ptr[rax + offsetof(Block, ops)]);
  mov(ptr[rcx + block_at_], rax);
  jmp(ptr[rsi]);
  if (link) follow_return(landing);
  return Emitted::kEnd;
}

X64Translator::Emitted X64Translator::branch(uint32_t word) {
  const bool nonzero = (word >> 24 & 1) != 0;
  switch (bits(word, 31, 29) & 3) {
    case 0:  // B, BL
      if ((word >> 31) != 0) return branch_and_link(local(false));
      follow(true, local(false));
      return Emitted::kEnd;
    case 1: {
      const bool both_local = local(true);
      if ((word >> 25 & 1) == 0) {  // CBZ, CBNZ
        if ((word >> 31) != 0) {
          cmp(qword[rdi + register_at(op_->n)], 0);
        } else {
          cmp(dword[rdi + register_at(op_->n)], 0);
        }
        either(nonzero ? kNe : kE, both_local);
      } else {  // TBZ, TBNZ
        test(byte[rdi + register_at(op_->n) + op_->s / 8], 1 << op_->s % 8);
        either(nonzero ? kNe : kE, both_local);
      }
      return Emitted::kEnd;
    }
    default:
      break;
  }
  if ((word >> 24) == 0x54) {  // B.cond
    const bool both_local = local(true);
    if (op_->d >= 14) {
      follow(true, both_local);
    } else {
      either(condition(op_->d), both_local);
    }
    return Emitted::kEnd;
  }
  if ((word >> 25) == 0x6b) {  // BR, BLR, RET; ERET is none of them
    const unsigned opc = bits(word, 24, 21);
    if (opc == 2) return return_to();
    if (opc <= 1) return indirect(opc == 1);
  }
  return Emitted::kNot;
}

}  // namespace trapline::soft
