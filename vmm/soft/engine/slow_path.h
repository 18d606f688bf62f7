// Loads and stores that the handlers do not do by themselves.
#ifndef TRAPLINE_VMM_SOFT_ENGINE_SLOW_PATH_H_
#define TRAPLINE_VMM_SOFT_ENGINE_SLOW_PATH_H_

#include <cstdint>

#include "vmm/soft/engine/engine_state.h"

namespace trapline::soft {

enum class SlowResult : uint8_t {
  kDone,   // performed: on with the next instruction
  kAgain,  // the TLB now has what was missing: the same handler once more
  kExit,   // cpu.exit is a data abort
  kLeave,  // an exception, or look again: e.leave says
};
// The access of the instruction at cpu.pc, whose state is exact.
SlowResult perform_access(Cpu& cpu, EngineState& e, uint32_t word);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_ENGINE_SLOW_PATH_H_
