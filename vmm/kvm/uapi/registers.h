// Names of an arm64 vCPU's registers as KVM_GET_ONE_REG takes them (Linux's
// Documentation/virt/kvm/api.rst). On any build host: none of its own <asm/kvm.h> is needed.
#ifndef TRAPLINE_VMM_KVM_UAPI_REGISTERS_H_
#define TRAPLINE_VMM_KVM_UAPI_REGISTERS_H_

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

#include "mmio/sysreg.h"

namespace trapline::kvm {

// struct kvm_regs of arm64, by whose layout the core registers are named.
struct CoreRegisters {
  uint64_t x[31], sp, pc, pstate;
  uint64_t sp_el1, elr_el1, spsr[5];
  alignas(16) uint8_t v[32][16];
  uint32_t fpsr, fpcr;
};
#ifdef __aarch64__
static_assert(offsetof(CoreRegisters, pstate) == offsetof(kvm_regs, regs.pstate));
static_assert(offsetof(CoreRegisters, spsr) == offsetof(kvm_regs, spsr));
static_assert(offsetof(CoreRegisters, v) == offsetof(kvm_regs, fp_regs.vregs));
static_assert(offsetof(CoreRegisters, fpcr) == offsetof(kvm_regs, fp_regs.fpcr));
#endif

// Bits 27:16 of a name.
inline constexpr uint64_t kCoreRegister = 0x10 << 16, kSystemRegister = 0x13 << 16,
                          kSveRegister = 0x15 << 16;

// The core registers: by their offset, in words of 32 bits.
constexpr uint64_t core_register(size_t offset, uint64_t size = KVM_REG_SIZE_U64) {
  return KVM_REG_ARM64 | size | kCoreRegister | offset / sizeof(uint32_t);
}
constexpr uint64_t x_register(unsigned n) {
  return core_register(offsetof(CoreRegisters, x) + n * sizeof(uint64_t));
}
constexpr uint64_t v_register(unsigned n) {
  return core_register(offsetof(CoreRegisters, v) + n * size_t{16}, KVM_REG_SIZE_U128);
}
// Z0 to Z31, 256 bytes of which the first 16 are the V register: of a vCPU with SVE, where
// v_register() is no name.
constexpr uint64_t z_register(unsigned n) {
  return KVM_REG_ARM64 | KVM_REG_SIZE_U2048 | kSveRegister | n << 5;
}
inline constexpr size_t kZRegisterBytes = 256;
inline constexpr uint64_t kSpEl0 = core_register(offsetof(CoreRegisters, sp));
inline constexpr uint64_t kPc = core_register(offsetof(CoreRegisters, pc));
inline constexpr uint64_t kPstate = core_register(offsetof(CoreRegisters, pstate));
inline constexpr uint64_t kSpEl1 = core_register(offsetof(CoreRegisters, sp_el1));
inline constexpr uint64_t kElrEl1 = core_register(offsetof(CoreRegisters, elr_el1));
inline constexpr uint64_t kSpsrEl1 = core_register(offsetof(CoreRegisters, spsr));
inline constexpr uint64_t kFpsr = core_register(offsetof(CoreRegisters, fpsr), KVM_REG_SIZE_U32);
inline constexpr uint64_t kFpcr = core_register(offsetof(CoreRegisters, fpcr), KVM_REG_SIZE_U32);

// System registers, whose encoding is ours; but KVM has CNTV_CVAL_EL0 and CNTVCT_EL0 changed round.
inline constexpr SysregId kCntvct = sysreg_id(3, 3, 14, 0, 2),
                          kCntvCval = sysreg_id(3, 3, 14, 3, 2);
constexpr uint64_t system_register(SysregId id) {
  if (id == kCntvct) {
    id = kCntvCval;
  } else if (id == kCntvCval) {
    id = kCntvct;
  }
  return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | kSystemRegister | id;
}

inline constexpr uint64_t kSctlrEl1 = system_register(sysreg_id(3, 0, 1, 0, 0));
inline constexpr uint64_t kTtbr0El1 = system_register(sysreg_id(3, 0, 2, 0, 0));
inline constexpr uint64_t kTtbr1El1 = system_register(sysreg_id(3, 0, 2, 0, 1));
inline constexpr uint64_t kTcrEl1 = system_register(sysreg_id(3, 0, 2, 0, 2));
inline constexpr uint64_t kEsrEl1 = system_register(sysreg_id(3, 0, 5, 2, 0));
inline constexpr uint64_t kFarEl1 = system_register(sysreg_id(3, 0, 6, 0, 0));
inline constexpr uint64_t kMairEl1 = system_register(sysreg_id(3, 0, 10, 2, 0));
inline constexpr uint64_t kVbarEl1 = system_register(sysreg_id(3, 0, 12, 0, 0));
inline constexpr uint64_t kHcrEl2 = system_register(sysreg_id(3, 4, 1, 1, 0));
inline constexpr uint64_t kSctlrEl2 = system_register(sysreg_id(3, 4, 1, 0, 0));
inline constexpr uint64_t kTtbr0El2 = system_register(sysreg_id(3, 4, 2, 0, 0));
inline constexpr uint64_t kTtbr1El2 = system_register(sysreg_id(3, 4, 2, 0, 1));
inline constexpr uint64_t kTcrEl2 = system_register(sysreg_id(3, 4, 2, 0, 2));
inline constexpr uint64_t kVttbrEl2 = system_register(sysreg_id(3, 4, 2, 1, 0));
inline constexpr uint64_t kVtcrEl2 = system_register(sysreg_id(3, 4, 2, 1, 2));
inline constexpr uint64_t kSpsrEl2 = system_register(sysreg_id(3, 4, 4, 0, 0));
inline constexpr uint64_t kElrEl2 = system_register(sysreg_id(3, 4, 4, 0, 1));
inline constexpr uint64_t kEsrEl2 = system_register(sysreg_id(3, 4, 5, 2, 0));
inline constexpr uint64_t kFarEl2 = system_register(sysreg_id(3, 4, 6, 0, 0));
inline constexpr uint64_t kMairEl2 = system_register(sysreg_id(3, 4, 10, 2, 0));
inline constexpr uint64_t kVbarEl2 = system_register(sysreg_id(3, 4, 12, 0, 0));
inline constexpr uint64_t kSpEl2 = system_register(sysreg_id(3, 6, 4, 1, 0));
inline constexpr uint64_t kIdAa64mmfr2 = system_register(sysreg_id(3, 0, 0, 7, 2));

// PSTATE as SPSR_EL1 has it, C5.2.19.
namespace pstate {
inline constexpr uint64_t kSpSel = 1, kModeMask = 0x1f, kEl1h = 5, kEl2h = 9;
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
// What a step over an instruction clears.
inline constexpr uint64_t kOfOneInstruction = kSs | kBtype;
constexpr unsigned el(uint64_t value) { return static_cast<unsigned>(value >> 2 & 3); }
}  // namespace pstate

// How an exception to EL1, or EL2 (`mode`), leaves a vCPU, by AArch64.TakeException (J1.3.1), of
// the instruction at `at` with PSTATE `from`.
struct ExceptionEntry {
  uint64_t elr, spsr, pc, pstate;
};
constexpr ExceptionEntry exception_entry(uint64_t at, uint64_t from, uint64_t sctlr, uint64_t vbar,
                                         uint64_t mode = pstate::kEl1h) {
  constexpr uint64_t kSctlrSpan = 1 << 23, kSctlrDssbs = uint64_t{1} << 44;
  // Where it is taken from decides the vector, D1.3.2.
  const bool on_sp_elx = (from & pstate::kSpSel) != 0;
  const uint64_t vector = pstate::el(from) < pstate::el(mode) ? 0x400 : on_sp_elx ? 0x200 : 0;
  uint64_t to = mode | pstate::kDaif | (from & (pstate::kNzcv | pstate::kDit));
  if ((from & pstate::kPan) != 0 || (sctlr & kSctlrSpan) == 0) to |= pstate::kPan;
  if ((sctlr & kSctlrDssbs) != 0) to |= pstate::kSsbs;
  return {at, from, vbar + vector, to};
}

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_UAPI_REGISTERS_H_
