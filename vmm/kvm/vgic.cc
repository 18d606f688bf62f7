#include "vmm/kvm/vgic.h"

#include <linux/kvm.h>

#include <cerrno>
#include <mutex>
#include <thread>
#include <utility>

#include "vmm/config/platform.h"
#include "vmm/kvm/vits.h"

namespace trapline::kvm {
namespace {

constexpr unsigned kFirstSpi = 32;

// The CPU interface, as KVM takes its registers: by their encoding.
constexpr SysregId kIccPmr = sysreg_id(3, 0, 4, 6, 0), kIccBpr0 = sysreg_id(3, 0, 12, 8, 3),
                   kIccBpr1 = sysreg_id(3, 0, 12, 12, 3), kIccCtlr = sysreg_id(3, 0, 12, 12, 4),
                   kIccIgrpen0 = sysreg_id(3, 0, 12, 12, 6),
                   kIccIgrpen1 = sysreg_id(3, 0, 12, 12, 7), kIccAp0r0 = sysreg_id(3, 0, 12, 8, 4),
                   kIccAp1r0 = sysreg_id(3, 0, 12, 9, 0);

}  // namespace

// --- the kernel's device -------------------------------------------------------------------------

bool set_attribute(const File& device, uint32_t group, uint64_t attribute, void* value) {
  kvm_device_attr attr{0, group, attribute, reinterpret_cast<uint64_t>(value)};
  return device.call(KVM_SET_DEVICE_ATTR, &attr) == 0;
}

std::string Vgic::create(const File& vm, unsigned cpus, unsigned spis, std::unique_ptr<Vgic>& out) {
  kvm_create_device made{KVM_DEV_TYPE_ARM_VGIC_V3, 0, 0};
  if (vm.call(KVM_CREATE_DEVICE, &made) != 0) return failed("no in-kernel GICv3");
  File device(static_cast<int>(made.fd));
  const auto set = [&](uint32_t group, uint64_t attribute, void* value) {
    return set_attribute(device, group, attribute, value);
  };
  auto irqs = static_cast<uint32_t>(kFirstSpi + spis);
  uint64_t distributor = platform::kGicd.base, redistributors = platform::kGicr.base;
  if (!set(KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs) ||
      !set(KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &distributor) ||
      !set(KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redistributors) ||
      !set(KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, nullptr)) {
    return failed("the in-kernel GICv3 refuses its place");
  }
  out.reset(new Vgic(std::move(device), cpus, spis));
  return {};
}

// EBUSY: another thread is in an ioctl of a vCPU's, which ends soon.
int Vgic::access(unsigned long request, VgicGroup group, unsigned cpu, uint64_t offset,
                 uint64_t& value) const {
  constexpr unsigned kPatience = 100'000;
  // The vCPU's affinity is in the upper half; with at most 16 vCPUs it is its number.
  kvm_device_attr attr{0, static_cast<uint32_t>(group), uint64_t{cpu} << 32 | offset,
                       reinterpret_cast<uint64_t>(&value)};
  if (group == VgicGroup::kLevel) {
    attr.attr |= uint64_t{VGIC_LEVEL_INFO_LINE_LEVEL} << KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;
  }
  for (unsigned tries = 0;; ++tries) {
    const int result = device_.call(request, &attr);
    if (result == 0 || errno != EBUSY || tries == kPatience) return result;
    std::this_thread::yield();
  }
}

uint64_t Vgic::get(VgicGroup group, unsigned cpu, uint64_t offset) const {
  uint64_t value = 0;
  access(KVM_GET_DEVICE_ATTR, group, cpu, offset, value);
  return value;
}

void Vgic::set(VgicGroup group, unsigned cpu, uint64_t offset, uint64_t value) const {
  access(KVM_SET_DEVICE_ATTR, group, cpu, offset, value);
}

// --- GICD and GICR without a syndrome ------------------------------------------------------------

namespace {

class VgicWindow final : public Device {
 public:
  VgicWindow(const Vgic& vgic, VgicGroup group, Outside outside)
      : frames_(vgic, group),
        name_(group == VgicGroup::kDistributor ? "gicd" : "gicr"),
        outside_(std::move(outside)) {}

  MmioResult read(uint64_t offset, unsigned size, unsigned /*vcpu*/) override {
    uint64_t value = 0;
    outside_([&] { value = frames_.read(offset, size); });
    return {value};
  }
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) override {
    outside_([&] { frames_.write(offset, size, value); });
    return {};
  }
  bool accepts(uint64_t offset, unsigned size, bool /*write*/) const override {
    return VgicFrames::accepts(offset, size);
  }

  void reset() override {}
  void save(StateWriter& /*out*/) const override {}
  bool load(StateReader& /*in*/) override { return true; }
  std::string_view name() const override { return name_; }

 private:
  VgicFrames frames_;
  std::string_view name_;
  Outside outside_;
};

// --- lines ---------------------------------------------------------------------------------------

class SpiLine final : public IrqLine {
 public:
  SpiLine(const File& vm, unsigned n) : vm_(vm), intid_(kFirstSpi + n) {}
  // Who drives a line does so under a lock of its own.
  void set(bool level) override {
    if (level_.exchange(level, std::memory_order_relaxed) == level) return;
    kvm_irq_level irq{};
    irq.irq = uint32_t{KVM_ARM_IRQ_TYPE_SPI} << KVM_ARM_IRQ_TYPE_SHIFT | intid_;
    irq.level = level ? 1 : 0;
    vm_.call(KVM_IRQ_LINE, &irq);
  }

 private:
  const File& vm_;
  unsigned intid_;
  std::atomic<bool> level_{false};
};

// The timers drive their inputs inside the kernel.
class NoLine final : public IrqLine {
 public:
  void set(bool /*level*/) override {}
};

class VgicIrqchip final : public Irqchip {
 public:
  VgicIrqchip(const File& vm, const Vgic& vgic, const Outside& outside)
      : vm_(vm),
        vgic_(vgic),
        outside_(outside),
        distributor_(vgic, VgicGroup::kDistributor, outside),
        redistributors_(vgic, VgicGroup::kRedistributor, outside) {
    for (unsigned i = 0; i < vgic.spis(); ++i) spis_.push_back(std::make_unique<SpiLine>(vm, i));
  }

  IrqLine& spi(unsigned n) override { return *spis_[n]; }
  IrqLine& ppi(unsigned /*cpu*/, unsigned /*n*/) override { return no_line_; }
  std::string add_to(Bus& bus) override {
    std::string error = bus.add(platform::kGicd.base, platform::kGicd.size, &distributor_);
    if (!error.empty()) return error;
    return bus.add(platform::kGicr.base, platform::kGicr.size * vgic_.cpus(), &redistributors_);
  }
  MessageUnit add_message_unit(Dma& /*dma*/, Clock& /*clock*/) override {
    its_ = Vits::create(vm_, outside_);
    return {its_.get(), its_.get()};
  }
  SysregDevice* cpu_interface() override { return nullptr; }
  void reset() override;
  void reset_cpu(unsigned /*cpu*/) override {}  // PSCI's business, and the kernel's
  bool can_signal(unsigned /*cpu*/) const override { return true; }

 private:
  const File& vm_;
  const Vgic& vgic_;
  const Outside outside_;
  VgicWindow distributor_, redistributors_;
  std::unique_ptr<Vits> its_;
  std::vector<std::unique_ptr<SpiLine>> spis_;
  NoLine no_line_;
};

// The kernel has no reset of its own: what a guest can write is written.
void VgicIrqchip::reset() {
  using Group = VgicGroup;
  constexpr uint64_t kAll = 0xffff'ffff;
  constexpr unsigned kBits = 32, kPriorities = 4, kConfigs = 16;  // interrupts a word
  vgic_.set(Group::kDistributor, 0, gic::kCtlr, 0);
  const auto bank = [&](Group group, unsigned cpu, uint64_t base, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i += kBits) {
      const uint64_t word = i / 8;
      vgic_.set(group, cpu, base + gic::kIcenabler + word, kAll);
      vgic_.set(group, cpu, base + gic::kIspendr + word, 0);
      vgic_.set(group, cpu, base + gic::kIcactiver + word, kAll);
      vgic_.set(group, cpu, base + gic::kIgroupr + word, kAll);
    }
    for (unsigned i = first; i < end; i += kPriorities) {
      vgic_.set(group, cpu, base + gic::kIpriorityr + i, 0);
    }
    // SGIs are edges.
    for (unsigned i = first == 0 ? kConfigs : first; i < end; i += kConfigs) {
      vgic_.set(group, cpu, base + gic::kIcfgr + i / 4, 0);
    }
  };
  bank(Group::kDistributor, 0, 0, kFirstSpi, kFirstSpi + vgic_.spis());
  for (unsigned i = 0; i < vgic_.spis(); ++i) {
    vgic_.set(Group::kDistributor, 0, gic::kIrouter + uint64_t{8} * (kFirstSpi + i), 0);
  }
  for (unsigned cpu = 0; cpu < vgic_.cpus(); ++cpu) {
    vgic_.set(Group::kRedistributor, cpu, gic::kCtlr, 0);  // EnableLPIs
    bank(Group::kRedistributor, cpu, gic::kSgiFrame, 0, kFirstSpi);
    for (const SysregId id :
         {kIccPmr, kIccBpr0, kIccBpr1, kIccIgrpen0, kIccIgrpen1, kIccAp0r0, kIccAp1r0}) {
      vgic_.set(Group::kCpu, cpu, id, 0);
    }
    // Of ICC_CTLR_EL1 EOImode and CBPR can be written; the rest must be what it is.
    constexpr uint64_t kWritable = 3;
    vgic_.set(Group::kCpu, cpu, kIccCtlr, vgic_.get(Group::kCpu, cpu, kIccCtlr) & ~kWritable);
  }
}

}  // namespace

std::unique_ptr<Irqchip> make_vgic_irqchip(const File& vm, const Vgic& vgic, Outside outside) {
  return std::make_unique<VgicIrqchip>(vm, vgic, outside);
}

}  // namespace trapline::kvm
