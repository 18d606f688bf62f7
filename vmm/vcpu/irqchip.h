// The joint to an interrupt controller: ours, or the one in a host's kernel.
#ifndef TRAPLINE_VMM_VCPU_IRQCHIP_H_
#define TRAPLINE_VMM_VCPU_IRQCHIP_H_

#include <string>

#include "mmio/bus.h"
#include "mmio/irq_line.h"
#include "mmio/state.h"
#include "mmio/sysreg.h"

namespace trapline {

class Clock;
class Dma;
class MsiTarget;

class Irqchip {
 public:
  virtual ~Irqchip() = default;
  // The input of SPI n, which is INTID 32 + n, and of a CPU's PPI n, INTID 16 + n. Any thread.
  virtual IrqLine& spi(unsigned n) = 0;
  virtual IrqLine& ppi(unsigned cpu, unsigned n) = 0;
  // Puts the registers on the bus, at assembly; nothing if the kernel answers for them. One line if
  // that does not do.
  virtual std::string add_to(Bus& bus) = 0;
  // At assembly, once: makes what turns messages of PCI functions into interrupts, for the bus and
  // to be reset, saved and loaded with the devices. None: they have their lines alone.
  struct MessageUnit {
    Device* device = nullptr;
    MsiTarget* target = nullptr;
  };
  virtual MessageUnit add_message_unit(Dma& /*dma*/, Clock& /*clock*/) { return {}; }
  // ICC_*; null: they never exit.
  virtual SysregDevice* cpu_interface() = 0;
  // As at power-on. With all vCPUs stopped.
  virtual void reset() = 0;
  // PSCI CPU_ON: one CPU's interface.
  virtual void reset_cpu(unsigned cpu) = 0;
  // False: no interrupt can reach the CPU until it, or another one, sets up the controller anew.
  virtual bool can_signal(unsigned cpu) const = 0;
  // All of it, line levels too. With all vCPUs stopped; load() before the devices', whose lines may
  // have changed since. One that cannot is asked for neither: Backend::why_no_state().
  virtual void save(StateWriter& /*out*/) {}
  virtual bool load(StateReader& /*in*/) { return false; }
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_IRQCHIP_H_
