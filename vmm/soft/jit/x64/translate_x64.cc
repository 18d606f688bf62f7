// Translating a block: how its code is laid out, entered and left.
#include "vmm/soft/jit/x64/translate_x64.h"

#include <cpuid.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

// More than any block's code takes, in line or out of it. An instruction takes up to 160 bytes
// (UABAL); in the cold half there are an entry of 37 bytes and an exit of 20 for each, and four
// exits at the block's end.
constexpr uint32_t kMostCode = (kMaxBlockLen + 2) * 192;

std::atomic<bool> baseline_host;

template <typename Base, typename Field>
int distance(const Base& base, const Field& field) {
  return static_cast<int>(reinterpret_cast<const char*>(&field) -
                          reinterpret_cast<const char*>(&base));
}

bool has_lzcnt() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_LZCNT) != 0;
}

bool has_f16c() {
  unsigned eax, ebx, ecx, edx;
  return __builtin_cpu_supports("avx") != 0 && __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 &&
         (ecx & bit_F16C) != 0;
}

bool has_sha() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & bit_SHA) != 0;
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

// One memory object at two addresses, so that no page is ever both written and run: here it is run,
// elsewhere it is written. False: the host does not let us.
bool map_code(EngineState& e) {
  const int fd = memfd_create("translated code", MFD_CLOEXEC);
  if (fd < 0) return false;
  void* const at = const_cast<uint8_t*>(e.code);
  void* written = MAP_FAILED;
  if (ftruncate(fd, static_cast<off_t>(e.code_size)) == 0) {
    written = mmap(nullptr, e.code_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  }
  const bool good = written != MAP_FAILED && mmap(at, e.code_size, PROT_READ | PROT_EXEC,
                                                  MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
  close(fd);
  if (good) {
    e.code_written = static_cast<uint8_t*>(written);
  } else if (written != MAP_FAILED) {
    munmap(written, e.code_size);
  }
  return good;
}

}  // namespace

X64Translator::HostFeatures X64Translator::host_features() {
  if (baseline_host) return {};
  return {
      .bmi = __builtin_cpu_supports("bmi") != 0,
      .bmi2 = __builtin_cpu_supports("bmi2") != 0,
      .lzcnt = has_lzcnt(),
      .ssse3 = __builtin_cpu_supports("ssse3") != 0,
      .sse41 = __builtin_cpu_supports("sse4.1") != 0,
      .sse42 = __builtin_cpu_supports("sse4.2") != 0,
      .avx2 = __builtin_cpu_supports("avx2") != 0,
      .fma = __builtin_cpu_supports("fma") != 0,
      .f16c = has_f16c(),
      .aes = __builtin_cpu_supports("aes") != 0,
      .pclmul = __builtin_cpu_supports("pclmul") != 0,
      .sha = __builtin_cpu_supports("ssse3") != 0 && has_sha(),
  };
}

X64Translator::X64Translator(Cpu& cpu, EngineState& e)
    : Assembler(e.code_written, e.code),
      e_(e),
      arena_(e.arena),
      jump_cache_(e.jump_cache),
      cold_begin_(static_cast<uint32_t>(e.code_size / 2)),
      size_(static_cast<uint32_t>(e.code_size)),
      host_(host_features()),
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
      chain_site_at_(distance(e, e.chain_site)),
      returns_at_(distance(e, e.returns[0])),
      return_top_at_(distance(e, e.return_top)),
      fpcr_at_(distance(cpu, cpu.fpcr)),
      fpsr_at_(distance(cpu, cpu.fpsr)),
      monitor_at_(distance(cpu, cpu.monitor)) {
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
  emit_pool();
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
  for (const Access access : {kRead, kWrite, kReadWhole, kWriteWhole, kUpdate}) {
    for (bool sp : {false, true}) {
      for (unsigned size_log2 = 0; size_log2 < kSizes; ++size_log2) {
        align(64);
        look_up_[access][sp][size_log2] = here();
        emit_look_up(access, sp, size_log2);
      }
    }
  }
  for (const bool is_load : {false, true}) {
    for (unsigned n = 2; n <= 4; ++n) {
      for (unsigned size_log2 = 0; size_log2 < 4; ++size_log2)
        emit_interleave(is_load, n, size_log2);
    }
  }
  emit_rounding();
  for (const bool is_signed : {false, true}) {
    align(16);
    dot_[is_signed] = here();
    emit_dot(is_signed);
  }
  emit_sha512();
  for (const bool rsqrt : {false, true}) {
    for (const bool is_double : {false, true}) {
      align(64);
      estimate_[rsqrt][is_double] = here();
      emit_estimate(rsqrt, is_double);
    }
  }
  align(64);
  to_half_ = here();
  emit_to_half();
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

namespace {
constexpr Gp kHeld[] = {r10, r11, rsi};
}  // namespace

Mem X64Translator::x(unsigned slot) const {
  if (!any_held_) return x_memory(slot);
  for (unsigned i = 0; i < std::size(kHeld); ++i) {
    if (held_[i] == slot) return in_register(kHeld[i]);
  }
  return x_memory(slot);
}

// Whether one of the next integer instructions has it as an operand. A guess: a wrong one costs a
// move.
bool X64Translator::is_read_soon(unsigned slot) const {
  constexpr unsigned kSoon = 3;
  for (unsigned i = index_ + 1; i <= index_ + kSoon && i < source_->length; ++i) {
    const uint32_t word = source_->words[i];
    const Op& op = block_->ops[i];
    if (!is_integer(word)) return false;
    if (op.n == slot || op.m == slot || op.s == slot) return true;
    if (op.d == slot) return false;
  }
  return false;
}

// The register's new value is in `value`: 64 bits.
void X64Translator::hold(unsigned slot, Gp value) {
  forget_held(slot);
  if (slot == kSlotDiscard || !is_integer(source_->words[index_]) || !is_read_soon(slot)) return;
  mov(kHeld[next_held_], value);
  held_[next_held_] = static_cast<uint8_t>(slot);
  any_held_ = true;
  next_held_ = (next_held_ + 1) % std::size(kHeld);
}

// To the cold half; the next block's code follows this one's.
void X64Translator::emit_exits() {
  const uint32_t next = here();
  move_to(cold_);
  const Exit* last = nullptr;
  uint32_t last_at = 0;
  for (const Exit& exit : exits_) {
    if (last != nullptr && last->place == exit.place && last->way == exit.way &&
        last->rax == exit.rax) {
      bind(exit.from, last_at);
      continue;
    }
    last = &exit;
    last_at = here();
    bind(exit.from);
    if (exit.rax != 0) mov(rax, exit.rax);
    mov(esi, exit.place);
    bind(jump(), ways_[exit.way]);
  }
  exits_.clear();
  cold_ = here();
  move_to(next);
}

// Tests of FPCR and FPSR that the op at hand relies on; it is its handler's if they fail.
void X64Translator::need(unsigned facts) {
  const unsigned missing = facts & ~unsigned{facts_};
  if ((missing & kPlainFpcr) != 0) {
    test32(ptr[rdi + fpcr_at_], kRModeMask | kFz);
    defer(kNe);
  }
  if ((missing & kInexactSeen) != 0) {
    test(byte[rdi + fpsr_at_], kIxc);
    defer(kE);
  }
  facts_ |= static_cast<uint8_t>(facts);
}

// What the code at an entry knows holds of those who fall in; of a handler's next op it is asked.
void X64Translator::emit_entries(Entry* entries, unsigned count) {
  const uint32_t next = here();
  move_to(cold_);
  for (Entry* entry = entries; entry != entries + count; ++entry) {
    if (entry->facts == 0 && entry->vector == kNoVector) continue;
    index_ = entry->index;
    op_ = &block_->ops[index_];
    facts_ = 0;
    const uint32_t code = entry->at;
    entry->at = here();
    need(entry->facts);
    if (entry->vector != kNoVector) movups(xmm0, v(entry->vector));
    bind(jump(), code);
  }
  cold_ = here();
  move_to(next);
}

void X64Translator::store_constant(unsigned slot, uint64_t value) {
  forget_held(slot);
  if (is_short(value)) {
    mov(qword[rdi + register_at(slot)], value);
  } else {
    mov(rax, value);
    mov(x_memory(slot), rax);
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
    case 7:
    case 15: {
      const Emitted emitted = crypto(word);
      return emitted != Emitted::kNot ? emitted : fp(word);
    }
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
  Entry entries[kMaxBlockLen + 1];
  unsigned entry_count = 0;
  std::memcpy(static_cast<void*>(block.ops), ops, count * sizeof(Op));
  block_ = &block;
  source_ = &source;
  host_flags_ = HostFlags::kUnknown;
  block_set_ = false;
  facts_ = 0;
  forget_held();
  prologue(block);
  bool falls_in = true;  // from the code before
  entered_ = true;
  kept_for_ = kMaxBlockLen + 1;  // none
  counted_ = kMaxBlockLen + 1;   // none
  for (index_ = 0; index_ < count; ++index_) {
    op_ = &block.ops[index_];
    flags_kept_ = false;
    // Code that goes on with the host's flags is entered by nobody else.
    const bool takes_flags = host_flags_ != HostFlags::kUnknown;
    if (entered_ || index_ == source.length || !is_integer(source.words[index_])) forget_held();
    Entry entry{index_, here(), facts_};
    used_vector_ = kNoVector;
    Emitted emitted = Emitted::kEnd;
    if (index_ == source.length) {
      follow(false, local(false));
    } else {
      emitted = instruction(source.words[index_]);
    }
    if (!flags_kept_) host_flags_ = HostFlags::kUnknown;
    if (emitted == Emitted::kNot) forget_held();
    if (emitted == Emitted::kNot) {
      if (falls_in) enter_handler();
      host_flags_ = HostFlags::kUnknown;
      block_set_ = entered_ = true;
      falls_in = false;
      facts_ = 0;
      continue;
    }
    entry.vector = used_vector_;
    const bool may_enter = entered_ || emitted == Emitted::kCanLeave;
    if (may_enter && !takes_flags) entries[entry_count++] = entry;
    entered_ = emitted == Emitted::kCanLeave || emitted == Emitted::kCanDefer ||
               (may_enter && takes_flags);
    falls_in = emitted != Emitted::kEnd;
  }
  if (entry_count == 0) {  // handlers only
    block.code = 0;
    exits_.clear();
    move_to(start);
    return;
  }
  emit_entries(entries, entry_count);
  emit_exits();
  for (unsigned i = 0; i < entry_count; ++i) {
    block.ops[entries[i].index].fn =
        reinterpret_cast<Handler>(reinterpret_cast<uintptr_t>(begin_) + entries[i].at);
  }
  ++e.stats.blocks_translated;
}

void X64Translator::chain(uint32_t site, const Block& target, bool local) {
  if (!local) {
    // Compared with the target's token from now on.
    const uint32_t next = site - kJmpBytes - kJneBytes;
    const auto relative =
        static_cast<int32_t>(reinterpret_cast<const uint8_t*>(&target.token) - (begin_ + next));
    std::memcpy(written_ + next - kDisplacementBytes, &relative, sizeof relative);
  }
  bind(site, target.code);
}

void X64Translator::kill(const Block& block) {
  const uint8_t jump[] = {0xeb, static_cast<uint8_t>(-static_cast<int>(kDeadBytes + 2))};
  std::memcpy(written_ + block.code, jump, sizeof jump);
}

void use_baseline_host(bool on) { baseline_host = on; }

std::unique_ptr<Translator> make_translator(Cpu& cpu, EngineState& e) {
  if (!map_code(e)) return nullptr;
  return std::make_unique<X64Translator>(cpu, e);
}

}  // namespace trapline::soft
