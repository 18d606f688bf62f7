// What KVM itself counted of a vCPU (KVM_GET_STATS_FD): most exits end inside the kernel.
#ifndef TRAPLINE_VMM_KVM_KERNEL_EXITS_H_
#define TRAPLINE_VMM_KVM_KERNEL_EXITS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "vmm/kvm/file.h"

namespace trapline::kvm {

class KernelExits {
 public:
  // The order of kNames; the total first.
  enum What : uint8_t { kTotal, kHvc, kWfe, kWfi, kMmioUser, kMmioKernel, kSignals, kCount };
  // As the statistics call them.
  static constexpr std::array<const char*, kCount> kNames = {
      "kernel_exits",     "kernel_hvc",         "kernel_wfe",    "kernel_wfi",
      "kernel_mmio_user", "kernel_mmio_kernel", "kernel_signals"};

  // Of a kernel before 5.14: nothing, and known() is false.
  explicit KernelExits(const File& vcpu);
  bool known() const { return offset_[kTotal] != 0; }
  // Adds this vCPU's counts.
  void add(std::array<uint64_t, kCount>& sum) const;

 private:
  File file_;
  std::array<uint64_t, kCount> offset_{};  // in the file; 0: it has none
};

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_KERNEL_EXITS_H_
