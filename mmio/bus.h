// IPA -> device. Filled at machine assembly, immutable afterwards: lookups take no lock.
#ifndef TRAPLINE_MMIO_BUS_H_
#define TRAPLINE_MMIO_BUS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmio/bus_map.h"
#include "mmio/device.h"
#include "mmio/zero_memory.h"

namespace trapline {

class Bus final : public BusMap {
 public:
  Bus();

  // Returns an error text if the region overlaps another, is empty, or there are too many; empty
  // string on success. Not thread-safe: assembly time only.
  std::string add(uint64_t base, uint64_t size, Device* device, uint64_t device_offset = 0);

  // A register file behind a window of some other device: it has no address of its own, and counts
  // its accesses under the index returned (BusTarget::part_at). None if there are too many.
  std::optional<uint16_t> add_part(uint64_t size, Device* device);

  static bool is_part(const Region& region) { return region.base == kNowhere; }
  const std::vector<Region>& regions() const { return all_; }
  // Of a region of any Bus: add() takes no other targets.
  static Device& device_of(const Region& region) { return static_cast<Device&>(*region.device); }

 private:
  static constexpr uint64_t kNowhere = ~uint64_t{0};

  std::vector<Region> all_;
  std::vector<uint16_t> by_base_;
  ZeroArray<uint8_t> granules_;
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_BUS_H_
