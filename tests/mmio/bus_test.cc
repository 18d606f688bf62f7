#include "mmio/bus.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

namespace trapline::test {
namespace {

class Silent final : public Device {
 public:
  MmioResult read(uint64_t, unsigned, unsigned) override { return {}; }
  MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "silent"; }
};

TEST(Bus, Find) {
  Silent device;
  Bus bus;
  ASSERT_EQ(bus.add(0x0800'0000, 0x10000, &device), "");
  ASSERT_EQ(bus.add(0x0900'0000, 0x1000, &device, 0x100), "");
  ASSERT_EQ(bus.add(0x0900'1000, 0x40, &device), "");  // two in one granule
  ASSERT_EQ(bus.add(0x0900'1040, 0x40, &device), "");
  ASSERT_EQ(bus.add(0x0900'1280, 0x10, &device), "");   // alone, inside a granule
  ASSERT_EQ(bus.add(0x3fff'ff00, 0x200, &device), "");  // across the end of the table
  ASSERT_EQ(bus.add(0x80'0000'0000, 0x1000, &device), "");
  ASSERT_EQ(bus.add(0xffff'ffff'ffff'f000, 0x1000, &device), "");
  const struct {
    uint64_t ipa;
    unsigned size;
    int region;  // -1: none
  } kCases[] = {
      {0x07ff'ffff, 1, -1},
      {0x0800'0000, 8, 0},
      {0x0800'fff8, 8, 0},
      {0x0800'fffc, 8, -1},
      {0x0801'0000, 1, -1},
      {0x0900'0ffc, 4, 1},
      {0x0900'0ffe, 4, -1},
      {0x0900'1000, 8, 2},
      {0x0900'103c, 4, 2},
      {0x0900'103c, 8, -1},
      {0x0900'1040, 4, 3},
      {0x0900'1080, 4, -1},
      {0x0900'127f, 1, -1},
      {0x0900'127c, 8, -1},
      {0x0900'1280, 8, 4},
      {0x0900'1290, 1, -1},
      {0x3fff'feff, 1, -1},
      {0x3fff'ff00, 8, 5},
      {0x3fff'fffc, 8, 5},
      {0x4000'00f8, 8, 5},
      {0x4000'0100, 1, -1},
      {0x80'0000'0ff8, 8, 6},
      {0x80'0000'1000, 1, -1},
      {0x7f'ffff'ffff, 1, -1},
      {0xffff'ffff'ffff'fff8, 8, 7},
      {0xffff'ffff'ffff'fffc, 8, -1},
      {0, 8, -1},
  };
  for (const bool warm : {false, true}) {
    Bus::Hint hint;
    for (const auto& c : kCases) {
      SCOPED_TRACE(c.ipa);
      if (!warm) hint = {};
      const Bus::Region* region = bus.find(c.ipa, c.size, hint);
      EXPECT_EQ(region == nullptr ? -1 : int{region->index}, c.region);
      if (region != nullptr) {
        EXPECT_EQ(hint.region, region);
      }
    }
  }
}

TEST(Bus, RefusesBadRegions) {
  Silent device;
  Bus bus;
  EXPECT_EQ(bus.add(0x1000, 0x1000, &device), "");
  EXPECT_NE(bus.add(0x1fff, 1, &device), "");
  EXPECT_NE(bus.add(0xfff, 2, &device), "");
  EXPECT_NE(bus.add(0, 0x10000, &device), "");
  EXPECT_NE(bus.add(0x3000, 0, &device), "");
  EXPECT_NE(bus.add(0x3000, 0x10, nullptr), "");
  EXPECT_NE(bus.add(0xffff'ffff'ffff'f000, 0x1001, &device), "");
  EXPECT_EQ(bus.add(0x2000, 1, &device), "");
  EXPECT_EQ(bus.add(0xfff, 1, &device), "");
  for (unsigned i = 3; i < Bus::kMaxRegions; ++i) {
    ASSERT_EQ(bus.add(0x10000 + 0x1000 * i, 0x1000, &device), "");
  }
  EXPECT_NE(bus.add(0x8000'0000, 0x1000, &device), "");
}

TEST(Bus, PartsHaveAnIndexAndNoAddress) {
  Silent device;
  Bus bus;
  EXPECT_EQ(bus.add(0x1000, 0x1000, &device), "");
  EXPECT_EQ(bus.add_part(0x4000, &device), 1);
  EXPECT_EQ(bus.add(0x100'0000'0000, 0x1000, &device), "");
  EXPECT_TRUE(Bus::is_part(bus.regions()[1]));
  EXPECT_FALSE(Bus::is_part(bus.regions()[2]));
  Bus::Hint hint;
  EXPECT_EQ(bus.find(0x100'0000'0000, 4, hint), &bus.regions()[2]);
  EXPECT_EQ(bus.find(~uint64_t{0}, 1, hint), nullptr);
  EXPECT_EQ(bus.find(0, 4, hint), nullptr);
}

TEST(Bus, AgreesWithALinearSearch) {
  Silent device;
  Bus bus;
  std::mt19937_64 random(5);
  for (unsigned i = 0; i < 2000 && bus.regions().size() < Bus::kMaxRegions; ++i) {
    bus.add(random() % 0x4001'0000 & ~uint64_t{15}, 16 + random() % 0x2000, &device);
  }
  ASSERT_GT(bus.regions().size(), 100u);
  Bus::Hint hint;
  for (unsigned i = 0; i < 100000; ++i) {
    const Bus::Region& near = bus.regions()[random() % bus.regions().size()];
    const uint64_t ipa = near.base - 8 + random() % (near.size + 16);
    const unsigned size = 1u << random() % 4;
    const Bus::Region* expected = nullptr;
    for (const Bus::Region& region : bus.regions()) {
      if (ipa >= region.base && ipa + size <= region.base + region.size) expected = &region;
    }
    ASSERT_EQ(bus.find(ipa, size, hint), expected);
  }
}

}  // namespace
}  // namespace trapline::test
