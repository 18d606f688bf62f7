#include "mmio/bus_map.h"

namespace trapline {

const BusMap::Region* BusMap::search(uint64_t ipa) const {
  unsigned below = 0, end = count_;  // order_[0, below) have bases not above `ipa`
  while (below < end) {
    const unsigned middle = (below + end) / 2;
    if (ipa < regions_[order_[middle]].base) {
      end = middle;
    } else {
      below = middle + 1;
    }
  }
  return below == 0 ? nullptr : &regions_[order_[below - 1]];
}

}  // namespace trapline
