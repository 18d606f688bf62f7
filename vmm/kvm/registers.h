// Names of registers as KVM_GET_ONE_REG takes them (Linux's Documentation/virt/kvm/api.rst).
#ifndef TRAPLINE_VMM_KVM_REGISTERS_H_
#define TRAPLINE_VMM_KVM_REGISTERS_H_

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

#include "mmio/sysreg.h"

namespace trapline::kvm {

// The core registers: by their offset in struct kvm_regs, in words of 32 bits.
constexpr uint64_t core_register(size_t offset, uint64_t size = KVM_REG_SIZE_U64) {
  return KVM_REG_ARM64 | size | KVM_REG_ARM_CORE | offset / sizeof(uint32_t);
}
constexpr uint64_t x_register(unsigned n) {
  return core_register(offsetof(kvm_regs, regs.regs) + n * sizeof(uint64_t));
}
constexpr uint64_t v_register(unsigned n) {
  return core_register(offsetof(kvm_regs, fp_regs.vregs) + n * size_t{16}, KVM_REG_SIZE_U128);
}
inline constexpr uint64_t kSpEl0 = core_register(offsetof(kvm_regs, regs.sp));
inline constexpr uint64_t kPc = core_register(offsetof(kvm_regs, regs.pc));
inline constexpr uint64_t kPstate = core_register(offsetof(kvm_regs, regs.pstate));
inline constexpr uint64_t kSpEl1 = core_register(offsetof(kvm_regs, sp_el1));
inline constexpr uint64_t kElrEl1 = core_register(offsetof(kvm_regs, elr_el1));
inline constexpr uint64_t kSpsrEl1 = core_register(offsetof(kvm_regs, spsr));  // KVM_SPSR_EL1
inline constexpr uint64_t kFpsr = core_register(offsetof(kvm_regs, fp_regs.fpsr), KVM_REG_SIZE_U32);
inline constexpr uint64_t kFpcr = core_register(offsetof(kvm_regs, fp_regs.fpcr), KVM_REG_SIZE_U32);

// System registers, whose encoding is ours; but KVM has CNTV_CVAL_EL0 and CNTVCT_EL0 changed round.
inline constexpr SysregId kCntvct = sysreg_id(3, 3, 14, 0, 2),
                          kCntvCval = sysreg_id(3, 3, 14, 3, 2);
constexpr uint64_t system_register(SysregId id) {
  if (id == kCntvct) {
    id = kCntvCval;
  } else if (id == kCntvCval) {
    id = kCntvct;
  }
  return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | id;
}

inline constexpr uint64_t kSctlrEl1 = system_register(sysreg_id(3, 0, 1, 0, 0));
inline constexpr uint64_t kTtbr0El1 = system_register(sysreg_id(3, 0, 2, 0, 0));
inline constexpr uint64_t kTtbr1El1 = system_register(sysreg_id(3, 0, 2, 0, 1));
inline constexpr uint64_t kTcrEl1 = system_register(sysreg_id(3, 0, 2, 0, 2));
inline constexpr uint64_t kEsrEl1 = system_register(sysreg_id(3, 0, 5, 2, 0));
inline constexpr uint64_t kFarEl1 = system_register(sysreg_id(3, 0, 6, 0, 0));
inline constexpr uint64_t kMairEl1 = system_register(sysreg_id(3, 0, 10, 2, 0));
inline constexpr uint64_t kVbarEl1 = system_register(sysreg_id(3, 0, 12, 0, 0));
inline constexpr uint64_t kIdAa64mmfr2 = system_register(sysreg_id(3, 0, 0, 7, 2));

// PSTATE as SPSR_EL1 has it, C5.2.19.
namespace pstate {
inline constexpr uint64_t kSpSel = 1, kModeMask = 0x1f, kEl1h = 5;
inline constexpr uint64_t kDaif = 0x3c0;
inline constexpr uint64_t kBtype = 0xc00;
inline constexpr uint64_t kSsbs = 1 << 12;
inline constexpr uint64_t kIl = 1 << 20;
inline constexpr uint64_t kSs = 1 << 21;
inline constexpr uint64_t kPan = 1 << 22;
inline constexpr uint64_t kUao = 1 << 23;
inline constexpr uint64_t kDit = 1 << 24;
inline constexpr uint64_t kTco = 1 << 25;
inline constexpr uint64_t kNzcv = 0xf000'0000;
constexpr unsigned el(uint64_t value) { return static_cast<unsigned>(value >> 2 & 3); }
}  // namespace pstate

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_REGISTERS_H_
