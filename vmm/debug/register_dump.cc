#include "vmm/debug/register_dump.h"

#include <fmt/format.h>

namespace trapline {

std::string register_dump(Vcpu& vcpu) {
  std::string out;
  uint64_t x[33];
  vcpu.get_registers((uint64_t{1} << 33) - 1, x);
  for (unsigned i = 0; i < 31; ++i) {
    out += fmt::format("  x{:<2} {:016x}{}", i, x[i], i % 4 == 3 ? "\n" : "");
  }
  out += fmt::format("  sp  {:016x}\n", x[kRegSp]);
  out += fmt::format("  pc  {:016x}  pstate {:08x}\n", x[kRegPc], vcpu.get_register(kRegPstate));
  static constexpr struct {
    const char* name;
    SysregId id;
  } kShown[] = {
      {"ESR_EL1", sysreg_id(3, 0, 5, 2, 0)},   {"FAR_EL1", sysreg_id(3, 0, 6, 0, 0)},
      {"ELR_EL1", sysreg_id(3, 0, 4, 0, 1)},   {"SPSR_EL1", sysreg_id(3, 0, 4, 0, 0)},
      {"VBAR_EL1", sysreg_id(3, 0, 12, 0, 0)}, {"SCTLR_EL1", sysreg_id(3, 0, 1, 0, 0)},
      {"TCR_EL1", sysreg_id(3, 0, 2, 0, 2)},   {"TTBR0_EL1", sysreg_id(3, 0, 2, 0, 0)},
      {"TTBR1_EL1", sysreg_id(3, 0, 2, 0, 1)}, {"MAIR_EL1", sysreg_id(3, 0, 10, 2, 0)},
  };
  unsigned column = 0;
  for (const auto& reg : kShown) {
    out += fmt::format("  {:<9} {:016x}{}", reg.name, vcpu.get_sysreg(reg.id),
                       ++column % 3 == 0 ? "\n" : "");
  }
  return out + (column % 3 == 0 ? "" : "\n");
}

}  // namespace trapline
