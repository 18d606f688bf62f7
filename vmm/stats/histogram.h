// Distributions of times.
#ifndef TRAPLINE_VMM_STATS_HISTOGRAM_H_
#define TRAPLINE_VMM_STATS_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "vmm/exit/shared_count.h"

namespace trapline {

// Log-linear, as HdrHistogram's: 32 buckets an octave, so that a value is known to 1/32 (3 %).
// Values are host cycles; what is longer than 2^38 of them (a minute and more) lies in the last
// bucket, and in sum() and max() as it is. One thread records; any may merge() it meanwhile into
// one of its own, and finds each value in all of buckets, count and sum or not yet in some.
class Histogram {
 public:
  struct Bucket {
    uint64_t low, high;  // [low, high)
    uint64_t count;
  };

  [[gnu::always_inline]] void record(uint64_t value) {
    bump(buckets_[index(value)]);
    bump(count_);
    bump(sum_, value);
    if (value < peek(min_)) assign(min_, value);
    if (value > peek(max_)) assign(max_, value);
  }
  void merge(const Histogram& other);
  // These two any thread may ask meanwhile, too.
  uint64_t count() const { return peek(count_); }
  uint64_t sum() const { return peek(sum_); }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }
  // The middle of the bucket that holds the quantile, within [min, max].
  uint64_t quantile(double q) const;
  // Those that are not empty, ascending.
  std::vector<Bucket> buckets() const;

 private:
  static constexpr unsigned kSubLog2 = 5, kTopLog2 = 38;
  static constexpr unsigned kLinear = 1 << kSubLog2;
  static constexpr unsigned kBuckets = (kTopLog2 - kSubLog2 + 1) << kSubLog2;

  static unsigned index(uint64_t value) {
    if (value < kLinear) return static_cast<unsigned>(value);
    const unsigned octave = 63 - static_cast<unsigned>(std::countl_zero(value));
    if (octave >= kTopLog2) return kBuckets - 1;
    const auto sub = static_cast<unsigned>(value >> (octave - kSubLog2)) & (kLinear - 1);
    return ((octave - kSubLog2 + 1) << kSubLog2) + sub;
  }
  static Bucket bounds(unsigned index);

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0, sum_ = 0, min_ = ~uint64_t{0}, max_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_HISTOGRAM_H_
