// What is in memory when the guest starts: kernel, initrd, firmware, device tree, and where the
// first CPU begins (Linux Documentation/arch/arm64/booting.rst). Nothing here touches a running
// machine.
#ifndef TRAPLINE_VMM_BOOT_BOOT_H_
#define TRAPLINE_VMM_BOOT_BOOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/boot/boot_file.h"
#include "vmm/boot/elf_image.h"
#include "vmm/config/options.h"
#include "vmm/config/result.h"

namespace trapline {

class GuestMemory;

// What to load at a (re)start. Needs no more host
// memory than the files or the guest's RAM.
struct BootPlan {
  std::string name;  // of the file that is entered, for messages
  std::vector<Placement> placements;
  std::vector<Bytes> content;                 // what they point to
  uint64_t entry = 0;                         // guest-physical
  uint64_t image_start = 0, image_end = 0;    // of the kernel with its BSS; 0: firmware
  uint64_t initrd_start = 0, initrd_end = 0;  // 0: none
  // Boot modules of a hypervisor, in the order in which they were given, each behind the one
  // before.
  struct Module {
    uint64_t start = 0, end = 0;
    std::string append;
  };
  std::vector<Module> modules;
  uint64_t dtb_ipa = 0;  // set by place_device_tree()
  // The guest looks for the tree at the start of RAM: ELF and raw binaries, which need not be
  // Linux.
  bool tree_below = false;

  // Finds the place of a device tree of `size` bytes: at the start of RAM for firmware, and for ELF
  // and raw binaries where it fits below them, as QEMU's virt does; else behind all else. An error
  // text if there is no room; empty on success.
  std::string place_device_tree(uint64_t size, const Options& options);

  // Puts all but the device tree in memory, once: `loaded` says that the plan's content is gone. In
  // memory that is new pages are moved, in other, which has its pages, bytes are copied.
  void load(GuestMemory& memory, bool is_new = true);
  bool loaded = false;
};

// Reads what the options name and lays it out in RAM as QEMU's virt does (kernel at its text
// offset, or 2 MiB into RAM; initrd, or the first module, at min(RAM/2, 128 MiB) or after the
// kernel).
Result<BootPlan> plan_boot(const Options& options, BootFiles& files);
// The files are read, and closed.
inline Result<BootPlan> plan_boot(const Options& options) {
  BootFiles files;
  return plan_boot(options, files);
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_BOOT_BOOT_H_
