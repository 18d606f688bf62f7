// Where each device is, in the order of the command line: a virtio-mmio slot, from the top down as
// on QEMU's `virt`, with `bus=pci` a device number there, from 1 up, on a disk controller a target
// or port, from 0 up; or where `slot=N` says.
#ifndef TRAPLINE_VMM_MACHINE_VIRTIO_SLOTS_H_
#define TRAPLINE_VMM_MACHINE_VIRTIO_SLOTS_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/config/platform.h"
#include "vmm/config/result.h"

namespace trapline {

// kScsi: targets of a virtio-scsi controller in a virtio-mmio slot; kScsiPci: of one on PCI; kAhci:
// ports of an AHCI controller.
enum class VirtioBus : uint8_t { kMmio, kPci, kScsi, kScsiPci, kAhci };
inline constexpr unsigned kVirtioBuses = 5;
// The bus is a controller's, which itself is on PCI or, if not, in a virtio-mmio slot.
constexpr bool has_disks_only(VirtioBus bus) { return bus >= VirtioBus::kScsi; }
constexpr bool needs_pcie(VirtioBus bus) {
  return bus == VirtioBus::kPci || bus >= VirtioBus::kScsiPci;
}

std::string_view word_of(VirtioBus bus);

// What a device asks for.
struct VirtioPlace {
  VirtioBus bus = VirtioBus::kMmio;
  std::optional<unsigned> slot;
};

// Takes `slot=N` and `bus=B` out of an option's comma-separated words (not the first). One line if
// they are not of a bus, of any or, but for disks, of a device's own, and a slot that it has.
Result<VirtioPlace> take_place(std::string& text, bool disk);

class VirtioSlots {
 public:
  struct Device {
    std::string text;  // the option's, without `slot=N` and `bus=B`
    VirtioPlace place;
  };

  // Reads the slots that the values of `option` (--disk, --net) ask for and keeps them for those
  // devices. Before the first take(): a slot that somebody asks for is nobody else's, whatever
  // their order. One line if one is taken or there is none of that number.
  Result<std::vector<Device>> read(const std::string& option,
                                   const std::vector<std::string>& values);
  // The slot for the next device: the one wanted, which was read(), else the first free one of the
  // bus; none if all are taken.
  std::optional<unsigned> take(const VirtioPlace& wanted);

  // virtio-mmio slots with a device, in the order of take().
  const std::vector<unsigned>& taken() const { return order_; }

 private:
  static constexpr unsigned kSlots = 32;  // of a bus, at most
  static_assert(platform::kVirtioSlots == kSlots && platform::kPcieDevices == kSlots);
  std::array<std::string, kSlots>& owners(VirtioBus bus) {
    return owner_[static_cast<unsigned>(bus)];
  }
  std::array<std::array<std::string, kSlots>, kVirtioBuses> owner_;  // for messages; empty: free
  std::vector<unsigned> order_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_VIRTIO_SLOTS_H_
