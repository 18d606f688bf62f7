#include "vmm/stats/stack_samples.h"

#include <gtest/gtest.h>

#include "tests/vmm/stats/fake_exit.h"

namespace trapline {
namespace {

using test::FakeExit;
using test::StackView;

constexpr uint64_t kCode = 0xffff'8000'0100'0000;

class StackSamplesTest : public testing::Test {
 protected:
  const StackSamples::Key& take() {
    samples_ = StackSamples(1);
    samples_.exited(exit_.record, ExitTarget(exit_.record));
    EXPECT_EQ(samples_.stacks().size(), 1u);
    EXPECT_EQ(exit_.view.open, 0) << "begin_ram() and end_ram() do not pair";
    return samples_.stacks().begin()->first;
  }
  uint64_t& x(unsigned n) { return exit_.view.registers.x[n]; }

  FakeExit exit_;
  StackSamples samples_{1};
};

TEST_F(StackSamplesTest, FollowsTheFrameRecords) {
  constexpr uint64_t kFirst = StackView::kRam + 0x100, kSecond = StackView::kRam + 0x180;
  exit_.view.frame(kFirst, kSecond, kCode + 0x10);
  exit_.view.frame(kSecond, 0, kCode + 0x20);
  x(29) = kFirst;
  x(30) = kCode + 4;
  const StackSamples::Key& key = take();
  EXPECT_EQ(key.pc, exit_.exit.pc);
  EXPECT_EQ(key.link, kCode + 4);
  EXPECT_EQ(key.returns, (std::vector<uint64_t>{kCode + 0x10, kCode + 0x20}));
}

TEST_F(StackSamplesTest, AChainThatDoesNotRiseEnds) {
  constexpr uint64_t kFirst = StackView::kRam + 0x100, kSecond = StackView::kRam + 0x180;
  exit_.view.frame(kFirst, kSecond, kCode);
  exit_.view.frame(kSecond, kFirst, kCode + 4);
  x(29) = kFirst;
  EXPECT_EQ(take().returns, (std::vector<uint64_t>{kCode, kCode + 4}));
  exit_.view.frame(kFirst, kFirst, kCode);
  EXPECT_EQ(take().returns.size(), 1u);
}

TEST_F(StackSamplesTest, WhatCannotBeReadEndsTheChain) {
  for (const uint64_t bad : {uint64_t{0}, uint64_t{8}, ~uint64_t{0}, ~uint64_t{15},
                             StackView::kRam + 8, StackView::kRam - 16, uint64_t{0x7fff'0000}}) {
    x(29) = bad;
    EXPECT_TRUE(take().returns.empty()) << std::hex << bad;
  }
  x(29) = StackView::kRam + 0x1000;
  exit_.view.frame(x(29), 0, kCode);
  exit_.view.device_page = 1;
  EXPECT_TRUE(take().returns.empty()) << "a frame in a device";
  exit_.view.device_page = ~uint64_t{0};
  exit_.view.overtaken = true;
  EXPECT_TRUE(take().returns.empty()) << "another CPU's TLBI";
  exit_.view.overtaken = false;
  EXPECT_EQ(take().returns.size(), 1u);
  exit_.view.frame(x(29), x(29) + 16, 0);
  EXPECT_TRUE(take().returns.empty()) << "a return address of 0 is a stack's end";
}

TEST_F(StackSamplesTest, AtMostSixtyFourFrames) {
  for (uint64_t at = StackView::kRam; at + 16 < StackView::kRam + StackView::kSize; at += 16) {
    exit_.view.frame(at, at + 16, kCode + at % 0x1000);
  }
  x(29) = StackView::kRam;
  EXPECT_EQ(take().returns.size(), StackSamples::kFrames);
  EXPECT_LE(exit_.view.translations, static_cast<int>(StackSamples::kFrames) + 1);
}

TEST_F(StackSamplesTest, PointerAuthenticationCodesAreNoPartOfAnAddress) {
  constexpr uint64_t kUser = 0x0000'aaaa'0000'1000;
  constexpr uint64_t kFirst = StackView::kRam + 0x100, kSecond = StackView::kRam + 0x180;
  exit_.view.frame(kFirst, kSecond, kCode & ~(uint64_t{0x7f2a} << 48) & ~uint64_t{0});
  exit_.view.frame(kSecond, 0, kUser | uint64_t{0x2b55} << 48);
  x(29) = kFirst;
  x(30) = kCode & ~(uint64_t{0x1234} << 48);
  const StackSamples::Key& key = take();
  EXPECT_EQ(key.link, kCode);
  EXPECT_EQ(key.returns, (std::vector<uint64_t>{kCode, kUser}));
}

TEST_F(StackSamplesTest, OneInSoManyAtNoFixedInterval) {
  constexpr unsigned kEvery = 5, kExits = 100'000;
  samples_ = StackSamples(kEvery);
  unsigned of_phase[kEvery] = {};
  uint64_t before = 0;
  for (unsigned i = 0; i < kExits; ++i) {
    samples_.exited(exit_.record, ExitTarget(exit_.record));
    const uint64_t now = samples_.stacks().empty() ? 0 : samples_.stacks().begin()->second.count;
    if (now != before) ++of_phase[i % kEvery];
    before = now;
  }
  EXPECT_NEAR(static_cast<double>(before), kExits / kEvery, kExits / kEvery / 20.0);
  for (const unsigned n : of_phase) EXPECT_GT(n, kExits / kEvery / kEvery / 2);
}

TEST_F(StackSamplesTest, SumsAreOfEqualStacksAndThereAreSoMany) {
  constexpr uint64_t kStacks = StackSamples::kStacks;
  for (uint64_t i = 0; i < kStacks + 100; ++i) {
    exit_.exit.pc = 4 * i;
    samples_.exited(exit_.record, ExitTarget(exit_.record));
  }
  exit_.exit.pc = 0;
  samples_.exited(exit_.record, ExitTarget(exit_.record));
  EXPECT_EQ(samples_.stacks().size(), kStacks);
  EXPECT_EQ(samples_.dropped(), 100u);
  EXPECT_EQ(samples_.stacks().begin()->second.count, 2u);
  EXPECT_EQ(samples_.stacks().begin()->second.cycles, 2 * exit_.record.total);
}

}  // namespace
}  // namespace trapline
