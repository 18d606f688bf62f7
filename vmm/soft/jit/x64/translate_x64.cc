// Translating a block: how its code is laid out, entered and left.
#include "vmm/soft/jit/x64/translate_x64.h"

#include <cpuid.h>
#include <sys/mman.h>

#include <cstring>

#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

// More than any block's code takes, in line or out of it. An instruction takes up to 90 bytes
// (CCMP); in the cold half there are two exits a block and four at its end, of 20 bytes at the
// most.
constexpr uint32_t kMostCode = (kMaxBlockLen + 2) * 128;

template <typename Base, typename Field>
int distance(const Base& base, const Field& field) {
  return static_cast<int>(reinterpret_cast<const char*>(&field) -
                          reinterpret_cast<const char*>(&base));
}

bool has_lzcnt() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_LZCNT) != 0;
}

// The predecoded words make the same block, to the handler.
bool same_block(const Op* ops, const BlockSource& source, const Block& block) {
  const bool has_end = source.last == Predecoded::kNext;
  if (source.length != block.len || source.length + (has_end ? 2u : 1u) != block.slots) {
    return false;
  }
  const size_t count = source.length + (has_end ? 1 : 0);
  Op fused[kMaxBlockLen + 1];
  std::memcpy(static_cast<void*>(fused), ops, count * sizeof(Op));
  fuse_pairs(fused, source.length, source.last);
  return std::memcmp(fused, block.ops, count * sizeof(Op)) == 0;
}

// A chained jump to another page: cmp r8, [token]; jne; jmp, whose displacement is the site.
constexpr uint32_t kJneBytes = 6, kJmpBytes = 1, kDisplacementBytes = 4;
// mov esi, place; jmp: before a block's code.
constexpr uint32_t kDeadBytes = 10;

}  // namespace

X64Translator::X64Translator(Cpu& cpu, EngineState& e)
    : Assembler(e.code),
      e_(e),
      arena_(e.arena),
      cold_begin_(static_cast<uint32_t>(e.code_size / 2)),
      size_(static_cast<uint32_t>(e.code_size)),
      bmi2_(__builtin_cpu_supports("bmi2") != 0),
      lzcnt_(has_lzcnt()),
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
      chain_site_at_(distance(e, e.chain_site)),
      returns_at_(distance(e, e.returns[0])),
      return_top_at_(distance(e, e.return_top)) {
  emit_routines();
  reset();
}

void X64Translator::reset() {
  move_to(first_);
  cold_ = cold_begin_;
  for (ReturnEntry& entry : e_.returns) entry = {};
}

// What all blocks share.
void X64Translator::emit_routines() {
  no_token_ = here();
  put64(0);
  const Handler handlers[kWays] = {slow_access,          block_poll,
                                   kChainHandlers.dead,  kChainHandlers.taken_local,
                                   kChainHandlers.taken, kChainHandlers.next_local,
                                   kChainHandlers.next,  nullptr};
  for (unsigned way = 0; way < kWays; ++way) {
    align(16);
    ways_[way] = here();
    if (way >= kTakenLocal && way <= kNext) mov(ptr[rcx + chain_site_at_], eax);
    set_place();
    if (way != kHandler) mov(rax, reinterpret_cast<uint64_t>(handlers[way]));
    jmp(rax);
  }
  for (bool write : {false, true}) {
    for (bool sp : {false, true}) {
      for (unsigned size_log2 = 0; size_log2 < kSizes; ++size_log2) {
        align(64);
        look_up_[write][sp][size_log2] = here();
        emit_look_up(write, sp, size_log2);
      }
    }
  }
  align(64);
  find_block_ = here();
  emit_find_block();
  align(64);
  push_return_ = here();
  emit_push_return();
  align(64);
  pop_return_ = here();
  emit_pop_return();
  align(64);
  first_ = here();
}

void X64Translator::set_place() {
  mov(r8d, esi);
  and_(esi, 63);
  and_(r8d, ~63);
  lea(r9, ptr[rip + (arena_ + kBlockPhase)]);
  add(r8, r9);
  mov(ptr[rcx + block_at_], r8);
  shl(esi, 4);
  static_assert(sizeof(Op) == 1 << 4);
  lea(rsi, ptr[r8 + rsi + offsetof(Block, ops)]);
}

// Before the first: the dead end. Then what enter() does, for other host code.
void X64Translator::prologue(Block& block) {
  index_ = 0;
  mov(esi, place_of(block, 0));
  bind(jump(), ways_[kDead]);
  block.code = here();
  sub(rdx, block.len);
  leave_by(kBlockPoll, jump(kS));
  mov(eax, ptr[rdi + attention_]);
  test(ptr[rcx + mask_at_], eax);
  leave_by(kBlockPoll, jump(kNe));
}

// The op at hand is its handler's, which finds the next op by itself.
void X64Translator::enter_handler() {
  if (!block_set_) {
    lea(rax, ptr[rip + block_]);
    mov(ptr[rcx + block_at_], rax);
  }
  lea(rsi, ptr[rip + op_]);
  jmp(ptr[rsi]);
}

// To the cold half; the next block's code follows this one's.
void X64Translator::emit_exits() {
  const uint32_t next = here();
  move_to(cold_);
  for (const Exit& exit : exits_) {
    bind(exit.from);
    if (exit.rax != 0) mov(rax, exit.rax);
    mov(esi, exit.place);
    bind(jump(), ways_[exit.way]);
  }
  exits_.clear();
  cold_ = here();
  move_to(next);
}

void X64Translator::store_constant(unsigned slot, uint64_t value) {
  if (is_short(value)) {
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
  if (here() + kMostCode > cold_begin_ || cold_ + kMostCode > size_) {
    e.blocks_stale = true;  // flushed when this block is over
    return;
  }
  if (e.mode != block.mode) return;
  Op ops[kMaxBlockLen + 1];
  BlockSource source;
  predecode_block(cpu, e, block.pc, block.host, kMaxBlockLen, source, ops);
  if (!same_block(ops, source, block)) return;
  const unsigned count = source.length + (source.last == Predecoded::kNext ? 1 : 0);

  const uint32_t start = here();
  struct Entry {
    unsigned index;
    uint32_t at;
  } entries[kMaxBlockLen + 1];
  unsigned entry_count = 0;
  std::memcpy(static_cast<void*>(block.ops), ops, count * sizeof(Op));
  block_ = &block;
  host_flags_ = HostFlags::kUnknown;
  block_set_ = false;
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
      if (falls_in) enter_handler();
      block_set_ = entered = true;
      falls_in = false;
      continue;
    }
    if (entered || emitted == Emitted::kCanLeave) entries[entry_count++] = {index_, at};
    entered = emitted == Emitted::kCanLeave;
    falls_in = emitted != Emitted::kEnd;
  }
  if (entry_count == 0) {  // handlers only
    block.code = 0;
    exits_.clear();
    move_to(start);
    return;
  }
  emit_exits();
  for (unsigned i = 0; i < entry_count; ++i) {
    block.ops[entries[i].index].fn = reinterpret_cast<Handler>(begin_ + entries[i].at);
  }
  ++e.stats.blocks_translated;
}

void X64Translator::chain(uint32_t site, const Block& target, bool local) {
  if (!local) {
    // Compared with the target's token from now on.
    const uint32_t next = site - kJmpBytes - kJneBytes;
    const auto relative =
        static_cast<int32_t>(reinterpret_cast<const uint8_t*>(&target.token) - (begin_ + next));
    std::memcpy(begin_ + next - kDisplacementBytes, &relative, sizeof relative);
  }
  bind(site, target.code);
}

void X64Translator::kill(const Block& block) {
  const uint8_t jump[] = {0xeb, static_cast<uint8_t>(-static_cast<int>(kDeadBytes + 2))};
  std::memcpy(begin_ + block.code, jump, sizeof jump);
}

std::unique_ptr<Translator> make_translator(Cpu& cpu, EngineState& e) {
  if (mprotect(e.code, e.code_size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return nullptr;
  return std::make_unique<X64Translator>(cpu, e);
}

}  // namespace trapline::soft
