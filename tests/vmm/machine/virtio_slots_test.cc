#include "vmm/machine/virtio_slots.h"

#include <gtest/gtest.h>

namespace trapline {
namespace {

TEST(TakePlace, FindsTheWords) {
  constexpr VirtioBus kPci = VirtioBus::kPci;
  struct Row {
    const char *text, *rest;
    std::optional<unsigned> slot;
    VirtioBus bus = VirtioBus::kMmio;
  };
  for (const Row& r : {Row{"disk", "disk", {}},
                       {"disk,ro", "disk,ro", {}},
                       {"disk,slot=0", "disk", 0u},
                       {"disk,slot=31,ro", "disk,ro", 31u},
                       {"disk,ro,slot=7", "disk,ro", 7u},
                       {"user,slot=12,hostfwd=tcp::1-:2", "user,hostfwd=tcp::1-:2", 12u},
                       {"slot=3", "slot=3", {}},  // a file's name
                       {"a,,slot=3", "a,,slot=3", {}},
                       {",,slot=3", ",,slot=3", {}},
                       {"a,,,slot=3,ro", "a,,,ro", 3u},
                       {"a,,slot=3,slot=4", "a,,slot=3", 4u},
                       {"disk,bus=pci", "disk", {}, kPci},
                       {"disk,slot=31,ro,bus=pci", "disk,ro", 31u, kPci},
                       {"a,,bus=pci,bus=mmio,slot=0", "a,,bus=pci", 0u},
                       {"user,bus=pci,slot=1", "user", 1u, kPci},
                       {"a,bus=scsi,cd", "a,cd", {}, VirtioBus::kScsi},
                       {"a,bus=scsi-pci,slot=0", "a", 0u, VirtioBus::kScsiPci},
                       {"a,slots=3", "a,slots=3", {}}}) {
    std::string text = r.text;
    auto place = take_place(text, true);
    ASSERT_TRUE(place) << r.text;
    EXPECT_EQ(place->slot, r.slot) << r.text;
    EXPECT_EQ(place->bus, r.bus) << r.text;
    EXPECT_EQ(text, r.rest);
  }
}

TEST(TakePlace, RefusesWhatIsNoPlace) {
  for (const char* text : {"d,slot=", "d,slot=32", "d,slot=-1", "d,slot=x", "d,slot=1x",
                           "d,slot=0x1", "d,slot=99999999999", "d,slot=1,slot=2", "d,slot= 1",
                           "d,bus=", "d,bus=usb", "d,bus=pci,bus=pci", "d,bus=pci,slot=0",
                           "d,slot=0,bus=pci", "d,bus=pci,slot=32", "d,bus=scsi,slot=32"}) {
    std::string copy = text;
    EXPECT_FALSE(take_place(copy, true)) << text;
  }
  // Only disks stand behind a disk controller.
  std::string text = "user,bus=scsi";
  const auto place = take_place(text, false);
  ASSERT_FALSE(place);
  EXPECT_EQ(place.error(), "bus=scsi: give bus=mmio|pci");
}

using Values = std::vector<std::string>;

// As QEMU's virt: from the top down; what is asked for is kept, whoever comes first.
TEST(VirtioSlots, FromTheTopDown) {
  VirtioSlots slots;
  auto disks = slots.read("--disk", Values{"a", "b,slot=31", "c,slot=0"});
  ASSERT_TRUE(disks);
  auto nets = slots.read("--net", Values{"user,slot=29"});
  ASSERT_TRUE(nets);
  for (const auto& device : *disks) EXPECT_TRUE(slots.take(device.place));
  EXPECT_EQ(slots.take((*nets)[0].place), 29u);
  EXPECT_EQ(slots.take({}), 28u);
  EXPECT_EQ(slots.taken(), (std::vector<unsigned>{30, 31, 0, 29, 28}));
}

TEST(VirtioSlots, SaysWhoHasIt) {
  VirtioSlots slots;
  ASSERT_TRUE(slots.read("--disk", Values{"a,slot=5"}));
  auto nets = slots.read("--net", Values{"user,slot=5"});
  ASSERT_FALSE(nets);
  EXPECT_EQ(nets.error(), "--net user,slot=5: slot 5 is taken by --disk a,slot=5");
}

// A bus has its own slots; device 0 of PCI is the bridge.
TEST(VirtioSlots, OfPciFromOneUp) {
  VirtioSlots slots;
  auto disks =
      slots.read("--disk", Values{"a,bus=pci", "b,bus=pci,slot=2", "c,slot=2", "d,bus=pci"});
  ASSERT_TRUE(disks);
  std::vector<unsigned> given;
  for (const auto& device : *disks) given.push_back(slots.take(device.place).value_or(99));
  EXPECT_EQ(given, (std::vector<unsigned>{1, 2, 2, 3}));
  EXPECT_EQ(slots.taken(), std::vector<unsigned>{2});
  for (unsigned n = 4; n < platform::kPcieDevices; ++n) {
    EXPECT_EQ(slots.take({VirtioBus::kPci, {}}), n);
  }
  EXPECT_FALSE(slots.take({VirtioBus::kPci, {}}).has_value());
}

// Targets, from 0 up; each controller has its own.
TEST(VirtioSlots, OfControllers) {
  VirtioSlots slots;
  auto disks = slots.read(
      "--disk", Values{"a,bus=scsi", "b,bus=scsi,slot=0", "c,bus=ahci", "d,bus=scsi", "e"});
  ASSERT_TRUE(disks);
  std::vector<unsigned> given;
  for (const auto& device : *disks) given.push_back(slots.take(device.place).value_or(99));
  EXPECT_EQ(given, (std::vector<unsigned>{1, 0, 0, 2, 31}));
  EXPECT_EQ(slots.taken(), std::vector<unsigned>{31});
}

TEST(VirtioSlots, NoneLeft) {
  VirtioSlots slots;
  for (unsigned n = platform::kVirtioSlots; n-- > 0;) EXPECT_EQ(slots.take({}), n);
  EXPECT_FALSE(slots.take({}).has_value());
}

}  // namespace
}  // namespace trapline
