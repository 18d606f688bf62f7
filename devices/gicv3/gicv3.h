// A GICv3 (IHI 0069) with affinity routing and one security state: distributor, a redistributor a
// CPU, and the CPU interface's system registers. LPIs where there is an ITS (its.h); no extended
// SPI or PPI ranges.
//
// All methods but the constructor and connect_cpu() may be called from any thread.
#ifndef TRAPLINE_DEVICES_GICV3_GICV3_H_
#define TRAPLINE_DEVICES_GICV3_GICV3_H_

#include <cstdint>
#include <memory>

#include "mmio/device.h"
#include "mmio/irq_line.h"
#include "mmio/sysreg.h"

namespace trapline {

class Dma;
namespace gicv3 {
class Core;
}

class Gicv3 {
 public:
  static constexpr unsigned kMaxCpus = 8;
  static constexpr unsigned kMaxSpis = 988;                // INTID 32 to 1019
  static constexpr uint64_t kDistributorSize = 0x10000;    // bytes of the GICD frame
  static constexpr uint64_t kRedistributorSize = 0x20000;  // bytes a CPU: RD_base, SGI_base
  static constexpr unsigned kMaintenanceIntid = 25;        // PPI 9
  static constexpr unsigned kVirtualTimerIntid = 27;       // PPI 11
  static constexpr unsigned kPhysicalTimerIntid = 30;      // PPI 14, non-secure EL1

  // 1 to kMaxCpus CPUs; CPU n has affinity 0.0.0.n. `num_spis` (up to kMaxSpis) is rounded up to
  // what GICD_TYPER can say: 32 * n INTIDs. 256 SPIs give 288 INTIDs, as QEMU's virt machine.
  // `list_registers`: of the virtual CPU interface, 1 to 16; 0: the CPUs have no EL2.
  explicit Gicv3(unsigned num_cpus, unsigned num_spis = 256, unsigned list_registers = 0);
  ~Gicv3();
  Gicv3(const Gicv3&) = delete;
  Gicv3& operator=(const Gicv3&) = delete;

  // "gicd", one window of kDistributorSize.
  Device& distributor();
  // "gicr", one window of num_cpus * kRedistributorSize. Its save, load and reset carry the CPU
  // interfaces too; load the distributor first.
  Device& redistributors();
  // ICC_*_EL1; ICH_*_EL2 and ICV_*_EL1.
  SysregDevice& cpu_interface();

  // The input of SPI n (INTID 32 + n).
  IrqLine& spi(unsigned n);
  // The input of a CPU's private interrupt, by INTID 16 to 31.
  IrqLine& ppi(unsigned cpu, unsigned intid);

  // Where the CPU's IRQ and FIQ go; called at assembly. The lines are set with the GIC's lock held,
  // on whatever thread caused the change, and only on a change: they must not call the GIC.
  void connect_cpu(unsigned cpu, IrqLine* irq, IrqLine* fiq);
  // And its virtual IRQ and FIQ, set on its own thread.
  void connect_virtual(unsigned cpu, IrqLine* irq, IrqLine* fiq);

  // The reset of one CPU's interface (PSCI CPU_ON): ICC_* registers only. The redistributor and the
  // pending and active states stay.
  void reset_cpu_interface(unsigned cpu);

  // False: no interrupt can reach the CPU until it, or another one, sets up the GIC anew.
  bool can_signal(unsigned cpu) const;

  // For the ITS, at assembly and once: LPIs exist from now on, and their tables are reached by
  // `dma`.
  gicv3::Core& add_lpis(Dma& dma);

  // Compares every cached decision with one made from scratch. For tests.
  bool consistent() const;

 private:
  std::unique_ptr<gicv3::Core> core_;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_GICV3_GICV3_H_
