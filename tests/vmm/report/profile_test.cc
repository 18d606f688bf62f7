#include "vmm/report/profile.h"

#include <gtest/gtest.h>

namespace trapline {
namespace {

TEST(Distribution, MergesEqualBucketsAndKeepsOthersBeside) {
  Distribution a{.count = 3, .sum_ns = 30, .min_ns = 8, .max_ns = 12, .buckets = {{8, 16, 3}}};
  const Distribution b{
      .count = 2, .sum_ns = 108, .min_ns = 8, .max_ns = 100, .buckets = {{8, 16, 1}, {96, 112, 1}}};
  a.merge(b);
  EXPECT_EQ(a.count, 5u);
  EXPECT_EQ(a.buckets.size(), 2u);
  EXPECT_EQ(a.buckets[0].count, 4u);
  EXPECT_DOUBLE_EQ(a.mean_ns(), 27.6);
  EXPECT_DOUBLE_EQ(a.quantile_ns(0.5), 12);
  EXPECT_DOUBLE_EQ(a.quantile_ns(1), 100);  // not past the largest that was seen
}

TEST(Distribution, OfNothingIsZero) {
  Distribution none;
  none.merge(Distribution{});
  EXPECT_DOUBLE_EQ(none.quantile_ns(0.99), 0);
  EXPECT_DOUBLE_EQ(none.mean_ns(), 0);
  Distribution one{.count = 1, .sum_ns = 5, .min_ns = 5, .max_ns = 5, .buckets = {{5, 6, 1}}};
  none.merge(one);
  EXPECT_DOUBLE_EQ(none.min_ns, 5);
}

}  // namespace
}  // namespace trapline
