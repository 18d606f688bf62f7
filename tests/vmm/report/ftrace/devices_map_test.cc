#include "vmm/report/devices_map.h"

#include <libfdt.h>

#include <vector>

#include "tests/vmm/report/ftrace/trace_files.h"

namespace trapline {
namespace {

class Devices : public TraceFiles {
 protected:
  static std::string name(const DevicesMap& map, uint64_t address) {
    const DevicesMap::Window* window = map.find(address);
    return window == nullptr ? "" : window->name;
  }
};

TEST_F(Devices, Virt) {
  const DevicesMap map = DevicesMap::virt();
  EXPECT_EQ(name(map, 0x0900'0018), "pl011");
  EXPECT_EQ(name(map, 0x0800'0004), "gicd");
  EXPECT_EQ(name(map, 0x080c'0000), "gicr");
  EXPECT_EQ(name(map, 0x0a00'3e70), "virtio@a003e00");
  EXPECT_EQ(name(map, 0x4000'0000), "memory");
  EXPECT_EQ(name(map, 0x40'1003'8000), "pcie-ecam");
  EXPECT_EQ(name(map, 0x0c00'0000), "");
}

TEST_F(Devices, RegisterNames) {
  EXPECT_EQ(device_register_name("pl011", 0x18), "UARTFR");
  EXPECT_EQ(device_register_name("gicd", 0x104), "GICD_ISENABLER");
  EXPECT_EQ(device_register_name("gicr", 0x3'0100), "GICR_ISENABLER0");
  EXPECT_EQ(device_register_name("virtio@a003e00", 0x50), "QueueNotify");
  EXPECT_EQ(device_register_name("pcie-ecam", 0x3'8000), "+0x38000");
}

TEST_F(Devices, Text) {
  auto map = DevicesMap::of_text(file("map",
                                      "# the board\n\n0x10000000 4K pl011   # debug\n"
                                      "0x10001000 0x200 my-device\r\n0xc0000000 1G memory\n"));
  ASSERT_TRUE(map) << map.error();
  EXPECT_EQ(name(*map, 0x1000'0fff), "pl011");
  EXPECT_EQ(name(*map, 0x1000'1100), "my-device");
  EXPECT_EQ(name(*map, 0xffff'ffff), "memory");
  for (const char* text : {"0x1000 4K", "0x1000 0 x", "x 4K y", "0x1000 4K a b", "0x1000 4Q a",
                           "0xffffffffffffffff 4K a", "0x1000 99999999999G a"}) {
    EXPECT_NE(
        DevicesMap::of_text(file("map", std::string("\n") + text)).error().find("line 2 is not"),
        std::string::npos)
        << text;
  }
  EXPECT_NE(DevicesMap::of_text(file("map", "# none\n")).error().find("no device"),
            std::string::npos);
}

std::vector<char> device_tree() {
  std::vector<char> fdt(65536);
  void* t = fdt.data();
  fdt_create(t, static_cast<int>(fdt.size()));
  fdt_finish_reservemap(t);
  const auto reg = [t](std::initializer_list<uint32_t> cells, const char* property = "reg") {
    std::vector<fdt32_t> big;
    for (const uint32_t cell : cells) big.push_back(cpu_to_fdt32(cell));
    fdt_property(t, property, big.data(), static_cast<int>(big.size() * 4));
  };
  const auto cells = [t](uint32_t address, uint32_t size) {
    fdt_property_u32(t, "#address-cells", address);
    fdt_property_u32(t, "#size-cells", size);
  };
  fdt_begin_node(t, "");
  cells(2, 2);
  fdt_begin_node(t, "memory@40000000");
  reg({0, 0x4000'0000, 0, 0x1000'0000});
  fdt_end_node(t);
  fdt_begin_node(t, "intc@8000000");
  fdt_property_string(t, "compatible", "arm,gic-v3");
  reg({0, 0x800'0000, 0, 0x1'0000, 0, 0x80a'0000, 0, 0xf6'0000, 0x40, 0, 0, 0x400'0000});
  fdt_end_node(t);
  fdt_begin_node(t, "soc");
  cells(1, 1);
  fdt_property(t, "ranges", nullptr, 0);
  fdt_begin_node(t, "serial@10000000");
  fdt_property_string(t, "compatible", "arm,pl011");
  reg({0x1000'0000, 0x1000});
  fdt_end_node(t);
  fdt_begin_node(t, "virtio@10001000");
  fdt_property_string(t, "compatible", "virtio,mmio");
  reg({0x1000'1000, 0x200});
  fdt_end_node(t);
  fdt_begin_node(t, "watchdog@10002000");
  reg({0x1000'2000, 0x1000});
  fdt_end_node(t);
  fdt_end_node(t);
  fdt_begin_node(t, "cpus");  // not addresses
  cells(1, 0);
  fdt_begin_node(t, "cpu@1");
  reg({1});
  fdt_end_node(t);
  fdt_end_node(t);
  fdt_begin_node(t, "pcie@10000000");
  fdt_property_string(t, "compatible", "pci-host-ecam-generic");
  cells(3, 2);
  reg({0x40, 0x1000'0000, 0, 0x1000'0000});
  reg({0x100'0000, 0, 0, 0, 0x3eff'0000, 0, 0x1'0000, 0x200'0000, 0, 0x2000'0000, 0, 0x2000'0000, 0,
       0x1000'0000},
      "ranges");
  fdt_end_node(t);
  fdt_end_node(t);
  fdt_finish(t);
  fdt.resize(fdt_totalsize(t));
  return fdt;
}

TEST_F(Devices, DeviceTree) {
  const std::vector<char> fdt = device_tree();
  auto map = DevicesMap::of_dtb(file("dtb", {fdt.data(), fdt.size()}));
  ASSERT_TRUE(map) << map.error();
  EXPECT_EQ(name(*map, 0x4800'0000), "memory");
  EXPECT_EQ(name(*map, 0x0800'0000), "gicd");
  EXPECT_EQ(name(*map, 0x080b'0000), "gicr");
  EXPECT_EQ(name(*map, 0x40'0001'0000), "gicr");
  EXPECT_EQ(name(*map, 0x1000'0018), "pl011");
  EXPECT_EQ(name(*map, 0x1000'1050), "virtio@10001000");
  EXPECT_EQ(name(*map, 0x1000'2000), "watchdog@10002000");
  EXPECT_EQ(name(*map, 0x40'1000'0000), "pcie-ecam");
  EXPECT_EQ(name(*map, 0x3eff'0010), "pcie-pio");
  EXPECT_EQ(name(*map, 0x2000'0010), "pcie-mmio");
  EXPECT_EQ(name(*map, 1), "");
  for (size_t size = 0; size < fdt.size(); size += 7) {
    EXPECT_FALSE(DevicesMap::of_dtb(file("dtb", {fdt.data(), size}))) << size;
  }
}

}  // namespace
}  // namespace trapline
