// Blocks that run often, as host code (x86-64). Host code keeps to the handlers' calling convention
// and to the engine's data: guest registers, flags, TLB and blocks are where handlers have them. So
// either can follow the other at any instruction: what is not worth translating, and whatever is
// not simple about an access, is left to the handler of its op, which goes on with the next op's
// `fn`, and that is host code again.
#ifndef TRAPLINE_VMM_SOFT_JIT_TRANSLATE_H_
#define TRAPLINE_VMM_SOFT_JIT_TRANSLATE_H_

#include <cstdint>
#include <memory>

#include "vmm/soft/engine/block.h"

namespace trapline::soft {

class Translator {
 public:
  virtual ~Translator() = default;

  // Gives the block, whose words are read and predecoded once more, host code if they still make
  // the same block.
  virtual void translate(Cpu& cpu, EngineState& e, Block& block) = 0;
  // Makes the jump whose displacement is at `site`, and which asked for it, one to `target`'s code.
  virtual void chain(uint32_t site, const Block& target, bool local) = 0;
  // Other blocks' jumps to this one's code lead to its dead end from now on.
  virtual void kill(const Block& block) = 0;
  // All code is forgotten. A block that runs is left at the next instruction that could tell.
  virtual void reset() = 0;
};

// Null where blocks can only be interpreted: another host, no executable memory. EngineState::code
// is where the code goes.
std::unique_ptr<Translator> make_translator(Cpu& cpu, EngineState& e);

// Translators made from now on use only what every host of this processor's kind has: for tests.
void use_baseline_host(bool on);

// Handlers that host code jumps to at the end of a block, ops_branch.cc: a link is followed, and
// the jump at EngineState::chain_site is chained if the next block has code.
struct ChainHandlers {
  Handler taken_local, taken, next_local, next;
  Handler dead;  // `op` is the first of a dead block that was about to start, not yet counted
};
extern const ChainHandlers kChainHandlers;

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_JIT_TRANSLATE_H_
