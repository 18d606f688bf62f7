// Building, finding and dropping blocks.
#include "vmm/soft/engine/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/mmu.h"

namespace trapline::soft {
namespace {

constexpr size_t kArenaSize = size_t{32} << 20;  // reserved; touched as it fills
constexpr size_t kCodeSize = size_t{32} << 20;   // behind it, within reach of each other
constexpr size_t kJumpCacheSize = sizeof(uint32_t) << EngineState::kJumpCacheLog2;
constexpr size_t kBlockTableSize = sizeof(void*) << EngineState::kBlockTableLog2;  // of Block*
constexpr size_t kTablesSize = kJumpCacheSize + kBlockTableSize;
constexpr size_t kCodePages = 256;               // at first
constexpr size_t kFewBlocks = size_t{64} << 10;  // of arena: taken out of the tables one by one
constexpr size_t kLargestBlock = sizeof(Block) + (kMaxBlockLen + 4) * sizeof(Op);

// At offset 0 of the arena, where an empty entry of the jump cache leads: no lookup ever matches
// it.
constexpr uint64_t kNoPc = 1;
constexpr size_t kFirstBlock = kBlockPhase + kBlockAlign;
static_assert(kFirstBlock >= sizeof(Block));

size_t arena_bytes(const Block& b) {
  return (sizeof(Block) + b.slots * sizeof(Op) + kBlockAlign - 1) & ~(kBlockAlign - 1);
}

unsigned table_index(uint64_t pc, const uint8_t* host, uint8_t mode) {
  uint64_t key = (pc >> 2) ^ reinterpret_cast<uintptr_t>(host) >> 12 ^ uint64_t { mode } << 40;
  return static_cast<unsigned>(key * 0x9e3779b97f4a7c15u >> (64 - EngineState::kBlockTableLog2));
}

const uint8_t* page_of(const uint8_t* host) {
  return reinterpret_cast<const uint8_t*>(reinterpret_cast<uintptr_t>(host) & ~kPageMask);
}

void clear_tables(EngineState& e) {
  std::memset(e.reserved, 0, kTablesSize);
  e.code_pages.assign(kCodePages, CodePage{nullptr, nullptr});
}

// Open addressing; the table is never more than half full.
CodePage* find_code_page(EngineState& e, const uint8_t* host_page, bool create) {
  if (create && e.code_pages_used * 2 >= e.code_pages.size()) {
    std::vector<CodePage> old(e.code_pages.size() * 2);
    old.swap(e.code_pages);
    for (const CodePage& page : old) {
      if (page.host_page == nullptr) continue;
      --e.code_pages_used;
      find_code_page(e, page.host_page, true)->blocks = page.blocks;
    }
  }
  const size_t mask = e.code_pages.size() - 1;
  size_t at = (reinterpret_cast<uintptr_t>(host_page) >> kPageLog2) * 0x9e3779b97f4a7c15u >> 32;
  for (;; ++at) {
    CodePage& page = e.code_pages[at & mask];
    if (page.host_page == host_page) return &page;
    if (page.host_page == nullptr) {
      if (!create) return nullptr;
      page = {host_page, nullptr};
      ++e.code_pages_used;
      return &page;
    }
  }
}

// Takes the block out of every lookup. It may be running: its memory stays until the arena is
// flushed, and whoever enters it by a link looks again.
void kill(EngineState& e, Block* b) {
  ++e.stats.blocks_dropped;
  b->token = 0;
  b->ops[0].fn = kDeadBlock;
  if (b->code != 0) e.translator->kill(*b);
  Block** at = &e.block_table[table_index(b->pc, b->host, b->mode)];
  while (*at != nullptr && *at != b) at = &(*at)->hash_next;
  if (*at == b) *at = b->hash_next;
}

// Announces that instructions of this page are predecoded, before the words are read: a writer
// either sees the flag or wrote early enough for us to see it.
//
//   we                                  writer: icache_invalidate_line(), GuestMemory::dma_done()
//   M1 flag set by fetch_or, or seen    W1 the word is stored (relaxed, or by memcpy)
//      set by a load; sc either way     W2 fence, sc
//   M2 fence, sc                        W3 flag.load(), sc
//   M3 the words are read, relaxed
//
// Were W3 to miss the flag and M3 to miss the word: W3 comes before whoever's fetch_or set the flag
// in S (the one order of sc operations), that fetch_or is M1 or comes before it, M1 < M2; and M3
// reads what W1 replaced, so M2 < W2; but W2 < W3 by program order: a circle. Without M2 the words
// may be read before the flag is visible: fetch_or by LDAXR and STLXR, as on an Armv8.0 host, lets
// later loads pass the STLXR.
//
// A store by the fast path, which looks at no flag, is no writer here: the guest has to follow it
// with IC IVAU (B2.4.4), and that is one.
void mark_code_page(Cpu& cpu, EngineState& e, const uint8_t* host) {
  std::atomic<uint8_t>* flags = flags_of_host(*cpu.memory, host);
  if (flags == nullptr) return;
  if ((flags->load(std::memory_order_seq_cst) & GuestMemory::kHasCode) == 0) {
    flags->fetch_or(GuestMemory::kHasCode, std::memory_order_seq_cst);
    const uint8_t* page = page_of(host);
    tlb_demote(e, page);
    maintenance_broadcast(*cpu.shared, &cpu,
                          {Maintenance::kDemote, reinterpret_cast<uint64_t>(page), 0});
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void fill_block(Cpu& cpu, EngineState& e, Block* b, uint64_t pc, const uint8_t* host,
                unsigned limit) {
  b->pc = pc;
  b->token = e.token;
  b->host = host;
  b->hash_next = b->page_next = nullptr;
  b->plain = nullptr;
  b->code = 0;
  b->runs_left = 0;
  b->mode = e.mode;
  b->linkable = true;
  BlockSource source;
  predecode_block(cpu, e, pc, host, limit, source, b->ops);
  const unsigned n = source.length;
  b->len = n;
  fuse_pairs(b->ops, n, source.last);
  const size_t links_at = source.last == Predecoded::kNext ? n + 1 : n;
  std::memset(static_cast<void*>(&b->ops[links_at]), 0, sizeof(Op));
  b->slots = static_cast<uint16_t>(links_at + 1);
}

Block* build_block(Cpu& cpu, EngineState& e, uint64_t pc, const uint8_t* host) {
  if (e.arena_used + kLargestBlock > e.arena_size) {
    ++e.stats.arena_flushes;
    blocks_flush(e);
  }
  ++e.stats.blocks_built;
  mark_code_page(cpu, e, host);
  auto* b = reinterpret_cast<Block*>(e.arena + e.arena_used);
  fill_block(cpu, e, b, pc, host, kMaxBlockLen);
  if (e.translator != nullptr) {
    b->plain = b->ops[0].fn;
    b->ops[0].fn = kCountedBlock;
    b->runs_left = e.translate_after;
  }
  e.arena_used += arena_bytes(*b);
  Block** bucket = &e.block_table[table_index(pc, host, b->mode)];
  b->hash_next = *bucket;
  *bucket = b;
  CodePage* page = find_code_page(e, page_of(host), true);
  b->page_next = page->blocks;
  page->blocks = b;
  return b;
}

// A block of at most `limit` instructions that nothing else will use.
Block* build_scratch(Cpu& cpu, EngineState& e, uint64_t pc, const uint8_t* host, unsigned limit) {
  auto* b = reinterpret_cast<Block*>(e.scratch);
  fill_block(cpu, e, b, pc, host, limit);
  b->linkable = false;
  return b;
}

void fetch_fault(Cpu& cpu, EngineState& e, const MmuResult& fault) {
  if (fault.kind == MmuResult::Kind::kStage1Fault) {
    take_abort(cpu, Ec::kInstAbortLower, fault.fsc, cpu.pc, cpu.pc);
    note_exception(cpu, e);
    e.leave = Leave::kException;
    return;
  }
  if (fault.kind == MmuResult::Kind::kGuestStage2Fault) {
    take_stage2_abort(cpu, Ec::kInstAbortLower, 0, cpu.pc, fault, cpu.pc);
    note_exception(cpu, e);
    e.leave = Leave::kException;
    return;
  }
  Exit& exit = cpu.exit;
  exit = Exit{};
  exit.kind = ExitKind::kPrefetchAbort;
  exit.vcpu = static_cast<uint8_t>(cpu.index);
  exit.pc = cpu.pc;
  exit.far = cpu.pc;
  exit.esr = make_esr(Ec::kInstAbortLower, (fault.s1ptw ? iss::kS1ptw : 0) | fault.fsc);
  exit.valid_mask = Exit::kEsr | Exit::kFar;
  if (fault.ipa_valid) {
    exit.ipa = (fault.ipa & ~kPageMask) | (cpu.pc & kPageMask);
    exit.valid_mask |= Exit::kIpa;
  }
  e.leave = Leave::kExit;
}

}  // namespace

void predecode_block(const Cpu& cpu, const EngineState& e, uint64_t pc, const uint8_t* host,
                     unsigned limit, BlockSource& source, Op* ops) {
  const bool debug = !e.breakpoints.empty() || e.hw_breakpoints;
  const auto page_left = static_cast<unsigned>((kPageSize - (pc & kPageMask)) / 4);
  const unsigned most = std::min(page_left, limit);
  PredecodeContext context{};
  context.model = cpu.model;
  context.mode = e.mode;
  unsigned n = 0;
  source.last = Predecoded::kNext;
  while (n < most && source.last == Predecoded::kNext) {
    context.index = n;
    context.pc = pc + 4 * uint64_t{n};
    if (debug && n > 0 && debug_needs_breakpoint(cpu, e, context.pc)) break;
    source.words[n] =
        __atomic_load_n(reinterpret_cast<const uint32_t*>(host + 4 * size_t{n}), __ATOMIC_RELAXED);
    ops[n] = Op{};
    source.last = predecode(source.words[n], context, ops[n]);
    ++n;
  }
  source.length = n;
  if (source.last == Predecoded::kNext) {
    ops[n] = Op{};
    make_block_end(ops[n], n, n == page_left);
  }
}

std::atomic<uint8_t>* flags_of_host(const GuestMemory& memory, const uint8_t* host) {
  for (const GuestMemory::Slot& slot : memory.slots()) {
    const auto offset = static_cast<uint64_t>(host - slot.host);
    if (offset < slot.size) return &slot.page_flags[offset >> kPageLog2];
  }
  return nullptr;
}

Block* find_block(Cpu& cpu, EngineState& e, uint64_t limit) {
  const uint64_t pc = cpu.pc;
  Block* b = jump_target(e, pc);
  if (b->pc != pc || b->token != e.token) {
    ++e.stats.block_lookups;
    MmuResult fault;
    const uint8_t* page = tlb_exec(cpu, pc & ~kPageMask, fault);
    if (page == nullptr) {
      fetch_fault(cpu, e, fault);
      return nullptr;
    }
    const uint8_t* host = page + (pc & kPageMask);
    if ((!e.breakpoints.empty() || e.hw_breakpoints) && debug_needs_breakpoint(cpu, e, pc)) {
      return build_scratch(cpu, e, pc, host, 1);
    }
    b = e.block_table[table_index(pc, host, e.mode)];
    while (b != nullptr && (b->pc != pc || b->host != host || b->mode != e.mode)) b = b->hash_next;
    if (b == nullptr) b = build_block(cpu, e, pc, host);
    b->token = e.token;
    e.jump_cache[jump_hash(pc)] =
        static_cast<uint32_t>(reinterpret_cast<const uint8_t*>(b) - e.arena);
  }
  if (b->len > limit) return build_scratch(cpu, e, pc, b->host, static_cast<unsigned>(limit));
  return b;
}

void blocks_flush(EngineState& e) {
  if (e.arena_used > kFewBlocks) {
    clear_tables(e);
  } else if (e.arena_used != kFirstBlock) {
    for (size_t at = kFirstBlock; at < e.arena_used;) {
      const auto* b = reinterpret_cast<const Block*>(e.arena + at);
      e.jump_cache[jump_hash(b->pc)] = 0;
      e.block_table[table_index(b->pc, b->host, b->mode)] = nullptr;
      at += arena_bytes(*b);
    }
    std::fill(e.code_pages.begin(), e.code_pages.end(), CodePage{nullptr, nullptr});
  }
  e.code_pages_used = 0;
  e.arena_used = kFirstBlock;
  e.pending_link = nullptr;
  if (e.translator != nullptr) e.translator->reset();
}

void blocks_init(EngineState& e) {
  e.reserved_size = kTablesSize + kArenaSize + kCodeSize;
  void* raw = mmap(nullptr, e.reserved_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "no address space for a vCPU's code");
  }
  e.reserved = static_cast<uint8_t*>(raw);
  e.block_table = reinterpret_cast<Block**>(e.reserved);
  e.jump_cache = reinterpret_cast<uint32_t*>(e.reserved + kTablesSize - kJumpCacheSize);
  e.arena = e.reserved + kTablesSize;
  e.arena_size = kArenaSize;
  e.arena_used = kFirstBlock;
  reinterpret_cast<Block*>(e.arena)->pc = kNoPc;
  e.code = e.arena + kArenaSize;
  e.code_size = kCodeSize;
  e.code_pages.resize(kCodePages);
}

void blocks_free(EngineState& e) {
  if (e.code_written != nullptr) munmap(e.code_written, e.code_size);
  munmap(e.reserved, e.reserved_size);
}

void blocks_drop_page(EngineState& e, const uint8_t* host_page) {
  CodePage* page = find_code_page(e, host_page, false);
  if (page == nullptr) return;
  for (Block* b = page->blocks; b != nullptr; b = b->page_next) kill(e, b);
  page->blocks = nullptr;
}

void blocks_drop_line(EngineState& e, const uint8_t* host_line) {
  CodePage* page = find_code_page(e, page_of(host_line), false);
  if (page == nullptr) return;
  for (Block** at = &page->blocks; *at != nullptr;) {
    Block* b = *at;
    if (b->host < host_line + 64 && b->host + 4 * size_t{b->len} > host_line) {
      *at = b->page_next;
      kill(e, b);
    } else {
      at = &b->page_next;
    }
  }
}

}  // namespace trapline::soft
