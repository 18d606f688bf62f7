// What an exit has to do with, so that no more of a CPU is kept than that.
#ifndef TRAPLINE_VMM_TRACE_NEEDS_H_
#define TRAPLINE_VMM_TRACE_NEEDS_H_

#include <cstdint>

#include "mmio/needs.h"
#include "vmm/trace/event.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::trace {

inline constexpr Needs kEverything{(uint64_t{1} << ExitEvent::kRegisters) - 1, 0, true, true};

using trapline::needs_of;  // of a data abort without a syndrome
// Of an exit whose instruction need not be known.
Needs needs_of(const Exit& exit);

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_NEEDS_H_
