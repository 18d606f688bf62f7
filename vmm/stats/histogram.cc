#include "vmm/stats/histogram.h"

#include <algorithm>
#include <bit>

namespace trapline {

unsigned Histogram::bucket(uint64_t value) {
  constexpr uint64_t kLinear = 1u << kSubLog2;
  if (value < kLinear) return static_cast<unsigned>(value);
  unsigned octave = 63 - std::countl_zero(value);
  unsigned sub = (value >> (octave - kSubLog2)) & (kLinear - 1);
  return ((octave - kSubLog2 + 1) << kSubLog2) + sub;
}

void Histogram::record(uint64_t value) {
  ++buckets_[bucket(value)];
  ++count_;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
}

void Histogram::merge(const Histogram& other) {
  for (unsigned i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

uint64_t Histogram::quantile(double q) const {
  if (count_ == 0) return 0;
  auto rank = static_cast<uint64_t>(q * static_cast<double>(count_ - 1));
  uint64_t seen = 0;
  for (unsigned i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen <= rank) continue;
    uint64_t middle = i;
    if (i >= (1u << kSubLog2)) {
      unsigned octave = (i >> kSubLog2) - 1 + kSubLog2;
      unsigned step = octave - kSubLog2;
      uint64_t low = (uint64_t{1} << octave) + (uint64_t{i & ((1u << kSubLog2) - 1)} << step);
      middle = low + (uint64_t{1} << step) / 2;
    }
    return std::clamp(middle, min_, max_);
  }
  return max_;
}

}  // namespace trapline
