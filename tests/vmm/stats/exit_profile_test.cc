#include "vmm/stats/exit_profile.h"

#include <gtest/gtest.h>

#include "tests/vmm/stats/fake_exit.h"

namespace trapline {
namespace {

using test::FakeExit;

constexpr SysregId kIar1 = sysreg_id(3, 0, 12, 12, 0), kEoir1 = sysreg_id(3, 0, 12, 12, 1);
constexpr unsigned kTimer = 27, kDisk = 40, kSpurious = 1023;

class ExitProfileTest : public testing::Test {
 protected:
  ExitProfileTest() { irqs_.watch(true); }
  static const Attribution::Row& only_row(const ExitProfile& profile) {
    EXPECT_EQ(profile.rows().rows().size(), 1u);
    return *profile.rows().rows()[0];
  }
  void read_iar(ExitProfile& profile, unsigned intid, SysregId id = kIar1, bool write = false) {
    FakeExit exit(ExitKind::kSysreg);
    exit.exit.sysreg = id;
    exit.record.value = intid;
    exit.record.write = write;
    profile.exited(exit.record);
  }

  RowBudget budget_;
  IrqProbe irqs_{2, 32};
};

TEST_F(ExitProfileTest, ARowIsAnInstructionItsWordReadOnce) {
  ExitProfile profile(0, 0, budget_, irqs_, 0);
  FakeExit exit(ExitKind::kWfi, 0x1000, 40);
  exit.record.staged = true;
  exit.record.stages_passed = 1u << static_cast<unsigned>(Stage::kEmulate);
  exit.record.stages[static_cast<size_t>(Stage::kEmulate)] = 30;
  exit.record.stages[static_cast<size_t>(Stage::kFetch)] = 999;  // not passed
  profile.exited(exit.record);
  exit.record.staged = false;
  profile.exited(exit.record);
  const Attribution::Row& row = only_row(profile);
  EXPECT_EQ(exit.vcpu.fetches, 1);
  EXPECT_EQ(row.word, exit.vcpu.word);
  EXPECT_EQ(row.time.count(), 2u);
  EXPECT_EQ(row.time.sum(), 80u);
  EXPECT_EQ(row.staged, 40u);
  EXPECT_EQ(row.stages[static_cast<size_t>(Stage::kEmulate)], 30u);
  EXPECT_EQ(row.stages[static_cast<size_t>(Stage::kFetch)], 0u);
  EXPECT_EQ(profile.stacks(), nullptr);
  EXPECT_EQ(profile.exits(), 80u);
}

TEST_F(ExitProfileTest, AnInstructionThatCannotBeReadHasNoWord) {
  ExitProfile profile(0, 0, budget_, irqs_, 0);
  FakeExit unmapped(ExitKind::kWfi, ~uint64_t{0} << 32), fetch(ExitKind::kPrefetchAbort, 0x2000);
  profile.exited(unmapped.record);
  profile.exited(fetch.record);
  EXPECT_EQ(fetch.vcpu.fetches, 0);
  for (const auto& row : profile.rows().rows()) EXPECT_EQ(row->word, 0u);
}

TEST_F(ExitProfileTest, SleepIsTheLastExitsAndNoHandling) {
  ExitProfile profile(0, 0, budget_, irqs_, 0);
  profile.slept(5);  // nobody's: it was asleep when profiling began
  FakeExit wfi(ExitKind::kWfi, 0x1000, 40), suspend(ExitKind::kHvc, 0x2000, 60);
  profile.exited(wfi.record);
  profile.slept(1000);
  profile.exited(suspend.record);  // PSCI CPU_SUSPEND
  profile.slept(300);
  for (const auto& row : profile.rows().rows()) {
    const bool is_wfi = row->pc == wfi.exit.pc;
    EXPECT_EQ(row->sleep, is_wfi ? 1000u : 300u);
    EXPECT_EQ(row->time.sum(), is_wfi ? 40u : 60u);
  }
  EXPECT_EQ(profile.idle(), 1305u);
  profile.ran(500);
  EXPECT_EQ(profile.guest(), 400u);
  EXPECT_EQ(profile.exits(), 100u);
}

TEST_F(ExitProfileTest, GuestTimeIsNeverNegative) {
  ExitProfile profile(0, 0, budget_, irqs_, 0);
  FakeExit exit(ExitKind::kHvc, 0x1000, 100);
  profile.exited(exit.record);
  profile.ran(99);
  EXPECT_EQ(profile.guest(), 0u);
}

TEST_F(ExitProfileTest, AnExitBeforeTheStartIsInTheFirstSlice) {
  ExitProfile profile(0, 1000, budget_, irqs_, 0);
  FakeExit exit(ExitKind::kHvc);
  exit.record.start = 990;  // by this CPU's counter
  profile.exited(exit.record);
  EXPECT_EQ(profile.timeline().series(0)[1].counts[0], 1u);
}

TEST_F(ExitProfileTest, FromALineToItsIarIsMeasuredOnce) {
  ExitProfile profile(1, 0, budget_, irqs_, 0);
  irqs_.raised(1, kTimer);
  irqs_.raised(0, kDisk);
  read_iar(profile, kDisk, kEoir1, true);  // ends one, takes none
  EXPECT_EQ(profile.irq_to_iar().count(), 0u);
  read_iar(profile, kTimer);
  read_iar(profile, kDisk);
  EXPECT_EQ(profile.irq_to_iar().count(), 2u);
  for (const unsigned intid : {kTimer, kDisk, 3u, kSpurious, 0xffffffu}) read_iar(profile, intid);
  EXPECT_EQ(profile.irq_to_iar().count(), 2u) << "none of these was raised";
}

TEST_F(ExitProfileTest, APrivateInterruptIsACpusOwn) {
  ExitProfile profile(1, 0, budget_, irqs_, 0);
  irqs_.raised(0, kTimer);
  read_iar(profile, kTimer);
  EXPECT_EQ(profile.irq_to_iar().count(), 0u);
}

TEST_F(ExitProfileTest, ALineThatFellUntakenIsForgotten) {
  ExitProfile profile(0, 0, budget_, irqs_, 0);
  irqs_.raised(0, kTimer);
  irqs_.lowered(0, kTimer);
  read_iar(profile, kTimer);
  EXPECT_EQ(profile.irq_to_iar().count(), 0u);
  irqs_.lowered(9, kSpurious);  // no such CPU, no such line
}

TEST_F(ExitProfileTest, KicksAreADistribution) {
  ExitProfile profile(0, 0, budget_, irqs_, 1);
  profile.kicked(10);
  profile.kicked(30);
  EXPECT_EQ(profile.kick_to_exit().count(), 2u);
  EXPECT_EQ(profile.kick_to_exit().max(), 30u);
  FakeExit exit;
  profile.exited(exit.record);
  ASSERT_NE(profile.stacks(), nullptr);
  EXPECT_EQ(profile.stacks()->stacks().size(), 1u);
}

}  // namespace
}  // namespace trapline
