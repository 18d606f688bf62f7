// Emits x86-64 code for the ops of one block. Registers: rdi cpu, rdx icount, rcx e, as handlers
// have them, and rsi op where one is entered; rax, rsi, r8 to r11, xmm0 are scratch. Nothing is
// kept in scratch registers from one instruction to the next, except the host's flags.
//
// The code is kept small, since a kernel's working set of it is larger than the host's caches like:
// the TLB is looked up by subroutines, ways out lie apart, and EngineState::block, which only
// handlers need, is set on the way to them.
#ifndef TRAPLINE_VMM_SOFT_JIT_X64_TRANSLATE_X64_H_
#define TRAPLINE_VMM_SOFT_JIT_X64_TRANSLATE_X64_H_

#include <cstdint>
#include <vector>

#include "vmm/soft/jit/translate.h"
#include "vmm/soft/jit/x64/x64_assembler.h"

namespace trapline::soft {

using namespace x64;

class X64Translator final : public Translator, private Assembler {
 public:
  X64Translator(Cpu& cpu, EngineState& e);

  void translate(Cpu& cpu, EngineState& e, Block& block) override;
  void chain(uint32_t site, const Block& target, bool local) override;
  void kill(const Block& block) override;
  void reset() override;

 private:
  // What the host's flags hold: those of a subtraction (CF = !C), of an addition (CF = C), of a
  // logical operation (the same, both clear).
  enum class HostFlags : uint8_t { kUnknown, kSubtract, kAdd };
  // The code of one instruction.
  enum class Emitted : uint8_t {
    kNot,       // none: its handler does it
    kDone,      // complete
    kCanLeave,  // it may go to a handler, and come back by the op's or the next op's `fn`
    kEnd,       // left the block
  };
  // Ways out of the code, each to a handler: in the order of emit_routines(). From kTakenLocal to
  // kNext rax holds the site.
  enum Way : uint8_t {
    kSlowAccess,
    kBlockPoll,
    kDead,
    kTakenLocal,
    kTaken,
    kNextLocal,
    kNext,
    kHandler,  // the op's own, in rax
    kWays,
  };
  struct Exit {     // out of line
    uint32_t from;  // the 32-bit displacement that leads here
    Way way;
    uint32_t place;
    uint64_t rax;  // the site of a jump to be chained, a handler
  };
  static constexpr unsigned kSizes = 6;  // of accesses, by log2 of the bytes

  // --- translate_x64.cc ---
  void call_routine(uint32_t routine) { bind(call(), routine); }
  void emit_routines();
  void set_place();  // rsi and EngineState::block from the place in esi
  void emit_exits();
  void enter_handler();
  void prologue(Block& block);
  // The op's block and index in 32 bits.
  uint32_t place_of(const Block& block, unsigned index) const {
    static_assert(kMaxBlockLen < kBlockAlign);
    const auto offset = reinterpret_cast<const uint8_t*>(&block) - arena_;
    return static_cast<uint32_t>(offset - kBlockPhase) | index;
  }
  void leave_by(Way way, uint32_t displacement, uint64_t in_rax = 0) {
    exits_.push_back({displacement, way, place_of(*block_, index_), in_rax});
  }
  int register_at(unsigned slot) const { return registers_ + 8 * static_cast<int>(slot); }
  Mem x(unsigned slot) const { return ptr[rdi + register_at(slot)]; }
  // Of 64 or 32 bits.
  static constexpr Gp sized(Gp reg, bool sf) { return reg.cut(sf ? 64 : 32); }
  void load(Gp reg, unsigned slot, bool sf) { mov(sized(reg, sf), x(slot)); }
  void store(unsigned slot, Gp reg) { mov(x(slot), reg); }
  void store_constant(unsigned slot, uint64_t value);
  Emitted instruction(uint32_t word);

  // --- translate_integer.cc ---
  Emitted immediate(uint32_t word);
  Emitted add_sub_immediate(uint32_t word);
  Emitted logical_immediate(uint32_t word);
  Emitted move_wide(uint32_t word);
  Emitted bitfield(uint32_t word);
  Emitted extract(uint32_t word);
  Emitted register_(uint32_t word);
  Emitted add_sub_register(uint32_t word);
  Emitted logical_register(uint32_t word);
  Emitted conditional_compare(uint32_t word);
  Emitted conditional_select(uint32_t word);
  Emitted three_source(uint32_t word);
  Emitted two_source(uint32_t word);
  Emitted one_source(uint32_t word);
  void shift_constant(Gp reg, unsigned kind, unsigned amount);
  void extend(unsigned option);
  void keep_flags(HostFlags kind, bool logical, bool sf);  // of the result in rax
  Cc condition(unsigned cond);

  // --- translate_memory.cc ---
  Emitted memory(uint32_t word);
  Emitted single(uint32_t word);
  Emitted pair(uint32_t word);
  Emitted literal(uint32_t word);
  void address(int mode);
  void look_up(bool write, unsigned size_log2, int mode);
  void emit_look_up(bool write, bool sp, unsigned size_log2);
  void write_back(int mode);
  void load_element(Gp to, unsigned size_log2, unsigned opc, int offset);
  void store_element(Gp from, unsigned size_log2, int offset);
  Emitted vector(int mode, bool is_load, unsigned scale, bool is_pair);

  // --- translate_branch.cc ---
  Emitted branch(uint32_t word);
  uint32_t expect_return();
  void follow_return(uint32_t landing);
  Emitted branch_and_link(bool local);
  Emitted indirect(bool link);
  Emitted return_to();
  void follow(bool taken, bool local);
  void either(Cc cc, bool local);
  void emit_find_block();
  void emit_push_return();
  void emit_pop_return();
  bool local(bool both) const;
  uint64_t next_pc() const { return block_->pc + 4 * uint64_t{block_->len}; }

  EngineState& e_;
  const uint8_t* const arena_;
  const uint32_t cold_begin_, size_;
  const bool bmi2_, lzcnt_;
  // Displacements from rdi and rcx.
  int registers_, vectors_, attention_, flag_n_, flag_z_, flag_c_, flag_v_, block_at_, tlb_at_,
      token_at_, mask_at_, jump_cache_at_, chain_site_at_, returns_at_, return_top_at_;
  uint32_t no_token_, ways_[kWays], find_block_, push_return_, pop_return_;
  uint32_t look_up_[2][2][kSizes];  // by write, by base SP
  uint32_t first_;                  // where the first block's code begins
  uint32_t cold_;                   // where the next ways out go

  // Of the block and the instruction at hand.
  Block* block_ = nullptr;
  const Op* op_ = nullptr;
  unsigned index_ = 0;
  HostFlags host_flags_ = HostFlags::kUnknown;
  bool block_set_ = false;   // EngineState::block is this one, whichever way was taken
  bool flags_kept_ = false;  // the last instruction left the host's flags as they were, or set them
  std::vector<Exit> exits_;
};

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_JIT_X64_TRANSLATE_X64_H_
