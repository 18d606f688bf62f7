// The kernel's ITS (Linux's Documentation/virt/kvm/devices/arm-vgic-its.rst): where messages of the
// machine's PCI functions go, and its registers for accesses that the hardware does not describe.
#ifndef TRAPLINE_VMM_KVM_VITS_H_
#define TRAPLINE_VMM_KVM_VITS_H_

#include <memory>

#include "mmio/device.h"
#include "mmio/msi.h"
#include "vmm/kvm/file.h"
#include "vmm/kvm/vgic.h"

namespace trapline::kvm {

class Vits final : public Device, public MsiTarget {
 public:
  // At the platform's address, after the vGIC and before a vCPU runs; null if the kernel has none.
  static std::unique_ptr<Vits> create(const File& vm, Outside outside);

  void message(uint32_t device_id, uint64_t address, uint32_t data) override;

  // Of the control frame's 64-bit registers, and words of them; the others are RAZ/WI.
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& /*out*/) const override {}  // Backend::why_no_state()
  bool load(StateReader& /*in*/) override { return true; }
  std::string_view name() const override { return "its"; }

 private:
  Vits(const File& vm, File device, Outside outside)
      : vm_(vm), device_(std::move(device)), outside_(std::move(outside)) {}
  bool access(unsigned long request, uint64_t offset, uint64_t& value) const;

  const File& vm_;
  File device_;
  Outside outside_;
};

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_VITS_H_
