#include "mmio/bus.h"

#include <algorithm>
#include <cstdio>

namespace trapline {

Bus::Bus() : table_(kWindow >> kGranuleLog2) { regions_.reserve(kMaxRegions); }

std::string Bus::add(uint64_t base, uint64_t size, Device* device, uint64_t device_offset) {
  char text[160];
  if (device == nullptr) return "a bus region needs a device";
  if (size == 0 || base + (size - 1) < base) {
    std::snprintf(text, sizeof text, "the bus region at %#llx has a bad size, %#llx",
                  static_cast<unsigned long long>(base), static_cast<unsigned long long>(size));
    return text;
  }
  if (regions_.size() == kMaxRegions) return "too many bus regions";
  const uint64_t last = base + (size - 1);
  for (const Region& other : regions_) {
    if (base <= other.base + (other.size - 1) && other.base <= last) {
      std::snprintf(text, sizeof text, "the bus regions at %#llx and %#llx overlap",
                    static_cast<unsigned long long>(other.base),
                    static_cast<unsigned long long>(base));
      return text;
    }
  }

  const auto index = static_cast<uint16_t>(regions_.size());
  regions_.push_back({base, size, device, device_offset, index});
  const auto place = std::upper_bound(
      order_.begin(), order_.end(), base,
      [this](uint64_t value, uint16_t other) { return value < regions_[other].base; });
  order_.insert(place, index);

  if (base < kWindow) {
    const uint64_t last_granule = std::min(last, kWindow - 1) >> kGranuleLog2;
    for (uint64_t granule = base >> kGranuleLog2; granule <= last_granule; ++granule) {
      table_[granule] = table_[granule] == 0 ? static_cast<uint8_t>(index + 1) : kShared;
    }
  }
  return {};
}

const Bus::Region* Bus::search(uint64_t ipa) const {
  const auto above = std::upper_bound(
      order_.begin(), order_.end(), ipa,
      [this](uint64_t value, uint16_t index) { return value < regions_[index].base; });
  return above == order_.begin() ? nullptr : &regions_[*(above - 1)];
}

}  // namespace trapline
