// Translating a block: how its code is laid out, entered and left.
#include "vmm/soft/translate_x64.h"

#include <sys/mman.h>

#include <cstring>

#include "vmm/soft/ops_common.h"

namespace trapline::soft {
namespace {

// More than any block's code takes: the largest instruction about 150 bytes, with its ways out.
constexpr uint32_t kMostCode = (kMaxBlockLen + 2) * 256;

template <typename Base, typename Field>
int distance(const Base& base, const Field& field) {
  return static_cast<int>(reinterpret_cast<const char*>(&field) -
                          reinterpret_cast<const char*>(&base));
}

bool same_operands(const Op& a, const Op& b) {
  return a.d == b.d && a.n == b.n && a.m == b.m && a.s == b.s && a.word == b.word;
}

// A chained jump to another page, from its end: cmp r8, [token]; jne; jmp.
constexpr uint32_t kJneBytes = 6, kDisplacementBytes = 4;
// lea rsi, [first op]; jmp [kDead]: before a block's code.
constexpr uint32_t kDeadBytes = 13;

}  // namespace

X64Translator::X64Translator(Cpu& cpu, EngineState& e)
    : Xbyak::CodeGenerator(e.code_size, e.code),
      code_(e.code),
      size_(static_cast<uint32_t>(e.code_size)),
      bmi2_(Xbyak::util::Cpu().has(Xbyak::util::Cpu::tBMI2)),
      lzcnt_(Xbyak::util::Cpu().has(Xbyak::util::Cpu::tLZCNT)),
      registers_(distance(cpu, cpu.r.x[0])),
      vectors_(distance(cpu, cpu.v[0])),
      attention_(distance(cpu, cpu.attention)),
      flag_n_(distance(e, e.flags.n)),
      flag_z_(distance(e, e.flags.z)),
      flag_c_(distance(e, e.flags.c)),
      flag_v_(distance(e, e.flags.v)),
      block_at_(distance(e, e.block)),
      tlb_at_(distance(e, e.tlb)),
      token_at_(distance(e, e.token)),
      mask_at_(distance(e, e.attention_mask)),
      jump_cache_at_(distance(e, e.jump_cache)),
      chain_site_at_(distance(e, e.chain_site)) {
  const Handler targets[kTargets] = {slow_access,          block_poll,
                                     kChainHandlers.dead,  kChainHandlers.taken_local,
                                     kChainHandlers.taken, kChainHandlers.next_local,
                                     kChainHandlers.next};
  for (Handler target : targets) dq(reinterpret_cast<uint64_t>(target));
  no_token_ = here();
  dq(0);
  first_ = here();
}

void X64Translator::reset() { setSize(first_); }

uint32_t X64Translator::jump(Cc cc) {
  db(0x0f);
  db(0x80 | cc);
  dd(0);
  return here() - kDisplacementBytes;
}
uint32_t X64Translator::jump() {
  db(0xe9);
  dd(0);
  return here() - kDisplacementBytes;
}
void X64Translator::bind(uint32_t displacement, uint32_t target) {
  const uint32_t relative = target - (displacement + kDisplacementBytes);
  std::memcpy(code_ + displacement, &relative, sizeof relative);
}

// Before the first: the dead end. Then what enter() does, for other host code.
void X64Translator::prologue(Block& block) {
  op_ = block.ops;
  lea(rsi, ptr[rip + block.ops]);
  jmp(ptr[rip + table(kDead)]);
  block.code = here();
  count_and_poll(block);
  lea(rax, ptr[rip + &block]);
  mov(ptr[rcx + block_at_], rax);
}

void X64Translator::count_and_poll(const Block& block) {
  sub(rdx, block.len);
  leave_to(kBlockPoll, jump(kS));
  mov(eax, ptr[rdi + attention_]);
  test(ptr[rcx + mask_at_], eax);
  leave_to(kBlockPoll, jump(kNe));
}

void X64Translator::enter_handler(const Op* op) {
  lea(rsi, ptr[rip + op]);
  jmp(ptr[rsi]);
}

void X64Translator::emit_exits() {
  for (const Exit& exit : exits_) {
    bind(exit.from);
    if (exit.op != nullptr) lea(rsi, ptr[rip + exit.op]);
    if (exit.site != 0) mov(dword[rcx + chain_site_at_], exit.site);
    jmp(ptr[rip + table(exit.target)]);
  }
  exits_.clear();
}

void X64Translator::store_constant(unsigned slot, uint64_t value) {
  if (static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value))) == value) {
    mov(qword[rdi + register_at(slot)], value);
  } else {
    mov(rax, value);
    store(slot, rax);
  }
}

X64Translator::Emitted X64Translator::instruction(uint32_t word) {
  if (op_->fn == op_nop) {
    flags_kept_ = true;
    return Emitted::kDone;
  }
  if (op_->fn == op_undefined || op_->fn == op_system || op_->fn == op_fp_disabled) {
    return Emitted::kNot;
  }
  switch (bits(word, 28, 25)) {  // C4.1
    case 8:
    case 9:
      return immediate(word);
    case 10:
    case 11:
      return branch(word);
    case 4:
    case 6:
    case 12:
    case 14:
      return memory(word);
    case 5:
    case 13:
      return register_(word);
    default:
      return Emitted::kNot;
  }
}

void X64Translator::translate(Cpu& cpu, EngineState& e, Block& block) {
  block.ops[0].fn = block.plain;
  if (here() + kMostCode > size_) {
    e.blocks_stale = true;  // flushed when this block is over
    return;
  }
  if (e.mode != block.mode) return;
  Op ops[kMaxBlockLen + 1];
  BlockSource source;
  predecode_block(cpu, e, block.pc, block.host, kMaxBlockLen, source, ops);
  const bool has_end = source.last == Predecoded::kNext;
  const unsigned count = source.length + (has_end ? 1 : 0);
  if (source.length != block.len || source.length + (has_end ? 2u : 1u) != block.slots) return;
  for (unsigned i = 0; i < count; ++i) {
    if (!same_operands(ops[i], block.ops[i])) return;
  }

  const uint32_t start = here();
  struct Entry {
    unsigned index;
    uint32_t at;
  } entries[kMaxBlockLen + 1];
  unsigned entry_count = 0;
  std::memcpy(static_cast<void*>(block.ops), ops, count * sizeof(Op));
  block_ = &block;
  host_flags_ = HostFlags::kUnknown;
  prologue(block);
  bool entered = true, falls_in = true;  // by a handler; from the code before
  for (index_ = 0; index_ < count; ++index_) {
    op_ = &block.ops[index_];
    flags_kept_ = false;
    const uint32_t at = here();
    Emitted emitted = Emitted::kEnd;
    if (index_ == source.length) {
      follow(false, local(false));
    } else {
      emitted = instruction(source.words[index_]);
    }
    if (!flags_kept_) host_flags_ = HostFlags::kUnknown;
    if (emitted == Emitted::kNot) {
      if (falls_in) enter_handler(op_);
      entered = true;
      falls_in = false;
      continue;
    }
    if (entered || emitted == Emitted::kCanLeave) entries[entry_count++] = {index_, at};
    entered = emitted == Emitted::kCanLeave;
    falls_in = emitted != Emitted::kEnd;
  }
  emit_exits();
  if (entry_count == 0) {  // handlers only
    block.code = 0;
    setSize(start);
    return;
  }
  for (unsigned i = 0; i < entry_count; ++i) {
    block.ops[entries[i].index].fn = reinterpret_cast<Handler>(code_ + entries[i].at);
  }
  ++e.stats.blocks_translated;
}

void X64Translator::chain(uint32_t site, const Block& target, bool local) {
  if (!local) {
    // Compared with the target's token from now on.
    const uint32_t next = site - kJneBytes;
    const auto relative =
        static_cast<int32_t>(reinterpret_cast<const uint8_t*>(&target.token) - (code_ + next));
    std::memcpy(code_ + next - kDisplacementBytes, &relative, sizeof relative);
  }
  bind(site + 1, target.code);
}

void X64Translator::kill(const Block& block) {
  const uint8_t jump[] = {0xeb, static_cast<uint8_t>(-static_cast<int>(kDeadBytes + 2))};
  std::memcpy(code_ + block.code, jump, sizeof jump);
}

std::unique_ptr<Translator> make_translator(Cpu& cpu, EngineState& e) {
  if (mprotect(e.code, e.code_size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return nullptr;
  return std::make_unique<X64Translator>(cpu, e);
}

}  // namespace trapline::soft
