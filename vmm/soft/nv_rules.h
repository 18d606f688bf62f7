// Which accesses of a hypervisor FEAT_NV and FEAT_NV2 trap when it does not own EL2 (D8.11, "Nested
// virtualization"): as data.
#ifndef TRAPLINE_VMM_SOFT_NV_RULES_H_
#define TRAPLINE_VMM_SOFT_NV_RULES_H_

#include <cstdint>
#include <string>

#include "mmio/sysreg.h"

namespace trapline::soft {

struct NvRule {
  bool nv = false, nv2 = false;  // it traps
};

// An MRS or MSR at EL2 by the name that the instruction has; SYS instructions (op0 == 1) too.
// `e2h`: the hypervisor runs with HCR_EL2.E2H, so that its NV1 is 0.
NvRule nv_rule(SysregId name, bool e2h);

// Where FEAT_NV2 keeps a register in VNCR_EL2's page: its offset in bytes, -1 if it does not. For
// EL1's registers: with NV1 == 1 by their own names, with NV1 == 0 by *_EL12 and *_EL02.
int vncr_offset(SysregId name, bool nv1);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_NV_RULES_H_
