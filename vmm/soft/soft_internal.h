// Shared by the files behind soft_vcpu.h.
#ifndef TRAPLINE_VMM_SOFT_SOFT_INTERNAL_H_
#define TRAPLINE_VMM_SOFT_SOFT_INTERNAL_H_

#include "vmm/soft/cpu.h"

namespace trapline::soft {

// The CPU of this machine whose thread calls (it ran last on this thread); null on other threads.
Cpu* current_cpu(const SharedState& shared);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_SOFT_INTERNAL_H_
