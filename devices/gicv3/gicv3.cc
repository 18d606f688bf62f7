#include "devices/gicv3/gicv3.h"

#include <deque>

#include "devices/gicv3/core.h"
#include "devices/gicv3/cpu_interface.h"
#include "devices/gicv3/distributor.h"
#include "devices/gicv3/redistributor.h"

namespace trapline {

static_assert(Gicv3::kMaxCpus == gicv3::kMaxCpus);
static_assert(Gicv3::kMaxSpis == gicv3::kMaxIntids - gicv3::kFirstSpi);

namespace {

struct SpiLine final : IrqLine {
  SpiLine(gicv3::Core& owner, unsigned number) : core(owner), intid(number) {}
  void set(bool level) override { core.set_spi(intid, level); }
  gicv3::Core& core;
  const unsigned intid;
};

struct PpiLine final : IrqLine {
  PpiLine(gicv3::Core& owner, unsigned cpu_index, unsigned number)
      : core(owner), cpu(cpu_index), intid(number) {}
  void set(bool level) override { core.set_ppi(cpu, intid, level); }
  gicv3::Core& core;
  const unsigned cpu;
  const unsigned intid;
};

// An input that does not exist: a wire to nowhere.
struct NoLine final : IrqLine {
  void set(bool) override {}
};

}  // namespace

struct Gicv3::Parts {
  Parts(gicv3::Core& core, unsigned list_registers)
      : virtual_interface(core, list_registers),
        distributor(core),
        redistributors(core, virtual_interface),
        cpu_interface(core, virtual_interface) {
    for (unsigned intid = gicv3::kFirstSpi; intid < core.num_intids; ++intid) {
      spis.emplace_back(core, intid);
    }
    for (unsigned cpu = 0; cpu < core.num_cpus; ++cpu) {
      for (unsigned intid = 16; intid < 32; ++intid) ppis.emplace_back(core, cpu, intid);
    }
  }
  gicv3::VirtualInterface virtual_interface;
  gicv3::Distributor distributor;
  gicv3::Redistributors redistributors;
  gicv3::CpuInterface cpu_interface;
  std::deque<SpiLine> spis;
  std::deque<PpiLine> ppis;
  NoLine nowhere;
};

Gicv3::Gicv3(unsigned num_cpus, unsigned num_spis, unsigned list_registers)
    : core_(std::make_unique<gicv3::Core>(num_cpus, num_spis)),
      parts_(std::make_unique<Parts>(*core_, list_registers)) {}

Gicv3::~Gicv3() = default;

Device& Gicv3::distributor() { return parts_->distributor; }
Device& Gicv3::redistributors() { return parts_->redistributors; }
SysregDevice& Gicv3::cpu_interface() { return parts_->cpu_interface; }

IrqLine& Gicv3::spi(unsigned n) {
  if (n >= parts_->spis.size()) return parts_->nowhere;
  return parts_->spis[n];
}

IrqLine& Gicv3::ppi(unsigned cpu, unsigned intid) {
  if (cpu >= core_->num_cpus || intid < 16 || intid >= 32) return parts_->nowhere;
  return parts_->ppis[cpu * 16 + intid - 16];
}

void Gicv3::connect_cpu(unsigned cpu, IrqLine* irq, IrqLine* fiq) {
  std::lock_guard lock(core_->mutex);
  core_->cpus[cpu].lines[0] = fiq;
  core_->cpus[cpu].lines[1] = irq;
}

void Gicv3::connect_virtual(unsigned cpu, IrqLine* irq, IrqLine* fiq) {
  parts_->virtual_interface.connect_cpu(cpu, irq, fiq);
}

void Gicv3::reset_cpu_interface(unsigned cpu) {
  if (parts_->virtual_interface.present()) parts_->virtual_interface.reset(cpu);
  std::lock_guard lock(core_->mutex);
  gicv3::Core::reset_interface(core_->cpus[cpu]);
  core_->enables_changed();
}

bool Gicv3::can_signal(unsigned cpu) const {
  std::lock_guard lock(core_->mutex);
  return core_->can_signal(cpu);
}

gicv3::Core& Gicv3::add_lpis(Dma& dma) {
  core_->add_lpis(dma);
  return *core_;
}

bool Gicv3::consistent() const { return core_->consistent(); }

}  // namespace trapline
