// IPA -> what answers there: the lookups of a Bus, without what fills it. Freestanding.
#ifndef TRAPLINE_MMIO_BUS_MAP_H_
#define TRAPLINE_MMIO_BUS_MAP_H_

#include <cstdint>

#include "mmio/bus_target.h"

namespace trapline {

class BusMap {
 public:
  struct Region {
    uint64_t base;
    uint64_t size;  // bytes
    BusTarget* device;
    uint64_t device_offset;  // added to (ipa - base): one device may own several windows
    uint16_t index;          // dense, for statistics
    bool has_parts = false;  // the device's
  };

  // A per-vCPU hint: the two regions that the vCPU touched last (drivers alternate between a device
  // and the GIC).
  struct Hint {
    const Region* region = nullptr;
    const Region* other = nullptr;
  };

  // The flat table covers [0, kWindow) in granules, where QEMU's virt has its devices; regions
  // elsewhere, PCI's large windows, are found by search.
  static constexpr uint64_t kWindow = uint64_t{1} << 28;
  static constexpr unsigned kGranuleLog2 = 9;  // a virtio-mmio slot is 512 bytes
  static constexpr unsigned kMaxRegions = 254;

  // Maps nothing.
  BusMap() = default;
  BusMap(const BusMap&) = delete;  // hints and observers point to its regions
  BusMap& operator=(const BusMap&) = delete;

  // The region that holds all of [ipa, ipa + size), or null. `size` is not 0. A hint belongs to one
  // bus and one thread.
  [[gnu::always_inline]] const Region* find(uint64_t ipa, unsigned size, Hint& hint) const {
    if (hint.region != nullptr && holds(*hint.region, ipa, size)) [[likely]] {
      return hint.region;
    }
    if (hint.other != nullptr && holds(*hint.other, ipa, size)) return hint.other;
    const Region* region;
    if (ipa < kWindow && table_ != nullptr) [[likely]] {
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

 protected:
  ~BusMap() = default;

  static constexpr uint8_t kShared = 255;
  static_assert(kMaxRegions < kShared, "a table entry is a region's index + 1");

  // Lent by whoever fills the map; they never move, since hints point into them.
  const Region* regions_ = nullptr;  // in the order of addition
  const uint16_t* order_ = nullptr;  // indices of regions_ by ascending base
  unsigned count_ = 0;
  const uint8_t* table_ = nullptr;  // granule -> region index + 1; kShared: several share it

 private:
  static bool holds(const Region& region, uint64_t ipa, unsigned size) {
    const uint64_t offset = ipa - region.base;  // wraps to a large value below the base
    return offset < region.size && size <= region.size - offset;
  }
  // The region with the highest base not above `ipa`.
  const Region* search(uint64_t ipa) const;
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_BUS_MAP_H_
