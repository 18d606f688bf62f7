// Exits over time: counts a slice, of the targets seen first; of all others in one series.
#ifndef TRAPLINE_VMM_STATS_TIMELINE_H_
#define TRAPLINE_VMM_STATS_TIMELINE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "vmm/stats/attribution.h"

namespace trapline {

// The whole run fits: when it has become too long, two slices are made one.
class Timeline {
 public:
  // A boot touches some 400 registers of the distributor's banks before its first disk.
  static constexpr size_t kSlices = 256, kSeries = 768;
  struct Series {
    ExitTarget target;
    std::array<uint64_t, kSlices> counts{};
  };

  Timeline() : series_(1) {}
  // The number of a target's series; 0: of all others.
  uint16_t series_of(ExitTarget target);
  // `elapsed`: host cycles since the start.
  [[gnu::always_inline]] void count(uint16_t series, uint64_t elapsed) {
    if ((elapsed >> slice_log2_) >= kSlices) [[unlikely]] {
      halve(elapsed);
    }
    ++series_[series].counts[elapsed >> slice_log2_];
  }
  // Of slices at least so long.
  std::vector<Series> series(unsigned slice_log2) const;
  unsigned slice_log2() const { return slice_log2_; }

 private:
  void halve(uint64_t elapsed);

  unsigned slice_log2_ = 20;  // about half a millisecond
  std::vector<Series> series_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_TIMELINE_H_
