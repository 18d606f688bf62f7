#include "vmm/kvm/vgic.h"

#include <linux/kvm.h>

#include <cerrno>
#include <mutex>
#include <thread>
#include <utility>

#include "vmm/config/platform.h"

namespace trapline::kvm {
namespace {

constexpr unsigned kFirstSpi = 32, kWord = 4;

// Offsets in the distributor and, of SGIs and PPIs, in a redistributor's SGI frame (GICv3
// specification, IHI 0069, 12.8 and 12.11).
enum Offset : uint64_t {
  kCtlr = 0x0,
  kStatusr = 0x10,
  kIgroupr = 0x80,
  kIcenabler = 0x180,
  kIspendr = 0x200,
  kIcpendr = 0x280,
  kEndOfPending = 0x300,
  kIcactiver = 0x380,
  kIpriorityr = 0x400,
  kIcfgr = 0xc00,
  kIrouter = 0x6000,
};
constexpr uint64_t kSgiFrame = 0x1'0000;  // of a redistributor

// The CPU interface, as KVM takes its registers: by their encoding.
constexpr SysregId kIccPmr = sysreg_id(3, 0, 4, 6, 0), kIccBpr0 = sysreg_id(3, 0, 12, 8, 3),
                   kIccBpr1 = sysreg_id(3, 0, 12, 12, 3), kIccCtlr = sysreg_id(3, 0, 12, 12, 4),
                   kIccIgrpen0 = sysreg_id(3, 0, 12, 12, 6),
                   kIccIgrpen1 = sysreg_id(3, 0, 12, 12, 7), kIccAp0r0 = sysreg_id(3, 0, 12, 8, 4),
                   kIccAp1r0 = sysreg_id(3, 0, 12, 9, 0);

}  // namespace

// --- the kernel's device -------------------------------------------------------------------------

std::string Vgic::create(const File& vm, unsigned cpus, unsigned spis, std::unique_ptr<Vgic>& out) {
  kvm_create_device made{KVM_DEV_TYPE_ARM_VGIC_V3, 0, 0};
  if (vm.call(KVM_CREATE_DEVICE, &made) != 0) return failed("no in-kernel GICv3");
  File device(static_cast<int>(made.fd));
  const auto set = [&](uint32_t group, uint64_t attribute, void* value) {
    kvm_device_attr attr{0, group, attribute, reinterpret_cast<uint64_t>(value)};
    return device.call(KVM_SET_DEVICE_ATTR, &attr) == 0;
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
int Vgic::access(unsigned long request, Group group, unsigned cpu, uint64_t offset,
                 uint64_t& value) const {
  constexpr unsigned kPatience = 100'000;
  // The vCPU's affinity is in the upper half; with at most 16 vCPUs it is its number.
  kvm_device_attr attr{0, static_cast<uint32_t>(group), uint64_t{cpu} << 32 | offset,
                       reinterpret_cast<uint64_t>(&value)};
  if (group == Group::kLevel) {
    attr.attr |= uint64_t{VGIC_LEVEL_INFO_LINE_LEVEL} << KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;
  }
  for (unsigned tries = 0;; ++tries) {
    const int result = device_.call(request, &attr);
    if (result == 0 || errno != EBUSY || tries == kPatience) return result;
    std::this_thread::yield();
  }
}

uint64_t Vgic::get(Group group, unsigned cpu, uint64_t offset) const {
  uint64_t value = 0;
  access(KVM_GET_DEVICE_ATTR, group, cpu, offset, value);
  return value;
}

void Vgic::set(Group group, unsigned cpu, uint64_t offset, uint64_t value) const {
  access(KVM_SET_DEVICE_ATTR, group, cpu, offset, value);
}

// --- GICD and GICR without a syndrome ------------------------------------------------------------

namespace {

// Accesses that the hardware describes never come here: the kernel answers them. What is left goes
// through the attributes, which are no guest accesses: they know words, and some registers mean
// something else there.
class VgicWindow final : public Device {
 public:
  VgicWindow(const Vgic& vgic, Vgic::Group group, Outside outside)
      : vgic_(vgic), group_(group), outside_(std::move(outside)) {}

  MmioResult read(uint64_t offset, unsigned size, unsigned /*vcpu*/) override {
    uint64_t value = 0;
    outside_([&] {
      const uint64_t first = offset & ~uint64_t{kWord - 1};
      for (uint64_t at = first; at < offset + size; at += kWord) {
        value |= read_word(at) << 8 * (at - first);
      }
      value >>= 8 * (offset - first);
    });
    if (size < 8) value &= (uint64_t{1} << 8 * size) - 1;
    return {value};
  }

  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) override {
    outside_([&] {
      if (size >= kWord) {
        for (unsigned at = 0; at < size; at += kWord) {
          write_word(offset + at, static_cast<uint32_t>(value >> 8 * at));
        }
        return;
      }
      // Part of a word: a priority, or a target.
      const uint64_t word = offset & ~uint64_t{kWord - 1};
      const unsigned shift = 8 * static_cast<unsigned>(offset - word);
      const uint64_t mask = ((uint64_t{1} << 8 * size) - 1) << shift;
      write_word(word, static_cast<uint32_t>((read_word(word) & ~mask) | (value << shift & mask)));
    });
    return {};
  }

  // Aligned; parts of words only where registers are bytes.
  bool accepts(uint64_t offset, unsigned size, bool /*write*/) const override {
    return (offset & (size - 1)) == 0 && size != 2;
  }

  void reset() override {}
  void save(StateWriter& /*out*/) const override {}
  bool load(StateReader& /*in*/) override { return true; }
  std::string_view name() const override {
    return group_ == Vgic::Group::kDistributor ? "gicd" : "gicr";
  }

 private:
  struct Place {
    unsigned cpu;
    uint64_t offset;   // as the attributes take it
    uint64_t in_gicd;  // the offset of the distributor's register that is like it, or kCtlr
  };
  Place place(uint64_t offset) const {
    if (group_ == Vgic::Group::kDistributor) return {0, offset, offset};
    const uint64_t in_frames = offset % platform::kGicr.size;
    return {static_cast<unsigned>(offset / platform::kGicr.size), in_frames,
            in_frames >= kSgiFrame ? in_frames - kSgiFrame : uint64_t{kCtlr}};
  }
  static bool is_pending(uint64_t offset) { return offset >= kIspendr && offset < kEndOfPending; }

  uint64_t read_word(uint64_t offset) const {
    const Place p = place(offset);
    if (!is_pending(p.in_gicd)) return vgic_.get(group_, p.cpu, p.offset) & 0xffff'ffff;
    // The attribute has what was latched, and not the lines of level-sensitive inputs.
    const uint64_t bank = p.in_gicd & 0x7f;
    const uint64_t latched =
        vgic_.get(group_, p.cpu, p.offset - p.in_gicd + kIspendr + bank) & 0xffff'ffff;
    const uint64_t intid = bank * 8;
    const uint64_t lines = vgic_.get(Vgic::Group::kLevel, p.cpu, intid) & level_sensitive(p, intid);
    return latched | lines;
  }

  // A mask of the 32 interrupts from `intid` on: ICFGR's upper bit of two is 0.
  uint64_t level_sensitive(const Place& p, uint64_t intid) const {
    uint64_t mask = 0;
    for (unsigned half = 0; half < 2; ++half) {
      const uint64_t config = vgic_.get(
          group_, p.cpu, p.offset - p.in_gicd + kIcfgr + intid / 4 + uint64_t{kWord} * half);
      for (unsigned i = 0; i < 16; ++i) {
        if ((config >> (2 * i + 1) & 1) == 0) mask |= uint64_t{1} << (16 * half + i);
      }
    }
    return mask;
  }

  void write_word(uint64_t offset, uint32_t value) const {
    const Place p = place(offset);
    if (is_pending(p.in_gicd)) {
      // Writing the attribute of ISPENDR sets and clears; that of ICPENDR does nothing.
      const uint64_t base = p.offset - p.in_gicd + kIspendr + (p.in_gicd & 0x7f);
      const uint64_t latched = vgic_.get(group_, p.cpu, base) & 0xffff'ffff;
      const bool clear = p.in_gicd >= kIcpendr;
      vgic_.set(group_, p.cpu, base, clear ? latched & ~uint64_t{value} : latched | value);
      return;
    }
    if (p.offset == kStatusr) {  // a guest's ones clear
      value = static_cast<uint32_t>(vgic_.get(group_, p.cpu, p.offset)) & ~value;
    }
    vgic_.set(group_, p.cpu, p.offset, value);
  }

  const Vgic& vgic_;
  Vgic::Group group_;
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
      : vgic_(vgic),
        distributor_(vgic, Vgic::Group::kDistributor, outside),
        redistributors_(vgic, Vgic::Group::kRedistributor, outside) {
    for (unsigned i = 0; i < vgic.spis(); ++i) spis_.push_back(std::make_unique<SpiLine>(vm, i));
  }

  IrqLine& spi(unsigned n) override { return *spis_[n]; }
  IrqLine& ppi(unsigned /*cpu*/, unsigned /*n*/) override { return no_line_; }
  std::string add_to(Bus& bus) override {
    std::string error = bus.add(platform::kGicd.base, platform::kGicd.size, &distributor_);
    if (!error.empty()) return error;
    return bus.add(platform::kGicr.base, platform::kGicr.size * vgic_.cpus(), &redistributors_);
  }
  SysregDevice* cpu_interface() override { return nullptr; }
  void reset() override;
  void reset_cpu(unsigned /*cpu*/) override {}  // PSCI's business, and the kernel's
  bool can_signal(unsigned /*cpu*/) const override { return true; }

 private:
  const Vgic& vgic_;
  VgicWindow distributor_, redistributors_;
  std::vector<std::unique_ptr<SpiLine>> spis_;
  NoLine no_line_;
};

// The kernel has no reset of its own: what a guest can write is written.
void VgicIrqchip::reset() {
  using Group = Vgic::Group;
  constexpr uint64_t kAll = 0xffff'ffff;
  constexpr unsigned kBits = 32, kPriorities = 4, kConfigs = 16;  // interrupts a word
  vgic_.set(Group::kDistributor, 0, kCtlr, 0);
  const auto bank = [&](Group group, unsigned cpu, uint64_t base, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i += kBits) {
      const uint64_t word = i / 8;
      vgic_.set(group, cpu, base + kIcenabler + word, kAll);
      vgic_.set(group, cpu, base + kIspendr + word, 0);
      vgic_.set(group, cpu, base + kIcactiver + word, kAll);
      vgic_.set(group, cpu, base + kIgroupr + word, kAll);
    }
    for (unsigned i = first; i < end; i += kPriorities) {
      vgic_.set(group, cpu, base + kIpriorityr + i, 0);
    }
    // SGIs are edges.
    for (unsigned i = first == 0 ? kConfigs : first; i < end; i += kConfigs) {
      vgic_.set(group, cpu, base + kIcfgr + i / 4, 0);
    }
  };
  bank(Group::kDistributor, 0, 0, kFirstSpi, kFirstSpi + vgic_.spis());
  for (unsigned i = 0; i < vgic_.spis(); ++i) {
    vgic_.set(Group::kDistributor, 0, kIrouter + uint64_t{8} * (kFirstSpi + i), 0);
  }
  for (unsigned cpu = 0; cpu < vgic_.cpus(); ++cpu) {
    bank(Group::kRedistributor, cpu, kSgiFrame, 0, kFirstSpi);
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
