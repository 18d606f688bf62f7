// A memory-mapped device. It sees offsets, sizes and the number of the CPU that asks (banked
// registers); never a vCPU, a syndrome or an instruction.
#ifndef TRAPLINE_MMIO_DEVICE_H_
#define TRAPLINE_MMIO_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mmio/state.h"

namespace trapline {

struct MmioResult {
  uint64_t value = 0;
  bool abort = false;  // the device refuses: a synchronous external abort for the guest
};

// Gets what a device counts besides its accesses.
using CounterVisitor = void (*)(void* context, std::string_view name, uint64_t value);

class Device {
 public:
  virtual ~Device() = default;

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

  // FEAT_LS64 single-copy 64-byte transactions; devices that do not take them abort.
  virtual bool read64b(uint64_t /*offset*/, uint64_t /*data*/[8], unsigned /*vcpu*/) {
    return false;
  }
  virtual bool write64b(uint64_t /*offset*/, const uint64_t /*data*/[8], unsigned /*vcpu*/) {
    return false;
  }

  // Back to the state at power-on. Called with all vCPUs stopped.
  virtual void reset() = 0;
  // Finish or park work in flight so that save() sees a still device. vCPUs are stopped.
  virtual void quiesce() {}
  // Undoes quiesce(): the vCPUs are about to run.
  virtual void resume() {}
  // Versioned state: save() writes what load() of the same or a later version reads.
  virtual void save(StateWriter& out) const = 0;
  virtual bool load(StateReader& in) = 0;

  // Short and stable, for statistics: "gicd", "pl011", "virtio-blk0".
  virtual std::string_view name() const = 0;
  // The manual's name of the register at `offset`, for the exit profile; empty: print the offset.
  virtual std::string_view register_name(uint64_t /*offset*/) const { return {}; }
  // Visits each of the device's own counters. Any thread.
  virtual void counters(CounterVisitor /*visit*/, void* /*context*/) const {}
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_DEVICE_H_
