#include "mmio/bus.h"

#include <algorithm>
#include <cstdio>

namespace trapline {

Bus::Bus() : granules_(zero_array<uint8_t>(kWindow >> kGranuleLog2)) {
  all_.reserve(kMaxRegions);
  by_base_.reserve(kMaxRegions);
  regions_ = all_.data();
  order_ = by_base_.data();
  table_ = granules_.get();
}

std::string Bus::add(uint64_t base, uint64_t size, Device* device, uint64_t device_offset) {
  char text[160];
  if (device == nullptr) return "a bus region needs a device";
  if (size == 0 || base + (size - 1) < base) {
    std::snprintf(text, sizeof text, "the bus region at %#llx has a bad size, %#llx",
                  static_cast<unsigned long long>(base), static_cast<unsigned long long>(size));
    return text;
  }
  if (all_.size() == kMaxRegions) return "too many bus regions";
  const uint64_t last = base + (size - 1);
  for (const Region& other : all_) {
    if (is_part(other)) continue;
    if (base <= other.base + (other.size - 1) && other.base <= last) {
      std::snprintf(text, sizeof text, "the bus regions at %#llx and %#llx overlap",
                    static_cast<unsigned long long>(other.base),
                    static_cast<unsigned long long>(base));
      return text;
    }
  }

  const auto index = static_cast<uint16_t>(all_.size());
  all_.push_back({base, size, device, device_offset, index, device->has_parts()});
  const auto place =
      std::upper_bound(by_base_.begin(), by_base_.end(), base,
                       [this](uint64_t value, uint16_t other) { return value < all_[other].base; });
  by_base_.insert(place, index);
  count_ = static_cast<unsigned>(by_base_.size());

  if (base < kWindow) {
    const uint64_t last_granule = std::min(last, kWindow - 1) >> kGranuleLog2;
    for (uint64_t granule = base >> kGranuleLog2; granule <= last_granule; ++granule) {
      granules_[granule] = granules_[granule] == 0 ? static_cast<uint8_t>(index + 1) : kShared;
    }
  }
  return {};
}

std::optional<uint16_t> Bus::add_part(uint64_t size, Device* device) {
  if (all_.size() == kMaxRegions) return {};
  const auto index = static_cast<uint16_t>(all_.size());
  all_.push_back({kNowhere, size, device, 0, index});
  return index;
}

}  // namespace trapline
