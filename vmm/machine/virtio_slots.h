// Which of the platform's virtio-mmio slots each device has: from the top down in the order of the
// command line, as on QEMU's `virt`, or where `slot=N` says.
#ifndef TRAPLINE_VMM_MACHINE_VIRTIO_SLOTS_H_
#define TRAPLINE_VMM_MACHINE_VIRTIO_SLOTS_H_

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "vmm/config/platform.h"
#include "vmm/config/result.h"

namespace trapline {

// Takes `slot=N` out of an option's comma-separated words (not the first). Its N, or none; one line
// if it is not a slot's number.
Result<std::optional<unsigned>> take_slot(std::string& text);

class VirtioSlots {
 public:
  struct Device {
    std::string text;  // the option's, without `slot=N`
    std::optional<unsigned> slot;
  };

  // Reads the slots that the values of `option` (--disk, --net) ask for and keeps them for those
  // devices. Before the first take(): a slot that somebody asks for is nobody else's, whatever
  // their order. One line if one is taken or there is none of that number.
  Result<std::vector<Device>> read(const std::string& option,
                                   const std::vector<std::string>& values);
  // The slot for the next device: `wanted`, which was read(), else the highest free one; none if
  // all are taken.
  std::optional<unsigned> take(std::optional<unsigned> wanted);

  // Slots with a device, in the order of take().
  const std::vector<unsigned>& taken() const { return order_; }

 private:
  std::array<std::string, platform::kVirtioSlots> owner_;  // for messages; empty: free
  std::vector<unsigned> order_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_VIRTIO_SLOTS_H_
