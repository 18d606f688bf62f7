// What answers at an address of the bus, as far as an access can see it. Freestanding.
#ifndef TRAPLINE_MMIO_BUS_TARGET_H_
#define TRAPLINE_MMIO_BUS_TARGET_H_

#include <cstdint>

namespace trapline {

struct MmioResult {
  uint64_t value = 0;
  bool abort = false;  // the device refuses: a synchronous external abort for the guest
};

class BusTarget {
 public:
  // `size` is 1, 2, 4 or 8 bytes; `offset + size` lies within the mapped window but need not be
  // aligned. A value is zero-extended. May be entered from any vCPU thread: guard your own state.
  virtual MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) = 0;
  virtual MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) = 0;

  // Asked for every element before the first one is performed: false aborts the whole access with
  // nothing touched. A device that lets abort depend on more than this may leave an access half
  // done.
  virtual bool accepts(uint64_t /*offset*/, unsigned /*size*/, bool /*write*/) const {
    return true;
  }

  // Of a window that devices share which come and go behind it (has_parts()): whose register
  // `offset` is now, for statistics. `region` is an index of the bus, `size` that region's. False:
  // the window's own.
  virtual bool has_parts() const { return false; }
  struct Part {
    uint16_t region = 0;
    uint64_t size = 0, offset = 0;
  };
  virtual bool part_at(uint64_t /*offset*/, Part& /*part*/) const { return false; }

  // FEAT_LS64 single-copy 64-byte transactions; devices that do not take them abort.
  virtual bool read64b(uint64_t /*offset*/, uint64_t /*data*/[8], unsigned /*vcpu*/) {
    return false;
  }
  virtual bool write64b(uint64_t /*offset*/, const uint64_t /*data*/[8], unsigned /*vcpu*/) {
    return false;
  }

 protected:
  ~BusTarget() = default;  // nobody owns one by this name
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_BUS_TARGET_H_
