#include "vmm/kvm/vits.h"

#include <linux/kvm.h>

#include "vmm/config/platform.h"

namespace trapline::kvm {
namespace {

constexpr uint64_t kControlFrame = 0x1'0000;  // bytes
constexpr uint64_t kFirst64 = 8;              // below: GITS_CTLR, GITS_IIDR

}  // namespace

std::unique_ptr<Vits> Vits::create(const File& vm, Outside outside) {
  kvm_create_device made{KVM_DEV_TYPE_ARM_VGIC_ITS, 0, 0};
  if (vm.call(KVM_CREATE_DEVICE, &made) != 0) return nullptr;
  File device(static_cast<int>(made.fd));
  uint64_t base = platform::kIts.base;
  if (!set_attribute(device, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &base) ||
      !set_attribute(device, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, nullptr)) {
    return nullptr;
  }
  return std::unique_ptr<Vits>(new Vits(vm, std::move(device), std::move(outside)));
}

// The kernel compares the address with GITS_TRANSLATER's.
void Vits::message(uint32_t device_id, uint64_t address, uint32_t data) {
  kvm_msi msi{};
  msi.address_lo = static_cast<uint32_t>(address);
  msi.address_hi = static_cast<uint32_t>(address >> 32);
  msi.data = data;
  msi.flags = KVM_MSI_VALID_DEVID;
  msi.devid = device_id;
  vm_.call(KVM_SIGNAL_MSI, &msi);
}

bool Vits::access(unsigned long request, uint64_t offset, uint64_t& value) const {
  kvm_device_attr attr{0, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset,
                       reinterpret_cast<uint64_t>(&value)};
  return device_.call(request, &attr) == 0;
}

MmioResult Vits::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  if (offset >= kControlFrame || size < 4 || offset % size != 0) return {};
  const uint64_t start = offset < kFirst64 ? offset : offset / 8 * 8;
  uint64_t value = 0;
  outside_([&] { access(KVM_GET_DEVICE_ATTR, start, value); });
  value >>= (offset - start) * 8;
  return {size == 4 ? static_cast<uint32_t>(value) : value};
}

MmioResult Vits::write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) {
  if (offset >= kControlFrame || size < 4 || offset % size != 0) return {};
  const uint64_t start = offset < kFirst64 ? offset : offset / 8 * 8;
  outside_([&] {
    if (size == 4 && offset >= kFirst64) {
      const unsigned shift = (offset - start) * 8;
      uint64_t all = 0;
      if (!access(KVM_GET_DEVICE_ATTR, start, all)) return;
      const uint64_t mask = uint64_t{0xffff'ffff} << shift;
      value = (all & ~mask) | (value << shift & mask);
    }
    access(KVM_SET_DEVICE_ATTR, start, value);
  });
  return {};
}

void Vits::reset() {
  set_attribute(device_, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_ITS_CTRL_RESET, nullptr);
}

}  // namespace trapline::kvm
