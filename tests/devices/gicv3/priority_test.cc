// Which interrupt is taken, and when it preempts (IHI 0069, 4.8).
#include <gtest/gtest.h>

#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {
namespace {

TEST(GicPriority, HighestFirstThenLowestIntid) {
  GicBench b;
  b.start();
  const std::pair<unsigned, uint8_t> spis[] = {{40, 0x80}, {41, 0x40}, {100, 0x40}, {200, 0x38}};
  for (const auto& [intid, priority] : spis) {
    b.enable_spi(intid, 0);
    b.spi_priority(intid, priority);
    b.line(intid, true);
  }
  b.enable_private(0, 27);
  b.private_priority(0, 27, 0x40);
  b.gic.ppi(0, 27).set(true);
  b.set_icc(0, kIccBpr1, 7);
  for (unsigned expected : {200u, 27u, 41u, 100u, 40u}) {
    EXPECT_EQ(b.icc(0, kIccHppir1), expected);
    EXPECT_EQ(b.ack(0), expected);
    if (expected == 27) {
      b.gic.ppi(0, 27).set(false);
    } else {
      b.line(expected, false);
    }
    b.eoi(0, expected);
    EXPECT_TRUE(b.gic.consistent());
  }
  EXPECT_EQ(b.ack(0), 1023u);
}

struct MaskRow {
  uint8_t mask, priority;
  bool signalled;
};

TEST(GicPriority, MaskLetsOnlyHigherOnesThrough) {
  constexpr MaskRow kRows[] = {
      {0x00, 0x00, false}, {0x08, 0x00, true},  {0xa0, 0xa0, false}, {0xa8, 0xa0, true},
      {0xff, 0xf0, true},  {0xf8, 0xf8, false}, {0xff, 0xff, false}, {0x9f, 0x98, false},
  };
  for (const MaskRow& row : kRows) {
    GicBench b;
    b.start();
    b.enable_spi(33, 0);
    b.spi_priority(33, row.priority);
    b.line(33, true);
    b.set_icc(0, kIccPmr, row.mask);
    SCOPED_TRACE(testing::Message()
                 << "PMR " << int{row.mask} << " priority " << int{row.priority});
    EXPECT_EQ(b.irq[0].level, row.signalled);
    EXPECT_EQ(b.icc(0, kIccHppir1), 33u);  // the mask hides it from IAR, not from HPPIR
    EXPECT_EQ(b.ack(0), row.signalled ? 33u : 1023u);
  }
}

struct PreemptRow {
  unsigned group;
  bool cbpr;
  uint8_t bpr;  // of the group, or BPR0 with CBPR
  uint8_t running, next;
  bool preempts;
};

TEST(GicPriority, PreemptionByBinaryPoint) {
  constexpr PreemptRow kRows[] = {
      // Group 1: BPR1 = n makes bits 7:n the group priority.
      {1, false, 3, 0xa0, 0x98, true},
      {1, false, 3, 0xa0, 0xa0, false},
      {1, false, 3, 0x98, 0xa0, false},
      {1, false, 4, 0xa8, 0xa0, false},
      {1, false, 4, 0xa0, 0x98, true},
      {1, false, 5, 0xb8, 0xa0, false},
      {1, false, 5, 0xa0, 0x98, true},
      {1, false, 7, 0xf0, 0x80, false},
      {1, false, 7, 0x80, 0x78, true},
      // Group 0: BPR0 = n makes bits 7:n+1 the group priority.
      {0, false, 2, 0xa0, 0x98, true},
      {0, false, 3, 0xa8, 0xa0, false},
      {0, false, 3, 0xa0, 0x98, true},
      {0, false, 6, 0xf0, 0x80, false},
      {0, false, 6, 0x80, 0x78, true},
      {0, false, 7, 0xf0, 0x00, false},
      // CBPR: BPR0 decides for group 1 too.
      {1, true, 2, 0xa0, 0x98, true},
      {1, true, 3, 0xa8, 0xa0, false},
      {1, true, 7, 0xf0, 0x00, false},
  };
  for (const PreemptRow& row : kRows) {
    GicBench b;
    b.start();
    b.set_dist(kGicdIgroupr + 4, row.group == 1 ? ~0u : 0u);
    b.set_icc(0, kIccCtlr, row.cbpr);
    b.set_icc(0, row.group == 1 && !row.cbpr ? kIccBpr1 : kIccBpr0, row.bpr);
    const SysregId iar = row.group == 1 ? kIccIar1 : kIccIar0;
    FakeLine& line = row.group == 1 ? b.irq[0] : b.fiq[0];
    b.enable_spi(33, 0);
    b.enable_spi(34, 0);
    b.spi_priority(33, row.running);
    b.spi_priority(34, row.next);
    b.line(33, true);
    EXPECT_EQ(b.icc(0, iar), 33u);
    b.line(34, true);
    SCOPED_TRACE(testing::Message() << "group " << row.group << " bpr " << int{row.bpr} << " "
                                    << int{row.running} << " -> " << int{row.next});
    EXPECT_EQ(line.level, row.preempts);
    EXPECT_EQ(b.icc(0, iar), row.preempts ? 34u : 1023u);
  }
}

TEST(GicPriority, CbprShowsBpr0PlusOne) {
  GicBench b;
  b.set_icc(0, kIccBpr1, 6);
  b.set_icc(0, kIccBpr0, 4);
  b.set_icc(0, kIccCtlr, 1);
  EXPECT_EQ(b.icc(0, kIccBpr1), 5u);
  b.set_icc(0, kIccBpr1, 3);  // ignored
  b.set_icc(0, kIccBpr0, 7);
  EXPECT_EQ(b.icc(0, kIccBpr1), 7u);  // saturates
  b.set_icc(0, kIccCtlr, 0);
  EXPECT_EQ(b.icc(0, kIccBpr1), 6u);
}

TEST(GicPriority, NestingUnwindsThroughTheActivePriorities) {
  GicBench b;
  b.start();
  b.set_dist(kGicdIgroupr + 4, ~(1u << 4));  // INTID 36 is group 0
  const std::pair<unsigned, uint8_t> spis[] = {{33, 0xa0}, {34, 0x80}, {35, 0x60}, {36, 0x40}};
  for (const auto& [intid, priority] : spis) {
    b.enable_spi(intid, 0);
    b.spi_priority(intid, priority);
    b.make_edge(intid);
    b.line(intid, true);
    EXPECT_EQ(b.icc(0, intid == 36 ? kIccIar0 : kIccIar1), intid);
    EXPECT_EQ(b.icc(0, kIccRpr), priority);
  }
  EXPECT_EQ(b.icc(0, kIccAp1r0), 1u << 20 | 1u << 16 | 1u << 12);
  EXPECT_EQ(b.icc(0, kIccAp0r0), 1u << 8);
  b.eoi(0, 35);  // group 0 runs: a group 1 end is out of order, and ignored
  EXPECT_EQ(b.icc(0, kIccRpr), 0x40u);
  b.set_icc(0, kIccEoir0, 36);
  EXPECT_EQ(b.icc(0, kIccRpr), 0x60u);
  b.eoi(0, 35);
  EXPECT_EQ(b.icc(0, kIccRpr), 0x80u);
  b.eoi(0, 34);
  EXPECT_EQ(b.icc(0, kIccRpr), 0xa0u);
  b.eoi(0, 33);
  EXPECT_EQ(b.icc(0, kIccRpr), 0xffu);
}

TEST(GicPriority, ChangesOfWhatIsPendingCount) {
  GicBench b;
  b.start();
  b.enable_spi(33, 0);
  b.enable_spi(34, 0);
  b.line(33, true);
  b.line(34, true);
  EXPECT_EQ(b.icc(0, kIccHppir1), 33u);
  b.spi_priority(33, 0xb0);
  EXPECT_EQ(b.icc(0, kIccHppir1), 34u);
  b.spi_priority(33, 0x10);
  EXPECT_EQ(b.icc(0, kIccHppir1), 33u);
  b.set_dist(kGicdIgroupr + 4, ~2u);  // now group 0
  EXPECT_EQ(b.icc(0, kIccHppir0), 33u);
  EXPECT_TRUE(b.fiq[0].level);
  EXPECT_FALSE(b.irq[0].level);
  b.set_dist(kGicdIrouter + 33 * 8, 1, 8);
  EXPECT_TRUE(b.fiq[1].level);
  EXPECT_EQ(b.icc(0, kIccHppir1), 34u);
  EXPECT_TRUE(b.gic.consistent());
}

TEST(GicPriority, WritingActivePrioritiesBlocksAndUnblocks) {
  GicBench b;
  b.start();
  b.enable_spi(33, 0);
  b.line(33, true);
  b.set_icc(0, kIccAp1r0, 1u << 20);  // 0xa0 runs
  EXPECT_FALSE(b.irq[0].level);
  b.set_icc(0, kIccAp1r0, 0);
  EXPECT_TRUE(b.irq[0].level);
}

}  // namespace
}  // namespace trapline::gicv3
