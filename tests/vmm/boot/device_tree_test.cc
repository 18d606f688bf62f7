#include "vmm/boot/device_tree.h"

#include <gtest/gtest.h>

extern "C" {
#include <libfdt.h>
}

#include "vmm/config/platform.h"

namespace trapline {
namespace {

class DeviceTreeTest : public testing::Test {
 protected:
  std::vector<uint8_t> build() {
    in_.options = &options_;
    in_.plan = &plan_;
    in_.rng_seed.assign(32, 0x11);
    return build_device_tree(in_);
  }
  static int node(const std::vector<uint8_t>& tree, const char* path) {
    return fdt_path_offset(tree.data(), path);
  }
  static uint64_t u64(const std::vector<uint8_t>& tree, const char* path, const char* name) {
    int size = 0;
    const void* data = fdt_getprop(tree.data(), node(tree, path), name, &size);
    if (data == nullptr || size < 8) return ~uint64_t{0};
    return fdt64_ld(static_cast<const fdt64_t*>(data));
  }

  Options options_;
  BootPlan plan_;
  DeviceTreeInput in_;
};

TEST_F(DeviceTreeTest, DescribesThePlatform) {
  options_.cpus = 4;
  options_.append = "console=ttyAMA0";
  plan_.initrd_start = 0x48000000;
  plan_.initrd_end = 0x48123456;
  std::vector<uint8_t> tree = build();
  ASSERT_EQ(fdt_check_full(tree.data(), tree.size()), 0);
  EXPECT_EQ(u64(tree, "/memory@40000000", "reg"), platform::kRamBase);
  EXPECT_EQ(u64(tree, "/chosen", "linux,initrd-end"), 0x48123456u);
  EXPECT_STREQ(static_cast<const char*>(
                   fdt_getprop(tree.data(), node(tree, "/chosen"), "bootargs", nullptr)),
               "console=ttyAMA0");
  EXPECT_EQ(u64(tree, "/intc@8000000", "reg"), platform::kGicd.base);
  EXPECT_EQ(u64(tree, "/pl011@9000000", "reg"), platform::kUart.base);
  EXPECT_EQ(u64(tree, "/pl031@9010000", "reg"), platform::kRtc.base);
  EXPECT_EQ(u64(tree, "/timer@a100000/frame@a110000", "reg"), platform::kTimerFrame0.base);
  EXPECT_GE(node(tree, "/cpus/cpu@3"), 0);
  EXPECT_LT(node(tree, "/cpus/cpu@4"), 0);
  EXPECT_GE(node(tree, "/psci"), 0);
  EXPECT_NE(fdt_getprop(tree.data(), node(tree, "/chosen"), "rng-seed", nullptr), nullptr);
  EXPECT_EQ(fdt_getprop(tree.data(), node(tree, "/chosen"), "kaslr-seed", nullptr), nullptr);
  EXPECT_NE(fdt_getprop(tree.data(), node(tree, "/timer"), "always-on", nullptr), nullptr);
}

// What a hypervisor looks for: PSCI by SMC, its timers' interrupts, the maintenance interrupt.
TEST_F(DeviceTreeTest, El2) {
  const auto size_of = [](const std::vector<uint8_t>& tree, const char* path, const char* name) {
    int size = 0;
    return fdt_getprop(tree.data(), node(tree, path), name, &size) != nullptr ? size : 0;
  };
  const struct {
    bool on, vhe;
    const char* method;
    unsigned timers, maintenance;
  } kRows[] = {{false, true, "hvc", 4, 0}, {true, false, "smc", 4, 1}, {true, true, "smc", 5, 1}};
  for (const auto& row : kRows) {
    options_.el2.on = row.on;
    options_.el2.vhe = row.vhe;
    const std::vector<uint8_t> tree = build();
    ASSERT_EQ(fdt_check_full(tree.data(), tree.size()), 0);
    EXPECT_STREQ(
        static_cast<const char*>(fdt_getprop(tree.data(), node(tree, "/psci"), "method", nullptr)),
        row.method);
    EXPECT_EQ(size_of(tree, "/timer", "interrupts"), static_cast<int>(row.timers * 12));
    EXPECT_EQ(size_of(tree, "/intc@8000000", "interrupts"), static_cast<int>(row.maintenance * 12));
  }
}

// A boot module's node as Xen's device_tree/booting.txt has it; --append is the hypervisor's.
TEST_F(DeviceTreeTest, Modules) {
  options_.el2.on = true;
  options_.append = "dom0_mem=512M";
  plan_.modules = {{0x48000000, 0x49000000, "console=hvc0"},
                   {0x49000000, 0x49000100, ""},
                   {0x49200000, 0x49200001, ""}};
  const std::vector<uint8_t> tree = build();
  ASSERT_EQ(fdt_check_full(tree.data(), tree.size()), 0);
  const auto text = [&](const char* path, const char* name) {
    const void* found = fdt_getprop(tree.data(), node(tree, path), name, nullptr);
    return std::string(found == nullptr ? "none" : static_cast<const char*>(found));
  };
  EXPECT_EQ(text("/chosen", "xen,xen-bootargs"), "dom0_mem=512M");
  EXPECT_EQ(text("/chosen", "bootargs"), "none");
  const struct {
    const char *path, *kind, *append;
    uint64_t start, size;
  } kRows[] = {
      {"/chosen/module@48000000", "multiboot,kernel", "console=hvc0", 0x48000000, 0x1000000},
      {"/chosen/module@49000000", "multiboot,ramdisk", "none", 0x49000000, 0x100},
      {"/chosen/module@49200000", "multiboot,module", "none", 0x49200000, 1}};
  for (const auto& row : kRows) {
    const int at = node(tree, row.path);
    ASSERT_GE(at, 0) << row.path;
    EXPECT_EQ(fdt_node_check_compatible(tree.data(), at, "multiboot,module"), 0) << row.path;
    EXPECT_EQ(fdt_node_check_compatible(tree.data(), at, row.kind), 0) << row.path;
    EXPECT_EQ(text(row.path, "bootargs"), row.append);
    int size = 0;
    const auto* reg = static_cast<const fdt64_t*>(fdt_getprop(tree.data(), at, "reg", &size));
    ASSERT_EQ(size, 16);
    EXPECT_EQ(fdt64_ld(reg), row.start);
    EXPECT_EQ(fdt64_ld(reg + 1), row.size);
  }
}

TEST_F(DeviceTreeTest, OptionalNodes) {
  std::vector<uint8_t> tree = build();
  EXPECT_LT(node(tree, "/flash@0"), 0);
  EXPECT_LT(node(tree, "/virtio_mmio@a000000"), 0);
  in_.flash = in_.virtio = in_.fw_cfg = true;
  tree = build();
  ASSERT_EQ(fdt_check_full(tree.data(), tree.size()), 0);
  EXPECT_GE(node(tree, "/flash@0"), 0);
  EXPECT_GE(node(tree, "/fw-cfg@9020000"), 0);
  EXPECT_GE(node(tree, "/virtio_mmio@a000000"), 0);
  EXPECT_GE(node(tree, "/virtio_mmio@a003e00"), 0);
  EXPECT_EQ(fdt_num_mem_rsv(tree.data()), 0);
}

// Only with something on it; without an ITS there are its lines.
TEST_F(DeviceTreeTest, Pcie) {
  constexpr const char* kBridge = "/pcie@10000000";
  std::vector<uint8_t> tree = build();
  EXPECT_LT(node(tree, kBridge), 0);
  EXPECT_LT(node(tree, "/intc@8000000/its@8080000"), 0);
  in_.pcie = true;
  tree = build();
  ASSERT_EQ(fdt_check_full(tree.data(), tree.size()), 0);
  EXPECT_EQ(u64(tree, kBridge, "reg"), platform::kPcieEcam.base);
  EXPECT_EQ(fdt_getprop(tree.data(), node(tree, kBridge), "msi-map", nullptr), nullptr);
  int size = 0;
  const auto* map = static_cast<const fdt32_t*>(
      fdt_getprop(tree.data(), node(tree, kBridge), "interrupt-map", &size));
  constexpr int kCells = 10;
  ASSERT_EQ(size, 16 * kCells * 4);
  for (int i = 0; i < 16; ++i) {
    const fdt32_t* row = map + i * kCells;
    const auto device = static_cast<uint32_t>(i / 4), pin = static_cast<uint32_t>(i % 4);
    EXPECT_EQ(fdt32_ld(row), device << 11);
    EXPECT_EQ(fdt32_ld(row + 3), pin + 1);
    EXPECT_EQ(fdt32_ld(row + 8), 3 + (device + pin) % 4);
  }
  in_.its = true;
  tree = build();
  EXPECT_EQ(u64(tree, "/intc@8000000/its@8080000", "reg"), platform::kIts.base);
  EXPECT_NE(fdt_getprop(tree.data(), node(tree, kBridge), "msi-map", nullptr), nullptr);
}

// Systems name devices in the order of the nodes: those of the command line come first, in its
// order, wherever they are; then the empty slots from the top down.
TEST_F(DeviceTreeTest, VirtioNodesInTheOrderOfTheCommandLine) {
  in_.virtio = true;
  in_.virtio_slots = {30, 31, 0};
  const std::vector<uint8_t> tree = build();
  std::vector<uint64_t> bases;
  std::vector<uint32_t> spis;
  int at = -1;
  while ((at = fdt_node_offset_by_compatible(tree.data(), at, "virtio,mmio")) >= 0) {
    bases.push_back(
        fdt64_ld(static_cast<const fdt64_t*>(fdt_getprop(tree.data(), at, "reg", nullptr))));
    spis.push_back(fdt32_ld(
        static_cast<const fdt32_t*>(fdt_getprop(tree.data(), at, "interrupts", nullptr)) + 1));
  }
  ASSERT_EQ(bases.size(), platform::kVirtioSlots);
  EXPECT_EQ((std::vector<uint64_t>(bases.begin(), bases.begin() + 5)),
            (std::vector<uint64_t>{0x0a003c00, 0x0a003e00, 0x0a000000, 0x0a003a00, 0x0a003800}));
  EXPECT_EQ((std::vector<uint32_t>(spis.begin(), spis.begin() + 5)),
            (std::vector<uint32_t>{46, 47, 16, 45, 44}));
  EXPECT_EQ(bases.back(), 0x0a000200u);
}

}  // namespace
}  // namespace trapline
