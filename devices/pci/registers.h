// The configuration space of a type 0 function (PCI Local Bus 3.0, 6.1; PCI Express Base 5.0, 7.5).
#ifndef TRAPLINE_DEVICES_PCI_REGISTERS_H_
#define TRAPLINE_DEVICES_PCI_REGISTERS_H_

#include <cstdint>
#include <string_view>

namespace trapline::pci {

enum Register : unsigned {
  kVendorId = 0x00,
  kDeviceId = 0x02,
  kCommand = 0x04,
  kStatus = 0x06,
  kRevisionId = 0x08,
  kClassCode = 0x09,
  kCacheLineSize = 0x0c,
  kHeaderType = 0x0e,
  kBar0 = 0x10,
  kSubsystemVendorId = 0x2c,
  kSubsystemId = 0x2e,
  kCapabilities = 0x34,
  kInterruptLine = 0x3c,
  kInterruptPin = 0x3d,
};
inline constexpr unsigned kHeaderBytes = 0x40;
inline constexpr unsigned kConfigBytes = 0x100;  // of a function that is not PCI Express
inline constexpr unsigned kEcamBytes = 0x1000;   // what the ECAM has for each
inline constexpr unsigned kBars = 6;

// Command, 7.5.1.1.3.
inline constexpr uint16_t kIoSpace = 1, kMemorySpace = 2, kBusMaster = 4, kInterruptDisable = 0x400;
// What of Command a function keeps: also parity error response and SERR# enable, which do nothing.
inline constexpr uint16_t kCommandWritable =
    kIoSpace | kMemorySpace | kBusMaster | 0x40 | 0x100 | kInterruptDisable;
// Status.
inline constexpr uint16_t kInterruptStatus = 8, kCapabilitiesList = 0x10;

enum CapabilityId : uint8_t { kMsi = 0x05, kVendorSpecific = 0x09, kMsiX = 0x11 };

// The word that holds `offset`; empty beyond the header.
std::string_view register_name(uint64_t offset);

}  // namespace trapline::pci

#endif  // TRAPLINE_DEVICES_PCI_REGISTERS_H_
