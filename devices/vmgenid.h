// A VM generation ID (Microsoft, "Virtual Machine Generation ID"; Linux'
// Documentation/devicetree/bindings/rng/microsoft,vmgenid.yaml): 16 bytes that are others in each
// machine that goes on from the same saved state, and an interrupt when they change, so that a
// guest's random numbers, and what it derived from them, do not repeat in its copies.
#ifndef TRAPLINE_DEVICES_VMGENID_H_
#define TRAPLINE_DEVICES_VMGENID_H_

#include <array>
#include <cstdint>
#include <mutex>

#include "mmio/device.h"
#include "mmio/irq_line.h"

namespace trapline {

class VmGenId final : public Device {
 public:
  static constexpr uint64_t kWindowBytes = 0x1000;
  using Id = std::array<uint8_t, 16>;

  // `irq`, which may be null, is an edge.
  VmGenId(IrqLine* irq, const Id& id) : irq_(irq), id_(id) {}

  // Another ID, and the guest is told.
  void change(const Id& id);

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
  void reset() override {}  // the machine is the same
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return "vmgenid"; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  IrqLine* const irq_;
  mutable std::mutex mutex_;
  Id id_;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_VMGENID_H_
