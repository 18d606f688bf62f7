#include "vmm/machine/gic.h"

#include <string>

#include "devices/gicv3/gicv3.h"
#include "vmm/config/platform.h"

namespace trapline {
namespace {

constexpr unsigned kFirstPpi = 16;  // INTID of PPI 0

// The interrupt inputs of a vCPU, as the GIC sees them.
class CpuLine final : public IrqLine {
 public:
  CpuLine(Vcpu& vcpu, bool fiq) : vcpu_(vcpu), fiq_(fiq) {}
  void set(bool level) override { fiq_ ? vcpu_.set_fiq(level) : vcpu_.set_irq(level); }

 private:
  Vcpu& vcpu_;
  bool fiq_;
};

class Gicv3Irqchip final : public Irqchip {
 public:
  explicit Gicv3Irqchip(const std::vector<Vcpu*>& vcpus)
      : gic_(static_cast<unsigned>(vcpus.size()), platform::kSpis), cpus_(vcpus.size()) {
    lines_.reserve(2 * vcpus.size());
    for (unsigned i = 0; i < cpus_; ++i) {
      lines_.emplace_back(*vcpus[i], false);
      lines_.emplace_back(*vcpus[i], true);
      gic_.connect_cpu(i, &lines_[2 * i], &lines_[2 * i + 1]);
    }
  }

  IrqLine& spi(unsigned n) override { return gic_.spi(n); }
  IrqLine& ppi(unsigned cpu, unsigned n) override { return gic_.ppi(cpu, kFirstPpi + n); }
  std::string add_to(Bus& bus) override {
    std::string error = bus.add(platform::kGicd.base, platform::kGicd.size, &gic_.distributor());
    if (!error.empty()) return error;
    return bus.add(platform::kGicr.base, platform::kGicr.size * cpus_, &gic_.redistributors());
  }
  SysregDevice* cpu_interface() override { return &gic_.cpu_interface(); }
  void reset() override {
    gic_.distributor().reset();
    gic_.redistributors().reset();
  }
  void reset_cpu(unsigned cpu) override { gic_.reset_cpu_interface(cpu); }
  bool can_signal(unsigned cpu) const override { return gic_.can_signal(cpu); }

 private:
  Gicv3 gic_;
  size_t cpus_;
  std::vector<CpuLine> lines_;
};

}  // namespace

std::unique_ptr<Irqchip> make_gicv3(const std::vector<Vcpu*>& vcpus) {
  return std::make_unique<Gicv3Irqchip>(vcpus);
}

}  // namespace trapline
