// The distributor's frame (IHI 0069, 12.9).
//
// Access sizes: 32-bit everywhere; also bytes for IPRIORITYR (and the ITARGETSR and SGI pending
// bytes, which affinity routing makes RES0), 16 bits for SETSPI and CLRSPI, 64 bits for IROUTER.
// Any other size, and an unaligned access, is RAZ/WI and noted in GICD_STATUSR like a reserved
// location.
#ifndef TRAPLINE_DEVICES_GICV3_DISTRIBUTOR_H_
#define TRAPLINE_DEVICES_GICV3_DISTRIBUTOR_H_

#include "devices/gicv3/core.h"
#include "mmio/device.h"

namespace trapline::gicv3 {

class Distributor final : public Device {
 public:
  explicit Distributor(Core& core) : core_(core) {}

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return "gicd"; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  // What an access did, as GICD_STATUSR sees it.
  enum class Access : uint8_t { kOk, kReserved, kWrongWay };

  MmioResult read_locked(uint32_t at, unsigned size);
  Access read32(uint32_t offset, uint32_t& value) const;
  Access write32(uint32_t offset, uint32_t value);
  uint32_t read_bitmap(uint32_t offset) const;
  void write_bitmap(uint32_t offset, uint32_t value);
  uint32_t read_config(unsigned n) const;
  void write_config(unsigned n, uint32_t value);
  void set_priority(unsigned intid, uint8_t value);
  void set_router(unsigned intid, uint64_t value);
  void message_spi(uint32_t intid, bool set);

  Core& core_;
};

// ICFGR's two bits an interrupt: bit 1 says edge. Sixteen interrupts from a bitmap, and back.
uint32_t config_from_bits(uint32_t edge16);
uint32_t bits_from_config(uint32_t config);

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_DISTRIBUTOR_H_
