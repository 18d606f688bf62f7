// Predecoded instructions: 16-byte ops in blocks. An op's handler performs one instruction and
// tail-calls the handler of the next op; the C++ stack never grows.
#ifndef TRAPLINE_VMM_SOFT_ENGINE_BLOCK_H_
#define TRAPLINE_VMM_SOFT_ENGINE_BLOCK_H_

#include <cstddef>
#include <cstdint>

#include "vmm/config/cpu_model.h"

namespace trapline::soft {

struct Cpu;
struct EngineState;
struct Op;
struct Block;

// `icount` is the number of instructions that may still be retired once the current block has been
// executed to its end. All four arguments stay in registers from handler to handler.
using Handler = void (*)(Cpu* cpu, const Op* op, int64_t icount, EngineState* e);

// Register numbers are slots of Cpu::r (31 reads as zero, 32 is SP, 33 takes unwanted results).
struct Op {
  Handler fn;
  uint8_t d, n, m, s;
  union {
    int32_t imm;
    uint32_t word;
  };
};
static_assert(sizeof(Op) == 16);

// The op after a direct branch holds the blocks that it leads to, null until first taken.
struct Links {
  Block* taken;
  Block* next;
};
static_assert(sizeof(Links) == sizeof(Op));

// Straight-line code within one 4 KiB page. The op at index i is the instruction at pc + 4 * i,
// also where two instructions were fused into the first of their two ops. The second half of the
// header and the first two ops share a cache line.
struct Block {
  const uint8_t* host;  // of the first instruction
  Block* hash_next;     // same bucket of the block table
  Block* page_next;     // same code page
  Handler plain;        // what ops[0].fn was, while it counts the runs
  uint64_t pc;
  // The translation context in which `pc` was last found to lead to `host`; 0: dead. A block is
  // used without a lookup only while this equals EngineState::token.
  uint64_t token;
  uint32_t len;    // instructions
  uint32_t code;   // host code: where other host code enters it, from EngineState::code; 0: none
  uint16_t slots;  // ops, the block's end included
  uint16_t runs_left;  // until it is translated
  uint8_t mode;        // BlockMode bits
  bool linkable;       // false: made for one use
  uint8_t unused[2];
  Op ops[];
};
static_assert(sizeof(Block) == 64);
// Blocks take multiples of this, and begin where the second half of the header begins a line.
inline constexpr size_t kBlockAlign = 64, kBlockPhase = kBlockAlign - offsetof(Block, pc);

inline Block* block_of(const Op* first_op) {
  return reinterpret_cast<Block*>(reinterpret_cast<uintptr_t>(first_op) - offsetof(Block, ops));
}
inline Links* links_of(const Op* branch) {
  return reinterpret_cast<Links*>(const_cast<Op*>(branch + 1));
}

// What the meaning of a word depends on besides the word.
enum BlockMode : uint8_t {
  kModePrivileged = 1,
  kModeFp = 2,         // CPACR_EL1 and CPTR_EL2 let this EL use SIMD&FP
  kModeSlowData = 4,   // big-endian data or SCTLR_ELx.A: no fast loads and stores
  kModeEl2 = 8,        // at EL2
  kModeE2h = 16,       // there, with HCR_EL2.E2H
  kModeUnderEl2 = 32,  // below EL2, which may trap what is done here
  kModeCounted = 64,   // at EL2, whose accesses to registers are counted
};

inline constexpr unsigned kMaxBlockLen = 63;  // with the end, op indices of 6 bits

// --- predecoding ---------------------------------------------------------------------------------

enum class Predecoded : uint8_t {
  kNext,   // the instruction after it follows in the block
  kEnd,    // ends the block by itself
  kLinks,  // ends the block; the next op slot holds Links
};
struct PredecodeContext {
  CpuModel model;
  uint8_t mode;
  unsigned index;     // of the op in the block
  uint64_t pc;        // of the instruction
  bool crosses_page;  // out, with kLinks: a target lies outside the page
};

Predecoded predecode(uint32_t word, PredecodeContext& context, Op& op);

// What a block is made from.
struct BlockSource {
  unsigned length;  // instructions
  Predecoded last;  // of the last instruction
  uint32_t words[kMaxBlockLen];
};
// By encoding group (C4.1); ops_*.cc.
Predecoded predecode_immediate(uint32_t word, PredecodeContext& context, Op& op);
Predecoded predecode_register(uint32_t word, PredecodeContext& context, Op& op);
Predecoded predecode_branch(uint32_t word, PredecodeContext& context, Op& op);
Predecoded predecode_system(uint32_t word, PredecodeContext& context, Op& op);
Predecoded predecode_memory(uint32_t word, PredecodeContext& context, Op& op);
bool predecode_ordered(uint32_t word, PredecodeContext& context, Op& op);
bool predecode_unscaled_ordered(uint32_t word, PredecodeContext& context, Op& op);
Predecoded predecode_flag_register(uint32_t word, PredecodeContext& context, Op& op);
Predecoded predecode_fp(uint32_t word, PredecodeContext& context, Op& op);
Predecoded predecode_undefined(uint32_t word, Op& op);
// Gives pairs of adjacent ops one handler, where there is one; ops_fused.cc.
void fuse_pairs(Op* ops, unsigned length, Predecoded last);
// The end of a block that is cut after `context.index` instructions: `op` and the slot after it.
void make_block_end(Op& op, unsigned length, bool crosses_page);
// What a dropped block is entered by: looks it up again.
extern const Handler kDeadBlock;
// What a block is entered by that is to be translated when it has run often.
extern const Handler kCountedBlock;

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_ENGINE_BLOCK_H_
