// IPA -> device. Filled at machine assembly, immutable afterwards: lookups take no lock.
#ifndef TRAPLINE_MMIO_BUS_H_
#define TRAPLINE_MMIO_BUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "mmio/device.h"

namespace trapline {

class Bus {
 public:
  struct Region {
    uint64_t base;
    uint64_t size;  // bytes
    Device* device;
    uint64_t device_offset;  // added to (ipa - base): one device may own several windows
    uint16_t index;          // dense, for statistics
  };

  // A per-vCPU hint: the two regions that the vCPU touched last (drivers alternate between a device
  // and the GIC).
  struct Hint {
    const Region* region = nullptr;
    const Region* other = nullptr;
  };

  // The flat table covers [0, kWindow) in granules; regions elsewhere are found by search.
  static constexpr uint64_t kWindow = uint64_t{1} << 30;
  static constexpr unsigned kGranuleLog2 = 9;  // a virtio-mmio slot is 512 bytes
  static constexpr unsigned kMaxRegions = 254;

  Bus();
  Bus(const Bus&) = delete;  // hints and observers point to its regions
  Bus& operator=(const Bus&) = delete;

  // Returns an error text if the region overlaps another, is empty, or there are too many; empty
  // string on success. Not thread-safe: assembly time only.
  std::string add(uint64_t base, uint64_t size, Device* device, uint64_t device_offset = 0);

  // The region that holds all of [ipa, ipa + size), or null. `size` is not 0. A hint belongs to one
  // bus and one thread.
  [[gnu::always_inline]] const Region* find(uint64_t ipa, unsigned size, Hint& hint) const {
    if (hint.region != nullptr && holds(*hint.region, ipa, size)) [[likely]] {
      return hint.region;
    }
    if (hint.other != nullptr && holds(*hint.other, ipa, size)) return hint.other;
    const Region* region;
    if (ipa < kWindow) [[likely]] {
      const uint8_t entry = table_[ipa >> kGranuleLog2];
      if (entry == 0) return nullptr;
      region = entry != kShared ? &regions_[entry - 1u] : search(ipa);
    } else {
      region = search(ipa);
    }
    if (region == nullptr || !holds(*region, ipa, size)) return nullptr;
    hint.other = hint.region;
    hint.region = region;
    return region;
  }

  const std::vector<Region>& regions() const { return regions_; }

 private:
  static constexpr uint8_t kShared = 255;
  static_assert(kMaxRegions < kShared, "a table entry is a region's index + 1");

  static bool holds(const Region& region, uint64_t ipa, unsigned size) {
    const uint64_t offset = ipa - region.base;  // wraps to a large value below the base
    return offset < region.size && size <= region.size - offset;
  }
  // The region with the highest base not above `ipa`.
  const Region* search(uint64_t ipa) const;

  std::vector<Region> regions_;  // in the order of add(); never moves: hints point into it
  std::vector<uint16_t> order_;  // indices of regions_ by ascending base
  std::vector<uint8_t> table_;   // granule -> region index + 1; kShared: several share the granule
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_BUS_H_
