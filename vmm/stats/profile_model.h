// What the observers counted, as a report shows it: cycles become ns, numbers become names.
#ifndef TRAPLINE_VMM_STATS_PROFILE_MODEL_H_
#define TRAPLINE_VMM_STATS_PROFILE_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "mmio/bus.h"
#include "mmio/sysreg.h"
#include "vmm/report/profile.h"
#include "vmm/stats/exit_profile.h"
#include "vmm/symbols/symbols.h"

namespace trapline {

// Who answers to what, by name.
class DeviceNames {
 public:
  DeviceNames(const Bus* bus, std::vector<const SysregDevice*> sysregs)
      : bus_(bus), sysregs_(std::move(sysregs)) {}

  // "ICC_IAR1_EL1" as its device tells it; else S3_0_C12_C12_0.
  std::string sysreg(SysregId id) const;
  // The device that answers for a system register, by the register's name: "gicc", "timer".
  static std::string sysreg_device(const std::string& name);
  // The register at an offset of a region: "UARTFR"; else "+0x18".
  std::string reg(const Device& device, uint64_t offset) const;
  // Class, device and register.
  ExitKey key(ExitTarget target) const;

 private:
  const Bus* bus_;
  std::vector<const SysregDevice*> sysregs_;
};

// As arm64 users know it: DABT_LOW, IABT_LOW, SYS64, HVC64, WFx.
const char* arm_class_name(ExitClass c);
ProfileRow::Isv isv_of(ExitClass c);

Distribution distribution_of(const Histogram& histogram, double ns_per_cycle);

// `duration`: host cycles since all of `vcpus` began.
Profile profile_of(const std::vector<ProfileReading>& vcpus, const DeviceNames& names,
                   const SymbolTable& symbols, double ns_per_cycle, uint64_t duration,
                   unsigned stages_every);

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_PROFILE_MODEL_H_
