// The ITS's registers and commands, and the LPIs that come of them.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/devices/gicv3/its_bench.h"

namespace trapline::gicv3 {
namespace {

using Taken = std::vector<uint64_t>;

TEST(LpiSet, IsASetOfNumbers) {
  std::mt19937_64 random(1);
  LpiSet set;
  std::set<unsigned> model;
  for (unsigned step = 0; step < 200'000; ++step) {
    const unsigned spread = step % 1000 < 500 ? kLpis : 200;
    const unsigned n = kLpis - 1 - static_cast<unsigned>(random() % spread);
    if (random() % 2 == 0) {
      ASSERT_EQ(set.insert(n), model.insert(n).second);
    } else {
      ASSERT_EQ(set.erase(n), model.erase(n) != 0);
    }
    ASSERT_EQ(set.contains(n), model.contains(n));
    ASSERT_EQ(set.empty(), model.empty());
    if (!model.empty()) {
      ASSERT_EQ(set.first(), *model.begin());
    }
    const unsigned from = static_cast<unsigned>(random() % (kLpis + 1));
    const auto next = model.lower_bound(from);
    ASSERT_EQ(set.next(from), next == model.end() ? kLpis : *next);
  }
}

// --- registers -----------------------------------------------------------------------------------

TEST(ItsRegisters, LpisShowOnlyWithAnIts) {
  GicBench without;
  EXPECT_EQ(without.dist(kGicdTyper) & (1u << 17), 0u);
  EXPECT_EQ(without.dist(kGicdTyper) >> 19 & 31, 9u);
  without.set_redist(0, kGicrCtlr, kGicrCtlrEnableLpis);
  EXPECT_EQ(without.redist(0, kGicrCtlr), 0u);
  without.set_redist(0, kGicrPropbaser, ~0ull, 8);
  EXPECT_EQ(without.redist(0, kGicrPropbaser, 8), 0u);
  EXPECT_EQ(without.redist(0, kGicrTyper, 8) & 1, 0u);

  ItsBench with;
  EXPECT_EQ(with.dist(kGicdTyper) >> 17 & 1, 1u);
  EXPECT_EQ(with.dist(kGicdTyper) >> 19 & 31, 15u);
  EXPECT_EQ(with.redist(1, kGicrTyper, 8) & 1, 1u);
  EXPECT_EQ(with.redist(1, kGicrCtlr), kGicrCtlrCes);
}

TEST(ItsRegisters, RedistributorKeepsTheTablesWhileLpisAreOn) {
  ItsBench b;
  b.set_redist(1, kGicrPropbaser, ~0ull, 8);
  EXPECT_EQ(b.redist(1, kGicrPropbaser, 8), 0x070f'ffff'ffff'ff9full);
  b.set_redist(1, kGicrPendbaser, ~0ull, 8);
  EXPECT_EQ(b.redist(1, kGicrPendbaser, 8), 0x070f'ffff'ffff'0f80ull);
  b.set_redist(1, kGicrPropbaser, 0x1234'5000);  // a half
  EXPECT_EQ(b.redist(1, kGicrPropbaser, 8), 0x070f'ffff'1234'5000ull);
  EXPECT_EQ(b.redist(1, kGicrPropbaser + 4), 0x070f'ffffu);
  b.start_lpis(1);
  EXPECT_EQ(b.redist(1, kGicrCtlr), kGicrCtlrEnableLpis | kGicrCtlrCes);
  b.set_redist(1, kGicrPropbaser, 0, 8);
  b.set_redist(1, kGicrPendbaser, 0, 8);
  EXPECT_EQ(b.redist(1, kGicrPropbaser, 8), ItsBench::kProperties | 15);
  EXPECT_EQ(b.redist(1, kGicrPendbaser, 8), ItsBench::kPending + 0x1'0000);
  EXPECT_EQ(b.redist(0, kGicrPropbaser, 8), 0u);
  EXPECT_EQ(b.redist(0, kGicrStatusr) | b.redist(1, kGicrStatusr), 0u);
}

TEST(ItsRegisters, Its) {
  ItsBench b;
  EXPECT_EQ(b.reg(kGitsTyper), 0x1f'0001'ef71ull);
  EXPECT_EQ(b.reg(kGitsTyper + 4, 4), 0x1fu);
  EXPECT_EQ(b.reg(kGitsCtlr, 4), 0x8000'0000u);
  EXPECT_EQ(b.reg(0xffe8, 4), 0x3bu);  // GICv3
  EXPECT_EQ(b.reg(0xffe0, 4), 0x94u);
  b.set_reg(kGitsBaser, ~0ull);
  EXPECT_EQ(b.reg(kGitsBaser), 0xf9e7'ffff'ffff'ffffull);
  b.set_reg(kGitsBaser + 8, 0);
  EXPECT_EQ(b.reg(kGitsBaser + 8), 0x0407'0000'0000'0000ull);
  for (uint64_t n = 2; n < 8; ++n) {
    b.set_reg(kGitsBaser + n * 8, ~0ull);
    EXPECT_EQ(b.reg(kGitsBaser + n * 8), 0u) << n;
  }
  b.set_reg(kGitsCbaser, ~0ull);
  EXPECT_EQ(b.reg(kGitsCbaser), 0xb8ef'ffff'ffff'fcffull);
  b.set_reg(kGitsCbaser, 0, 4);
  EXPECT_EQ(b.reg(kGitsCbaser), 0xb8ef'ffff'0000'0000ull);
  b.set_reg(kGitsCwriter, ~0ull);
  EXPECT_EQ(b.reg(kGitsCwriter), 0xf'ffe0u);
  b.set_reg(kGitsCreadr, ~0ull);
  EXPECT_EQ(b.reg(kGitsCreadr), 0u);
  EXPECT_EQ(b.reg(kGitsTranslater, 4), 0u);  // write-only
}

TEST(ItsRegisters, WhatIsEnabledIsFixed) {
  ItsBench b;
  b.start_its();
  EXPECT_EQ(b.reg(kGitsCtlr, 4), 0x8000'0001u);
  EXPECT_EQ(b.reg(kGitsCreadr), 4u * 32);
  for (uint64_t at : {uint64_t{kGitsBaser}, uint64_t{kGitsBaser + 8}, uint64_t{kGitsCbaser}}) {
    const uint64_t before = b.reg(at);
    b.set_reg(at, 0);
    EXPECT_EQ(b.reg(at), before);
  }
  b.set_reg(kGitsCtlr, 0, 4);
  b.set_reg(kGitsCbaser, 0);
  EXPECT_EQ(b.reg(kGitsCreadr), 0u);
}

// --- delivery ------------------------------------------------------------------------------------

TEST(Lpi, AMessageReachesItsCpu) {
  ItsBench b;
  b.start_its();
  b.device(3, 5, 4, 8200);
  EXPECT_TRUE(b.run(movi(3, 1, 2)));
  b.send(3, 1);
  EXPECT_TRUE(b.irq[2].level);
  EXPECT_FALSE(b.irq[0].level || b.fiq[2].level);
  EXPECT_EQ(b.icc(2, kIccHppir1), 8201u);
  EXPECT_EQ(b.icc(2, kIccIar0), 1023u);
  EXPECT_EQ(b.ack(2), 8201u);
  EXPECT_EQ(b.icc(2, kIccRpr), 0xa0u);
  EXPECT_FALSE(b.irq[2].level);
  // No active state: another message is pending at once, and waits for its priority only.
  b.send(3, 1);
  EXPECT_FALSE(b.irq[2].level);
  EXPECT_EQ(b.icc(2, kIccHppir1), 8201u);
  b.eoi(2, 8201);
  EXPECT_EQ(b.icc(2, kIccRpr), 0xffu);
  EXPECT_TRUE(b.irq[2].level);
  EXPECT_EQ(b.take_all(2), Taken{8201});
  EXPECT_TRUE(b.gic.consistent());
}

TEST(Lpi, PendingTwiceIsTakenOnce) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 9000);
  b.send(1, 0);
  b.send(1, 0);
  EXPECT_EQ(b.take_all(0), Taken{9000});
}

TEST(Lpi, PrioritiesAmongAllThatIsPending) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 8, 8192);
  const uint8_t priorities[] = {0xa0, 0x40, 0xa0, 0x80, 0x40, 0xf0, 0x08, 0xa4};
  for (unsigned n = 0; n < 8; ++n) b.configure(8192 + n, priorities[n] | 1);
  b.enable_private(0, 3);
  b.enable_spi(40, 0);
  b.make_edge(40);
  b.spi_priority(40, 0x40);
  b.set_icc(0, kIccPmr, 0);
  for (unsigned n = 0; n < 8; ++n) b.send(1, n);
  b.set_icc(0, kIccSgi1r, 3u << 24 | 1);  // 0xa0
  b.line(40, true);
  b.set_icc(0, kIccPmr, 0xff);
  // Five bits count: 0xa4 is 0xa0. Of equal ones the lowest INTID.
  EXPECT_EQ(b.take_all(0), (Taken{8198, 40, 8193, 8196, 8195, 3, 8192, 8194, 8199, 8197}));
  EXPECT_TRUE(b.gic.consistent());
}

TEST(Lpi, PreemptsByPriority) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 2, 8192);
  b.configure(8193, 0x20 | 1);
  b.send(1, 0);
  EXPECT_EQ(b.ack(0), 8192u);
  b.send(1, 1);
  EXPECT_TRUE(b.irq[0].level);
  EXPECT_EQ(b.ack(0), 8193u);
  b.eoi(0, 8193);
  b.eoi(0, 8192);
  EXPECT_EQ(b.icc(0, kIccRpr), 0xffu);
}

TEST(Lpi, EoiModeDropsAndDirDoesNothing) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  b.set_icc(0, kIccCtlr, 2);
  b.send(1, 0);
  EXPECT_EQ(b.ack(0), 8192u);
  b.eoi(0, 8192);
  EXPECT_EQ(b.icc(0, kIccRpr), 0xffu);
  b.send(1, 0);
  EXPECT_TRUE(b.irq[0].level);
  b.set_icc(0, kIccDir, 8192);
  EXPECT_EQ(b.ack(0), 8192u);
}

TEST(Lpi, IsOfGroup1) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  b.set_icc(0, kIccIgrpen1, 0);
  b.send(1, 0);
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_EQ(b.icc(0, kIccHppir1), 1023u);
  b.set_icc(0, kIccIgrpen1, 1);
  EXPECT_TRUE(b.irq[0].level);
  b.set_dist(kGicdCtlr, kCtlrEnableGrp0);
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_FALSE(b.gic.can_signal(0));
  b.set_dist(kGicdCtlr, kCtlrEnableGrp0 | kCtlrEnableGrp1);
  EXPECT_TRUE(b.irq[0].level);
  EXPECT_TRUE(b.gic.can_signal(0));
}

TEST(Lpi, ConfigurationIsReadAgainByInv) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 4, 8192);
  for (unsigned n = 0; n < 4; ++n) b.configure(8192 + n, 0xa0);  // disabled
  for (unsigned n = 0; n < 4; ++n) b.send(1, n);
  EXPECT_FALSE(b.irq[0].level);
  b.configure(8193, 0xa1);
  EXPECT_TRUE(b.run(inv(1, 1)));
  EXPECT_EQ(b.take_all(0), Taken{8193});
  for (unsigned n = 0; n < 4; ++n) b.configure(8192 + n, n == 3 ? 0x41 : 0xa1);
  EXPECT_TRUE(b.run(invall(1)));  // another CPU's
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_TRUE(b.run(invall(0)));
  EXPECT_EQ(b.ack(0), 8195u);
  b.configure(8192, 0xa0);
  EXPECT_TRUE(b.run(inv(1, 0)));
  b.eoi(0, 8195);
  EXPECT_EQ(b.take_all(0), Taken{8194});
  EXPECT_TRUE(b.gic.consistent());
}

TEST(Lpi, PendingTableIsReadAndWritten) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 4, 8192);
  b.send(1, 1);
  b.send(1, 3);
  b.set_redist(0, kGicrCtlr, 0);
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_EQ(b.ram.get64(ItsBench::kPending + 1024), 0b1010u);
  b.send(1, 0);  // LPIs are off: nobody takes it
  b.ram.put64(ItsBench::kPending + 8184, uint64_t{1} << 63);
  b.set_redist(0, kGicrCtlr, kGicrCtlrEnableLpis);
  EXPECT_EQ(b.take_all(0), (Taken{8193, 8195, 65535}));
  // PTZ: it is said to be zero, and not looked at.
  b.set_redist(0, kGicrCtlr, 0);
  b.ram.put64(ItsBench::kPending + 1024, 1);
  b.start_lpis(0);
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_TRUE(b.gic.consistent());
}

TEST(Lpi, IdBitsBound) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 16383);
  EXPECT_TRUE(b.run(mapti(1, 1, 16384, 0)));
  b.set_redist(0, kGicrCtlr, 0);
  b.start_lpis(0, 14);
  b.send(1, 0);
  b.send(1, 1);
  EXPECT_EQ(b.take_all(0), Taken{16383});
  b.set_redist(0, kGicrCtlr, 0);
  b.start_lpis(0, 13);  // no LPIs at all
  b.send(1, 0);
  EXPECT_FALSE(b.irq[0].level);
  b.set_redist(0, kGicrCtlr, 0);
  b.start_lpis(0, 32);
  b.send(1, 0);
  EXPECT_EQ(b.take_all(0), Taken{16383});
}

TEST(Lpi, TablesOutsideRamAreZero) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  b.set_redist(0, kGicrCtlr, 0);
  b.set_redist(0, kGicrPropbaser, ItsBench::kNowhere | 15, 8);
  b.set_redist(0, kGicrPendbaser, 0x000f'ffff'ffff'0000ull, 8);
  b.set_redist(0, kGicrCtlr, kGicrCtlrEnableLpis);
  b.send(1, 0);
  EXPECT_FALSE(b.irq[0].level);
  b.set_redist(0, kGicrCtlr, 0);
  EXPECT_TRUE(b.gic.consistent());
}

// --- messages and commands -----------------------------------------------------------------------

TEST(ItsMessages, WhatIsDropped) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  b.its.message(1, ItsBench::kIts + Its::kDoorbell + 4, 0);
  b.its.message(1, 0, 0);
  b.send(2, 0);         // no such device
  b.send(1, 1);         // unmapped event
  b.send(1, 16);        // beyond the device's events
  b.send(0x1'0001, 0);  // beyond the table
  EXPECT_EQ(b.counter("messages_dropped"), 6u);
  EXPECT_FALSE(b.irq[0].level);
  b.set_reg(kGitsCtlr, 0, 4);
  b.send(1, 0);
  EXPECT_EQ(b.counter("messages_dropped"), 7u);
  b.set_reg(kGitsCtlr, 1, 4);
  b.send(1, 0);
  EXPECT_EQ(b.counter("messages"), 8u);
  EXPECT_EQ(b.take_all(0), Taken{8192});
}

TEST(ItsMessages, ACpusWriteIsDevice0s) {
  ItsBench b;
  b.start_its();
  b.device(0, 4, 3, 8192);
  b.set_reg(kGitsTranslater, 1, 4);
  b.set_reg(kGitsTranslater, 2, 2);
  b.set_reg(kGitsTranslater, 0, 8);  // not a size it takes
  EXPECT_EQ(b.take_all(0), (Taken{8193, 8194}));
}

TEST(ItsCommands, IntClearDiscard) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 3, 8192);
  EXPECT_TRUE(b.run(make_int(1, 0)));
  EXPECT_TRUE(b.run(make_int(1, 1)));
  EXPECT_TRUE(b.run(make_int(1, 2)));
  EXPECT_TRUE(b.run(clear(1, 0)));
  EXPECT_TRUE(b.run(discard(1, 1)));
  EXPECT_EQ(b.take_all(0), Taken{8194});
  EXPECT_FALSE(b.run(make_int(1, 1)));
  EXPECT_TRUE(b.run(mapti(1, 1, 8300, 1)));
  EXPECT_TRUE(b.run(make_int(1, 1)));
  EXPECT_EQ(b.take_all(1), Taken{8300});
}

TEST(ItsCommands, MoviTakesWhatIsPendingAlong) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 2, 8192);
  b.send(1, 0);
  b.send(1, 1);
  EXPECT_TRUE(b.run(movi(1, 0, 3)));
  EXPECT_EQ(b.take_all(3), Taken{8192});
  EXPECT_EQ(b.take_all(0), Taken{8193});
  b.send(1, 0);
  EXPECT_EQ(b.take_all(3), Taken{8192});
  // To a redistributor whose LPIs are off nothing moves.
  b.set_redist(2, kGicrCtlr, 0);
  b.send(1, 1);
  EXPECT_TRUE(b.run(movi(1, 1, 2)));
  EXPECT_EQ(b.take_all(0), Taken{8193});
}

TEST(ItsCommands, Movall) {
  ItsBench b;
  b.start_its();
  b.device(1, 16, 0, 0);
  for (unsigned n = 0; n < 100; ++n) {
    EXPECT_TRUE(b.run(mapti(1, n, 8192 + n * 577, 0)));
    b.send(1, n);
  }
  EXPECT_TRUE(b.run(movall(0, 1)));
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_TRUE(b.run(movall(1, 1)));
  EXPECT_EQ(b.take_all(1).size(), 100u);
}

TEST(ItsCommands, MapiTakesTheEventForTheIntid) {
  ItsBench b;
  b.start_its();
  EXPECT_TRUE(b.run(mapd(1, 14, b.itt(1))));
  EXPECT_FALSE(b.run(mapi(1, 8191, 0)));
  EXPECT_TRUE(b.run(mapi(1, 8192, 0)));
  b.send(1, 8192);
  EXPECT_EQ(b.take_all(0), Taken{8192});
}

TEST(ItsCommands, MapdAndMapcUnmap) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  EXPECT_TRUE(b.run(mapc(0, 0, false)));
  b.send(1, 0);
  EXPECT_TRUE(b.run(mapc(0, 2)));
  b.send(1, 0);
  EXPECT_EQ(b.take_all(2), Taken{8192});
  EXPECT_TRUE(b.run(mapd(1, 0, 0)));
  b.send(1, 0);
  EXPECT_EQ(b.counter("messages_dropped"), 2u);
}

TEST(ItsCommands, Errors) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  const struct {
    const char* what;
    ItsCommand command;
  } kErrors[] = {
      {"MAPD beyond the table", mapd(0x1'0000, 4, b.itt(2))},
      {"MAPD of 17 bits", mapd(2, 17, b.itt(2))},
      {"MAPC to no CPU", mapc(1, 4)},
      {"MAPC beyond the table", mapc(8192, 0)},
      {"MAPTI of no device", mapti(2, 0, 8192, 0)},
      {"MAPTI beyond the events", mapti(1, 16, 8192, 0)},
      {"MAPTI of no LPI", mapti(1, 1, 8191, 0)},
      {"MAPTI beyond the LPIs", mapti(1, 1, 65536, 0)},
      {"MAPTI beyond the collections", mapti(1, 1, 8192, 8192)},
      {"MAPI of no LPI", mapi(1, 1, 0)},
      {"MOVI of no device", movi(2, 0, 1)},
      {"MOVI of no event", movi(1, 1, 1)},
      {"MOVI to no collection", movi(1, 0, 9)},
      {"MOVI beyond the collections", movi(1, 0, 8192)},
      {"INT of no device", make_int(2, 0)},
      {"INT of no event", make_int(1, 1)},
      {"CLEAR of no event", clear(1, 1)},
      {"DISCARD of no event", discard(1, 1)},
      {"INV of no event", inv(1, 1)},
      {"INVALL of no collection", invall(9)},
      {"MOVALL from no CPU", movall(4, 0)},
      {"MOVALL to no CPU", movall(0, 4)},
      {"an opcode of GICv4", {{0x2a}}},
      {"an opcode of nobody", {{0}}},
  };
  for (const auto& error : kErrors) {
    EXPECT_FALSE(b.run(error.command)) << error.what;
    EXPECT_EQ(b.reg(kGitsCreadr), b.reg(kGitsCwriter)) << error.what;
  }
  EXPECT_TRUE(b.run(sync(0)));
  b.send(1, 0);
  EXPECT_EQ(b.take_all(0), Taken{8192});
}

// What a guest wrote into the tables itself.
TEST(ItsCommands, EntriesOfNobody) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  b.ram.put64(b.itt(1) + 8, kEntryValid | 0xffff'ffff);         // not an LPI
  b.ram.put64(b.itt(1) + 16, kEntryValid | 9ull << 32 | 8193);  // collection of no CPU
  b.ram.put64(ItsBench::kCollections + 9 * 8, kEntryValid | 0xffff);
  b.ram.put64(ItsBench::kDevices + 2 * 8, kEntryValid | b.itt(1) | 31);  // 32 bits of EventID
  EXPECT_FALSE(b.run(make_int(1, 1)));
  EXPECT_FALSE(b.run(make_int(1, 2)));
  EXPECT_FALSE(b.run(make_int(2, 0)));
  EXPECT_EQ(b.counter("stalls"), 0u);
}

TEST(ItsTables, OfTwoLevels) {
  ItsBench b;
  b.start_its();
  b.set_reg(kGitsCtlr, 0, 4);
  const uint64_t second = ItsBench::kDevices + 0x1'0000;
  b.set_reg(kGitsBaser, ItsBench::kDevices | ItsBench::kValid | ItsBench::kIndirect);  // 4 KiB
  b.set_reg(kGitsCtlr, 1, 4);
  const unsigned device = 512 * 3 + 5;
  EXPECT_FALSE(b.run(mapd(device, 4, b.itt(0))));  // there is no second level
  EXPECT_EQ(b.counter("stalls"), 0u);
  b.ram.put64(ItsBench::kDevices + 3 * 8, ItsBench::kValid | second);
  EXPECT_TRUE(b.run(mapd(device, 4, b.itt(0))));
  EXPECT_NE(b.ram.get64(second + 5 * 8), 0u);
  EXPECT_TRUE(b.run(mapti(device, 2, 8192, 0)));
  b.send(device, 2);
  EXPECT_EQ(b.take_all(0), Taken{8192});
  EXPECT_FALSE(b.run(mapd(1, 4, b.itt(0))));
  b.ram.put64(ItsBench::kDevices + 3 * 8, ItsBench::kValid | ItsBench::kNowhere);
  EXPECT_FALSE(b.run(make_int(device, 2)));
  EXPECT_EQ(b.counter("stalls"), 1u);
}

TEST(ItsTables, OfEachPageSize) {
  for (unsigned size = 0; size < 4; ++size) {
    ItsBench b;
    b.start_its();
    b.set_reg(kGitsCtlr, 0, 4);
    const unsigned bytes[] = {4096, 16384, 65536, 65536};
    b.set_reg(kGitsBaser, ItsBench::kDevices | ItsBench::kValid | size << 8 | 1);
    b.set_reg(kGitsCtlr, 1, 4);
    const unsigned last = 2 * bytes[size] / 8 - 1;
    EXPECT_TRUE(b.run(mapd(last, 4, b.itt(0)))) << size;
    EXPECT_FALSE(b.run(mapd(last + 1, 4, b.itt(0)))) << size;
  }
}

TEST(ItsQueue, StallsWhereThereIsNoMemory) {
  ItsBench b;
  b.start_its();
  EXPECT_TRUE(b.run(mapd(1, 4, ItsBench::kNowhere)));  // it is only looked at when used
  EXPECT_FALSE(b.run(mapti(1, 0, 8192, 0)));
  const uint64_t at = b.writer - 32;
  EXPECT_EQ(b.reg(kGitsCreadr), at | 1);
  b.put(sync(0));
  b.ring();
  EXPECT_EQ(b.reg(kGitsCreadr), at | 1);
  // The guest mends it: the command becomes SYNC.
  b.ram.put64(ItsBench::kQueue + at, 0x05);
  b.set_reg(kGitsCwriter, b.writer | 1);
  EXPECT_EQ(b.reg(kGitsCreadr), b.writer);

  b.set_reg(kGitsCtlr, 0, 4);
  b.set_reg(kGitsCbaser, ItsBench::kNowhere | ItsBench::kValid);
  b.set_reg(kGitsCtlr, 1, 4);
  b.set_reg(kGitsCwriter, 64);
  EXPECT_EQ(b.reg(kGitsCreadr), 1u);
}

TEST(ItsQueue, Wraps) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  for (unsigned round = 0; round < 3 * ItsBench::kQueueBytes / 32; ++round) {
    ASSERT_TRUE(b.run(round % 2 == 0 ? make_int(1, 0) : clear(1, 0)));
  }
  EXPECT_EQ(b.reg(kGitsCreadr), b.writer);
  EXPECT_FALSE(b.irq[0].level);
}

TEST(ItsQueue, OffsetsBeyondItAreNeverReached) {
  ItsBench b;
  b.start_its();
  b.set_reg(kGitsCtlr, 0, 4);
  b.set_reg(kGitsCbaser, ItsBench::kQueue | ItsBench::kValid);  // 4 KiB
  b.set_reg(kGitsCwriter, 0);
  b.set_reg(kGitsCtlr, 1, 4);
  b.set_reg(kGitsCwriter, 4096);
  EXPECT_EQ(b.reg(kGitsCreadr), 0u);
  b.set_reg(kGitsCtlr, 0, 4);
  b.set_reg(kGitsCbaser, ItsBench::kQueue);  // not valid
  b.set_reg(kGitsCtlr, 1, 4);
  b.set_reg(kGitsCwriter, 32);
  EXPECT_EQ(b.reg(kGitsCreadr), 0u);
}

// The longest queue of the dearest commands: what one write does is bounded, and all of it is done.
TEST(ItsQueue, IsDoneInBatches) {
  ItsBench b;
  b.start_its();
  b.set_icc(0, kIccIgrpen1, 0);
  b.set_icc(1, kIccIgrpen1, 0);
  b.set_redist(0, kGicrCtlr, 0);
  std::memset(b.ram.host(ItsBench::kPending + 1024, kLpis / 8), 0xff, kLpis / 8);
  b.set_redist(0, kGicrPendbaser, ItsBench::kPending, 8);
  b.set_redist(0, kGicrCtlr, kGicrCtlrEnableLpis);
  for (unsigned n = 0; n < 200; ++n) b.put(n % 2 == 0 ? movall(0, 1) : movall(1, 0));
  const uint64_t before = b.counter("commands");
  b.ring();
  EXPECT_EQ(b.counter("commands"), before + 1);
  EXPECT_EQ(b.reg(kGitsCtlr, 4), 1u);  // at work
  b.clock.advance(Clock::kFrequency / 1000);
  EXPECT_GT(b.counter("commands"), before + 2);
  // Messages come between.
  b.its.quiesce();
  EXPECT_EQ(b.clock.pending(), 0u);
  const uint64_t parked = b.counter("commands");
  b.clock.advance(Clock::kFrequency);
  EXPECT_EQ(b.counter("commands"), parked);
  b.its.resume();
  b.clock.advance(Clock::kFrequency);
  EXPECT_EQ(b.counter("commands"), before + 200);
  EXPECT_EQ(b.reg(kGitsCreadr), b.writer);
  EXPECT_EQ(b.clock.pending(), 0u);
  EXPECT_TRUE(b.gic.consistent());
}

// --- state ---------------------------------------------------------------------------------------

void copy(ItsBench& from, ItsBench& to) {
  std::memcpy(to.ram.bytes(), from.ram.bytes(), from.ram.size());
  StateWriter out;
  from.gic.distributor().save(out);
  from.gic.redistributors().save(out);
  from.its.save(out);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(to.gic.distributor().load(in));
  ASSERT_TRUE(to.gic.redistributors().load(in));
  ASSERT_TRUE(to.its.load(in));
  EXPECT_EQ(in.left(), 0u);
}

TEST(ItsState, PendingLpisAndTheQueueGoAlong) {
  ItsBench b;
  b.start_its();
  b.device(1, 8, 200, 9000);
  b.configure(9003, 0xa0);
  for (unsigned n = 0; n < 200; n += 3) b.send(1, n);
  b.put(movi(1, 0, 1));
  b.set_reg(kGitsCtlr, 0, 4);  // the command waits
  b.ring();
  ItsBench c;
  copy(b, c);
  EXPECT_TRUE(c.gic.consistent());
  EXPECT_TRUE(c.irq[0].level);
  StateWriter first, second;
  b.its.save(first);
  c.its.save(second);
  EXPECT_EQ(first.buffer(), second.buffer());
  c.set_reg(kGitsCtlr, 1, 4);
  EXPECT_EQ(c.take_all(1), Taken{9000});
  const Taken taken = c.take_all(0);
  EXPECT_EQ(taken.size(), 65u);  // 67 were sent, one moved, one is disabled
  c.configure(9003, 0xa1);
  c.writer = b.writer;
  EXPECT_TRUE(c.run(inv(1, 3)));
  EXPECT_EQ(c.take_all(0), Taken{9003});
}

TEST(ItsState, ALongQueueGoesOnAfterwards) {
  ItsBench b;
  b.start_its();
  for (unsigned n = 0; n < 20'000; ++n) b.put(sync(0));
  b.ring();
  b.its.quiesce();
  ItsBench c;
  copy(b, c);
  EXPECT_NE(c.reg(kGitsCreadr), c.reg(kGitsCwriter));
  c.its.resume();
  c.clock.advance(Clock::kFrequency);
  EXPECT_EQ(c.reg(kGitsCreadr), b.writer);
}

TEST(ItsState, DamagedOnesAreRefused) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 4, 8192);
  for (unsigned n = 0; n < 4; ++n) b.send(1, n);
  StateWriter out;
  b.its.save(out);
  for (size_t size = 0; size < out.buffer().size(); ++size) {
    ItsBench c;
    StateReader in(out.buffer().data(), size);
    EXPECT_FALSE(c.its.load(in)) << size;
    EXPECT_TRUE(c.gic.consistent()) << size;
    if (size == 8) size = out.buffer().size() - 8;
  }
  std::vector<uint8_t> of_another(out.buffer());
  of_another[0] ^= 1;
  StateReader in(of_another.data(), of_another.size());
  EXPECT_FALSE(b.its.load(in));
}

TEST(ItsState, Reset) {
  ItsBench b;
  b.start_its();
  b.device(1, 4, 1, 8192);
  b.send(1, 0);
  b.gic.distributor().reset();
  b.gic.redistributors().reset();
  b.its.reset();
  EXPECT_FALSE(b.irq[0].level);
  EXPECT_TRUE(b.gic.consistent());
  EXPECT_EQ(b.redist(0, kGicrPropbaser, 8), 0u);
  EXPECT_EQ(b.redist(0, kGicrCtlr), kGicrCtlrCes);
  EXPECT_EQ(b.reg(kGitsCtlr, 4), 0x8000'0000u);
  EXPECT_EQ(b.reg(kGitsCbaser), 0u);
  b.writer = 0;
  b.start_its();
  b.device(1, 4, 1, 8192);
  b.send(1, 0);
  EXPECT_EQ(b.take_all(0), Taken{8192});
}

TEST(ItsRegisters, HaveNames) {
  ItsBench b;
  EXPECT_EQ(b.its.register_name(kGitsCreadr + 4), "GITS_CREADR");
  EXPECT_EQ(b.its.register_name(Its::kDoorbell), "GITS_TRANSLATER");
  EXPECT_EQ(b.its.register_name(0x9000), "");
}

}  // namespace
}  // namespace trapline::gicv3
