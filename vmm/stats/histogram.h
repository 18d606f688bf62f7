// Distributions of host cycles.
#ifndef TRAPLINE_VMM_STATS_HISTOGRAM_H_
#define TRAPLINE_VMM_STATS_HISTOGRAM_H_

#include <array>
#include <cstdint>

namespace trapline {

// Log-linear: eight buckets an octave, relative error at most 1/16. Values are host cycles.
class Histogram {
 public:
  void record(uint64_t value);
  void merge(const Histogram& other);
  uint64_t count() const { return count_; }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }
  // The middle of the bucket that holds the quantile, within [min, max].
  uint64_t quantile(double q) const;

 private:
  static constexpr unsigned kSubLog2 = 3;
  static constexpr unsigned kBuckets = 64 << kSubLog2;
  static unsigned bucket(uint64_t value);

  std::array<uint32_t, kBuckets> buckets_{};
  uint64_t count_ = 0, min_ = ~uint64_t{0}, max_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_HISTOGRAM_H_
