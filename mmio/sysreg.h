// System registers that a device answers for: ICC_* (the GIC's CPU interface) and CNT* (the timer).
#ifndef TRAPLINE_MMIO_SYSREG_H_
#define TRAPLINE_MMIO_SYSREG_H_

#include <cstdint>
#include <string_view>

namespace trapline {

// op0:op1:CRn:CRm:op2 packed as in bits 20:5 of MRS/MSR: 2+3+4+4+3 = 16 bits.
using SysregId = uint16_t;
constexpr SysregId sysreg_id(unsigned op0, unsigned op1, unsigned crn, unsigned crm, unsigned op2) {
  return static_cast<SysregId>(op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2);
}

// The virtual CPU interface's register (ICV_*) that an access to this ICC_* register is to, where a
// hypervisor has its guest's made virtual: op0 is 1, which no MRS or MSR has.
constexpr SysregId icv_id(SysregId icc) { return icc & 0x7fff; }
constexpr bool is_icv(SysregId id) { return (id & 0x8000) == 0; }

class SysregDevice {
 public:
  virtual ~SysregDevice() = default;
  // False: UNDEFINED for the guest (unknown, or wrong direction). EL is checked by the CPU.
  virtual bool sysreg_read(SysregId id, unsigned vcpu, uint64_t& value) = 0;
  virtual bool sysreg_write(SysregId id, unsigned vcpu, uint64_t value) = 0;
  // The manual's name, for the exit profile; empty if it is not this device's.
  virtual std::string_view register_name(SysregId /*id*/) const { return {}; }
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_SYSREG_H_
