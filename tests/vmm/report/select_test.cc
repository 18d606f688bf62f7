#include "vmm/report/select.h"

#include <gtest/gtest.h>

#include "tests/vmm/report/sample.h"

namespace trapline {
namespace {

TEST(Select, NothingAskedNothingChanged) {
  Result<Profile> all = select(sample_profile(), {});
  ASSERT_TRUE(all);
  EXPECT_EQ(all->exits(), 115u);
  EXPECT_EQ(all->notes.size(), 1u);
}

TEST(Select, Vcpu) {
  Result<Profile> one = select(sample_profile(), {.vcpu = 1, .filter = {}});
  ASSERT_TRUE(one);
  EXPECT_EQ(one->exits(), 30u);
  ASSERT_EQ(one->vcpus.size(), 1u);
  EXPECT_EQ(one->vcpus[0].vcpu, 1u);
  EXPECT_TRUE(one->series.empty());  // it was over all vCPUs
  EXPECT_TRUE(one->stacks.empty());
  EXPECT_TRUE(one->nested.empty());  // nor is it known whose guest's an exit was
  Result<Profile> none = select(sample_profile(), {.vcpu = 7, .filter = {}});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), "sample.json: no exit of a vCPU 7");
}

TEST(Select, Filter) {
  const struct {
    const char* filter;
    uint64_t exits;
    size_t series, stacks;
  } kRows[] = {
      {"PL011", 100, 1, 2}, {"uartfr", 100, 1, 2},  {"dabt_low", 105, 1, 2},      {"wfx", 10, 1, 1},
      {"[x0,", 100, 0, 0},  {"putchar", 100, 0, 2}, {"nobody has this", 0, 0, 0},
  };
  for (const auto& row : kRows) {
    Selection selection;
    selection.filter = row.filter;
    Result<Profile> some = select(sample_profile(), selection);
    ASSERT_TRUE(some) << row.filter;
    EXPECT_EQ(some->exits(), row.exits) << row.filter;
    EXPECT_EQ(some->series.size(), row.series) << row.filter;
    EXPECT_EQ(some->stacks.size(), row.stacks) << row.filter;
  }
}

TEST(Select, TimeNeedsEvents) {
  for (const Selection& selection :
       {Selection{.from_ns = 1, .filter = {}}, Selection{.to_ns = 1, .filter = {}},
        Selection{.min_ns = 1, .filter = {}}}) {
    Result<Profile> refused = select(sample_profile(), selection);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().find("sample.json: has sums only"), 0u) << refused.error();
  }
}

TEST(Select, OfEvents) {
  Result<Profile> some =
      select(sample_with_events(), {.from_ns = 2e8, .to_ns = 6e8, .min_ns = 3000, .filter = {}});
  ASSERT_TRUE(some) << some.error();
  EXPECT_EQ(some->exits(), 30u);  // those from 300 to 590 ms
  EXPECT_EQ(some->events.size(), 30u);
  EXPECT_EQ(some->rows[0].count, 15u);
  EXPECT_EQ(some->rows[0].time.count, 15u);
  EXPECT_DOUBLE_EQ(some->rows[0].time.min_ns, 3000);
  EXPECT_DOUBLE_EQ(some->rows[1].time.max_ns, 5900);
  EXPECT_NEAR(some->rows[0].time.quantile_ns(0.5), 4400, 4400 * 0.03);
  uint64_t in_series = 0;
  for (const Series& series : some->series) {
    for (uint64_t count : series.counts) in_series += count;
  }
  EXPECT_EQ(in_series, 30u);
  EXPECT_DOUBLE_EQ(some->vcpus[0].exit_ns + some->vcpus[0].guest_ns, 4e8);

  Result<Profile> one = select(sample_with_events(), {.vcpu = 1, .filter = {}});
  ASSERT_TRUE(one);
  EXPECT_EQ(one->events.size(), 50u);
  for (const ExitEvent& event : one->events) ASSERT_EQ(event.row, 0u);  // the only row left
}

TEST(Select, BucketsHoldTheirTimes) {
  for (double ns : {0.0, 0.4, 31.9, 32.0, 33.0, 1000.0, 123456.7, 9e12}) {
    const Distribution::Bucket bucket = bucket_of(ns);
    EXPECT_LE(bucket.low_ns, ns);
    EXPECT_GT(bucket.high_ns, ns);
    EXPECT_LE(bucket.high_ns - bucket.low_ns, std::max(1.0, ns / 32));
  }
}

}  // namespace
}  // namespace trapline
