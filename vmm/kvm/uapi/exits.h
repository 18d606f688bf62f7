// Exit reasons that <linux/kvm.h> does not have yet (Linux's Documentation/virt/kvm/api.rst).
#ifndef TRAPLINE_VMM_KVM_UAPI_EXITS_H_
#define TRAPLINE_VMM_KVM_UAPI_EXITS_H_

#include <cstdint>

namespace trapline::kvm {

// KVM_EXIT_ARM_LDST64B (Linux 7.2): LD64B and ST64B, in the shape of KVM_EXIT_ARM_NISV.
inline constexpr uint32_t kExitArmLdst64b = 42;

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_UAPI_EXITS_H_
