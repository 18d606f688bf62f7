// Of KVM's interface what <linux/kvm.h> has for arm64 only, or not yet, so that the room compiles
// on any host (Linux's Documentation/virt/kvm/api.rst).
#ifndef TRAPLINE_VMM_NISV_ABI_H_
#define TRAPLINE_VMM_NISV_ABI_H_

#include <linux/kvm.h>

#include <cstdint>

namespace trapline::nisv {

struct VcpuInit {
  uint32_t target, features[7];
};
struct VcpuEvents {
  uint8_t serror_pending, serror_has_esr, ext_dabt_pending, padding[5];
  uint64_t serror_esr;
  uint32_t reserved[12];
};
// struct kvm_userspace_memory_region2, whose first members are the older structure's.
struct MemoryRegion2 {
  kvm_userspace_memory_region region;
  uint64_t guest_memfd_offset;
  uint32_t guest_memfd, padding1;
  uint64_t padding2[14];
};

enum Request : unsigned long {
  kArmVcpuInit = _IOW(KVMIO, 0xae, VcpuInit),
  kGetVcpuEvents = _IOR(KVMIO, 0x9f, VcpuEvents),
  kSetVcpuEvents = _IOW(KVMIO, 0xa0, VcpuEvents),
  kSetUserMemoryRegion2 = _IOW(KVMIO, 0x49, MemoryRegion2),
};
#ifdef __aarch64__
static_assert(kArmVcpuInit == KVM_ARM_VCPU_INIT && kGetVcpuEvents == KVM_GET_VCPU_EVENTS &&
              kSetVcpuEvents == KVM_SET_VCPU_EVENTS);
#endif

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_ABI_H_
