// The redistributors' frames, RD_base and SGI_base of each CPU in one window (IHI 0069, 12.10 and
// 12.11). GICR_WAKER keeps its handshake but holds nothing back: firmware for QEMU's virt machine
// (EDK2) never clears ProcessorSleep and expects its timer interrupt.
//
// Access sizes: 32-bit everywhere; also bytes for IPRIORITYR and 64 bits for TYPER and the LPI
// registers (RES0 where there is no ITS). Others are RAZ/WI and noted in GICR_STATUSR.
#ifndef TRAPLINE_DEVICES_GICV3_REDISTRIBUTOR_H_
#define TRAPLINE_DEVICES_GICV3_REDISTRIBUTOR_H_

#include "devices/gicv3/core.h"
#include "devices/gicv3/virtual_interface.h"
#include "mmio/device.h"

namespace trapline::gicv3 {

class Redistributors final : public Device {
 public:
  Redistributors(Core& core, VirtualInterface& virtual_interface)
      : core_(core), virtual_(virtual_interface) {}

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;  // and the CPU interfaces, as in save() and load()
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return "gicr"; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  enum class Access : uint8_t { kOk, kReserved, kWrongWay };

  Access read32(const Cpu& cpu, uint32_t offset, uint32_t& value) const;
  Access write32(Cpu& cpu, uint32_t offset, uint32_t value);
  uint64_t typer(const Cpu& cpu) const;
  bool load_physical(StateReader& in);

  Core& core_;
  VirtualInterface& virtual_;
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_REDISTRIBUTOR_H_
