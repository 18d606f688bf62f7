#include "vmm/memory/stage2.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace trapline {
namespace {

constexpr uint64_t kKiB4 = 4096, kMiB2 = uint64_t{2} << 20, kGiB = uint64_t{1} << 30;

// Stage 2 never looks at the memory itself, so any aligned address serves as host memory.
uint8_t* host(uint64_t address) { return reinterpret_cast<uint8_t*>(address); }

TEST(Stage2, LeafSizesFollowAlignment) {
  struct Row {
    const char* name;
    uint64_t ipa, size, oa, probe;
    unsigned page_log2, level;
  } constexpr kRows[] = {
      {"page", 0x1000, kKiB4, 0x5000, 0x1abc, 12, 3},
      {"2 MiB block", kMiB2, kMiB2, 4 * kMiB2, kMiB2 + 0x12345, 21, 2},
      {"host not 2 MiB aligned", kMiB2, kMiB2, 4 * kMiB2 + kKiB4, kMiB2 + 0x12345, 12, 3},
      {"1 GiB block", kGiB, kGiB, 8 * kGiB, kGiB + 0x12345678, 30, 1},
      {"host not 1 GiB aligned", kGiB, kGiB, 8 * kGiB + kMiB2, kGiB + 0x12345678, 21, 2},
      {"head of pages", kMiB2 - kKiB4, kMiB2 + kKiB4, 8 * kMiB2 - kKiB4, kMiB2 - 1, 12, 3},
      {"then a block", kMiB2 - kKiB4, kMiB2 + kKiB4, 8 * kMiB2 - kKiB4, kMiB2, 21, 2},
      {"last byte", (uint64_t{1} << 40) - kKiB4, kKiB4, 0x7000, (uint64_t{1} << 40) - 1, 12, 3},
  };
  for (const Row& row : kRows) {
    Stage2 s2;
    s2.map(row.ipa, row.size, host(row.oa), kS2Read | kS2Write | kS2Exec);
    const Stage2Walk walk = s2.walk(row.probe);
    ASSERT_TRUE(walk.ok) << row.name;
    EXPECT_EQ(walk.host, host(row.oa + (row.probe - row.ipa))) << row.name;
    EXPECT_EQ(walk.page_log2, row.page_log2) << row.name;
    EXPECT_EQ(walk.level, row.level) << row.name;
    EXPECT_FALSE(s2.walk(row.ipa - 1).ok) << row.name;
    if (row.ipa + row.size < uint64_t{1} << 40) {
      EXPECT_FALSE(s2.walk(row.ipa + row.size).ok) << row.name;
    }
  }
}

TEST(Stage2, Rights) {
  for (unsigned perms = 0; perms < 16; ++perms) {
    Stage2 s2;
    s2.map(0x4000'0000, kKiB4, host(0x10000), static_cast<uint8_t>(perms));
    const Stage2Walk walk = s2.walk(0x4000'0000);
    ASSERT_TRUE(walk.ok) << perms;
    EXPECT_EQ(walk.readable, (perms & kS2Read) != 0) << perms;
    EXPECT_EQ(walk.writable, (perms & kS2Write) != 0) << perms;
    EXPECT_EQ(walk.executable, (perms & kS2Exec) != 0) << perms;
    EXPECT_EQ(walk.walkable, (perms & (kS2Read | kS2Walk)) != 0) << perms;
    EXPECT_FALSE(walk.device) << perms;
  }
}

TEST(Stage2, FaultLevels) {
  Stage2 s2;
  s2.map(kGiB, kKiB4, host(0x10000), kS2Read);
  EXPECT_EQ(s2.walk(0).fsc, 0x05);  // level 1: nothing in that GiB
  EXPECT_EQ(s2.walk(kGiB + kMiB2).fsc, 0x06);
  EXPECT_EQ(s2.walk(kGiB + kKiB4).fsc, 0x07);
  EXPECT_EQ(s2.walk(uint64_t{1} << 40).fsc, 0x04);  // out of range: level 0
  EXPECT_EQ(s2.walk(~uint64_t{0}).fsc, 0x04);
}

TEST(Stage2, SplitsKeepTheRestOfABlock) {
  Stage2 s2;
  s2.map(kGiB, kGiB, host(8 * kGiB), kS2Read | kS2Write | kS2Walk);
  s2.unmap(kGiB + 5 * kMiB2 + 3 * kKiB4, 2 * kKiB4);
  EXPECT_FALSE(s2.walk(kGiB + 5 * kMiB2 + 3 * kKiB4).ok);
  EXPECT_FALSE(s2.walk(kGiB + 5 * kMiB2 + 5 * kKiB4 - 1).ok);
  for (uint64_t offset :
       {uint64_t{0}, 5 * kMiB2 + 3 * kKiB4 - 1, 5 * kMiB2 + 5 * kKiB4, 6 * kMiB2, kGiB - 1}) {
    const Stage2Walk walk = s2.walk(kGiB + offset);
    ASSERT_TRUE(walk.ok) << offset;
    EXPECT_EQ(walk.host, host(8 * kGiB + offset));
    EXPECT_TRUE(walk.readable && walk.writable && walk.walkable);
    EXPECT_FALSE(walk.executable);
  }
  EXPECT_EQ(s2.walk(kGiB + 6 * kMiB2).page_log2, 21);
  // A change of rights of one page inside a block.
  s2.map(kGiB + 9 * kMiB2, kKiB4, host(8 * kGiB + 9 * kMiB2), kS2Read);
  EXPECT_FALSE(s2.walk(kGiB + 9 * kMiB2).writable);
  EXPECT_TRUE(s2.walk(kGiB + 9 * kMiB2 + kKiB4).writable);
}

TEST(Stage2, UnmapOfHolesAndWholes) {
  Stage2 s2;
  s2.unmap(0, uint64_t{1} << 40);
  s2.map(0x1000, 3 * kKiB4, host(0x10000), kS2Read);
  s2.map(kMiB2, kMiB2, host(8 * kMiB2), kS2Read);
  s2.map(kGiB, kGiB, host(8 * kGiB), kS2Read);
  s2.unmap(0, uint64_t{1} << 40);
  for (uint64_t ipa : {uint64_t{0x1000}, uint64_t{0x3000}, kMiB2, kGiB}) {
    EXPECT_FALSE(s2.walk(ipa).ok) << ipa;
  }
  // Out of range: ignored.
  s2.map(uint64_t{1} << 40, kKiB4, host(0x10000), kS2Read);
  s2.unmap(uint64_t{1} << 40, kKiB4);
}

// A walker sees the old or the new rights of a page while its neighbours split and join around it,
// never a hole.
TEST(Stage2, WalksWhileTheMapChanges) {
  Stage2 s2;
  s2.map(kGiB, kGiB, host(8 * kGiB), kS2Read | kS2Write);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> bad{0}, walks{0};
  std::thread walker([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      for (uint64_t offset = 0; offset < 64 * kMiB2; offset += kMiB2 / 2) {
        const Stage2Walk walk = s2.walk(kGiB + offset + 0x7000);
        if (!walk.ok || walk.host != host(8 * kGiB + offset + 0x7000)) ++bad;
      }
      ++walks;
    }
  });
  for (unsigned round = 0; round < 50 || walks.load() < 3; ++round) {
    for (uint64_t offset = 0; offset < 64 * kMiB2; offset += kMiB2) {
      const uint8_t perms = round % 2 == 0 ? kS2Read : kS2Read | kS2Write;
      s2.map(kGiB + offset, kKiB4, host(8 * kGiB + offset), perms);
    }
  }
  stop = true;
  walker.join();
  EXPECT_EQ(bad.load(), 0u);
}

TEST(Stage2, Registers) {
  Stage2 s2;
  EXPECT_EQ(s2.vtcr() & 0x3f, 24u);    // T0SZ: 40 bits
  EXPECT_EQ(s2.vtcr() >> 6 & 3, 1u);   // SL0: start at level 1
  EXPECT_EQ(s2.vttbr() >> 48, 1u);     // VMID
  EXPECT_EQ(s2.vttbr() & 0x1fff, 0u);  // two concatenated tables
}

}  // namespace
}  // namespace trapline
