// What a host's trace calls a register is what Trapline's own devices call it: `report A B` of the
// two sets them side by side.
#include <gtest/gtest.h>

#include "devices/fw_cfg.h"
#include "devices/gicv3/gicv3.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/virtio/transport_mmio.h"
#include "tests/devices/fake_clock.h"
#include "tests/devices/fake_sink.h"
#include "vmm/report/devices_map.h"

namespace trapline {
namespace {

// Every word that the device has a name for; others have none in either.
void compare(const Device& device, uint64_t size, unsigned least) {
  unsigned named = 0;
  for (uint64_t offset = 0; offset < size; offset += 4) {
    const std::string_view name = device.register_name(offset);
    if (name.empty()) continue;
    ++named;
    EXPECT_EQ(device_register_name(device.name(), offset), name)
        << device.name() << " +0x" << std::hex << offset;
  }
  EXPECT_GE(named, least) << device.name();
}

TEST(DeviceNames, AreThoseOfTraplinesDevices) {
  Gicv3 gic(2);
  compare(gic.distributor(), 0x1'0000, 400);
  compare(gic.redistributors(), 0x4'0000, 40);
  FakeSink sink;
  FakeLine line;
  FakeClock clock;
  compare(Pl011(sink, &line), 0x1000, 20);
  compare(Pl031(clock, 0, &line), 0x1000, 15);
  compare(FwCfg("fw_cfg", nullptr), 24, 6);
  compare(virtio::EmptySlot(false), 0x200, 30);
}

// The part of a register that an access names does not tell registers apart.
TEST(DeviceNames, AreOfWords) {
  EXPECT_EQ(device_register_name("its", 0x109), "+0x108");
  EXPECT_EQ(device_register_name("pl011", 0x1a), "UARTFR");
}

}  // namespace
}  // namespace trapline
