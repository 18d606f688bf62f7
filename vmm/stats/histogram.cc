#include "vmm/stats/histogram.h"

#include <algorithm>
#include <cmath>

namespace trapline {

Histogram::Bucket Histogram::bounds(unsigned index) {
  if (index < kLinear) return {index, uint64_t{index} + 1, 0};
  const unsigned shift = (index >> kSubLog2) - 1;
  const uint64_t low = uint64_t{kLinear + (index & (kLinear - 1))} << shift;
  return {low, low + (uint64_t{1} << shift), 0};
}

void Histogram::merge(const Histogram& other) {
  // The count is that of the buckets, also of one that is just being recorded.
  for (unsigned i = 0; i < kBuckets; ++i) {
    const uint64_t count = peek(other.buckets_[i]);
    buckets_[i] += count;
    count_ += count;
  }
  sum_ += peek(other.sum_);
  min_ = std::min(min_, peek(other.min_));
  max_ = std::max(max_, peek(other.max_));
}

uint64_t Histogram::quantile(double q) const {
  if (count_ == 0) return 0;
  // The nearest rank, as Distribution has it.
  const auto rank =
      static_cast<uint64_t>(std::max(1.0, std::ceil(q * static_cast<double>(count_)))) - 1;
  uint64_t seen = 0;
  for (unsigned i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen <= rank) continue;
    const Bucket bucket = bounds(i);
    return std::clamp(bucket.low + (bucket.high - bucket.low) / 2, min_, max_);
  }
  return max_;
}

std::vector<Histogram::Bucket> Histogram::buckets() const {
  std::vector<Bucket> result;
  for (unsigned i = 0; i < kBuckets; ++i) {
    if (buckets_[i] == 0) continue;
    result.push_back(bounds(i));
    result.back().count = buckets_[i];
  }
  return result;
}

}  // namespace trapline
