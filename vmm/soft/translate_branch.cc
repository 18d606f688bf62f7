// Branches, and the end of a block that nothing else ends: C4.1.93.
#include "vmm/soft/ops_common.h"
#include "vmm/soft/translate_x64.h"

namespace trapline::soft {

// Whether the targets lie in the block's page, as predecoding found: the handler tells.
bool X64Translator::local(bool both) const {
  const uint64_t next = block_->pc + 4 * uint64_t{block_->len};
  const uint64_t taken = block_->pc + static_cast<uint64_t>(int64_t{op_->imm});
  const uint64_t pages = (taken ^ block_->pc) | (both ? next ^ block_->pc : 0);
  return (pages & ~kPageMask) == 0;
}

// The link of the op at hand. What it leads to is not known yet, or not to have code.
void X64Translator::follow(bool taken, bool local) {
  const Target target = taken ? (local ? kTakenLocal : kTaken) : (local ? kNextLocal : kNext);
  if (local) {
    const uint32_t site = here();
    leave_to(target, jump(), site);
  } else {
    mov(r8, ptr[rcx + token_at_]);
    cmp(r8, ptr[rip + (code_ + no_token_)]);
    const uint32_t displacement = jump(kNe);
    const uint32_t site = here();
    jump();
    leave_to(target, displacement, site);
  }
}

// `to_taken`: the displacement of a conditional jump that is made if the branch is taken.
void X64Translator::either(uint32_t to_taken, bool local) {
  follow(false, local);
  bind(to_taken);
  follow(true, local);
}

// The target, in Rn, by the jump cache; the handler does what is not found there.
X64Translator::Emitted X64Translator::indirect(bool link) {
  mov(rsi, x(op_->n));
  mov(rax, rsi);
  shr(rax, 2);
  mov(r8, rsi);
  shr(r8, 15);
  xor_(eax, r8d);
  and_(eax, (1 << EngineState::kJumpCacheLog2) - 1);
  mov(rax, ptr[rcx + rax * 8 + jump_cache_at_]);
  mov(r8, ptr[rcx + token_at_]);
  cmp(ptr[rax + offsetof(Block, pc)], rsi);
  const uint32_t other_pc = jump(kNe);
  cmp(ptr[rax + offsetof(Block, token)], r8);
  const uint32_t other_token = jump(kNe);
  if (link) {
    mov(r8, block_->pc + 4 * uint64_t{block_->len});
    store(30, r8);
  }
  // enter()
  lea(rsi, ptr[rax + offsetof(Block, ops)]);
  mov(r8d, ptr[rax + offsetof(Block, len)]);
  sub(rdx, r8);
  exits_.push_back({jump(kS), kBlockPoll, nullptr, 0});
  mov(r8d, ptr[rdi + attention_]);
  test(ptr[rcx + mask_at_], r8d);
  exits_.push_back({jump(kNe), kBlockPoll, nullptr, 0});
  mov(ptr[rcx + block_at_], rax);
  jmp(ptr[rsi]);
  bind(other_pc);
  bind(other_token);
  lea(rsi, ptr[rip + op_]);
  mov(rax, reinterpret_cast<uint64_t>(op_->fn));
  jmp(rax);
  return Emitted::kEnd;
}

X64Translator::Emitted X64Translator::branch(uint32_t word) {
  const bool nonzero = (word >> 24 & 1) != 0;
  switch (bits(word, 31, 29) & 3) {
    case 0:  // B, BL
      if ((word >> 31) != 0) store_constant(30, block_->pc + 4 * uint64_t{block_->len});
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
        either(jump(nonzero ? kNe : kE), both_local);
      } else {  // TBZ, TBNZ
        test(byte[rdi + register_at(op_->n) + op_->s / 8], 1 << op_->s % 8);
        either(jump(nonzero ? kNe : kE), both_local);
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
      either(jump(condition(op_->d)), both_local);
    }
    return Emitted::kEnd;
  }
  if ((word >> 25) == 0x6b) {  // BR, BLR, RET; ERET is none of them
    const unsigned opc = bits(word, 24, 21);
    if (opc <= 2) return indirect(opc == 1);
  }
  return Emitted::kNot;
}

}  // namespace trapline::soft
