#include "vmm/stats/profile_model.h"

#include <gtest/gtest.h>

#include <numeric>

#include "devices/gicv3/gicv3.h"
#include "tests/vmm/stats/fake_exit.h"

namespace trapline {
namespace {

using test::FakeExit;
using test::StackView;

constexpr SysregId kIar1 = sysreg_id(3, 0, 12, 12, 0), kUnknown = sysreg_id(3, 7, 11, 2, 5);
constexpr uint64_t kCode = 0xffff'8000'0100'0000;  // outer, +0x100 inner, +0x200 leaf, +0x300 end
constexpr double kNsPerCycle = 0.5;

class Thing : public Device {
 public:
  MmioResult read(uint64_t, unsigned, unsigned) override { return {}; }
  MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "thing"; }
  std::string_view register_name(uint64_t offset) const override {
    return offset == 4 ? "CTRL" : "";
  }
};

class ProfileModelTest : public testing::Test {
 protected:
  ProfileModelTest() {
    EXPECT_EQ(bus_.add(0x0900'0000, 0x1000, &thing_), "");
    EXPECT_EQ(bus_.add(0x1000'0000, 0x0400'0000, &thing_), "");  // a flash bank
    for (const auto& [offset, name] : {std::pair{0x000, "outer"}, std::pair{0x100, "inner"},
                                       std::pair{0x200, "leaf"}, std::pair{0x300, "end"}}) {
      symbols_.add({.address = kCode + static_cast<uint64_t>(offset), .size = 0x100, .name = name});
    }
    symbols_.add({.address = kCode + 0x1000, .size = 0x100, .name = "probe", .module = "virtio"});
    symbols_.seal();
  }
  void sysreg(SysregId id, uint64_t pc = kCode, uint64_t total = 100, unsigned vcpu = 0) {
    FakeExit exit(ExitKind::kSysreg, pc, total);
    exit.exit.sysreg = id;
    profiles_[vcpu].exited(exit.record);
  }
  void abort(size_t region, uint64_t offset, bool isv = true) {
    FakeExit exit(ExitKind::kDataAbort, 0x1000);
    if (!isv) exit.record.exit_class = ExitClass::kDataAbortIsv0;
    exit.record.region = &bus_.regions()[region];
    exit.record.offset = offset;
    profiles_[0].exited(exit.record);
  }
  Profile model(unsigned stages_every = 1) {
    return profile_of({profiles_[0].read(), profiles_[1].read()}, {&bus_, {&gic_.cpu_interface()}},
                      symbols_, kNsPerCycle, 1'000'000, stages_every);
  }

  Thing thing_;
  Bus bus_;
  Gicv3 gic_{1};
  SymbolTable symbols_;
  RowBudget budget_;
  IrqProbe irqs_{2, 32};
  ExitProfile profiles_[2] = {{0, 0, budget_, irqs_, 1}, {1, 0, budget_, irqs_, 1}};
};

TEST_F(ProfileModelTest, RowsHaveTheNamesOfWhatWasReached) {
  abort(0, 4);
  abort(0, 6, false);  // a byte of the same register
  abort(0, 0x18);
  abort(1, 0x1234);  // the flash is one register
  sysreg(kIar1, kCode + 0x108);
  sysreg(kUnknown, kCode + 0x1004);
  const Profile profile = model();
  std::map<std::string, const ProfileRow*> by;
  for (const ProfileRow& row : profile.rows) {
    by[row.key.exit_class + " " + row.key.device + " " + row.key.reg +
       (row.isv == ProfileRow::Isv::kInvalid ? " isv0" : "")] = &row;
  }
  ASSERT_EQ(profile.rows.size(), 6u);
  for (const char* name :
       {"DABT_LOW thing CTRL", "DABT_LOW thing CTRL isv0", "DABT_LOW thing +0x18",
        "DABT_LOW thing +0x0", "SYS64 gicc ICC_IAR1_EL1", "SYS64 sysreg S3_7_C11_C2_5"}) {
    ASSERT_TRUE(by.contains(name)) << name;
  }
  EXPECT_EQ(by["DABT_LOW thing CTRL"]->isv, ProfileRow::Isv::kValid);
  EXPECT_EQ(by["DABT_LOW thing CTRL"]->text, "ldr w0, [x1]");
  EXPECT_EQ(by["SYS64 gicc ICC_IAR1_EL1"]->isv, ProfileRow::Isv::kNotApplicable);
  EXPECT_EQ(by["SYS64 gicc ICC_IAR1_EL1"]->symbol, "inner+0x8");
  EXPECT_EQ(by["SYS64 sysreg S3_7_C11_C2_5"]->symbol, "virtio:probe+0x4");
  EXPECT_EQ(by["SYS64 sysreg S3_7_C11_C2_5"]->text, "");
}

TEST_F(ProfileModelTest, ClassesHaveTheNamesOfTheField) {
  const std::map<ExitClass, std::string> names{{ExitClass::kDataAbortIsv1, "DABT_LOW"},
                                               {ExitClass::kDataAbortIsv0, "DABT_LOW"},
                                               {ExitClass::kPrefetchAbort, "IABT_LOW"},
                                               {ExitClass::kSysreg, "SYS64"},
                                               {ExitClass::kHvc, "HVC64"},
                                               {ExitClass::kWfx, "WFx"},
                                               {ExitClass::kOther, "UNKNOWN"}};
  ASSERT_EQ(names.size(), static_cast<size_t>(ExitClass::kCount));
  for (const auto& [c, name] : names) EXPECT_EQ(arm_class_name(c), name);
}

TEST_F(ProfileModelTest, WhatFoundNoRowIsARowWithoutNames) {
  for (uint64_t i = 0; i < RowBudget::kRows + 500; ++i) sysreg(kIar1, kCode + 4 * i);
  const Profile profile = model();
  EXPECT_EQ(profile.exits(), RowBudget::kRows + 500);
  size_t others = 0;
  for (const ProfileRow& row : profile.rows) {
    if (!row.other) continue;
    ++others;
    EXPECT_EQ(row.count, 500u);
    EXPECT_EQ(row.key, ExitKey{});
    EXPECT_TRUE(row.text.empty() && row.symbol.empty());
  }
  EXPECT_EQ(others, 1u);
}

TEST_F(ProfileModelTest, StagesOfASampleAreScaledToAll) {
  FakeExit exit(ExitKind::kHvc, kCode, 100);
  for (int i = 0; i < 8; ++i) {
    exit.record.staged = i % 4 == 0;
    exit.record.stages_passed = 1u << static_cast<unsigned>(Stage::kEmulate);
    exit.record.stages[static_cast<size_t>(Stage::kEmulate)] = 30;
    profiles_[0].exited(exit.record);
  }
  const Profile profile = model(4);
  ASSERT_EQ(profile.rows.size(), 1u);
  EXPECT_EQ(profile.rows[0].time.sum_ns, 800 * kNsPerCycle);
  ASSERT_EQ(profile.rows[0].stages_ns.size(), 1u);
  EXPECT_DOUBLE_EQ(profile.rows[0].stages_ns.at("emulate"), 8 * 30 * kNsPerCycle);
  ASSERT_EQ(profile.notes.size(), 1u);
  EXPECT_NE(profile.notes[0].find("one exit in 4"), std::string::npos);
  EXPECT_EQ(profile.timed_every, 1u);
}

TEST_F(ProfileModelTest, StagesAreNoLongerThanTheExits) {
  FakeExit exit(ExitKind::kHvc, kCode);
  for (int i = 0; i < 8; ++i) {
    exit.record.staged = i == 0;  // the long one
    exit.record.total = i == 0 ? 100'000 : 100;
    exit.record.stages_passed = 1u << static_cast<unsigned>(Stage::kWake);
    exit.record.stages[static_cast<size_t>(Stage::kWake)] = 90'000;
    profiles_[0].exited(exit.record);
  }
  const Profile profile = model(8);
  EXPECT_DOUBLE_EQ(profile.rows[0].stages_ns.at("wake"), 0.9 * profile.rows[0].time.sum_ns);
}

TEST_F(ProfileModelTest, TheTimelineHoldsEveryExit) {
  constexpr uint64_t kTargets = Timeline::kSeries + 20;
  uint64_t exits = 0;
  for (uint64_t i = 0; i < kTargets; ++i, ++exits) abort(0, 8 * i);
  FakeExit late(ExitKind::kHvc);
  late.record.start = uint64_t{1} << 34;  // this vCPU's slices are longer
  profiles_[1].exited(late.record);
  ++exits;
  const Profile profile = model();
  uint64_t counted = 0, other = 0;
  size_t slices = 0;
  for (const Series& series : profile.series) {
    const uint64_t sum = std::accumulate(series.counts.begin(), series.counts.end(), uint64_t{0});
    EXPECT_NE(sum, 0u);
    counted += sum;
    if (series.key.exit_class == "other") other += sum;
    slices = std::max(slices, series.counts.size());
    if (series.key.exit_class == "HVC64") {
      EXPECT_EQ(series.counts.back(), 1u);
    }
  }
  EXPECT_EQ(counted, exits);
  EXPECT_EQ(other, 20u);
  EXPECT_LE(slices, Timeline::kSlices);
  EXPECT_GT(profile.slice_ns * static_cast<double>(slices), kNsPerCycle * (1 << 30) * 15.9);
}

TEST_F(ProfileModelTest, StacksNameFunctionsTheOutermostFirst) {
  const auto stack = [&](uint64_t pc, uint64_t link, std::vector<uint64_t> returns) {
    FakeExit exit(ExitKind::kHvc, pc);
    uint64_t at = StackView::kRam;
    exit.view.registers.x[29] = returns.empty() ? 0 : at;
    exit.view.registers.x[30] = link;
    for (const uint64_t address : returns) {
      exit.view.frame(at, at + 16, address);
      at += 16;
    }
    RowBudget budget;
    ExitProfile one(0, 0, budget, irqs_, 1);
    one.exited(exit.record);
    const Profile profile =
        profile_of({one.read()}, {&bus_, {}}, symbols_, kNsPerCycle, 1'000'000, 1);
    return profile.stacks.size() == 1 ? profile.stacks[0].frames : std::vector<std::string>{};
  };
  using Frames = std::vector<std::string>;
  // inner has a frame and has called nobody: x30 is its record's.
  EXPECT_EQ(stack(kCode + 0x108, kCode + 0x14, {kCode + 0x14}), (Frames{"outer", "inner"}));
  // inner has called somebody, who came back: x30 points into inner.
  EXPECT_EQ(stack(kCode + 0x110, kCode + 0x10c, {kCode + 0x14}), (Frames{"outer", "inner"}));
  // leaf has no frame of its own: x29 is still inner's.
  EXPECT_EQ(stack(kCode + 0x208, kCode + 0x120, {kCode + 0x14}),
            (Frames{"outer", "inner", "leaf"}));
  // A call that was a function's last instruction returns to where the next function begins.
  EXPECT_EQ(stack(kCode + 0x308, kCode + 0x200, {kCode + 0x100}),
            (Frames{"outer", "inner", "end"}));
  // No symbol: the address of the call.
  EXPECT_EQ(stack(0x1000, 0, {0x2004, kCode + 0x1008}),
            (Frames{"virtio:probe", "0x2000", "0x1000"}));
}

TEST_F(ProfileModelTest, StacksThatReadAlikeAreOne) {
  for (const uint64_t pc : {kCode, kCode + 4, kCode + 8}) sysreg(kIar1, pc, 10);
  const Profile profile = model();
  ASSERT_EQ(profile.stacks.size(), 1u);
  EXPECT_EQ(profile.stacks[0].count, 3u);
  EXPECT_EQ(profile.stacks[0].time_ns, 30 * kNsPerCycle);
}

TEST_F(ProfileModelTest, TheVcpusTimeIsInNs) {
  profiles_[1].ran(1000);
  profiles_[1].slept(200);
  profiles_[1].kicked(50);
  sysreg(kIar1, kCode, 100, 1);
  const Profile profile = model();
  ASSERT_EQ(profile.vcpus.size(), 2u);
  EXPECT_EQ(profile.vcpus[1].vcpu, 1u);
  EXPECT_EQ(profile.vcpus[1].guest_ns, 450);
  EXPECT_EQ(profile.vcpus[1].exit_ns, 50);
  EXPECT_EQ(profile.vcpus[1].idle_ns, 100);
  EXPECT_EQ(profile.latencies.size(), 1u);
  EXPECT_EQ(profile.latencies.at("kick_to_exit").sum_ns, 25);
  EXPECT_EQ(profile.duration_ns, 500'000);
}

}  // namespace
}  // namespace trapline
