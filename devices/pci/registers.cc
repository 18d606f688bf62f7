#include "devices/pci/registers.h"

#include <array>

namespace trapline::pci {

std::string_view register_name(uint64_t offset) {
  static constexpr std::array<std::string_view, kHeaderBytes / 4> kNames = {
      "VendorID,DeviceID",
      "Command,Status",
      "RevisionID,ClassCode",
      "CacheLineSize,HeaderType",
      "BAR0",
      "BAR1",
      "BAR2",
      "BAR3",
      "BAR4",
      "BAR5",
      "CardbusCIS",
      "SubsystemVendorID,SubsystemID",
      "ExpansionROM",
      "Capabilities",
      "",
      "InterruptLine,InterruptPin",
  };
  return offset < kHeaderBytes ? kNames[offset / 4] : std::string_view{};
}

}  // namespace trapline::pci
