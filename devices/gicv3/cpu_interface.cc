#include "devices/gicv3/cpu_interface.h"

#include <algorithm>

#include "devices/gicv3/registers.h"

namespace trapline::gicv3 {
namespace {

// ICC_CTLR_EL1 (12.2.6): CBPR 0, EOImode 1; read-only: PMHE 6 (0), PRIbits 10:8 (less one), IDbits
// 13:11 (0: 16 bits), SEIS 14 (0), A3V 15, RSS 18 (0: Aff0 up to 15), ExtRange 19 (0).
constexpr uint32_t kCtlrCbpr = 1;
constexpr uint32_t kCtlrEoiMode = 2;
constexpr uint32_t kCtlrReadOnly = (kPriorityBits - 1) << 8 | 1u << 15;
constexpr uint32_t kIntidMask = 0xff'ffff;
// ICC_SRE_EL1: SRE, DFB, DIB; all RAO/WI, there is no memory-mapped interface.
constexpr uint32_t kSre = 7;

}  // namespace

bool CpuInterface::sysreg_read(SysregId id, unsigned vcpu, uint64_t& value) {
  if (vcpu >= core_.num_cpus) return false;
  if (is_virtual(id)) return virtual_.present() && virtual_.read(id, vcpu, value);
  Cpu& cpu = core_.cpus[vcpu];
  std::lock_guard lock(core_.mutex);
  switch (id) {
    case kIccIar1:
      value = core_.acknowledge(vcpu, 1);
      return true;
    case kIccIar0:
      value = core_.acknowledge(vcpu, 0);
      return true;
    case kIccHppir0:
    case kIccHppir1: {
      // Whatever the mask and the running priority say, but 1023 if it is of the other group.
      const unsigned group = id == kIccHppir1;
      value = cpu.best != kNone && key_group(cpu.best) == group ? key_intid(cpu.best) : kSpurious;
      return true;
    }
    case kIccPmr:
      value = cpu.pmr;
      return true;
    case kIccBpr0:
      value = cpu.bpr[0];
      return true;
    case kIccBpr1:
      value = cpu.cbpr ? std::min(cpu.bpr[0] + 1, 7) : cpu.bpr[1];
      return true;
    case kIccCtlr:
      value = kCtlrReadOnly | (cpu.cbpr ? kCtlrCbpr : 0) | (cpu.eoi_mode ? kCtlrEoiMode : 0);
      return true;
    case kIccSre:
      value = kSre;
      return true;
    case kIccIgrpen0:
      value = cpu.group_enabled[0];
      return true;
    case kIccIgrpen1:
      value = cpu.group_enabled[1];
      return true;
    case kIccRpr:
      value = core_.running_priority(cpu);
      return true;
    // With 5 bits of preemption only AP0R0 and AP1R0 exist (12.2.1): the rest is UNDEFINED.
    case kIccAp0r0:
      value = cpu.active_priorities[0];
      return true;
    case kIccAp1r0:
      value = cpu.active_priorities[1];
      return true;
    default:
      return false;
  }
}

bool CpuInterface::sysreg_write(SysregId id, unsigned vcpu, uint64_t value) {
  if (vcpu >= core_.num_cpus) return false;
  if (is_virtual(id)) return virtual_.present() && virtual_.write(id, vcpu, value);
  Cpu& cpu = core_.cpus[vcpu];
  // The end of nothing (after a spurious acknowledge) changes nothing: no lock.
  if ((id == kIccEoir1 || id == kIccEoir0) && !core_.is_interrupt(value & kIntidMask)) return true;
  std::lock_guard lock(core_.mutex);
  switch (id) {
    case kIccEoir1:
      core_.end_of_interrupt(vcpu, value & kIntidMask, 1);
      return true;
    case kIccEoir0:
      core_.end_of_interrupt(vcpu, value & kIntidMask, 0);
      return true;
    case kIccDir:
      // With EOImode 0 it has no effect: EOIR deactivates (12.2.8).
      if (cpu.eoi_mode) core_.deactivate(cpu, value & kIntidMask);
      return true;
    case kIccSgi1r:
      core_.send_sgi(vcpu, value, true);
      return true;
    case kIccSgi0r:
    case kIccAsgi1r:  // there is no other security state: as SGI0R
      core_.send_sgi(vcpu, value, false);
      return true;
    case kIccPmr:
      cpu.pmr = value & kPriorityMask;
      break;
    case kIccBpr0:
      cpu.bpr[0] = std::max<uint8_t>(value & 7, kMinBpr0);
      break;
    case kIccBpr1:
      if (!cpu.cbpr) cpu.bpr[1] = std::max<uint8_t>(value & 7, kMinBpr1);
      break;
    case kIccCtlr:
      cpu.cbpr = (value & kCtlrCbpr) != 0;
      cpu.eoi_mode = (value & kCtlrEoiMode) != 0;
      break;
    case kIccSre:
      return true;
    case kIccIgrpen0:
    case kIccIgrpen1: {
      bool& enabled = cpu.group_enabled[id == kIccIgrpen1];
      if (enabled != ((value & 1) != 0)) {
        enabled = !enabled;
        core_.enables_changed();
      }
      return true;
    }
    case kIccAp0r0:
      cpu.active_priorities[0] = static_cast<uint32_t>(value);
      break;
    case kIccAp1r0:
      cpu.active_priorities[1] = static_cast<uint32_t>(value);
      break;
    default:
      return false;
  }
  core_.signal(cpu);
  return true;
}

std::string_view CpuInterface::register_name(SysregId id) const {
  if (is_virtual(id)) return VirtualInterface::register_name(id);
  switch (id) {
    case kIccPmr:
      return "ICC_PMR_EL1";
    case kIccIar0:
      return "ICC_IAR0_EL1";
    case kIccIar1:
      return "ICC_IAR1_EL1";
    case kIccEoir0:
      return "ICC_EOIR0_EL1";
    case kIccEoir1:
      return "ICC_EOIR1_EL1";
    case kIccHppir0:
      return "ICC_HPPIR0_EL1";
    case kIccHppir1:
      return "ICC_HPPIR1_EL1";
    case kIccBpr0:
      return "ICC_BPR0_EL1";
    case kIccBpr1:
      return "ICC_BPR1_EL1";
    case kIccCtlr:
      return "ICC_CTLR_EL1";
    case kIccSre:
      return "ICC_SRE_EL1";
    case kIccIgrpen0:
      return "ICC_IGRPEN0_EL1";
    case kIccIgrpen1:
      return "ICC_IGRPEN1_EL1";
    case kIccRpr:
      return "ICC_RPR_EL1";
    case kIccDir:
      return "ICC_DIR_EL1";
    case kIccSgi1r:
      return "ICC_SGI1R_EL1";
    case kIccAsgi1r:
      return "ICC_ASGI1R_EL1";
    case kIccSgi0r:
      return "ICC_SGI0R_EL1";
    case kIccAp0r0:
      return "ICC_AP0R0_EL1";
    case kIccAp1r0:
      return "ICC_AP1R0_EL1";
    default:
      return {};
  }
}

}  // namespace trapline::gicv3
