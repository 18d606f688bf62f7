#include "vmm/machine/gic.h"

#include <atomic>
#include <string>

#include "devices/gicv3/gicv3.h"
#include "devices/gicv3/its.h"
#include "vmm/config/platform.h"

namespace trapline {
namespace {

constexpr unsigned kFirstPpi = 16, kFirstSpi = 32;  // INTIDs of PPI 0 and SPI 0

// The interrupt inputs of a vCPU, as the GIC sees them.
class CpuLine final : public IrqLine {
 public:
  using Input = void (Vcpu::*)(bool level);
  CpuLine(Vcpu& vcpu, Input input) : vcpu_(vcpu), input_(input) {}
  void set(bool level) override { (vcpu_.*input_)(level); }

 private:
  Vcpu& vcpu_;
  Input input_;
};

// A line into the GIC that notes when it rises, and not that its device says so again.
class ProbedLine final : public IrqLine {
 public:
  ProbedLine(IrqLine& line, IrqProbe& probe, unsigned cpu, unsigned intid)
      : line_(line), probe_(probe), cpu_(cpu), intid_(intid) {}
  void set(bool level) override {
    // Who drives a line does so under a lock of its own.
    if (level_.load(std::memory_order_relaxed) != level) {
      level_.store(level, std::memory_order_relaxed);
      level ? probe_.raised(cpu_, intid_) : probe_.lowered(cpu_, intid_);
    }
    line_.set(level);
  }

 private:
  IrqLine& line_;
  IrqProbe& probe_;
  unsigned cpu_, intid_;
  std::atomic<bool> level_{false};
};

class Gicv3Irqchip final : public Irqchip {
 public:
  Gicv3Irqchip(const std::vector<Vcpu*>& vcpus, IrqProbe* probe, unsigned list_registers)
      : gic_(static_cast<unsigned>(vcpus.size()), platform::kSpis, list_registers),
        cpus_(vcpus.size()),
        probe_(probe) {
    lines_.reserve(4 * vcpus.size());
    for (unsigned i = 0; i < cpus_; ++i) {
      const auto line = [&](CpuLine::Input input) {
        return &lines_.emplace_back(*vcpus[i], input);
      };
      gic_.connect_cpu(i, line(&Vcpu::set_irq), line(&Vcpu::set_fiq));
      if (list_registers != 0) {
        gic_.connect_virtual(i, line(&Vcpu::set_virq), line(&Vcpu::set_vfiq));
      }
    }
  }

  IrqLine& spi(unsigned n) override { return probed(gic_.spi(n), 0, kFirstSpi + n); }
  IrqLine& ppi(unsigned cpu, unsigned n) override {
    return probed(gic_.ppi(cpu, kFirstPpi + n), cpu, kFirstPpi + n);
  }
  std::string add_to(Bus& bus) override {
    std::string error = bus.add(platform::kGicd.base, platform::kGicd.size, &gic_.distributor());
    if (!error.empty()) return error;
    return bus.add(platform::kGicr.base, platform::kGicr.size * cpus_, &gic_.redistributors());
  }
  MessageUnit add_message_unit(Dma& dma, Clock& clock) override {
    its_ = std::make_unique<Its>(gic_, dma, clock, platform::kIts.base);
    return {its_.get(), its_.get()};
  }
  SysregDevice* cpu_interface() override { return &gic_.cpu_interface(); }
  void reset() override {
    gic_.distributor().reset();
    gic_.redistributors().reset();
  }
  void reset_cpu(unsigned cpu) override { gic_.reset_cpu_interface(cpu); }
  bool can_signal(unsigned cpu) const override { return gic_.can_signal(cpu); }
  void save(StateWriter& out) override {
    gic_.distributor().save(out);
    gic_.redistributors().save(out);
  }
  bool load(StateReader& in) override {
    return gic_.distributor().load(in) && gic_.redistributors().load(in);
  }

 private:
  // At assembly: whoever drives the line keeps what is returned.
  IrqLine& probed(IrqLine& line, unsigned cpu, unsigned intid) {
    if (probe_ == nullptr) return line;
    probed_.push_back(std::make_unique<ProbedLine>(line, *probe_, cpu, intid));
    return *probed_.back();
  }

  Gicv3 gic_;
  std::unique_ptr<Its> its_;
  size_t cpus_;
  IrqProbe* probe_;
  std::vector<CpuLine> lines_;
  std::vector<std::unique_ptr<ProbedLine>> probed_;
};

}  // namespace

std::unique_ptr<Irqchip> make_gicv3(const std::vector<Vcpu*>& vcpus, IrqProbe* probe,
                                    unsigned list_registers) {
  return std::make_unique<Gicv3Irqchip>(vcpus, probe, list_registers);
}

}  // namespace trapline
