#include "vmm/stats/timeline.h"

namespace trapline {
namespace {

void join_pairs(std::array<uint64_t, Timeline::kSlices>& counts) {
  constexpr size_t kHalf = Timeline::kSlices / 2;
  for (size_t i = 0; i < kHalf; ++i) counts[i] = counts[2 * i] + counts[2 * i + 1];
  for (size_t i = kHalf; i < Timeline::kSlices; ++i) counts[i] = 0;
}

}  // namespace

uint16_t Timeline::series_of(ExitTarget target) {
  for (size_t i = 1; i < series_.size(); ++i) {
    if (series_[i].target == target) return static_cast<uint16_t>(i);
  }
  if (series_.size() > kSeries) return 0;
  series_.push_back({target, {}});
  return static_cast<uint16_t>(series_.size() - 1);
}

void Timeline::halve(uint64_t elapsed) {
  for (; elapsed >> slice_log2_ >= kSlices; ++slice_log2_) {
    for (Series& series : series_) join_pairs(series.counts);
  }
}

std::vector<Timeline::Series> Timeline::series(unsigned slice_log2) const {
  std::vector<Series> result = series_;
  for (unsigned log2 = slice_log2_; log2 < slice_log2; ++log2) {
    for (Series& series : result) join_pairs(series.counts);
  }
  return result;
}

}  // namespace trapline
