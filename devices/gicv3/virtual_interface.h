// GICv3 virtualisation (IHI 0069, 6 and 12.4): list registers that a hypervisor fills (ICH_*_EL2),
// and the CPU interface that its guest sees through them (ICV_*).
//
// All of it is one CPU's own and touched by that CPU's thread alone: no lock, but where HW=1
// deactivates a physical interrupt, and where the maintenance interrupt's line is set.
#ifndef TRAPLINE_DEVICES_GICV3_VIRTUAL_INTERFACE_H_
#define TRAPLINE_DEVICES_GICV3_VIRTUAL_INTERFACE_H_

#include <cstdint>
#include <string_view>

#include "devices/gicv3/core.h"
#include "mmio/irq_line.h"
#include "mmio/state.h"
#include "mmio/sysreg.h"

namespace trapline::gicv3 {

// ICH_LR<n>_EL2 (12.4.9).
struct ListRegister {
  static constexpr uint64_t kPending = uint64_t{1} << 62, kActive = uint64_t{1} << 63;
  static constexpr uint64_t kHw = uint64_t{1} << 61, kGroup = uint64_t{1} << 60;
  static constexpr uint64_t kEoi = uint64_t{1} << 41;  // with HW=0: tell the end of it
  static constexpr uint64_t kStateMask = kPending | kActive;

  uint64_t bits = 0;

  bool invalid() const { return (bits & kStateMask) == 0; }
  bool only_pending() const { return (bits & kStateMask) == kPending; }
  bool active() const { return (bits & kActive) != 0; }
  bool hw() const { return (bits & kHw) != 0; }
  unsigned group() const { return bits >> 60 & 1; }
  uint8_t priority() const { return static_cast<uint8_t>(bits >> 48); }
  uint32_t intid() const { return static_cast<uint32_t>(bits); }
  uint32_t physical_intid() const { return bits >> 32 & 0x1fff; }
  // It is done, and its hypervisor wants to hear of it.
  bool end_to_be_told() const { return invalid() && !hw() && (bits & kEoi) != 0; }
};

class VirtualInterface final {
 public:
  static constexpr unsigned kMaxListRegisters = 16;

  // How many list registers there are; 0: there is no EL2, and no register of these.
  VirtualInterface(Core& core, unsigned list_registers)
      : core_(core), list_registers_(list_registers) {
    for (VirtualCpu& v : cpus_) set_vmcr(v, 0);
  }

  bool present() const { return list_registers_ != 0; }
  // Where a CPU's virtual IRQ and FIQ go.
  void connect_cpu(unsigned cpu, IrqLine* irq, IrqLine* fiq);
  void reset(unsigned cpu);

  bool read(SysregId id, unsigned cpu, uint64_t& value);
  bool write(SysregId id, unsigned cpu, uint64_t value);
  static std::string_view register_name(SysregId id);

  void save(StateWriter& out) const;
  bool load(StateReader& in);  // false: of another number of list registers

 private:
  struct alignas(64) VirtualCpu {
    uint32_t hcr = 0;                    // ICH_HCR_EL2
    uint32_t vmcr = 0;                   // ICH_VMCR_EL2
    uint32_t active_priorities[2] = {};  // ICH_AP0R0_EL2, ICH_AP1R0_EL2
    bool signalled[2] = {};              // virtual FIQ, IRQ
    bool maintenance = false;
    IrqLine* lines[2] = {};
    ListRegister list[kMaxListRegisters];
  };

  bool read_icv(SysregId id, VirtualCpu& v, unsigned cpu, uint64_t& value);
  bool write_icv(SysregId id, VirtualCpu& v, unsigned cpu, uint64_t value);
  int best_pending(const VirtualCpu& v) const;
  int find_active(const VirtualCpu& v, uint32_t intid) const;
  bool can_preempt(const VirtualCpu& v, const ListRegister& lr) const;
  uint32_t acknowledge(VirtualCpu& v, unsigned cpu, unsigned group);
  void end_of_interrupt(VirtualCpu& v, unsigned cpu, uint32_t intid, unsigned group);
  void deactivate(unsigned cpu, ListRegister& lr);
  static void set_vmcr(VirtualCpu& v, uint32_t value);
  uint32_t maintenance_status(const VirtualCpu& v) const;
  uint32_t told_ends(const VirtualCpu& v) const;
  uint32_t empty_ones(const VirtualCpu& v) const;
  // After a change: the lines.
  void update(VirtualCpu& v, unsigned cpu);

  Core& core_;
  const unsigned list_registers_;
  VirtualCpu cpus_[kMaxCpus];
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_VIRTUAL_INTERFACE_H_
