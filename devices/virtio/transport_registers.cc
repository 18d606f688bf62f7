// The names of the registers, and the slot that has them and no device.
#include "devices/virtio/transport_registers.h"

namespace trapline::virtio {
namespace {
struct RegisterName {
  Register offset;
  std::string_view name;
};
constexpr RegisterName kRegisterNames[] = {
    {kMagicValue, "MagicValue"},
    {kVersion, "Version"},
    {kDeviceId, "DeviceID"},
    {kVendorId, "VendorID"},
    {kDeviceFeatures, "DeviceFeatures"},
    {kDeviceFeaturesSel, "DeviceFeaturesSel"},
    {kDriverFeatures, "DriverFeatures"},
    {kDriverFeaturesSel, "DriverFeaturesSel"},
    {kGuestPageSize, "GuestPageSize"},
    {kQueueSel, "QueueSel"},
    {kQueueNumMax, "QueueNumMax"},
    {kQueueNum, "QueueNum"},
    {kQueueAlign, "QueueAlign"},
    {kQueuePfn, "QueuePFN"},
    {kQueueReady, "QueueReady"},
    {kQueueNotify, "QueueNotify"},
    {kInterruptStatus, "InterruptStatus"},
    {kInterruptAck, "InterruptACK"},
    {kStatus, "Status"},
    {kQueueDescLow, "QueueDescLow"},
    {kQueueDescHigh, "QueueDescHigh"},
    {kQueueDriverLow, "QueueDriverLow"},
    {kQueueDriverHigh, "QueueDriverHigh"},
    {kQueueDeviceLow, "QueueDeviceLow"},
    {kQueueDeviceHigh, "QueueDeviceHigh"},
    {kShmSel, "SHMSel"},
    {kShmLenLow, "SHMLenLow"},
    {kShmLenHigh, "SHMLenHigh"},
    {kShmBaseLow, "SHMBaseLow"},
    {kShmBaseHigh, "SHMBaseHigh"},
    {kQueueReset, "QueueReset"},
    {kConfigGeneration, "ConfigGeneration"},
};

}  // namespace

std::string_view transport_register_name(uint64_t offset) {
  if (offset >= kConfig) return "Config";
  for (const RegisterName& r : kRegisterNames) {
    if (r.offset == offset) return r.name;
  }
  return {};
}

}  // namespace trapline::virtio
