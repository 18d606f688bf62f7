// The registers of a vCPU as text, for who reads of a crash.
#ifndef TRAPLINE_VMM_DEBUG_REGISTER_DUMP_H_
#define TRAPLINE_VMM_DEBUG_REGISTER_DUMP_H_

#include <string>

#include "vmm/vcpu/vcpu.h"

namespace trapline {

// General registers, PC, PSTATE and what of EL1 says where an exception came from; several lines.
std::string register_dump(Vcpu& vcpu);

}  // namespace trapline

#endif  // TRAPLINE_VMM_DEBUG_REGISTER_DUMP_H_
