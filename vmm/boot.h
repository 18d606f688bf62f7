// What is in memory when the guest starts: kernel, initrd, firmware, device tree, and where the
// first CPU begins (Linux Documentation/arch/arm64/booting.rst). Nothing here touches a running
// machine.
#ifndef TRAPLINE_VMM_BOOT_H_
#define TRAPLINE_VMM_BOOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/options.h"
#include "vmm/result.h"

namespace trapline {

// Bytes to be placed at a guest-physical address at every (re)start.
struct Blob {
  std::string name;
  uint64_t ipa = 0;
  std::vector<uint8_t> bytes;
  uint64_t reserved = 0;  // memory it needs from ipa on, at least bytes.size() (BSS)
};

struct BootPlan {
  std::vector<Blob> blobs;
  uint64_t entry = 0;
  uint64_t dtb_ipa = 0;                       // where the device tree goes
  uint64_t initrd_start = 0, initrd_end = 0;  // 0: none
};

// Reads a whole file. The error names it.
Result<std::vector<uint8_t>> read_file(const std::string& path);

// Loads what the options name and lays it out in RAM as QEMU's virt does (kernel at its text
// offset, or 2 MiB into RAM; initrd at min(RAM/2, 128 MiB) or after the kernel; device tree behind
// it).
Result<BootPlan> plan_boot(const Options& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_BOOT_H_
