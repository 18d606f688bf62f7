// The joint to an interrupt controller: ours, or the one in a host's kernel.
#ifndef TRAPLINE_VMM_VCPU_IRQCHIP_H_
#define TRAPLINE_VMM_VCPU_IRQCHIP_H_

#include <string>

#include "mmio/bus.h"
#include "mmio/irq_line.h"
#include "mmio/sysreg.h"

namespace trapline {

class Irqchip {
 public:
  virtual ~Irqchip() = default;
  // The input of SPI n, which is INTID 32 + n, and of a CPU's PPI n, INTID 16 + n. Any thread.
  virtual IrqLine& spi(unsigned n) = 0;
  virtual IrqLine& ppi(unsigned cpu, unsigned n) = 0;
  // Puts the registers on the bus, at assembly; nothing if the kernel answers for them. One line if
  // that does not do.
  virtual std::string add_to(Bus& bus) = 0;
  // ICC_*; null: they never exit.
  virtual SysregDevice* cpu_interface() = 0;
  // As at power-on. With all vCPUs stopped.
  virtual void reset() = 0;
  // PSCI CPU_ON: one CPU's interface.
  virtual void reset_cpu(unsigned cpu) = 0;
  // False: no interrupt can reach the CPU until it, or another one, sets up the controller anew.
  virtual bool can_signal(unsigned cpu) const = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_IRQCHIP_H_
