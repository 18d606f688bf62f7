#include "vmm/kvm/kernel_exits.h"

#include <linux/kvm.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace trapline::kvm {
namespace {

// As the kernel calls them.
constexpr std::array<std::string_view, KernelExits::kCount> kKernelNames = {
    "exits",          "hvc_exit_stat",    "wfe_exit_stat", "wfi_exit_stat",
    "mmio_exit_user", "mmio_exit_kernel", "signal_exits"};

}  // namespace

KernelExits::KernelExits(const File& vcpu) : file_(vcpu.call(KVM_GET_STATS_FD)) {
  kvm_stats_header header{};
  if (!file_ || pread(file_.fd(), &header, sizeof header, 0) != sizeof header) return;
  constexpr size_t kMost = size_t{1} << 20;
  const size_t each = sizeof(kvm_stats_desc) + header.name_size;
  const size_t all = std::min(each * header.num_desc, kMost);
  std::vector<char> descriptors(all);
  if (pread(file_.fd(), descriptors.data(), all, header.desc_offset) != static_cast<ssize_t>(all)) {
    return;
  }
  for (size_t at = 0; at + each <= all; at += each) {
    kvm_stats_desc one{};
    std::memcpy(&one, &descriptors[at], sizeof one);
    const char* const text = &descriptors[at + sizeof one];
    const std::string_view name(text, strnlen(text, header.name_size));
    const auto* const known = std::find(kKernelNames.begin(), kKernelNames.end(), name);
    if (known == kKernelNames.end()) continue;
    offset_[static_cast<size_t>(known - kKernelNames.begin())] = header.data_offset + one.offset;
  }
}

void KernelExits::add(std::array<uint64_t, kCount>& sum) const {
  for (size_t i = 0; i < kCount; ++i) {
    uint64_t value = 0;
    if (offset_[i] == 0) continue;
    if (pread(file_.fd(), &value, sizeof value, static_cast<off_t>(offset_[i])) == sizeof value) {
      sum[i] += value;
    }
  }
}

}  // namespace trapline::kvm
