// A memory-mapped device. It sees offsets, sizes and the number of the CPU that asks (banked
// registers); never a vCPU, a syndrome or an instruction.
#ifndef TRAPLINE_MMIO_DEVICE_H_
#define TRAPLINE_MMIO_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mmio/bus_target.h"
#include "mmio/state.h"

namespace trapline {

// Gets what a device counts besides its accesses.
using CounterVisitor = void (*)(void* context, std::string_view name, uint64_t value);

class Device : public BusTarget {
 public:
  virtual ~Device() = default;

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
