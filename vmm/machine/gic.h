// Our own GICv3 as the machine's interrupt controller.
#ifndef TRAPLINE_VMM_MACHINE_GIC_H_
#define TRAPLINE_VMM_MACHINE_GIC_H_

#include <memory>
#include <vector>

#include "vmm/vcpu/irqchip.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

// Its CPU interfaces drive the vCPUs' interrupt inputs; the vCPUs outlive it.
std::unique_ptr<Irqchip> make_gicv3(const std::vector<Vcpu*>& vcpus);

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_GIC_H_
