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

  // A per-vCPU one-entry hint; points to the region that the vCPU touched last.
  struct Hint {
    const Region* region = nullptr;
  };

  // The flat table covers [0, kWindow) in granules; regions elsewhere are found by search.
  static constexpr uint64_t kWindow = uint64_t{1} << 30;
  static constexpr unsigned kGranuleLog2 = 9;  // a virtio-mmio slot is 512 bytes
  static constexpr unsigned kMaxRegions = 254;

  Bus();

  // Returns an error text if the region overlaps another, is empty, or there are too many; empty
  // string on success. Not thread-safe: assembly time only.
  std::string add(uint64_t base, uint64_t size, Device* device, uint64_t device_offset = 0);

  // The region that holds all of [ipa, ipa + size), or null.
  const Region* find(uint64_t ipa, unsigned size, Hint& hint) const;

  const std::vector<Region>& regions() const { return regions_; }

 private:
  const Region* find_slow(uint64_t ipa, unsigned size) const;

  std::vector<Region> regions_;
  std::vector<uint8_t> table_;  // granule -> region index + 1; 255: several share the granule
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_BUS_H_
