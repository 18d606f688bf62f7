// Shared by the files that execute the System instruction space: sysreg.cc (MRS, MSR) and
// sysreg_instructions.cc (SYS: TLBI, IC, DC, AT).
#ifndef TRAPLINE_VMM_SOFT_SYSREG_H_
#define TRAPLINE_VMM_SOFT_SYSREG_H_

#include <cstdint>

#include "vmm/soft/cpu.h"
#include "vmm/soft/exception.h"

namespace trapline::soft {

// The fields of a System instruction word (C4.1, "System instructions").
struct SystemWord {
  uint8_t op0, op1, crn, crm, op2, rt;
  bool read;

  static constexpr SystemWord from(uint32_t word) {
    return {.op0 = static_cast<uint8_t>(word >> 19 & 3),
            .op1 = static_cast<uint8_t>(word >> 16 & 7),
            .crn = static_cast<uint8_t>(word >> 12 & 15),
            .crm = static_cast<uint8_t>(word >> 8 & 15),
            .op2 = static_cast<uint8_t>(word >> 5 & 7),
            .rt = static_cast<uint8_t>(word & 31),
            .read = (word >> 21 & 1) != 0};
  }
  constexpr SysregId id() const { return sysreg_id(op0, op1, crn, crm, op2); }
};

inline Next undefined(Cpu& cpu) {
  take_sync(cpu, Ec::kUnknown, 0, cpu.pc);
  return Next::kJump;
}
inline Next trap_system(Cpu& cpu, uint32_t word) {
  take_sync(cpu, Ec::kSysreg, sysreg_iss(word), cpu.pc);
  return Next::kJump;
}

inline Next trap_to_el2(Cpu& cpu, uint32_t word) {
  trap_to_el2(cpu, Ec::kSysreg, sysreg_iss(word), cpu.pc);
  return Next::kJump;
}

// op0 == 1: SYS and SYSL.
Next execute_sys(Cpu& cpu, uint32_t word, const SystemWord& w);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_SYSREG_H_
