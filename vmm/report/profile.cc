#include "vmm/report/profile.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace trapline {

double Distribution::quantile_ns(double q) const {
  if (count == 0) return 0;
  // The nearest rank, as HdrHistogram has it: the 99th percentile of two is the larger.
  const auto rank =
      static_cast<uint64_t>(std::max(1.0, std::ceil(q * static_cast<double>(count)))) - 1;
  uint64_t seen = 0;
  for (const Bucket& bucket : buckets) {
    seen += bucket.count;
    if (seen > rank) return std::clamp((bucket.low_ns + bucket.high_ns) / 2, min_ns, max_ns);
  }
  return max_ns;
}

void Distribution::merge(const Distribution& other) {
  if (other.count == 0) return;
  min_ns = count == 0 ? other.min_ns : std::min(min_ns, other.min_ns);
  max_ns = std::max(max_ns, other.max_ns);
  count += other.count;
  sum_ns += other.sum_ns;
  const auto bounds = [](const Bucket& b) { return std::tie(b.low_ns, b.high_ns); };
  const auto before = [&](const Bucket& a, const Bucket& b) { return bounds(a) < bounds(b); };
  std::vector<Bucket> merged;
  merged.reserve(buckets.size() + other.buckets.size());
  std::merge(buckets.begin(), buckets.end(), other.buckets.begin(), other.buckets.end(),
             std::back_inserter(merged), before);
  buckets.clear();
  for (const Bucket& bucket : merged) {
    if (!buckets.empty() && bounds(buckets.back()) == bounds(bucket)) {
      buckets.back().count += bucket.count;
    } else {
      buckets.push_back(bucket);
    }
  }
}

uint64_t Profile::exits() const {
  uint64_t total = 0;
  for (const ProfileRow& row : rows) total += row.count;
  return total;
}

}  // namespace trapline
