// The flattened device tree of the machine, built with libfdt.
#ifndef TRAPLINE_VMM_BOOT_DEVICE_TREE_H_
#define TRAPLINE_VMM_BOOT_DEVICE_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/boot/boot.h"
#include "vmm/config/options.h"

namespace trapline {

struct DeviceTreeInput {
  const Options* options = nullptr;
  const BootPlan* plan = nullptr;
  bool flash = false;
  bool fw_cfg = false;
  bool virtio = false;  // list all virtio-mmio slots
  // Those with a device, in the order in which the guest is to name them (vda, vdb; eth0): systems
  // number devices in the order of the nodes.
  std::vector<unsigned> virtio_slots;
  bool pcie = false;                // something is on it
  bool its = false;                 // and its messages have somewhere to go
  std::vector<uint8_t> rng_seed;    // 32 bytes
  std::vector<uint8_t> kaslr_seed;  // 8 bytes or none
};

// The blob; never fails for valid options (broken invariants abort).
std::vector<uint8_t> build_device_tree(const DeviceTreeInput& input);

}  // namespace trapline

#endif  // TRAPLINE_VMM_BOOT_DEVICE_TREE_H_
