// Names for guest-physical addresses.
#ifndef TRAPLINE_VMM_REPORT_DEVICES_MAP_H_
#define TRAPLINE_VMM_REPORT_DEVICES_MAP_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/config/result.h"

namespace trapline {

// What RAM is called: in it a stage-2 fault is memory being given, not a device.
inline constexpr std::string_view kMemory = "memory";

class DevicesMap {
 public:
  struct Window {
    uint64_t base, size;
    std::string name;
  };

  // QEMU's `virt` machine.
  static DevicesMap virt();
  // What `reg` says of each node; names by `compatible`, else the node's. The error names the file.
  static Result<DevicesMap> of_dtb(const std::string& path);
  // Lines "0xADDRESS SIZE NAME"; blank ones and '#' to the end of one are left out.
  static Result<DevicesMap> of_text(const std::string& path);

  void add(uint64_t base, uint64_t size, std::string_view name);
  const std::vector<Window>& windows() const { return windows_; }
  // The smallest window that holds the address.
  const Window* find(uint64_t address) const;

 private:
  std::vector<Window> windows_;
};

// "UARTFR" for a device whose registers are known by its name (pl011, pl031, gicd, gicr,
// virtio...), else "+0x18", its word. As the devices of Trapline call them, so that two reports can
// be compared.
std::string device_register_name(std::string_view device, uint64_t offset);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_DEVICES_MAP_H_
