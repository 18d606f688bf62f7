// Times of one kind of exit, sparsely: most rows see few different ones.
#ifndef TRAPLINE_VMM_REPORT_FTRACE_TIMES_H_
#define TRAPLINE_VMM_REPORT_FTRACE_TIMES_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

// Log-linear buckets, 32 an octave, as the statistics have them.
class TraceTimes {
 public:
  void record(uint64_t ns) {
    const uint16_t index = bucket(ns);
    auto at =
        std::lower_bound(counts_.begin(), counts_.end(), index,
                         [](const Count& count, uint16_t wanted) { return count.bucket < wanted; });
    if (at == counts_.end() || at->bucket != index) at = counts_.insert(at, {index, 0});
    ++at->count;
    min_ = std::min(min_, ns);
    max_ = std::max(max_, ns);
    sum_ += ns;
    ++count_;
  }
  uint64_t count() const { return count_; }

  Distribution distribution() const {
    Distribution out;
    if (count_ == 0) return out;
    out.count = count_;
    out.sum_ns = static_cast<double>(sum_);
    out.min_ns = static_cast<double>(min_);
    out.max_ns = static_cast<double>(max_);
    for (const Count& count : counts_) {
      out.buckets.push_back({low(count.bucket), low(count.bucket + 1u), count.count});
    }
    return out;
  }

 private:
  struct Count {
    uint16_t bucket;
    uint32_t count;
  };
  static constexpr unsigned kSubLog2 = 5;

  static uint16_t bucket(uint64_t ns) {
    if (ns < 1u << kSubLog2) return static_cast<uint16_t>(ns);
    const unsigned shift = static_cast<unsigned>(std::bit_width(ns)) - kSubLog2 - 1;
    return static_cast<uint16_t>((shift << kSubLog2) + (ns >> shift));
  }
  static double low(unsigned bucket) {
    if (bucket < 2u << kSubLog2) return bucket;
    const unsigned shift = (bucket >> kSubLog2) - 1;
    const uint64_t mantissa = (bucket & ((1u << kSubLog2) - 1)) | 1u << kSubLog2;
    return static_cast<double>(mantissa) * static_cast<double>(uint64_t{1} << shift);
  }

  std::vector<Count> counts_;
  uint64_t count_ = 0, sum_ = 0, min_ = ~uint64_t{0}, max_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FTRACE_TIMES_H_
