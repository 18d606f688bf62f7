// Reset values, writable bits and access sizes of every register, as tables.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {
namespace {

struct Row {
  uint32_t offset;
  uint32_t reset;
  uint32_t written;   // what is written
  uint32_t expected;  // and then read
};

// 256 SPIs: words 1 to 8 exist.
constexpr Row kDistributor[] = {
    {kGicdCtlr, 0x50, 0xffff'ffff, 0xd3},
    {kGicdTyper, 0x0149'0008 & ~0x0u, 0xffff'ffff, 0x0149'0008},
    {kGicdIidr, 0x5400'043b, 0, 0x5400'043b},
    {kGicdTyper2, 0, 0xffff'ffff, 0},
    {kGicdIgroupr + 0, 0, 0xffff'ffff, 0},
    {kGicdIgroupr + 4, 0, 0x1234'5678, 0x1234'5678},
    {kGicdIgroupr + 32, 0, 0xffff'ffff, 0xffff'ffff},
    {kGicdIgroupr + 36, 0, 0xffff'ffff, 0},
    {kGicdIsenabler + 0, 0, 0xffff'ffff, 0},
    {kGicdIsenabler + 8, 0, 0x8000'0001, 0x8000'0001},
    {kGicdIcenabler + 12, 0, 0xffff'ffff, 0},
    {kGicdIspendr + 8, 0, 0x0000'00f0, 0x0000'00f0},
    {kGicdIcpendr + 12, 0, 0xffff'ffff, 0},
    {kGicdIsactiver + 16, 0, 0x0f00'0000, 0x0f00'0000},
    {kGicdIcactiver + 20, 0, 0xffff'ffff, 0},
    {kGicdIpriorityr + 0, 0, 0xffff'ffff, 0},
    {kGicdIpriorityr + 32, 0, 0xffff'ffff, 0xf8f8'f8f8},
    {kGicdIpriorityr + 284, 0, 0x0102'84a7, 0x0000'80a0},
    {kGicdIpriorityr + 288, 0, 0xffff'ffff, 0},
    {kGicdItargetsr + 32, 0, 0xffff'ffff, 0},
    {kGicdIcfgr + 0, 0, 0xffff'ffff, 0},
    {kGicdIcfgr + 4, 0, 0xffff'ffff, 0},
    {kGicdIcfgr + 8, 0, 0xffff'ffff, 0xaaaa'aaaa},
    {kGicdIcfgr + 12, 0, 0x2000'0001, 0x2000'0000},
    {kGicdIcfgr + 72, 0, 0xffff'ffff, 0},
    {kGicdIgrpmodr + 4, 0, 0xffff'ffff, 0},
    {kGicdNsacr + 8, 0, 0xffff'ffff, 0},
    {kGicdCpendsgir, 0, 0xffff'ffff, 0},
    {kGicdSpendsgir, 0, 0xffff'ffff, 0},
    {kGicdIrouter + 32 * 8, 0, 0xffff'ffff, 0x80ff'ffff},
    {kGicdIrouter + 32 * 8 + 4, 0, 0xffff'ffff, 0xff},
    {kGicdIrouter + 31 * 8, 0, 0xffff'ffff, 0},
    {kGicdIrouter + 288 * 8, 0, 0xffff'ffff, 0},
    {0xffd0, 0x44, 0, 0x44},
    {0xffe0, 0x92, 0, 0x92},
    {0xffe4, 0xb4, 0, 0xb4},
    {0xffe8, 0x3b, 0, 0x3b},
    {0xffec, 0, 1, 0},
    {0xfff0, 0x0d, 0, 0x0d},
    {0xfff4, 0xf0, 0, 0xf0},
    {0xfff8, 0x05, 0, 0x05},
    {0xfffc, 0xb1, 0, 0xb1},
};

TEST(GicDistributor, ResetAndWritableBits) {
  for (const Row& row : kDistributor) {
    GicBench b;
    SCOPED_TRACE(testing::Message() << "GICD+0x" << std::hex << row.offset);
    EXPECT_EQ(b.dist(row.offset), row.reset);
    b.set_dist(row.offset, row.written);
    EXPECT_EQ(b.dist(row.offset), row.expected);
    EXPECT_TRUE(b.gic.consistent());
    b.gic.distributor().reset();
    EXPECT_EQ(b.dist(row.offset), row.reset);
  }
}

constexpr Row kRedistributor[] = {
    {kGicrCtlr, 0, 0xffff'ffff, 0x0300'0000},
    {kGicrIidr, 0x5400'043b, 0, 0x5400'043b},
    {kGicrStatusr, 0, 0, 0},
    {kGicrWaker, 6, 0, 0},
    {kGicrMpamidr, 0, 0xffff'ffff, 0},
    {kGicrPropbaser, 0, 0xffff'ffff, 0},
    {kGicrPropbaser + 4, 0, 0xffff'ffff, 0},
    {kGicrPendbaser, 0, 0xffff'ffff, 0},
    {kGicrSyncr, 0, 0xffff'ffff, 0},
    {0xffd0, 0x44, 0, 0x44},
    {0xffe0, 0x93, 0, 0x93},
    {0xffe8, 0x3b, 0, 0x3b},
    {0xfffc, 0xb1, 0, 0xb1},
    {kGicrIgroupr0, 0, 0x5a5a'a5a5, 0x5a5a'a5a5},
    {kGicrIsenabler0, 0, 0xffff'0000, 0xffff'0000},
    {kGicrIcenabler0, 0, 0xffff'ffff, 0},
    {kGicrIspendr0, 0, 0x8000'0001, 0x8000'0001},
    {kGicrIcpendr0, 0, 0xffff'ffff, 0},
    {kGicrIsactiver0, 0, 0x0100'0100, 0x0100'0100},
    {kGicrIcactiver0, 0, 0xffff'ffff, 0},
    {kGicrIpriorityr, 0, 0xffff'ffff, 0xf8f8'f8f8},
    {kGicrIpriorityr + 28, 0, 0x0706'8780, 0x0000'8080},
    {kGicrIcfgr0, 0xaaaa'aaaa, 0, 0xaaaa'aaaa},
    {kGicrIcfgr1, 0, 0xffff'ffff, 0xaaaa'aaaa},
    {kGicrIgrpmodr0, 0, 0xffff'ffff, 0},
    {kGicrNsacr, 0, 0xffff'ffff, 0},
};

TEST(GicRedistributor, ResetAndWritableBits) {
  for (unsigned cpu : {0u, 3u}) {
    for (const Row& row : kRedistributor) {
      GicBench b;
      SCOPED_TRACE(testing::Message() << "GICR" << cpu << "+0x" << std::hex << row.offset);
      EXPECT_EQ(b.redist(cpu, row.offset), row.reset);
      b.set_redist(cpu, row.offset, row.written);
      EXPECT_EQ(b.redist(cpu, row.offset), row.expected);
      // Its neighbour has a copy of its own.
      EXPECT_EQ(b.redist(1, row.offset), row.reset);
      b.gic.redistributors().reset();
      EXPECT_EQ(b.redist(cpu, row.offset), row.reset);
    }
  }
}

TEST(GicRedistributor, TyperNamesAffinityAndTheLast) {
  GicBench b(4);
  const uint64_t expected[] = {0x0000'0000'0000'0020, 0x0000'0001'0000'0120, 0x0000'0002'0000'0220,
                               0x0000'0003'0000'0330};
  for (unsigned cpu = 0; cpu < 4; ++cpu) {
    EXPECT_EQ(b.redist(cpu, kGicrTyper, 8), expected[cpu]);
    EXPECT_EQ(b.redist(cpu, kGicrTyper, 4), expected[cpu] & 0xffff'ffff);
    EXPECT_EQ(b.redist(cpu, kGicrTyper + 4, 4), expected[cpu] >> 32);
  }
  // Past the last: reads as zero.
  EXPECT_EQ(b.redist(4, kGicrTyper, 8), 0u);
}

TEST(GicDistributor, TyperFollowsTheNumberOfSpis) {
  struct {
    unsigned spis, lines;
  } rows[] = {{0, 1}, {1, 1}, {32, 1}, {33, 2}, {256, 8}, {960, 30}, {988, 31}, {5000, 31}};
  for (const auto& row : rows) {
    GicBench b(1, row.spis);
    EXPECT_EQ(b.dist(kGicdTyper) & 0x1f, row.lines) << row.spis;
  }
}

TEST(GicDistributor, TheSpecialIntidsAreNeverThere) {
  GicBench b(1, 988);
  b.set_dist(kGicdIsenabler + 31 * 4, ~0u);
  EXPECT_EQ(b.dist(kGicdIsenabler + 31 * 4), 0x0fff'ffffu);
  b.set_dist(kGicdIpriorityr + 1020, ~0u);
  EXPECT_EQ(b.dist(kGicdIpriorityr + 1020), 0u);
}

struct SizeRow {
  uint32_t offset;
  unsigned size;
  bool accepted;
};

constexpr SizeRow kSizes[] = {
    {kGicdCtlr, 4, true},
    {kGicdCtlr, 1, false},
    {kGicdCtlr, 2, false},
    {kGicdCtlr, 8, false},
    {kGicdCtlr + 2, 4, false},
    {kGicdIpriorityr + 33, 1, true},
    {kGicdIpriorityr, 2, false},
    {kGicdIpriorityr, 8, false},
    {kGicdIrouter + 256, 8, true},
    {kGicdIrouter + 260, 4, true},
    {kGicdIrouter + 260, 8, false},
    {kGicdIrouter + 256, 2, false},
    {kGicdItargetsr + 5, 1, true},
    {0x0014, 4, false},
    {0x4000, 4, false},
    {0xc000, 4, false},
    {0xfffd, 1, false},
};

TEST(GicDistributor, AccessSizes) {
  for (const SizeRow& row : kSizes) {
    SCOPED_TRACE(testing::Message() << "GICD+0x" << std::hex << row.offset << "/" << row.size);
    GicBench b;
    b.dist(row.offset, row.size);
    EXPECT_EQ(b.dist(kGicdStatusr), row.accepted ? 0u : kStatusRrd);
    b.set_dist(kGicdStatusr, kStatusMask);
    EXPECT_EQ(b.dist(kGicdStatusr), 0u);
    b.set_dist(row.offset, ~uint64_t{0}, row.size);
    EXPECT_EQ(b.dist(kGicdStatusr), row.accepted ? 0u : kStatusWrd);
    if (!row.accepted) {
      EXPECT_EQ(b.dist(kGicdCtlr), 0x50u);
    }
  }
}

TEST(GicDistributor, StatusTellsWrongDirections) {
  GicBench b;
  b.dist(kGicdSetspiNsr);
  EXPECT_EQ(b.dist(kGicdStatusr), kStatusRwod);
  b.set_dist(kGicdTyper, 0);
  EXPECT_EQ(b.dist(kGicdStatusr), unsigned{kStatusRwod | kStatusWrod});
  b.set_dist(kGicdStatusr, kStatusRwod);
  EXPECT_EQ(b.dist(kGicdStatusr), kStatusWrod);

  b.redist(1, 0x20);
  b.set_redist(1, kGicrIidr, 0);
  EXPECT_EQ(b.redist(1, kGicrStatusr), unsigned{kStatusRrd | kStatusWrod});
  EXPECT_EQ(b.redist(0, kGicrStatusr), 0u);
}

struct SysregRow {
  SysregId id;
  bool readable, writable;
  uint64_t reset, written, expected;
};

constexpr SysregRow kInterface[] = {
    {kIccPmr, true, true, 0, 0xffff'ffff, 0xf8},
    {kIccIar0, true, false, 1023, 0, 1023},
    {kIccIar1, true, false, 1023, 0, 1023},
    {kIccEoir0, false, true, 0, 0, 0},
    {kIccEoir1, false, true, 0, 0, 0},
    {kIccHppir0, true, false, 1023, 0, 1023},
    {kIccHppir1, true, false, 1023, 0, 1023},
    {kIccBpr0, true, true, 2, 0xff, 7},
    {kIccBpr0, true, true, 2, 0, 2},
    {kIccBpr1, true, true, 3, 0xff, 7},
    {kIccBpr1, true, true, 3, 0, 3},
    {kIccCtlr, true, true, 0x8400, 0xffff'ffff, 0x8403},
    {kIccSre, true, true, 7, 0, 7},
    {kIccIgrpen0, true, true, 0, 0xffff'ffff, 1},
    {kIccIgrpen1, true, true, 0, 0xffff'ffff, 1},
    {kIccRpr, true, false, 0xff, 0, 0xff},
    {kIccDir, false, true, 0, 0, 0},
    {kIccSgi0r, false, true, 0, 0, 0},
    {kIccSgi1r, false, true, 0, 0, 0},
    {kIccAsgi1r, false, true, 0, 0, 0},
    {kIccAp0r0, true, true, 0, 0xffff'ffff, 0xffff'ffff},
    {kIccAp1r0, true, true, 0, 0x10, 0x10},
    {kIccAp0r0 + 1, false, false, 0, 0, 0},
    {kIccAp0r0 + 3, false, false, 0, 0, 0},
    {kIccAp1r0 + 1, false, false, 0, 0, 0},
    {kIccAp1r0 + 3, false, false, 0, 0, 0},
    {sysreg_id(3, 0, 12, 9, 5), false, false, 0, 0, 0},   // ICC_NMIAR1_EL1
    {sysreg_id(3, 6, 12, 12, 5), false, false, 0, 0, 0},  // ICC_SRE_EL3
};

TEST(GicCpuInterface, ResetAndWritableBits) {
  for (const SysregRow& row : kInterface) {
    GicBench b;
    SysregDevice& icc = b.gic.cpu_interface();
    const std::string_view name = icc.register_name(row.id);
    SCOPED_TRACE(std::string(name));
    EXPECT_EQ(name.empty(), !row.readable && !row.writable);
    uint64_t value = 0;
    EXPECT_EQ(icc.sysreg_read(row.id, 2, value), row.readable);
    if (row.readable) {
      EXPECT_EQ(value, row.reset);
    }
    EXPECT_EQ(icc.sysreg_write(row.id, 2, row.written), row.writable);
    if (row.readable && row.writable) {
      EXPECT_EQ(b.icc(2, row.id), row.expected);
      EXPECT_EQ(b.icc(1, row.id), row.reset);  // banked
      b.gic.reset_cpu_interface(2);
      EXPECT_EQ(b.icc(2, row.id), row.reset);
    }
  }
  GicBench b(1);
  uint64_t value;
  EXPECT_FALSE(b.gic.cpu_interface().sysreg_read(kIccPmr, 1, value));
  EXPECT_FALSE(b.gic.cpu_interface().sysreg_write(kIccPmr, 99, 0));
}

TEST(GicNames, EveryArchitectedOffsetHasOne) {
  GicBench b;
  std::set<std::string_view> names;
  for (const Row& row : kDistributor) {
    EXPECT_TRUE(b.gic.distributor().register_name(row.offset).starts_with("GICD_")) << row.offset;
  }
  for (const Row& row : kRedistributor) {
    const auto name = b.gic.redistributors().register_name(0x20000 + row.offset);
    EXPECT_TRUE(name.starts_with("GICR_")) << row.offset;
  }
  EXPECT_EQ(b.gic.distributor().register_name(kGicdIrouter + 800), "GICD_IROUTER");
  EXPECT_EQ(b.gic.distributor().register_name(0x5000), "");
}

}  // namespace
}  // namespace trapline::gicv3
