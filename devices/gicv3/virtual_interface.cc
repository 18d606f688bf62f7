#include "devices/gicv3/virtual_interface.h"

#include <algorithm>
#include <bit>

#include "devices/gicv3/registers.h"

namespace trapline::gicv3 {
namespace {

// ICH_HCR_EL2 (12.4.6).
enum IchHcr : uint32_t {
  kEn = 1 << 0,
  kUie = 1 << 1,
  kLrenpie = 1 << 2,
  kNpie = 1 << 3,
  kVgrp0Eie = 1 << 4,
  kVgrp0Die = 1 << 5,
  kVgrp1Eie = 1 << 6,
  kVgrp1Die = 1 << 7,
  kTc = 1 << 10,
  kTall0 = 1 << 11,
  kTall1 = 1 << 12,
  kTdir = 1 << 14,
};
constexpr unsigned kEoiCountShift = 27;
constexpr uint32_t kHcrWritable = 0xf800'5cff;

// ICH_VMCR_EL2 (12.4.12). VFIQEn is RES1: there is no other way than system registers.
constexpr uint32_t kVeng0 = 1 << 0, kVeng1 = 1 << 1, kVfiqen = 1 << 3, kVcbpr = 1 << 4;
constexpr uint32_t kVeoim = 1 << 9;
constexpr unsigned kVbpr1Shift = 18, kVbpr0Shift = 21, kVpmrShift = 24;
constexpr uint32_t kVmcrPlain = kVeng0 | kVeng1 | kVcbpr | kVeoim;

// ICH_MISR_EL2 (12.4.11), whose bits stand as those of ICH_HCR_EL2 that enable them.
constexpr uint32_t kMisrEoi = 1;

// ICH_VTR_EL2 (12.4.13): PRIbits 31:29 and PREbits 28:26, less one; IDbits 25:23 (0: 16 bits); A3V
// 21, nV4 20, TDS 19; ListRegs 4:0, less one.
constexpr uint32_t kVtr =
    (kPriorityBits - 1) << 29 | (kPriorityBits - 1) << 26 | 1u << 21 | 1u << 20 | 1u << 19;

// State, HW, Group, Priority, pINTID, vINTID of 16 bits.
constexpr uint64_t kLrWritable =
    uint64_t{0xf} << 60 | uint64_t{kPriorityMask} << 48 | uint64_t{0x1fff} << 32 | 0xffff;

// ICV_CTLR_EL1: CBPR 0, EOImode 1; read-only as ICC_CTLR_EL1: PRIbits 10:8, A3V 15.
constexpr uint32_t kCtlrCbpr = 1, kCtlrEoiMode = 2;
constexpr uint32_t kCtlrReadOnly = (kPriorityBits - 1) << 8 | 1u << 15;
constexpr uint32_t kIntidMask = 0xff'ffff;
constexpr uint32_t kFirstSpecial = 1020;

constexpr bool is_special(uint32_t intid) { return intid >= kFirstSpecial && intid < kFirstLpi; }

uint8_t vpmr(uint32_t vmcr) { return static_cast<uint8_t>(vmcr >> kVpmrShift); }
unsigned vbpr0(uint32_t vmcr) { return vmcr >> kVbpr0Shift & 7; }
unsigned vbpr1(uint32_t vmcr) { return vmcr >> kVbpr1Shift & 7; }

// Group 1's binary point counts from one more than group 0's, as in Core::group_priority().
uint8_t group_priority(uint32_t vmcr, uint8_t priority, unsigned group) {
  const unsigned shift = group == 1 && (vmcr & kVcbpr) == 0 ? vbpr1(vmcr) : vbpr0(vmcr) + 1;
  return static_cast<uint8_t>(priority & (0xffu << shift));
}

}  // namespace

void VirtualInterface::connect_cpu(unsigned cpu, IrqLine* irq, IrqLine* fiq) {
  cpus_[cpu].lines[0] = fiq;
  cpus_[cpu].lines[1] = irq;
}

void VirtualInterface::reset(unsigned cpu) {
  VirtualCpu& v = cpus_[cpu];
  v.hcr = 0;
  v.active_priorities[0] = v.active_priorities[1] = 0;
  for (ListRegister& lr : v.list) lr = {};
  set_vmcr(v, 0);
  update(v, cpu);
}

// --- what is pending -----------------------------------------------------------------------------

// The highest of those that are pending and whose group is enabled, whatever the mask says; of
// equal ones the first. -1: none.
int VirtualInterface::best_pending(const VirtualCpu& v) const {
  int best = -1;
  for (unsigned i = 0; i < list_registers_; ++i) {
    const ListRegister& lr = v.list[i];
    if (!lr.only_pending() || (v.vmcr & (lr.group() == 1 ? kVeng1 : kVeng0)) == 0) continue;
    if (best < 0 || lr.priority() < v.list[best].priority()) best = static_cast<int>(i);
  }
  return best;
}

int VirtualInterface::find_active(const VirtualCpu& v, uint32_t intid) const {
  for (unsigned i = 0; i < list_registers_; ++i) {
    if (v.list[i].active() && v.list[i].intid() == intid) return static_cast<int>(i);
  }
  return -1;
}

// Of higher priority than the mask, and of a higher group priority than what runs (4.8.6).
bool VirtualInterface::can_preempt(const VirtualCpu& v, const ListRegister& lr) const {
  if ((v.hcr & kEn) == 0 || lr.priority() >= vpmr(v.vmcr)) return false;
  const uint32_t active = v.active_priorities[0] | v.active_priorities[1];
  if (active == 0) return true;
  const unsigned running = static_cast<unsigned>(std::countr_zero(active)) << (8 - kPriorityBits);
  return group_priority(v.vmcr, lr.priority(), lr.group()) < running;
}

uint32_t VirtualInterface::told_ends(const VirtualCpu& v) const {
  uint32_t bits = 0;
  for (unsigned i = 0; i < list_registers_; ++i) bits |= uint32_t{v.list[i].end_to_be_told()} << i;
  return bits;
}

uint32_t VirtualInterface::empty_ones(const VirtualCpu& v) const {
  uint32_t bits = 0;
  for (unsigned i = 0; i < list_registers_; ++i) {
    bits |= uint32_t{v.list[i].invalid() && !v.list[i].end_to_be_told()} << i;
  }
  return bits;
}

uint32_t VirtualInterface::maintenance_status(const VirtualCpu& v) const {
  unsigned valid = 0;
  bool pending = false;
  for (unsigned i = 0; i < list_registers_; ++i) {
    valid += !v.list[i].invalid();
    pending |= v.list[i].only_pending();
  }
  uint32_t status = told_ends(v) != 0 ? uint32_t{kMisrEoi} : 0;
  if (valid <= 1) status |= v.hcr & kUie;
  if (v.hcr >> kEoiCountShift != 0) status |= v.hcr & kLrenpie;
  if (!pending) status |= v.hcr & kNpie;
  status |= v.hcr & ((v.vmcr & kVeng0) != 0 ? kVgrp0Eie : kVgrp0Die);
  status |= v.hcr & ((v.vmcr & kVeng1) != 0 ? kVgrp1Eie : kVgrp1Die);
  return status;
}

void VirtualInterface::update(VirtualCpu& v, unsigned cpu) {
  bool now[2] = {};
  const int best = best_pending(v);
  if (best >= 0 && can_preempt(v, v.list[best])) now[v.list[best].group()] = true;
  for (unsigned group = 0; group < 2; ++group) {
    if (v.signalled[group] == now[group]) continue;
    v.signalled[group] = now[group];
    if (v.lines[group] != nullptr) v.lines[group]->set(now[group]);
  }
  const bool maintenance = (v.hcr & kEn) != 0 && maintenance_status(v) != 0;
  if (v.maintenance != maintenance) {
    v.maintenance = maintenance;
    core_.set_ppi(cpu, kMaintenanceIntid, maintenance);
  }
}

// --- what the guest does with them ---------------------------------------------------------------

uint32_t VirtualInterface::acknowledge(VirtualCpu& v, unsigned cpu, unsigned group) {
  const int best = best_pending(v);
  if (best < 0) return kSpurious;
  ListRegister& lr = v.list[best];
  if (lr.group() != group || !can_preempt(v, lr)) return kSpurious;
  const uint32_t intid = lr.intid();
  lr.bits &= ~ListRegister::kPending;
  // Of a special INTID nothing becomes active.
  if (!is_special(intid)) {
    lr.bits |= ListRegister::kActive;
    const uint8_t running = group_priority(v.vmcr, lr.priority(), group);
    v.active_priorities[group] |= 1u << (running >> (8 - kPriorityBits));
  }
  update(v, cpu);
  return is_special(intid) ? kSpurious : intid;
}

// The priority drops first; what then ends must be of that group and priority.
void VirtualInterface::end_of_interrupt(VirtualCpu& v, unsigned cpu, uint32_t intid,
                                        unsigned group) {
  if (is_special(intid)) return;
  const uint32_t all = v.active_priorities[0] | v.active_priorities[1];
  if (all == 0) return;
  const unsigned dropped = static_cast<unsigned>(std::countr_zero(all));
  const unsigned of_group = (v.active_priorities[0] >> dropped & 1) != 0 ? 0 : 1;
  v.active_priorities[of_group] &= ~(1u << dropped);

  const int index = find_active(v, intid);
  if (index < 0) {
    // It counts what would have been deactivated: with EOImode 1 that is DIR's business.
    if (intid < kFirstLpi && (v.vmcr & kVeoim) == 0) v.hcr += 1u << kEoiCountShift;
  } else {
    ListRegister& lr = v.list[index];
    const unsigned own = group_priority(v.vmcr, lr.priority(), lr.group()) >> (8 - kPriorityBits);
    const bool matches = lr.group() == group && own == dropped;
    if (matches && ((v.vmcr & kVeoim) == 0 || intid >= kFirstLpi)) deactivate(cpu, lr);
  }
  update(v, cpu);
}

void VirtualInterface::deactivate(unsigned cpu, ListRegister& lr) {
  lr.bits &= ~ListRegister::kActive;
  if (!lr.hw()) return;
  const uint32_t intid = lr.physical_intid();
  if (intid >= kFirstSpecial) return;
  std::lock_guard lock(core_.mutex);
  core_.deactivate(core_.cpus[cpu], intid);
}

void VirtualInterface::set_vmcr(VirtualCpu& v, uint32_t value) {
  const uint32_t bpr0 = std::max<uint32_t>(vbpr0(value), kMinBpr0);
  const uint32_t bpr1 = std::max<uint32_t>(vbpr1(value), kMinBpr1);
  v.vmcr = (value & kVmcrPlain) | kVfiqen | bpr0 << kVbpr0Shift | bpr1 << kVbpr1Shift |
           uint32_t{static_cast<uint8_t>(vpmr(value) & kPriorityMask)} << kVpmrShift;
}

bool VirtualInterface::read_icv(SysregId id, VirtualCpu& v, unsigned cpu, uint64_t& value) {
  switch (id) {
    case icv_id(kIccIar0):
      value = acknowledge(v, cpu, 0);
      return true;
    case icv_id(kIccIar1):
      value = acknowledge(v, cpu, 1);
      return true;
    case icv_id(kIccHppir0):
    case icv_id(kIccHppir1): {
      const int best = best_pending(v);
      const unsigned group = id == icv_id(kIccHppir1);
      value = best >= 0 && v.list[best].group() == group ? v.list[best].intid() : kSpurious;
      return true;
    }
    case icv_id(kIccPmr):
      value = vpmr(v.vmcr);
      return true;
    case icv_id(kIccBpr0):
      value = vbpr0(v.vmcr);
      return true;
    case icv_id(kIccBpr1):
      value = (v.vmcr & kVcbpr) != 0 ? std::min(vbpr0(v.vmcr) + 1, 7u) : vbpr1(v.vmcr);
      return true;
    case icv_id(kIccCtlr):
      value = kCtlrReadOnly | ((v.vmcr & kVcbpr) != 0 ? kCtlrCbpr : 0) |
              ((v.vmcr & kVeoim) != 0 ? kCtlrEoiMode : 0);
      return true;
    case icv_id(kIccIgrpen0):
      value = (v.vmcr & kVeng0) != 0;
      return true;
    case icv_id(kIccIgrpen1):
      value = (v.vmcr & kVeng1) != 0;
      return true;
    case icv_id(kIccRpr): {
      const uint32_t all = v.active_priorities[0] | v.active_priorities[1];
      value = all == 0 ? kIdlePriority : std::countr_zero(all) << (8 - kPriorityBits);
      return true;
    }
    case icv_id(kIccAp0r0):
      value = v.active_priorities[0];
      return true;
    case icv_id(kIccAp1r0):
      value = v.active_priorities[1];
      return true;
    default:
      return false;
  }
}

bool VirtualInterface::write_icv(SysregId id, VirtualCpu& v, unsigned cpu, uint64_t value) {
  const auto vmcr_field = [&](uint32_t mask, uint32_t bits) {
    set_vmcr(v, (v.vmcr & ~mask) | (bits & mask));
  };
  const auto low = static_cast<uint32_t>(value);
  switch (id) {
    case icv_id(kIccEoir0):
    case icv_id(kIccEoir1):
      end_of_interrupt(v, cpu, low & kIntidMask, id == icv_id(kIccEoir1));
      return true;
    case icv_id(kIccDir): {
      if ((v.vmcr & kVeoim) == 0 || is_special(low & kIntidMask)) return true;
      const int index = find_active(v, low & kIntidMask);
      if (index >= 0) {
        deactivate(cpu, v.list[index]);
      } else if ((low & kIntidMask) < kFirstLpi) {
        v.hcr += 1u << kEoiCountShift;
      }
      break;
    }
    case icv_id(kIccPmr):
      vmcr_field(0xffu << kVpmrShift, low << kVpmrShift);
      break;
    case icv_id(kIccBpr0):
      vmcr_field(7u << kVbpr0Shift, low << kVbpr0Shift);
      break;
    case icv_id(kIccBpr1):
      if ((v.vmcr & kVcbpr) == 0) vmcr_field(7u << kVbpr1Shift, low << kVbpr1Shift);
      break;
    case icv_id(kIccCtlr):
      vmcr_field(kVcbpr | kVeoim, ((low & kCtlrCbpr) != 0 ? kVcbpr : 0u) |
                                      ((low & kCtlrEoiMode) != 0 ? kVeoim : 0u));
      break;
    case icv_id(kIccIgrpen0):
      vmcr_field(kVeng0, (low & 1) != 0 ? kVeng0 : 0u);
      break;
    case icv_id(kIccIgrpen1):
      vmcr_field(kVeng1, (low & 1) != 0 ? kVeng1 : 0u);
      break;
    case icv_id(kIccAp0r0):
      v.active_priorities[0] = low;
      break;
    case icv_id(kIccAp1r0):
      v.active_priorities[1] = low;
      break;
    default:
      return false;
  }
  update(v, cpu);
  return true;
}

// --- what the hypervisor does with them ----------------------------------------------------------

bool VirtualInterface::read(SysregId id, unsigned cpu, uint64_t& value) {
  VirtualCpu& v = cpus_[cpu];
  if (is_icv(id)) return read_icv(id, v, cpu, value);
  if (id >= kIchLr0 && id < kIchLr0 + list_registers_) {
    value = v.list[id - kIchLr0].bits;
    return true;
  }
  switch (id) {
    case kIchHcr:
      value = v.hcr;
      return true;
    case kIchVtr:
      value = kVtr | (list_registers_ - 1);
      return true;
    case kIchVmcr:
      value = v.vmcr;
      return true;
    case kIchMisr:
      value = maintenance_status(v);
      return true;
    case kIchEisr:
      value = told_ends(v);
      return true;
    case kIchElrsr:
      value = empty_ones(v);
      return true;
    case kIchAp0r0:
      value = v.active_priorities[0];
      return true;
    case kIchAp1r0:
      value = v.active_priorities[1];
      return true;
    default:
      return false;
  }
}

bool VirtualInterface::write(SysregId id, unsigned cpu, uint64_t value) {
  VirtualCpu& v = cpus_[cpu];
  if (is_icv(id)) return write_icv(id, v, cpu, value);
  if (id >= kIchLr0 && id < kIchLr0 + list_registers_) {
    v.list[id - kIchLr0].bits = value & kLrWritable;
    update(v, cpu);
    return true;
  }
  switch (id) {
    case kIchHcr:
      v.hcr = static_cast<uint32_t>(value) & kHcrWritable;
      break;
    case kIchVmcr:
      set_vmcr(v, static_cast<uint32_t>(value));
      break;
    case kIchAp0r0:
      v.active_priorities[0] = static_cast<uint32_t>(value);
      break;
    case kIchAp1r0:
      v.active_priorities[1] = static_cast<uint32_t>(value);
      break;
    default:
      return false;
  }
  update(v, cpu);
  return true;
}

void VirtualInterface::save(StateWriter& out) const {
  out.put<uint32_t>(list_registers_);
  if (!present()) return;
  for (unsigned i = 0; i < core_.num_cpus; ++i) {
    const VirtualCpu& v = cpus_[i];
    out.put(v.hcr), out.put(v.vmcr);
    out.put(v.active_priorities[0]), out.put(v.active_priorities[1]);
    for (unsigned n = 0; n < list_registers_; ++n) out.put(v.list[n].bits);
  }
}

bool VirtualInterface::load(StateReader& in) {
  if (in.get<uint32_t>() != list_registers_) return false;
  if (!present()) return in.ok();
  for (unsigned i = 0; i < core_.num_cpus; ++i) {
    VirtualCpu& v = cpus_[i];
    v.hcr = in.get<uint32_t>() & kHcrWritable;
    set_vmcr(v, in.get<uint32_t>());
    v.active_priorities[0] = in.get<uint32_t>();
    v.active_priorities[1] = in.get<uint32_t>();
    for (unsigned n = 0; n < list_registers_; ++n) {
      v.list[n].bits = in.get<uint64_t>() & kLrWritable;
    }
    update(v, i);
  }
  return in.ok();
}

std::string_view VirtualInterface::register_name(SysregId id) {
  struct Name {
    SysregId id;
    std::string_view name;
  };
  static constexpr Name kNames[] = {
      {icv_id(kIccPmr), "ICV_PMR_EL1"},
      {icv_id(kIccIar0), "ICV_IAR0_EL1"},
      {icv_id(kIccIar1), "ICV_IAR1_EL1"},
      {icv_id(kIccEoir0), "ICV_EOIR0_EL1"},
      {icv_id(kIccEoir1), "ICV_EOIR1_EL1"},
      {icv_id(kIccHppir0), "ICV_HPPIR0_EL1"},
      {icv_id(kIccHppir1), "ICV_HPPIR1_EL1"},
      {icv_id(kIccBpr0), "ICV_BPR0_EL1"},
      {icv_id(kIccBpr1), "ICV_BPR1_EL1"},
      {icv_id(kIccCtlr), "ICV_CTLR_EL1"},
      {icv_id(kIccIgrpen0), "ICV_IGRPEN0_EL1"},
      {icv_id(kIccIgrpen1), "ICV_IGRPEN1_EL1"},
      {icv_id(kIccRpr), "ICV_RPR_EL1"},
      {icv_id(kIccDir), "ICV_DIR_EL1"},
      {icv_id(kIccAp0r0), "ICV_AP0R0_EL1"},
      {icv_id(kIccAp1r0), "ICV_AP1R0_EL1"},
      {kIchHcr, "ICH_HCR_EL2"},
      {kIchVtr, "ICH_VTR_EL2"},
      {kIchVmcr, "ICH_VMCR_EL2"},
      {kIchMisr, "ICH_MISR_EL2"},
      {kIchEisr, "ICH_EISR_EL2"},
      {kIchElrsr, "ICH_ELRSR_EL2"},
      {kIchAp0r0, "ICH_AP0R0_EL2"},
      {kIchAp1r0, "ICH_AP1R0_EL2"},
  };
  static constexpr std::string_view kListNames[kMaxListRegisters] = {
      "ICH_LR0_EL2",  "ICH_LR1_EL2",  "ICH_LR2_EL2",  "ICH_LR3_EL2", "ICH_LR4_EL2",  "ICH_LR5_EL2",
      "ICH_LR6_EL2",  "ICH_LR7_EL2",  "ICH_LR8_EL2",  "ICH_LR9_EL2", "ICH_LR10_EL2", "ICH_LR11_EL2",
      "ICH_LR12_EL2", "ICH_LR13_EL2", "ICH_LR14_EL2", "ICH_LR15_EL2"};
  if (id >= kIchLr0 && id < kIchLr0 + kMaxListRegisters) return kListNames[id - kIchLr0];
  for (const Name& each : kNames) {
    if (each.id == id) return each.name;
  }
  return {};
}

}  // namespace trapline::gicv3
