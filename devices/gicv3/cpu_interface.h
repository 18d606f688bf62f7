// The CPU interface's system registers, ICC_*_EL1 (IHI 0069, 12.2), and the virtual one's.
#ifndef TRAPLINE_DEVICES_GICV3_CPU_INTERFACE_H_
#define TRAPLINE_DEVICES_GICV3_CPU_INTERFACE_H_

#include "devices/gicv3/core.h"
#include "devices/gicv3/virtual_interface.h"
#include "mmio/sysreg.h"

namespace trapline::gicv3 {

class CpuInterface final : public SysregDevice {
 public:
  CpuInterface(Core& core, VirtualInterface& virtual_interface)
      : core_(core), virtual_(virtual_interface) {}

  bool sysreg_read(SysregId id, unsigned vcpu, uint64_t& value) override;
  bool sysreg_write(SysregId id, unsigned vcpu, uint64_t value) override;
  std::string_view register_name(SysregId id) const override;

 private:
  Core& core_;
  VirtualInterface& virtual_;
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_CPU_INTERFACE_H_
