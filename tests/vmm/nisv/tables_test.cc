// Slots, ioeventfds and the places of a vGIC.
#include <gtest/gtest.h>

#include "vmm/nisv/io_events.h"
#include "vmm/nisv/slots.h"

namespace trapline::nisv {
namespace {

kvm_userspace_memory_region region(uint32_t slot, uint64_t ipa, uint64_t size, uint64_t host,
                                   uint32_t flags = 0) {
  return {slot, flags, ipa, size, host};
}

TEST(Slots, FindsWhatIsSet) {
  Slots slots(4096);
  EXPECT_FALSE(slots.find(0).is_memory);
  EXPECT_FALSE(slots.set(region(0, 0x40000000, 0x10000, 0x1000000)));
  EXPECT_FALSE(slots.set(region(1, 0, 0x1000, 0x2000000, KVM_MEM_READONLY)));
  EXPECT_EQ(slots.find(0x40000123).host, 0x1000123u);
  EXPECT_TRUE(slots.find(0x4000ffff).writable);
  EXPECT_FALSE(slots.find(0x40010000).is_memory);
  EXPECT_FALSE(slots.find(0x3fffffff).is_memory);
  EXPECT_TRUE(slots.find(0xfff).is_memory);
  EXPECT_FALSE(slots.find(0xfff).writable);
  // Another address, the same again, gone.
  EXPECT_TRUE(slots.set(region(0, 0x50000000, 0x10000, 0x1000000)));
  EXPECT_FALSE(slots.set(region(0, 0x50000000, 0x10000, 0x1000000)));
  EXPECT_FALSE(slots.find(0x40000000).is_memory);
  EXPECT_TRUE(slots.set(region(0, 0x50000000, 0, 0x1000000)));
  EXPECT_FALSE(slots.find(0x50000000).is_memory);
  EXPECT_FALSE(slots.set(region(7, 0, 0, 0)));
}

TEST(Slots, Unmapped) {
  Slots slots(4096);
  slots.set(region(0, 0x40000000, 0x10000, 0x1000000));
  EXPECT_FALSE(slots.unmapped(0xfff000, 0x1000));
  EXPECT_FALSE(slots.unmapped(0x1010000, 0x1000));
  EXPECT_TRUE(slots.find(0x40000000).mapped);
  EXPECT_TRUE(slots.unmapped(0x100f000, 0x1000));
  EXPECT_FALSE(slots.find(0x40000000).mapped);
  slots.set(region(0, 0x40000000, 0x10000, 0x1000000));
  EXPECT_TRUE(slots.find(0x40000000).mapped);
}

TEST(Slots, TheLog) {
  Slots slots(4096);
  uint64_t bitmap[2] = {};
  slots.set(region(0, 0x40000000, 65 * 4096, 0x1000000));
  slots.wrote(0x40000000, 8);  // not logged
  slots.set(region(0, 0x40000000, 65 * 4096, 0x1000000, KVM_MEM_LOG_DIRTY_PAGES));
  slots.add_to_log(0, bitmap);
  EXPECT_EQ(bitmap[0] | bitmap[1], 0u);
  slots.wrote(0x40000ffc, 8);
  slots.wrote(0x40000000 + 65 * 4096 - 4, 100);
  slots.add_to_log(1, bitmap);
  EXPECT_EQ(bitmap[0] | bitmap[1], 0u);
  slots.add_to_log(0, bitmap);
  EXPECT_EQ(bitmap[0], 3u);
  EXPECT_EQ(bitmap[1], 1u);
}

TEST(IoEvents, MatchAsKvmDoes) {
  IoEvents events;
  const auto event = [](uint64_t address, uint32_t size, uint32_t flags, uint64_t match) {
    kvm_ioeventfd e{};
    e.addr = address;
    e.len = size;
    e.flags = flags;
    e.datamatch = match;
    return e;
  };
  constexpr uint32_t kMatch = KVM_IOEVENTFD_FLAG_DATAMATCH;
  events.add(event(0x100, 4, 0, 0), 1);
  events.add(event(0x200, 2, kMatch, 0xfff1'0002), 2);
  events.add(event(0x200, 2, kMatch, 3), 3);
  events.add(event(0x300, 0, 0, 0), 4);
  EXPECT_EQ(events.match(0x100, 4, 99), 1);
  EXPECT_EQ(events.match(0x100, 2, 99), -1);
  EXPECT_EQ(events.match(0x102, 2, 99), -1);
  EXPECT_EQ(events.match(0x200, 2, 2), 2);
  EXPECT_EQ(events.match(0x200, 2, 3), 3);
  EXPECT_EQ(events.match(0x200, 2, 4), -1);
  EXPECT_EQ(events.match(0x300, 8, 4), 4);
  EXPECT_EQ(events.remove(event(0x200, 2, kMatch, 3)), 3);
  EXPECT_EQ(events.remove(event(0x200, 2, kMatch, 3)), -1);
  EXPECT_EQ(events.remove(event(0x200, 2, 0, 2)), -1);
  EXPECT_EQ(events.match(0x200, 2, 2), 2);
  EXPECT_FALSE(IoEvents::is_ours(event(0x100, 4, KVM_IOEVENTFD_FLAG_PIO, 0)));
}

}  // namespace
}  // namespace trapline::nisv
