// How handlers are written. Every handler ends in a tail call or leaves run() by a plain return.
#ifndef TRAPLINE_VMM_SOFT_OPS_OPS_COMMON_H_
#define TRAPLINE_VMM_SOFT_OPS_OPS_COMMON_H_

#include <cstdint>
#include <type_traits>

#include "vmm/soft/engine/engine_state.h"

#if defined(__clang__)
#define TL_TAIL [[clang::musttail]]
#else
#define TL_TAIL  // -foptimize-sibling-calls, forced for these files in every build type
#endif

#define TL_OP(name) void name(Cpu* cpu, const Op* op, int64_t icount, EngineState* e)
#define TL_GOTO(handler) TL_TAIL return handler(cpu, op, icount, e)
#define TL_NEXT                                \
  do {                                         \
    ++op;                                      \
    TL_TAIL return op->fn(cpu, op, icount, e); \
  } while (0)
#define TL_LIKELY(x) __builtin_expect(!!(x), 1)
#define TL_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TL_UNUSED (void)cpu, (void)op, (void)icount, (void)e

namespace trapline::soft {

constexpr uint8_t slot_zr(uint32_t reg) { return static_cast<uint8_t>(reg); }
constexpr uint8_t slot_zr_dest(uint32_t reg) {
  return static_cast<uint8_t>(reg == 31 ? kSlotDiscard : reg);
}
constexpr uint8_t slot_sp(uint32_t reg) { return static_cast<uint8_t>(reg == 31 ? kSlotSp : reg); }

constexpr uint32_t bits(uint32_t word, unsigned high, unsigned low) {
  return word >> low & ((2u << (high - low)) - 1);
}
constexpr int64_t sbits(uint32_t word, unsigned high, unsigned low) {
  return static_cast<int32_t>(word << (31 - high)) >> (31 - high + low);
}

// Slow ends of a block, ops_branch.cc.
void block_poll(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
void leave_taken(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
void leave_next(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
// The instruction at `op` is not executed: UNDEFINED; leave run()'s inner loop at it.
void op_undefined(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
// Any word of the "System" space through execute_system().
void op_system(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
void op_fp_disabled(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
// By fp_functions, whose index lies in d and n; the second also reads or sets NZCV.
void op_fp(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
void op_fp_flags(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
void op_nop(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);
// CFINV, XAFLAG, AXFLAG, SB; null: none of them, or not of this model. ops_flags.cc.
Handler flag_instruction(uint32_t word, CpuModel model);

// The value of N:immr:imms (C6, DecodeBitMasks); 0: there is none.
uint64_t bitmask_immediate(unsigned encoded);

// The condition of a B.cond both of whose targets lie in its page; -1: `op` is something else.
int local_condition(const Op& op);

// Slow loads and stores, slow_path.cc: perform the access that the word at `op` asks for, fill the
// TLB and try again, or leave.
void slow_access(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);

// Starts the block whose ops begin at `op`.
[[gnu::always_inline]] inline void enter(Cpu* cpu, const Op* op, int64_t icount, EngineState* e) {
  Block* b = block_of(op);
  icount -= b->len;
  if (TL_UNLIKELY(icount < 0 ||
                  (cpu->attention.load(std::memory_order_relaxed) & e->attention_mask) != 0)) {
    TL_TAIL return block_poll(cpu, op, icount, e);
  }
  e->block = b;
  TL_TAIL return op->fn(cpu, op, icount, e);
}

// Follows one of the two links; kLocal: both targets are in this page, so that a link, once made,
// holds as long as its block (dead blocks look themselves up).
#define TL_FOLLOW(link, slow)                                                               \
  do {                                                                                      \
    Block* next_block = links_of(op)->link;                                                 \
    if (TL_UNLIKELY(next_block == nullptr || (!kLocal && next_block->token != e->token))) { \
      TL_GOTO(slow);                                                                        \
    }                                                                                       \
    op = next_block->ops;                                                                   \
    TL_GOTO(enter);                                                                         \
  } while (0)

template <typename T>
[[gnu::always_inline]] inline void set_nz(EngineState* e, T result) {
  auto wide = static_cast<int64_t>(static_cast<std::make_signed_t<T>>(result));
  e->flags.n = wide;
  e->flags.z = static_cast<uint64_t>(wide);
}
template <typename T>
[[gnu::always_inline]] inline T add_flags(EngineState* e, T a, T b) {
  using S = std::make_signed_t<T>;
  T result;
  S signed_result;
  e->flags.c = __builtin_add_overflow(a, b, &result);
  e->flags.v = __builtin_add_overflow(static_cast<S>(a), static_cast<S>(b), &signed_result);
  set_nz<T>(e, result);
  return result;
}
template <typename T>
[[gnu::always_inline]] inline T sub_flags(EngineState* e, T a, T b) {
  using S = std::make_signed_t<T>;
  S signed_result;
  e->flags.c = a >= b;
  e->flags.v = __builtin_sub_overflow(static_cast<S>(a), static_cast<S>(b), &signed_result);
  set_nz<T>(e, static_cast<T>(signed_result));
  return static_cast<T>(signed_result);
}
template <typename T>
[[gnu::always_inline]] inline void logic_flags(EngineState* e, T result) {
  set_nz<T>(e, result);
  e->flags.c = 0;
  e->flags.v = 0;
}

// The same conditions, of a comparison of two numbers (SUBS).
template <int kCond, typename T>
[[gnu::always_inline]] inline bool holds_between(T a, T b) {
  using S = std::make_signed_t<T>;
  S sa = static_cast<S>(a), sb = static_cast<S>(b), difference;
  if constexpr (kCond == 0) return a == b;
  if constexpr (kCond == 1) return a != b;
  if constexpr (kCond == 2) return a >= b;
  if constexpr (kCond == 3) return a < b;
  if constexpr (kCond == 4) return static_cast<S>(a - b) < 0;
  if constexpr (kCond == 5) return static_cast<S>(a - b) >= 0;
  if constexpr (kCond == 6) return __builtin_sub_overflow(sa, sb, &difference);
  if constexpr (kCond == 7) return !__builtin_sub_overflow(sa, sb, &difference);
  if constexpr (kCond == 8) return a > b;
  if constexpr (kCond == 9) return a <= b;
  if constexpr (kCond == 10) return sa >= sb;
  if constexpr (kCond == 11) return sa < sb;
  if constexpr (kCond == 12) return sa > sb;
  if constexpr (kCond == 13) return sa <= sb;
  return true;
}

// C1.2.4 condition codes; 14 and 15 are "always".
template <int kCond>
[[gnu::always_inline]] inline bool holds(const EngineState* e) {
  const Flags& f = e->flags;
  if constexpr (kCond == 0) return f.z == 0;
  if constexpr (kCond == 1) return f.z != 0;
  if constexpr (kCond == 2) return f.c != 0;
  if constexpr (kCond == 3) return f.c == 0;
  if constexpr (kCond == 4) return f.n < 0;
  if constexpr (kCond == 5) return f.n >= 0;
  if constexpr (kCond == 6) return f.v != 0;
  if constexpr (kCond == 7) return f.v == 0;
  if constexpr (kCond == 8) return f.c != 0 && f.z != 0;
  if constexpr (kCond == 9) return f.c == 0 || f.z == 0;
  if constexpr (kCond == 10) return (f.n < 0) == (f.v != 0);
  if constexpr (kCond == 11) return (f.n < 0) != (f.v != 0);
  if constexpr (kCond == 12) return f.z != 0 && (f.n < 0) == (f.v != 0);
  if constexpr (kCond == 13) return f.z == 0 || (f.n < 0) != (f.v != 0);
  return true;
}

// Calls `make.template operator()<N>()` for the N in [0, kCount) that equals `n`.
template <int kCount, typename F>
Handler choose(unsigned n, F make) {
  Handler found = nullptr;
  auto each = [&]<int... kN>(std::integer_sequence<int, kN...>) {
    ((n == static_cast<unsigned>(kN) ? void(found = make.template operator()<kN>()) : void()), ...);
  };
  each(std::make_integer_sequence<int, kCount>{});
  return found;
}

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_OPS_OPS_COMMON_H_
