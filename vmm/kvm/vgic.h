// The kernel's GICv3 (Linux's Documentation/virt/kvm/devices/arm-vgic-v3.rst) as the machine's
// interrupt controller.
#ifndef TRAPLINE_VMM_KVM_VGIC_H_
#define TRAPLINE_VMM_KVM_VGIC_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mmio/device.h"
#include "vmm/kvm/file.h"
#include "vmm/kvm/uapi/vgic_frames.h"
#include "vmm/vcpu/irqchip.h"

namespace trapline::kvm {

// KVM_SET_DEVICE_ATTR.
bool set_attribute(const File& device, uint32_t group, uint64_t attribute, void* value);

// Its registers from user space. Callers hold all vCPUs outside KVM_RUN.
class Vgic final : public VgicAttributes {
 public:
  // Distributor and redistributors at the platform's addresses. One line if the kernel refuses.
  static std::string create(const File& vm, unsigned cpus, unsigned spis,
                            std::unique_ptr<Vgic>& out);

  uint64_t get(VgicGroup group, unsigned cpu, uint64_t offset) const override;
  void set(VgicGroup group, unsigned cpu, uint64_t offset, uint64_t value) const override;

  unsigned cpus() const { return cpus_; }
  unsigned spis() const { return spis_; }

 private:
  Vgic(File device, unsigned cpus, unsigned spis)
      : device_(std::move(device)), cpus_(cpus), spis_(spis) {}
  int access(unsigned long request, VgicGroup group, unsigned cpu, uint64_t offset,
             uint64_t& value) const;

  File device_;
  unsigned cpus_, spis_;
};

// `with_all_outside(work)` does the work while no vCPU is in KVM_RUN.
using Outside = std::function<void(const std::function<void()>& work)>;

std::unique_ptr<Irqchip> make_vgic_irqchip(const File& vm, const Vgic& vgic, Outside outside);

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_VGIC_H_
