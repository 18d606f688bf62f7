// Who gets it: affinity routing, 1-of-N, SGIs.
#include <gtest/gtest.h>

#include <set>

#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {
namespace {

constexpr uint64_t kIrm = uint64_t{1} << 31;

struct RouteRow {
  uint64_t router;
  int cpu;  // -1: nobody
};

TEST(GicRouting, ByAffinity) {
  constexpr RouteRow kRows[] = {
      {0, 0},         {3, 3},
      {4, -1},        {0x100, -1},
      {0x1'0002, -1}, {0x1'0000'0001, -1},
      {2, 2},         {0x0000'0000'7f00'0001, 1},  // RES0 bits do not count
  };
  for (const RouteRow& row : kRows) {
    GicBench b;
    b.start();
    b.line(80, true);
    b.set_dist(kGicdIsenabler + 8, 1u << 16);
    b.set_dist(kGicdIrouter + 80 * 8, row.router, 8);
    for (int cpu = 0; cpu < 4; ++cpu) {
      EXPECT_EQ(b.irq[cpu].level, cpu == row.cpu) << std::hex << row.router << " " << cpu;
    }
    EXPECT_TRUE(b.gic.consistent());
  }
}

TEST(GicRouting, HalvesOfTheRouter) {
  GicBench b;
  b.start();
  b.enable_spi(80, 0);
  b.line(80, true);
  b.set_dist(kGicdIrouter + 80 * 8, 2);
  EXPECT_TRUE(b.irq[2].level);
  b.set_dist(kGicdIrouter + 80 * 8 + 4, 1);  // Aff3
  EXPECT_FALSE(b.irq[2].level);
  EXPECT_EQ(b.dist(kGicdIrouter + 80 * 8, 8), 0x1'0000'0002u);
}

TEST(GicOneOfN, ExactlyOneCpuIsAsked) {
  GicBench b;
  b.start();
  for (unsigned intid = 40; intid < 48; ++intid) {
    b.set_dist(kGicdIrouter + intid * 8, kIrm, 8);
    b.set_dist(kGicdIsenabler + 4, 1u << (intid - 32));
  }
  std::multiset<unsigned> asked;
  for (unsigned intid = 40; intid < 44; ++intid) {
    b.line(intid, true);
    for (unsigned cpu = 0; cpu < 4; ++cpu) {
      if (b.icc(cpu, kIccHppir1) == intid) asked.insert(cpu);
    }
  }
  EXPECT_EQ(asked, (std::multiset<unsigned>{0, 1, 2, 3}));  // idle CPUs first
  EXPECT_TRUE(b.gic.consistent());
  // Taken by the one, it is gone for good.
  EXPECT_EQ(b.ack(2), 42u);
  b.line(42, false);
  b.eoi(2, 42);
  EXPECT_EQ(b.ack(2), 1023u);
}

TEST(GicOneOfN, OnlyCpusThatTakePart) {
  GicBench b;
  b.start();
  b.set_redist(0, kGicrCtlr, kGicrCtlrDpg1ns);  // opted out
  b.set_icc(1, kIccIgrpen1, 0);                 // group off
  b.set_redist(2, kGicrWaker, kWakerProcessorSleep);
  b.set_dist(kGicdIrouter + 40 * 8, kIrm, 8);
  b.set_dist(kGicdIsenabler + 4, 1u << 8);
  b.line(40, true);
  EXPECT_EQ(b.icc(3, kIccHppir1), 40u);
  b.set_icc(3, kIccIgrpen1, 0);  // the last one leaves
  for (unsigned cpu = 0; cpu < 4; ++cpu) EXPECT_FALSE(b.irq[cpu].level);
  EXPECT_TRUE(b.gic.consistent());
  b.set_dist(kGicdCtlr, kCtlrEnableGrp1 | kCtlrE1nwf);  // may wake a sleeper
  EXPECT_TRUE(b.irq[2].level);
  b.set_redist(2, kGicrCtlr, kGicrCtlrDpg1ns);
  EXPECT_FALSE(b.irq[2].level);
  b.set_redist(0, kGicrCtlr, kGicrCtlrDpg0);  // of the other group
  EXPECT_TRUE(b.irq[0].level);
  EXPECT_TRUE(b.gic.consistent());
}

TEST(GicSleep, DoesNotHoldBackRoutedInterrupts) {
  GicBench b;
  b.start();
  b.set_redist(0, kGicrWaker, kWakerProcessorSleep);
  EXPECT_EQ(b.redist(0, kGicrWaker), unsigned{kWakerProcessorSleep | kWakerChildrenAsleep});
  b.enable_private(0, 27);
  b.gic.ppi(0, 27).set(true);
  EXPECT_TRUE(b.irq[0].level);
  b.set_redist(0, kGicrWaker, kWakerChildrenAsleep);  // read-only bit
  EXPECT_EQ(b.redist(0, kGicrWaker), 0u);
}

struct SgiRow {
  uint64_t value;
  unsigned targets;  // bit n: CPU n
};

TEST(GicSgi, Targets) {
  constexpr SgiRow kRows[] = {
      {0x0500'0002, 0b0010},
      {0x0500'000f, 0b1111},  // the sender too
      {0x0500'fff0, 0},       // CPUs that do not exist
      {0x0500'0000, 0},
      {0x0501'0001, 0},                 // Aff1
      {0x0000'0001'0500'0001, 0},       // Aff2
      {0x0001'0000'0500'0001, 0},       // Aff3
      {0x0000'1000'0500'0001, 0},       // range selector: Aff0 16 to 31
      {0x0000'0100'0500'0000, 0b1101},  // IRM: all but the sender, CPU 1
      {0x0001'0101'0501'ffff, 0b1101},  // and the rest is ignored
  };
  for (const SgiRow& row : kRows) {
    GicBench b;
    b.start();
    for (unsigned cpu = 0; cpu < 4; ++cpu) b.enable_private(cpu, 5);
    b.set_icc(1, kIccSgi1r, row.value);
    for (unsigned cpu = 0; cpu < 4; ++cpu) {
      EXPECT_EQ(b.ack(cpu), (row.targets >> cpu & 1) != 0 ? 5u : 1023u)
          << std::hex << row.value << " " << cpu;
    }
    EXPECT_TRUE(b.gic.consistent());
  }
}

TEST(GicSgi, GroupOfTheRequestAndOfTheTarget) {
  struct {
    SysregId id;
    unsigned group;
    bool arrives;
  } rows[] = {
      {kIccSgi1r, 1, true}, {kIccSgi1r, 0, true},   {kIccSgi0r, 1, false},
      {kIccSgi0r, 0, true}, {kIccAsgi1r, 1, false}, {kIccAsgi1r, 0, true},
  };
  for (const auto& row : rows) {
    GicBench b;
    b.start();
    b.set_redist(3, kGicrIgroupr0, row.group << 15);
    b.enable_private(3, 15);
    b.set_icc(0, row.id, 0x0f00'0008);
    EXPECT_EQ(b.redist(3, kGicrIspendr0) != 0, row.arrives);
    EXPECT_EQ(b.irq[3].level, row.arrives && row.group == 1);
    EXPECT_EQ(b.fiq[3].level, row.arrives && row.group == 0);
  }
}

TEST(GicSgi, PendingOnceActiveAndPendingAgain) {
  GicBench b;
  b.start();
  b.enable_private(1, 2);
  b.set_icc(0, kIccSgi1r, 0x0200'0002);
  b.set_icc(2, kIccSgi1r, 0x0200'0002);  // merges
  EXPECT_EQ(b.ack(1), 2u);
  EXPECT_FALSE(b.irq[1].level);
  b.set_icc(3, kIccSgi1r, 0x0200'0002);  // while active
  EXPECT_FALSE(b.irq[1].level);
  b.eoi(1, 2);
  EXPECT_TRUE(b.irq[1].level);
  EXPECT_EQ(b.ack(1), 2u);
  b.eoi(1, 2);
  EXPECT_EQ(b.ack(1), 1023u);
}

TEST(GicSgi, PendingByRegister) {
  GicBench b;
  b.start();
  b.enable_private(1, 7);
  b.set_redist(1, kGicrIspendr0, 0x80);
  EXPECT_TRUE(b.irq[1].level);
  b.set_redist(1, kGicrIcpendr0, 0x80);
  EXPECT_FALSE(b.irq[1].level);
}

}  // namespace
}  // namespace trapline::gicv3
