// Register offsets and constants of the MMIO transport.
#ifndef TRAPLINE_DEVICES_VIRTIO_TRANSPORT_REGISTERS_H_
#define TRAPLINE_DEVICES_VIRTIO_TRANSPORT_REGISTERS_H_

#include <cstdint>
#include <string_view>

namespace trapline::virtio {

// 4.2.2, table 4.1, and 4.2.4 for the legacy ones.
enum Register : uint64_t {
  kMagicValue = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSel = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSel = 0x024,
  kGuestPageSize = 0x028,  // legacy
  kQueueSel = 0x030,
  kQueueNumMax = 0x034,
  kQueueNum = 0x038,
  kQueueAlign = 0x03c,  // legacy
  kQueuePfn = 0x040,    // legacy
  kQueueReady = 0x044,
  kQueueNotify = 0x050,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescLow = 0x080,
  kQueueDescHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kShmSel = 0x0ac,
  kShmLenLow = 0x0b0,
  kShmLenHigh = 0x0b4,
  kShmBaseLow = 0x0b8,
  kShmBaseHigh = 0x0bc,
  kQueueReset = 0x0c0,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};

inline constexpr uint32_t kMagic = 0x74726976;   // "virt"
inline constexpr uint32_t kVendor = 0x554d4551;  // as QEMU's, which drivers may have seen
inline constexpr uint32_t kUsedBuffer = 1;       // InterruptStatus
inline constexpr uint32_t kConfigChange = 2;

// The specification's name of the register at `offset`; empty for none.
std::string_view transport_register_name(uint64_t offset);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_TRANSPORT_REGISTERS_H_
