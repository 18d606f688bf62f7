// The engine's private part of a CPU.
#ifndef TRAPLINE_VMM_SOFT_ENGINE_ENGINE_STATE_H_
#define TRAPLINE_VMM_SOFT_ENGINE_ENGINE_STATE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "mmio/emulate.h"
#include "mmio/zero_memory.h"
#include "vmm/soft/cpu.h"
#include "vmm/soft/engine/block.h"
#include "vmm/soft/engine/engine.h"
#include "vmm/soft/engine/soft_view.h"
#include "vmm/soft/engine/tlb.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/jit/translate.h"

namespace trapline::soft {

// NZCV while blocks run, in the form that arithmetic leaves behind. Cpu::nzcv is made from it
// before anything else looks.
struct Flags {
  int64_t n = 0;   // N is the sign
  uint64_t z = 1;  // Z iff zero
  uint8_t c = 0, v = 0;

  uint32_t pack() const {
    return (n < 0 ? 0x80000000u : 0) | (z == 0 ? 0x40000000u : 0) | uint32_t{c} << 29 |
           uint32_t{v} << 28;
  }
  void unpack(uint32_t nzcv) {
    n = static_cast<int32_t>(nzcv);
    z = (nzcv & 0x40000000u) == 0;
    c = nzcv >> 29 & 1;
    v = nzcv >> 28 & 1;
  }
};

enum class Leave : uint8_t {
  kLookup,     // go on at cpu.pc
  kException,  // the same; an exception was taken
  kExit,       // cpu.exit is filled in: to the sink with it
  kReturn,     // run() returns
};

struct ExecEntry {
  uint64_t va_page = ~uint64_t{0};
  uint64_t token = 0;
  const uint8_t* host_page = nullptr;
};

// A call's return: to `code` if it is to `pc` under this token.
struct ReturnEntry {
  uint64_t pc;
  uint64_t token;  // 0: none
  const uint8_t* code;
  uint64_t unused;
};
static_assert(sizeof(ReturnEntry) == 32);

struct CodePage {
  const uint8_t* host_page;
  Block* blocks;
};

// Work that another thread left for this CPU.
struct Maintenance {
  enum Kind : uint8_t {
    kTlbAll,
    kTlbWorld,
    kTlbAsid,
    kTlbVa,
    kTlbIpa,
    kDemote,
    kDemoteTracked,
    kCodePage,
    kCodeLine,
    kCodeAll,
  };
  Kind kind;
  uint64_t a = 0, b = 0;
  TlbiTarget target{};  // of kTlbWorld, kTlbAsid, kTlbVa
};

// Whether a CPU may be using what it has cached, or a translation that it has just made;
// maintenance.cc.
enum class Presence : uint8_t {
  kOutside,  // of engine_run(): it comes back only through its maintenance queue
  kDevice,   // an exit is dealt with inside: likewise, but it comes back without a fence
  kGuest,
};

// What the slow path knows of a load or store: a function of its word.
struct SlowWord {
  enum Form : uint8_t {
    kOther,
    kBaseOffset,      // one element of a general register at a base register and an immediate
    kRegisterOffset,  // likewise, and a register
  };
  uint32_t word = 0;   // 0: no instruction of ours
  uint32_t iss = 0;    // iss_of(access) unless the CPU reports no syndromes; of a store with WnR
  int32_t offset = 0;  // kBaseOffset: what is added to the base for the address
  Form form = kOther;
  uint8_t base = 0;       // slot
  uint8_t unaligned = 0;  // bits of an address that is not aligned
  bool load = false;
  Access access{};
};
static_assert(sizeof(SlowWord) == 32);
inline constexpr unsigned kSlowWords = 256;

struct EngineState {
  explicit EngineState(Cpu& cpu) : view(cpu) {}

  // --- hot ---
  Flags flags;
  Block* block = nullptr;       // the one that runs
  TlbEntry* tlb = nullptr;      // of the current EL
  TlbEntry* tlb_el0 = nullptr;  // of EL0: LDTR, STTR
  uint64_t token = 0;           // names the current translation context and mode
  uint32_t attention_mask = 0;  // of Cpu::attention: what must be looked at now
  Leave leave = Leave::kLookup;
  bool context_dirty = true;
  bool stop_after_exception = false;  // engine_step()
  bool keeps_step = false;            // no SSAdvance at the block's end: ERET, HVC, once more
  uint8_t mode = 0;                   // BlockMode
  int64_t icount = 0;                 // valid outside handlers
  ExitSink* sink = nullptr;           // of the engine_run() that runs
  uint64_t retire_base = 0;           // cpu.retired == retire_base - icount
  // A direct branch that found no link, to be set once its target is known.
  Block** pending_link = nullptr;
  Block* pending_source = nullptr;
  bool pending_local = false;
  uint64_t pending_pc = 0;

  // By jump_hash() of their pc, blocks by their offset from `arena`; 0: that of a block of no pc.
  static constexpr unsigned kJumpCacheLog2 = 15, kJumpFold = 16;
  uint32_t* jump_cache = nullptr;

  // --- TLB ---
  std::unique_ptr<World[]> worlds;
  ZeroArray<TlbEntry> tlb_entries;  // of all their tables
  unsigned world_count = 0;
  World* world = nullptr;  // the present one
  uint64_t last_token = 0;
  uint64_t use_counter = 0;
  static constexpr unsigned kExecEntries = 512;
  ExecEntry exec[kExecEntries];
  // VA pages that some token's blocks were reached through, by hash; and larger pages.
  uint8_t exec_filter[4096] = {};
  struct LargePage {
    uint64_t va;
    unsigned log2;
  };
  static constexpr unsigned kExecLarge = 16;
  LargePage exec_large[kExecLarge];
  unsigned exec_large_count = 0;  // kExecLarge + 1: more than fit

  // --- blocks ---
  // One reservation of the host's address space, all zero at first and no memory until it is
  // touched: the block table and jump cache, the arena, and host code behind it, within reach of
  // all of them.
  uint8_t* reserved = nullptr;
  size_t reserved_size = 0;
  uint8_t* arena = nullptr;
  size_t arena_size = 0, arena_used = 0;
  const uint8_t* code = nullptr;    // host code, behind the arena: where it runs
  uint8_t* code_written = nullptr;  // and where it is written; null: there is none
  size_t code_size = 0;
  std::unique_ptr<Translator> translator;  // null: blocks are interpreted
  uint16_t translate_after = 0;            // runs
  uint32_t chain_site = 0;                 // the jump that asks to be chained, from `code`
  // Where calls by host code return to; the newest at `return_top`, in bytes.
  static constexpr unsigned kReturns = 64;
  ReturnEntry returns[kReturns];
  uint32_t return_top = 0;
  static constexpr unsigned kBlockTableLog2 = 15;
  Block** block_table = nullptr;
  std::vector<CodePage> code_pages;  // open addressing by host page
  size_t code_pages_used = 0;
  alignas(16) uint8_t scratch[sizeof(Block) + (kMaxBlockLen + 4) * sizeof(Op)];

  // --- slow path ---
  SoftView view;  // for the sink, too
  SlowWord slow_words[kSlowWords] = {};
  EmulateContext emulate_context;
  DeviceGate gate;

  // --- maintenance ---
  std::atomic<Presence> presence{Presence::kOutside};
  std::mutex queue_mutex;
  std::vector<Maintenance> queue;   // guarded
  std::atomic<uint64_t> queued{0};  // requests ever queued
  std::atomic<uint64_t> done{0};    // of those, performed
  std::vector<Maintenance> draining;
  bool broadcast_pending = false;  // since the last DSB
  std::vector<uint64_t> tickets;   // by CPU: what `done` must reach

  // --- debug ---
  std::vector<uint64_t> breakpoints;  // gdb
  uint64_t skip_breakpoint_pc = ~uint64_t{0};
  uint64_t skip_breakpoint_retired = 0;
  std::vector<Watchpoint> watchpoints;  // gdb
  uint64_t skip_watchpoint_pc = ~uint64_t{0};
  uint64_t skip_watchpoint_retired = 0;
  bool hw_breakpoints = false, hw_watchpoints = false;
  // Some access may be watched, for gdb or the guest: its page is on the slow path, and no short
  // cut is taken there.
  bool watching = false;
  bool blocks_stale = false;  // built for other breakpoints, or no room for more host code
  uint64_t debug_sum = 0;     // of the debug registers last seen

  EngineStats stats;
};

inline unsigned jump_hash(uint64_t pc) {
  return (pc >> 2 ^ pc >> EngineState::kJumpFold) & ((1u << EngineState::kJumpCacheLog2) - 1);
}
// The one block to which a jump to `pc` may lead without a lookup.
inline Block* jump_target(const EngineState& e, uint64_t pc) {
  return reinterpret_cast<Block*>(e.arena + e.jump_cache[jump_hash(pc)]);
}

// Makes pc, retired count and NZCV exact at `op`, which has not been executed.
inline void suspend_at(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  const Block* b = e->block;
  int64_t index = op - b->ops;
  cpu->pc = b->pc + 4 * static_cast<uint64_t>(index);
  e->icount = icount + (int64_t{b->len} - index);
  cpu->retired = e->retire_base - static_cast<uint64_t>(e->icount);
  cpu->nzcv = e->flags.pack();
}
// After suspend_at(): the instruction is done, and the next one is not the block's next.
inline void retire_one(Cpu* cpu, EngineState* e) {
  --e->icount;
  ++cpu->retired;
}

// The bits of Cpu::attention that interrupt a block, given PSTATE.DAIF.
inline void update_attention_mask(Cpu& cpu, EngineState& e) {
  const uint32_t mask = Cpu::kKick | Cpu::kMaintenance | Cpu::kStop;
  if (e.stop_after_exception) {  // engine_step()
    e.attention_mask = mask;
    return;
  }
  e.attention_mask = mask | cpu.interrupt_bits[cpu.ps.daif & 7];
}

// --- block.cc ---
// The block at cpu.pc, of at most `limit` instructions. Null: an exception was taken (kException)
// or the fetch exits (kExit): e.leave.
Block* find_block(Cpu& cpu, EngineState& e, uint64_t limit);
// Predecodes up to `limit` instructions from `pc` on; the end of the block, too, if nothing else
// ends it.
void predecode_block(const Cpu& cpu, const EngineState& e, uint64_t pc, const uint8_t* host,
                     unsigned limit, BlockSource& source, Op* ops);
void blocks_flush(EngineState& e);
void blocks_drop_page(EngineState& e, const uint8_t* host_page);
void blocks_drop_line(EngineState& e, const uint8_t* host_line);
void blocks_init(EngineState& e);
void blocks_free(EngineState& e);
// The slot of GuestMemory's page flags for a host address, or null.
std::atomic<uint8_t>* flags_of_host(const GuestMemory& memory, const uint8_t* host);

// --- maintenance.cc ---
void maintenance_drain(Cpu& cpu, EngineState& e);
void maintenance_wait(Cpu& cpu, EngineState& e);  // DSB
extern const bool has_process_barrier;            // membarrier(2)
// The four steps below, with enqueue() and served(), are argued in maintenance.cc, "Order".
//
// From outside engine_run(). The attention word is read after it.
inline void enter_guest(EngineState& e) {
  e.presence.store(Presence::kGuest, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}
// To where the CPU was before enter_guest(). Release: what was accessed before is over.
inline void leave_guest_for(EngineState& e, Presence where) {
  e.presence.store(where, std::memory_order_release);
}
// To the sink. As between two engine_run(): whoever waits for maintenance need not wait for a
// device.
inline void leave_guest(EngineState& e) { leave_guest_for(e, Presence::kDevice); }
// Back to Presence::kGuest. The attention word is read after it.
inline void come_back(EngineState& e) {
  e.presence.store(Presence::kGuest, std::memory_order_relaxed);
  if (has_process_barrier) [[likely]] {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
}
void maintenance_broadcast(SharedState& shared, Cpu* issuer, const Maintenance& request);

// --- engine.cc ---
// Nothing is due before the next instruction, and it is still the block's next.
inline bool block_goes_on(const Cpu& cpu, const EngineState& e) {
  return (cpu.attention.load(std::memory_order_relaxed) & e.attention_mask) == 0 &&
         !e.context_dirty;
}

// What the sink says to cpu.exit.
[[gnu::always_inline]] inline Answer ask_sink(Cpu& cpu, EngineState& e) {
  leave_guest(e);
  const Answer answer = e.sink->handle(cpu.exit, e.view);
  come_back(e);
  return answer;
}

// Carries out an answer, in whatever way the block does not simply go on. True: it does, after all.
// Else e.leave says how the handler's caller goes on.
bool carry_out(Cpu& cpu, EngineState& e, Answer answer);

// cpu.exit is filled in, and the state is exact. True: the sink has dealt with it, and the block
// goes on with its next op. Else the handler returns to the run loop.
[[gnu::always_inline]] inline bool take_exit(Cpu& cpu, EngineState& e) {
  e.view.refresh(cpu.exit.pc);
  const Answer answer = ask_sink(cpu, e);
  // pc and the retired count are made anew at the next seam.
  if (answer == Answer{Resume::kGoOn} && block_goes_on(cpu, e) && e.view.nzcv == cpu.nzcv)
      [[likely]] {
    return true;
  }
  return carry_out(cpu, e, answer);
}

// --- engine_debug.cc ---
bool debug_needs_breakpoint(const Cpu& cpu, const EngineState& e, uint64_t pc);
bool debug_watchpoint(Cpu& cpu, uint64_t va, uint64_t size, bool read, bool write,
                      bool unprivileged);
// One of gdb's is met: *EngineState::out is the exit.
bool debug_gdb_watchpoint(Cpu& cpu, EngineState& e, uint64_t va, uint64_t size, bool read,
                          bool write);
bool debug_page_watched(const Cpu& cpu, uint64_t va_page);
// Before an instruction: true if an exception was taken or run() must return instead.
bool debug_check(Cpu& cpu, EngineState& e, bool& exits);

// --- engine.cc ---
void note_exception(Cpu& cpu, EngineState& e);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_ENGINE_ENGINE_STATE_H_
