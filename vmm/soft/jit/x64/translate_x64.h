// Emits x86-64 code for the ops of one block. Registers: rdi cpu, rdx icount, rcx e, as handlers
// have them, and rsi op where one is entered; rax, rsi, r8 to r11, xmm0 to xmm5 are scratch. From
// one instruction to the next the host's flags are kept, and among integer instructions, which use
// neither r10, r11 nor rsi, the last results in those.
//
// The code is kept small, since a kernel's working set of it is larger than the host's caches like:
// the TLB is looked up by subroutines, ways out lie apart, and EngineState::block, which only
// handlers need, is set on the way to them.
#ifndef TRAPLINE_VMM_SOFT_JIT_X64_TRANSLATE_X64_H_
#define TRAPLINE_VMM_SOFT_JIT_X64_TRANSLATE_X64_H_

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "vmm/soft/fp/fp_form.h"
#include "vmm/soft/jit/translate.h"
#include "vmm/soft/jit/x64/x64_assembler.h"

namespace trapline::soft {

using namespace x64;

// Integers, immediate and register (C4.1). Handlers do not go on in the midst of a run of them.
constexpr bool is_integer(uint32_t word) { return (word >> 26 & 7) == 4 || (word >> 25 & 7) == 5; }

class X64Translator final : public Translator, private Assembler {
 public:
  X64Translator(Cpu& cpu, EngineState& e);

  void translate(Cpu& cpu, EngineState& e, Block& block) override;
  void chain(uint32_t site, const Block& target, bool local) override;
  void kill(const Block& block) override;
  void reset() override;

 private:
  // What the host's flags hold: those of a subtraction (CF = !C), of an addition (CF = C), of a
  // logical operation (the same, both clear), of UCOMISS and UCOMISD of two numbers.
  enum class HostFlags : uint8_t { kUnknown, kSubtract, kAdd, kFloat };
  // The code of one instruction.
  enum class Emitted : uint8_t {
    kNot,       // none: its handler does it
    kDone,      // complete
    kCanLeave,  // it may go to a handler, and come back by the op's or the next op's `fn`
    kCanDefer,  // it may go to its handler, and come back by the next op's `fn`
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
  // What is known of FPCR and FPSR where the code goes on, so that it is asked once a block.
  enum Fact : uint8_t {
    kPlainFpcr = 1,    // to nearest, denormals are not flushed
    kInexactSeen = 2,  // FPSR.IXC is set
  };
  struct Entry {
    unsigned index;
    uint32_t at;
    uint8_t facts;
    uint8_t vector = kNoVector;  // that is in xmm0
  };
  static constexpr uint8_t kNoVector = 0xff;
  struct HostFeatures {
    bool bmi, bmi2, lzcnt, ssse3, sse41, sse42, avx2, fma, f16c, aes, pclmul, sha;
  };
  static HostFeatures host_features();
  static constexpr unsigned kSizes = 7;  // of accesses, by log2 of the bytes
  // How the TLB is looked up. "Whole": exclusives, ordered accesses and atomics, which must be
  // aligned, and are the slow path's where memory has a Device attribute; an update has both
  // rights.
  enum Access : uint8_t { kRead, kWrite, kReadWhole, kWriteWhole, kUpdate, kAccesses };

  // --- translate_x64.cc ---
  void call_routine(uint32_t routine) { bind(call(), routine); }
  void emit_routines();
  void set_place();  // rsi and EngineState::block from the place in esi
  void emit_exits();
  void emit_entries(Entry* entries, unsigned count);
  void need(unsigned facts);
  void defer(Cc cc) { leave_by(kHandler, jump(cc), reinterpret_cast<uint64_t>(op_->fn)); }
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
  Mem x_memory(unsigned slot) const { return ptr[rdi + register_at(slot)]; }
  // Where its value is at hand: a host register, or memory.
  Mem x(unsigned slot) const;
  void hold(unsigned slot, Gp value);
  bool is_read_soon(unsigned slot) const;
  void forget_held() {
    if (any_held_) std::fill(std::begin(held_), std::end(held_), kNotHeld);
    any_held_ = false;
  }
  void forget_held(unsigned slot) {
    if (any_held_) {
      std::replace(std::begin(held_), std::end(held_), static_cast<uint8_t>(slot), kNotHeld);
    }
  }
  // Of 64 or 32 bits.
  static constexpr Gp sized(Gp reg, bool sf) { return reg.cut(sf ? 64 : 32); }
  void load(Gp reg, unsigned slot, bool sf) { mov(sized(reg, sf), x(slot)); }
  void store(unsigned slot, Gp reg) {
    mov(x_memory(slot), reg);
    hold(slot, reg);
  }
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
  Emitted add_sub_carry(uint32_t word);
  Emitted conditional_compare(uint32_t word);
  Emitted conditional_select(uint32_t word);
  Emitted three_source(uint32_t word);
  Emitted two_source(uint32_t word);
  Emitted division(bool is_signed, bool sf);
  Emitted one_source(uint32_t word);
  bool next_counts(bool sf) const;
  void shift_constant(Gp reg, unsigned kind, unsigned amount);
  void extend(unsigned option);
  void keep_flags(HostFlags kind, bool logical, bool sf, bool for_all = false);  // of rax
  bool flags_are_dead(HostFlags kind) const;
  void store_flags(uint32_t nzcv);
  Cc condition(unsigned cond);

  // --- translate_fp.cc ---
  // How the lanes of an instruction lie.
  struct Shape {
    bool scalar = false, is_double = false, q = false, element = false;
    uint8_t prefix = 0;  // of the host's instruction
    uint8_t lanes = 0;   // that there are, as MOVMSKPS gives their signs
  };
  enum Range : uint8_t { kFinite, kOrdinary };  // as in fp_arith.h
  Mem v(unsigned reg, unsigned offset = 0) const {
    return ptr[rdi + (vectors_ + static_cast<int>(16 * reg + offset))];
  }
  Mem pool(size_t offset) const { return ptr[rip + at(pool_ + static_cast<uint32_t>(offset))]; }
  Emitted fp(uint32_t word);
  Emitted fp_arithmetic(uint32_t word, FpOp op, const Shape& shape);
  Emitted fp_extremum(uint32_t word, FpOp op, const Shape& shape);
  Emitted fp_fused(uint32_t word, FpOp op, const Shape& shape);
  Emitted fp_compare(uint32_t word, FpOp op, const Shape& shape);
  Emitted fp_compare_flags(uint32_t word, FpOp op, bool is_double);
  Emitted fp_compare_conditionally(uint32_t word, bool is_double);
  Emitted fp_select(uint32_t word, bool is_double);
  Emitted fp_move(uint32_t word, FpOp op, bool is_double);
  static Shape shape_of(uint32_t word, unsigned size_log2);
  bool is_kept(unsigned reg, unsigned bytes = 16) const {
    return kept_for_ == index_ && kept_vector_ == reg && kept_bytes_ <= bytes;
  }
  void load_vector(Xmm to, unsigned reg, unsigned bytes = 16);
  void keep_vector(unsigned reg, unsigned bytes = 16);
  static constexpr unsigned bytes_of(const Shape& shape) {
    return !shape.scalar ? 16 : shape.is_double ? 8 : 4;
  }
  void load_lanes(Xmm to, unsigned reg, const Shape& shape) {
    load_vector(to, reg, bytes_of(shape));
  }
  Mem load_operand2(Xmm to, uint32_t word, const Shape& shape);
  void load_lane_pairs(uint32_t word, const Shape& shape);
  void extremum(bool maximum, uint8_t prefix);
  void store_lanes(unsigned reg, const Shape& shape);
  void check(const Shape& shape, Range range);
  void check_lanes(Xmm bad, const Shape& shape);
  void check_ordered(Xmm a, Xmm scratch, const Mem& b, const Shape& shape);
  Emitted fp_estimate(uint32_t word, FpOp op, const Shape& shape);
  void emit_estimate(bool rsqrt, bool is_double);
  void emit_pool();

  // --- translate_fp_convert.cc ---
  Emitted fp_to_integer(uint32_t word, FpOp op, const Shape& shape);
  Emitted fp_from_integer(uint32_t word, FpOp op, const Shape& shape);
  Emitted fp_round(uint32_t word, FpOp op, const Shape& shape);
  Emitted fp_convert(uint32_t word, FpOp op);
  Emitted fp_half(uint32_t word, FpOp op);
  void add_away(const Shape& shape);
  void scale(int power, const Shape& shape);
  void emit_to_half();

  // --- translate_crypto.cc ---
  Emitted crypto(uint32_t word);
  bool aes(uint32_t word);
  bool sha1(uint32_t word);
  bool sha256(uint32_t word);
  bool sha512(uint32_t word);
  void emit_sha512();
  bool sha3(uint32_t word);
  void sha256_rounds(uint32_t word);

  // --- translate_simd.cc ---
  // q: of 128 bits, and of the "2" forms.
  Emitted simd(uint32_t word, const FpForm& form);
  Emitted simd_two(uint32_t word, unsigned opcode, bool q);
  Emitted simd_bits(uint32_t word, FpOp op, bool q);
  Emitted simd_immediate(uint32_t word, FpOp op, bool q);
  Emitted simd_compare(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_multiply(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_pairs(uint32_t word, unsigned opcode, unsigned size, bool q);
  Emitted simd_shift(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_shift_long(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_long_sum(uint32_t word, unsigned opcode, bool wide, bool is_signed, unsigned size,
                        bool q);
  Emitted simd_long_multiply(uint32_t word, int accumulate, bool is_signed, unsigned size, bool q);
  void emit_dot(bool is_signed);
  Emitted simd_long_difference(uint32_t word, bool accumulate, bool is_signed, unsigned size,
                               bool q);
  Emitted simd_pair_long(uint32_t word, bool accumulate, bool is_signed, unsigned size, bool q);
  Emitted simd_across(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_copy(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_permute(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_count(uint32_t word, bool q);
  bool host_has(unsigned opcode) const;
  void p(unsigned opcode, Xmm to, Xmm from);
  void p(unsigned opcode, Xmm to, const Mem& from);
  void fill(Xmm to, uint64_t half);
  void ones(Xmm to);
  void zero(Xmm to);
  void shift_elements(unsigned digit, unsigned size_log2, Xmm r, unsigned by);
  void shift_left(Xmm r, unsigned size, unsigned by, Xmm scratch);
  void shift_right(Xmm r, unsigned size, unsigned by, bool is_signed, Xmm scratch);
  void store_result(unsigned reg, bool q);
  void store_narrow(unsigned reg, bool q);
  void store_accumulated(unsigned reg, int accumulate, unsigned size_log2);
  void load_lane(unsigned reg, unsigned lane, unsigned size_log2, bool is_signed, bool wide);
  void load_element_operand(Xmm to, uint32_t word, unsigned size_log2);
  void load_pairs(uint32_t word, bool q);
  void widen(Xmm to, unsigned reg, bool upper, unsigned size_log2, bool is_signed);
  void widen_register(Xmm to, unsigned size_log2, bool is_signed);
  void unzip(Xmm a, Xmm b, unsigned size_log2, unsigned part);
  void absolute_difference(unsigned size_log2, bool is_signed);
  void insert_lane(unsigned reg, unsigned lane, unsigned size_log2);  // of r11
  void replicate(unsigned size_log2, bool q);                         // xmm0's lowest lane

  // --- translate_rounding.cc ---
  // What an element's overflow becomes: the nearest of a signed, of an unsigned number; of an
  // unsigned one for a signed operand.
  enum Saturation : uint8_t { kSigned, kUnsigned, kToUnsigned, kSaturations };
  enum LaneConstant : uint8_t { kLaneOne, kLaneSign, kLaneLargest, kLaneHalf, kLaneConstants };
  Emitted simd_rounding(uint32_t word, const FpForm& form, bool scalar, bool q);
  Emitted simd_saturating_sum(uint32_t word, FpOp op, unsigned size, unsigned bytes);
  Emitted simd_mixed_sum(uint32_t word, FpOp op, unsigned size, unsigned bytes);
  Emitted simd_halving(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_double_high(uint32_t word, FpOp op, unsigned size, unsigned bytes);
  Emitted simd_narrow(uint32_t word, FpOp op, unsigned size, bool scalar, bool q);
  Emitted simd_high_narrow(uint32_t word, FpOp op, unsigned size, bool q);
  Emitted simd_saturating_shift(uint32_t word, FpOp op, unsigned size, unsigned bytes);
  Emitted simd_shift_by_register(uint32_t word, FpOp op, unsigned size, unsigned bytes);
  Emitted simd_double_long(uint32_t word, FpOp op, unsigned size, bool scalar, bool q);
  Mem lane_constant(LaneConstant which, unsigned size) const;
  void load_operand(Xmm to, unsigned reg, unsigned bytes);
  void sign_mask(Xmm to, Xmm from, unsigned size);
  void signs_to_lanes(Xmm r, unsigned size);
  void round_right(unsigned size, unsigned by, bool is_signed);
  void multiply_bytes();
  void set_saturated();
  void emit_rounding();
  void emit_saturating_sum(bool is_signed, bool subtract, unsigned size);
  void emit_saturating_narrow(Saturation kind, unsigned size);
  void emit_saturating_shift(Saturation kind, unsigned size);
  void emit_double_high(bool rounding, unsigned size);
  void emit_double_long(bool upper, unsigned size);
  // How each element is shifted by its own amount.
  struct ShiftEach {
    bool is_signed, rounding, saturating;
  };
  void emit_shift_by_register(ShiftEach how, unsigned size);
  void emit_shift_narrow(ShiftEach how, unsigned size);
  void saturate_shifted(bool is_signed, unsigned size);

  // --- translate_memory.cc ---
  Emitted memory(uint32_t word);
  Emitted single(uint32_t word);
  Emitted pair(uint32_t word);
  Emitted literal(uint32_t word);
  void address(int mode);
  void call_look_up(Access access, unsigned size_log2, unsigned base);
  void look_up(bool write, unsigned size_log2, int mode);
  void emit_look_up(Access access, bool sp, unsigned size_log2);
  void write_back(int mode);
  void load_element(Gp to, unsigned size_log2, unsigned opc, int offset);
  void store_element(Gp from, unsigned size_log2, int offset);
  Emitted vector(int mode, bool is_load, unsigned scale, bool is_pair);

  // --- translate_structures.cc ---
  Emitted structures(uint32_t word);
  Emitted one_structure(uint32_t word);
  void emit_interleave(bool is_load, unsigned n, unsigned size_log2);
  void call_interleave(bool is_load, unsigned n, unsigned size, unsigned loaded);
  void post_index(uint32_t word, unsigned bytes);

  // --- translate_ordered.cc ---
  Emitted ordered(uint32_t word);
  Emitted atomic(unsigned size, unsigned operation);
  Emitted compare_and_swap(unsigned size);
  Emitted compare_and_swap_pair(bool wide);
  Emitted load_exclusive(unsigned size);
  Emitted store_exclusive(unsigned size, bool pair);
  Emitted load_exclusive_pair(bool wide);
  Emitted unscaled_ordered(uint32_t word);
  Emitted load_acquire(unsigned size, unsigned opc, int offset);
  Emitted store_release(unsigned size, int offset);
  void look_up_whole(Access access, unsigned size, int offset = 0);
  void marked_ipa();
  void set_monitor(unsigned size);
  void put_aside();
  void take_back();
  void load_words(Gp to, unsigned low, unsigned high);
  void rax_from(unsigned size);

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
  const uint32_t* const jump_cache_;
  const uint32_t cold_begin_, size_;
  const HostFeatures host_;
  // Displacements from rdi and rcx.
  int registers_, vectors_, attention_, flag_n_, flag_z_, flag_c_, flag_v_, block_at_, tlb_at_,
      token_at_, mask_at_, chain_site_at_, returns_at_, return_top_at_, fpcr_at_, fpsr_at_,
      monitor_at_;
  uint32_t no_token_, pool_, estimates_, to_half_,
      estimate_[2][2],  // reciprocal, root; single, double
      ways_[kWays], find_block_, push_return_, pop_return_;
  uint32_t look_up_[kAccesses][2][kSizes];  // by base SP
  uint32_t dot_[2], sha512_sigma_[2], sha512_round_[2];
  uint32_t interleave_[2][3][4];  // by load, registers - 2, size
  // Of translate_rounding.cc, by size; [signed][subtract][size - 2], [rounding][size - 1],
  // [upper half][size - 1], [signed][rounding][saturating].
  uint32_t lane_constants_, note_difference_, saturating_sum_[2][2][2],
      saturating_narrow_[kSaturations][3], saturating_shift_[kSaturations][4], double_high_[2][2],
      double_long_[2][2], shift_by_register_[2][2][2][4];
  uint32_t first_;  // where the first block's code begins
  uint32_t cold_;   // where the next ways out go

  // Of the block and the instruction at hand.
  Block* block_ = nullptr;
  const Op* op_ = nullptr;
  unsigned index_ = 0;
  const BlockSource* source_ = nullptr;
  HostFlags host_flags_ = HostFlags::kUnknown;
  bool entered_ = false;  // the instruction may be entered by a handler
  // What the last instruction left in xmm0 for the next one, kept_for_: this guest register, whose
  // bytes from kept_bytes_ on are zero.
  unsigned kept_for_ = 0, kept_vector_ = 0, kept_bytes_ = 0;
  uint8_t used_vector_ = kNoVector;  // by the instruction at hand, which so relies on xmm0
  uint32_t redone_from_ = 0;         // of an AESE or AESD: where its last instruction begins
  bool block_set_ = false;           // EngineState::block is this one, whichever way was taken
  uint8_t facts_ = 0;                // Fact
  // The guest registers whose values are also in kHeld, for the integer instructions that follow.
  static constexpr uint8_t kNotHeld = 0xff;
  uint8_t held_[3] = {kNotHeld, kNotHeld, kNotHeld};
  bool any_held_ = false;
  unsigned next_held_ = 0;
  unsigned counted_ = 0;     // index of a CLZ that the RBIT before it has done
  bool flags_kept_ = false;  // the last instruction left the host's flags as they were, or set them
  std::vector<Exit> exits_;
};

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_JIT_X64_TRANSLATE_X64_H_
