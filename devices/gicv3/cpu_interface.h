// The CPU interface's system registers, ICC_*_EL1 (IHI 0069, 12.2).
#ifndef TRAPLINE_DEVICES_GICV3_CPU_INTERFACE_H_
#define TRAPLINE_DEVICES_GICV3_CPU_INTERFACE_H_

#include "devices/gicv3/core.h"
#include "mmio/sysreg.h"

namespace trapline::gicv3 {

class CpuInterface final : public SysregDevice {
 public:
  explicit CpuInterface(Core& core) : core_(core) {}

  bool sysreg_read(SysregId id, unsigned vcpu, uint64_t& value) override;
  bool sysreg_write(SysregId id, unsigned vcpu, uint64_t value) override;
  std::string_view register_name(SysregId id) const override;

 private:
  Core& core_;
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_CPU_INTERFACE_H_
