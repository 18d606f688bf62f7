// The life of one interrupt: pending, active, both; level and edge; groups; end of interrupt.
#include <gtest/gtest.h>

#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {
namespace {

TEST(GicLevel, PendingFollowsTheLine) {
  GicBench b;
  b.start();
  b.enable_spi(33, 0);
  b.line(33, true);
  EXPECT_TRUE(b.pending(33));
  EXPECT_TRUE(b.irq[0].level);
  EXPECT_FALSE(b.fiq[0].level);
  b.line(33, false);  // withdrawn before anybody looked
  EXPECT_FALSE(b.pending(33));
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_EQ(b.ack(0), 1023u);
}

TEST(GicLevel, StaysPendingWhileHighAndComesBackAfterEoi) {
  GicBench b;
  b.start();
  b.enable_spi(33, 0);
  b.line(33, true);
  EXPECT_EQ(b.ack(0), 33u);
  EXPECT_TRUE(b.active(33));
  EXPECT_TRUE(b.pending(33));  // active and pending
  EXPECT_FALSE(b.irq[0].level);
  b.eoi(0, 33);
  EXPECT_FALSE(b.active(33));
  EXPECT_TRUE(b.irq[0].level);
  EXPECT_EQ(b.ack(0), 33u);
  b.line(33, false);
  EXPECT_FALSE(b.pending(33));
  b.eoi(0, 33);
  EXPECT_FALSE(b.irq[0].level);
}

TEST(GicLevel, SoftwarePendingLastsUntilAcknowledged) {
  GicBench b;
  b.start();
  b.enable_spi(40, 0);
  b.set_dist(kGicdIspendr + 4, 1u << 8);
  EXPECT_EQ(b.ack(0), 40u);
  EXPECT_FALSE(b.pending(40));
  b.eoi(0, 40);
  EXPECT_FALSE(b.irq[0].level);
  // ICPENDR cannot clear what the line says.
  b.line(40, true);
  b.set_dist(kGicdIcpendr + 4, 1u << 8);
  EXPECT_TRUE(b.pending(40));
}

TEST(GicEdge, OneRiseIsOneInterrupt) {
  GicBench b;
  b.start();
  b.enable_spi(50, 0);
  b.make_edge(50);
  b.line(50, true);
  b.line(50, false);
  EXPECT_TRUE(b.pending(50));
  b.line(50, true);  // merges with the one that is pending
  EXPECT_EQ(b.ack(0), 50u);
  EXPECT_FALSE(b.pending(50));
  b.eoi(0, 50);
  EXPECT_FALSE(b.irq[0].level);  // still high, but no new edge
  b.line(50, false);
  b.line(50, true);
  EXPECT_TRUE(b.irq[0].level);
}

TEST(GicEdge, AnEdgeWhileActiveIsKept) {
  GicBench b;
  b.start();
  b.enable_spi(50, 0);
  b.make_edge(50);
  b.line(50, true);
  EXPECT_EQ(b.ack(0), 50u);
  b.line(50, false);
  b.line(50, true);
  EXPECT_TRUE(b.pending(50) && b.active(50));
  EXPECT_FALSE(b.irq[0].level);  // an active interrupt is not taken again
  b.eoi(0, 50);
  EXPECT_TRUE(b.irq[0].level);
  EXPECT_EQ(b.ack(0), 50u);
  EXPECT_FALSE(b.pending(50));
}

TEST(GicEdge, ClearPendingForgetsIt) {
  GicBench b;
  b.start();
  b.enable_spi(50, 0);
  b.make_edge(50);
  b.line(50, true);
  b.set_dist(kGicdIcpendr + 4, 1u << 18);
  EXPECT_FALSE(b.pending(50));
  EXPECT_FALSE(b.irq[0].level);
}

TEST(GicMessage, SetspiAndClrspi) {
  GicBench b;
  b.start();
  b.enable_spi(60, 0);  // level-sensitive: asserted until cleared
  b.set_dist(kGicdSetspiNsr, 60);
  EXPECT_EQ(b.ack(0), 60u);
  EXPECT_TRUE(b.pending(60));
  b.set_dist(kGicdClrspiNsr, 60, 2);
  EXPECT_FALSE(b.pending(60));
  b.eoi(0, 60);

  b.enable_spi(61, 0);
  b.make_edge(61);
  b.set_dist(kGicdSetspiNsr, 61, 2);
  EXPECT_EQ(b.ack(0), 61u);
  EXPECT_FALSE(b.pending(61));
  b.eoi(0, 61);

  b.set_dist(kGicdSetspiSr, 61);  // Secure only: no effect with DS == 1
  b.set_dist(kGicdSetspiNsr, 5);  // not an SPI
  b.set_dist(kGicdSetspiNsr, 8191);
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_TRUE(b.gic.consistent());
}

TEST(GicEnable, DisabledKeepsPending) {
  GicBench b;
  b.start();
  b.line(70, true);
  EXPECT_TRUE(b.pending(70));
  EXPECT_FALSE(b.irq[0].level);
  b.enable_spi(70, 0);
  EXPECT_TRUE(b.irq[0].level);
  b.set_dist(kGicdIcenabler + 8, 1u << 6);
  EXPECT_FALSE(b.irq[0].level);
}

struct GroupRow {
  bool distributor_enabled, interface_enabled;
  bool signalled;
};

TEST(GicGroups, Group0IsFiqAndGroup1IsIrqWithTheirOwnEnables) {
  for (unsigned group : {0u, 1u}) {
    for (const GroupRow& row :
         {GroupRow{true, true, true}, {false, true, false}, {true, false, false}}) {
      GicBench b;
      b.start();
      b.set_dist(kGicdIgroupr + 4, group << 5);
      b.enable_spi(37, 1);
      const uint32_t own = group == 1 ? kCtlrEnableGrp1 : kCtlrEnableGrp0;
      const uint32_t both = kCtlrEnableGrp0 | kCtlrEnableGrp1;
      b.set_dist(kGicdCtlr, row.distributor_enabled ? both : both & ~own);
      b.set_icc(1, group == 1 ? kIccIgrpen1 : kIccIgrpen0, row.interface_enabled);
      b.line(37, true);
      EXPECT_EQ(b.irq[1].level, row.signalled && group == 1);
      EXPECT_EQ(b.fiq[1].level, row.signalled && group == 0);
      // The other group's registers do not see it.
      EXPECT_EQ(b.icc(1, group == 1 ? kIccHppir0 : kIccHppir1), 1023u);
      EXPECT_EQ(b.icc(1, group == 1 ? kIccIar0 : kIccIar1), 1023u);
      EXPECT_EQ(b.icc(1, group == 1 ? kIccHppir1 : kIccHppir0), row.signalled ? 37u : 1023u);
      EXPECT_EQ(b.icc(1, group == 1 ? kIccIar1 : kIccIar0), row.signalled ? 37u : 1023u);
      if (row.signalled) {
        EXPECT_EQ(b.icc(1, group == 1 ? kIccAp1r0 : kIccAp0r0), 1u << 20);
        b.set_icc(1, group == 1 ? kIccEoir0 : kIccEoir1, 37);  // the wrong one: ignored
        EXPECT_TRUE(b.active(37));
        b.set_icc(1, group == 1 ? kIccEoir1 : kIccEoir0, 37);
        EXPECT_FALSE(b.active(37));
      }
      EXPECT_TRUE(b.gic.consistent());
    }
  }
}

TEST(GicGroups, ADisabledGroupDoesNotHideTheOther) {
  GicBench b;
  b.start();
  b.set_dist(kGicdIgroupr + 4, ~1u);  // INTID 32 is group 0
  b.spi_priority(32, 0x10);
  b.enable_spi(32, 0);
  b.enable_spi(33, 0);
  b.set_icc(0, kIccIgrpen0, 0);
  b.line(32, true);
  b.line(33, true);
  EXPECT_EQ(b.icc(0, kIccHppir1), 33u);
  EXPECT_EQ(b.ack(0), 33u);
}

TEST(GicEoi, Mode1SplitsPriorityDropFromDeactivation) {
  GicBench b;
  b.start();
  b.set_icc(0, kIccCtlr, 2);
  b.enable_spi(35, 0);
  b.line(35, true);
  EXPECT_EQ(b.ack(0), 35u);
  EXPECT_EQ(b.icc(0, kIccRpr), 0xa0u);
  b.eoi(0, 35);
  EXPECT_EQ(b.icc(0, kIccRpr), 0xffu);
  EXPECT_TRUE(b.active(35));
  EXPECT_FALSE(b.irq[0].level);  // pending, but active
  b.set_icc(2, kIccCtlr, 2);
  b.set_icc(2, kIccDir, 35);  // any CPU may deactivate an SPI
  EXPECT_FALSE(b.active(35));
  EXPECT_TRUE(b.irq[0].level);
}

TEST(GicEoi, DirDoesNothingInMode0) {
  GicBench b;
  b.start();
  b.enable_private(0, 27);
  b.gic.ppi(0, 27).set(true);
  EXPECT_EQ(b.ack(0), 27u);
  b.set_icc(0, kIccDir, 27);
  EXPECT_EQ(b.redist(0, kGicrIsactiver0), 1u << 27);
  b.set_icc(0, kIccCtlr, 2);
  b.eoi(0, 27);
  b.set_icc(0, kIccDir, 27);
  EXPECT_EQ(b.redist(0, kGicrIsactiver0), 0u);
}

TEST(GicEoi, UnbalancedWritesAreIgnored) {
  GicBench b;
  b.start();
  b.enable_spi(33, 0);
  for (uint64_t intid : {0u, 33u, 287u, 288u, 1020u, 1021u, 1022u, 1023u, 0xff'ffffu}) {
    b.eoi(0, intid);
    b.set_icc(0, kIccEoir0, intid);
    b.set_icc(0, kIccDir, intid);
  }
  b.line(33, true);
  EXPECT_EQ(b.ack(0), 33u);
  b.eoi(0, 1023);  // special: no priority drop
  EXPECT_EQ(b.icc(0, kIccRpr), 0xa0u);
  b.eoi(0, 33);
  EXPECT_EQ(b.icc(0, kIccRpr), 0xffu);
  EXPECT_TRUE(b.gic.consistent());
}

TEST(GicActive, WritesSetAndClearIt) {
  GicBench b;
  b.start();
  b.enable_spi(33, 0);
  b.set_dist(kGicdIsactiver + 4, 2);
  b.line(33, true);
  EXPECT_FALSE(b.irq[0].level);
  b.set_dist(kGicdIcactiver + 4, 2);
  EXPECT_TRUE(b.irq[0].level);
  b.enable_private(1, 3);
  b.set_redist(1, kGicrIsactiver0, 8);
  b.set_redist(1, kGicrIspendr0, 8);
  EXPECT_FALSE(b.irq[1].level);
  b.set_redist(1, kGicrIcactiver0, 8);
  EXPECT_TRUE(b.irq[1].level);
}

TEST(GicPpi, LevelAndEdge) {
  GicBench b;
  b.start();
  b.enable_private(2, 30);
  b.gic.ppi(2, 30).set(true);
  EXPECT_TRUE(b.irq[2].level);
  EXPECT_FALSE(b.irq[0].level);
  b.gic.ppi(2, 30).set(false);
  EXPECT_FALSE(b.irq[2].level);
  b.set_redist(2, kGicrIcfgr1, 2u << 28);
  b.gic.ppi(2, 30).set(true);
  b.gic.ppi(2, 30).set(false);
  EXPECT_TRUE(b.irq[2].level);
  EXPECT_EQ(b.ack(2), 30u);
  b.eoi(2, 30);
  EXPECT_FALSE(b.irq[2].level);
}

TEST(GicLines, WhatDoesNotExistGoesNowhere) {
  GicBench b(2, 64);
  b.start();
  b.gic.spi(64).set(true);
  b.gic.spi(4000).set(true);
  b.gic.ppi(2, 20).set(true);
  b.gic.ppi(0, 15).set(true);
  b.gic.ppi(0, 32).set(true);
  EXPECT_TRUE(b.gic.consistent());
}

TEST(GicState, SaveAndLoadGiveTheSameMachine) {
  GicBench a;
  a.start();
  a.enable_spi(33, 1);
  a.enable_spi(90, 2);
  a.make_edge(90);
  a.spi_priority(90, 0x40);
  a.set_dist(kGicdIrouter + 91 * 8, uint64_t{1} << 31, 8);
  a.set_dist(kGicdIsenabler + 8, 1u << 27);
  a.line(33, true);
  a.line(90, true);
  a.line(91, true);
  EXPECT_EQ(a.ack(2), 90u);
  a.set_icc(3, kIccBpr1, 5);
  a.enable_private(3, 1);
  a.set_icc(0, kIccSgi1r, 1u << 24 | 8);
  StateWriter out;
  a.gic.distributor().save(out);
  a.gic.redistributors().save(out);

  GicBench b;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.gic.distributor().load(in));
  ASSERT_TRUE(b.gic.redistributors().load(in));
  EXPECT_EQ(in.left(), 0u);
  EXPECT_TRUE(b.gic.consistent());
  StateWriter again;
  b.gic.distributor().save(again);
  b.gic.redistributors().save(again);
  EXPECT_EQ(out.buffer(), again.buffer());
  EXPECT_TRUE(b.irq[1].level);
  EXPECT_TRUE(b.irq[3].level);
  EXPECT_EQ(b.icc(2, kIccRpr), 0x40u);
  EXPECT_EQ(b.icc(3, kIccBpr1), 5u);
  EXPECT_EQ(b.ack(1), 33u);
  EXPECT_EQ(b.ack(3), 1u);
  b.eoi(2, 90);
  EXPECT_FALSE(b.active(90));
}

TEST(GicState, ATruncatedOrForeignStateIsRefused) {
  GicBench a(4);
  StateWriter out;
  a.gic.distributor().save(out);
  a.gic.redistributors().save(out);
  for (size_t size = 0; size < out.buffer().size(); size += 7) {
    GicBench b(4);
    StateReader in(out.buffer().data(), size);
    EXPECT_FALSE(b.gic.distributor().load(in) && b.gic.redistributors().load(in));
    EXPECT_TRUE(b.gic.consistent());
  }
  GicBench c(2);
  StateReader in(out.buffer().data(), out.buffer().size());
  EXPECT_TRUE(c.gic.distributor().load(in));
  EXPECT_FALSE(c.gic.redistributors().load(in));
}

TEST(GicState, ResetLowersTheOutputsAndKeepsTheInputs) {
  GicBench b;
  b.start();
  b.enable_spi(33, 0);
  b.line(33, true);
  EXPECT_TRUE(b.irq[0].level);
  b.gic.distributor().reset();
  b.gic.redistributors().reset();
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_TRUE(b.pending(33));
  b.start();
  b.enable_spi(33, 0);
  EXPECT_TRUE(b.irq[0].level);
  b.gic.reset_cpu_interface(0);
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_TRUE(b.gic.consistent());
}

}  // namespace
}  // namespace trapline::gicv3
