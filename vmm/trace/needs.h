// What an exit has to do with, so that no more of a CPU is kept than that.
#ifndef TRAPLINE_VMM_TRACE_NEEDS_H_
#define TRAPLINE_VMM_TRACE_NEEDS_H_

#include <cstdint>

#include "decode/access.h"
#include "vmm/trace/event.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::trace {

// Masks of general registers: all, and those that it only writes; whether vector registers, and
// whether flags and monitor.
struct Needs {
  uint64_t registers = 0, results = 0;
  bool vectors = false, state = false;
};
inline constexpr Needs kEverything{(uint64_t{1} << ExitEvent::kRegisters) - 1, 0, true, true};

// Of a data abort without a syndrome.
Needs needs_of(const Access& access);
// Of an exit whose instruction need not be known.
Needs needs_of(const Exit& exit);

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_NEEDS_H_
