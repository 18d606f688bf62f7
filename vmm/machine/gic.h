// Our own GICv3 as the machine's interrupt controller.
#ifndef TRAPLINE_VMM_MACHINE_GIC_H_
#define TRAPLINE_VMM_MACHINE_GIC_H_

#include <memory>
#include <vector>

#include "vmm/stats/irq_probe.h"
#include "vmm/vcpu/irqchip.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

// Its CPU interfaces drive the vCPUs' interrupt inputs; the vCPUs outlive it.
// `probe`: notes when lines rise; null: nobody asks. `list_registers`: of the virtual CPU
// interface; 0: the vCPUs have no EL2.
std::unique_ptr<Irqchip> make_gicv3(const std::vector<Vcpu*>& vcpus, IrqProbe* probe,
                                    unsigned list_registers = 0);

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_GIC_H_
