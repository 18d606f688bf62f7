#include "vmm/machine/virtio_slots.h"

#include <gtest/gtest.h>

namespace trapline {
namespace {

TEST(TakeSlot, FindsTheWord) {
  struct Row {
    const char *text, *rest;
    std::optional<unsigned> slot;
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
                       {"a,slots=3", "a,slots=3", {}}}) {
    std::string text = r.text;
    auto slot = take_slot(text);
    ASSERT_TRUE(slot) << r.text;
    EXPECT_EQ(*slot, r.slot) << r.text;
    EXPECT_EQ(text, r.rest);
  }
}

TEST(TakeSlot, RefusesWhatIsNoSlot) {
  for (const char* text : {"d,slot=", "d,slot=32", "d,slot=-1", "d,slot=x", "d,slot=1x",
                           "d,slot=0x1", "d,slot=99999999999", "d,slot=1,slot=2", "d,slot= 1"}) {
    std::string copy = text;
    EXPECT_FALSE(take_slot(copy)) << text;
  }
}

using Values = std::vector<std::string>;

// As QEMU's virt: from the top down; what is asked for is kept, whoever comes first.
TEST(VirtioSlots, FromTheTopDown) {
  VirtioSlots slots;
  auto disks = slots.read("--disk", Values{"a", "b,slot=31", "c,slot=0"});
  ASSERT_TRUE(disks);
  auto nets = slots.read("--net", Values{"user,slot=29"});
  ASSERT_TRUE(nets);
  for (const auto& device : *disks) EXPECT_TRUE(slots.take(device.slot));
  EXPECT_EQ(slots.take((*nets)[0].slot), 29u);
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

TEST(VirtioSlots, NoneLeft) {
  VirtioSlots slots;
  for (unsigned n = platform::kVirtioSlots; n-- > 0;) EXPECT_EQ(slots.take({}), n);
  EXPECT_FALSE(slots.take({}).has_value());
}

}  // namespace
}  // namespace trapline
