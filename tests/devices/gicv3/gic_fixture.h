// A GIC with named accesses, so that a test reads like the manual's example.
#ifndef TRAPLINE_TESTS_DEVICES_GICV3_GIC_FIXTURE_H_
#define TRAPLINE_TESTS_DEVICES_GICV3_GIC_FIXTURE_H_

#include <gtest/gtest.h>

#include "devices/gicv3/gicv3.h"
#include "devices/gicv3/registers.h"
#include "tests/devices/fake_clock.h"

namespace trapline::gicv3 {

struct GicBench {
  explicit GicBench(unsigned num_cpus = 4, unsigned num_spis = 256) : gic(num_cpus, num_spis) {
    for (unsigned n = 0; n < num_cpus; ++n) gic.connect_cpu(n, &irq[n], &fiq[n]);
  }

  uint64_t dist(uint64_t offset, unsigned size = 4) {
    return gic.distributor().read(offset, size, 0).value;
  }
  void set_dist(uint64_t offset, uint64_t value, unsigned size = 4) {
    gic.distributor().write(offset, size, value, 0);
  }
  uint64_t redist(unsigned cpu, uint64_t offset, unsigned size = 4) {
    return gic.redistributors().read(cpu * Gicv3::kRedistributorSize + offset, size, 0).value;
  }
  void set_redist(unsigned cpu, uint64_t offset, uint64_t value, unsigned size = 4) {
    gic.redistributors().write(cpu * Gicv3::kRedistributorSize + offset, size, value, 0);
  }
  uint64_t icc(unsigned cpu, SysregId id) {
    uint64_t value = 0xdead;
    EXPECT_TRUE(gic.cpu_interface().sysreg_read(id, cpu, value));
    return value;
  }
  void set_icc(unsigned cpu, SysregId id, uint64_t value) {
    EXPECT_TRUE(gic.cpu_interface().sysreg_write(id, cpu, value));
  }
  uint64_t ack(unsigned cpu) { return icc(cpu, kIccIar1); }
  void eoi(unsigned cpu, uint64_t intid) { set_icc(cpu, kIccEoir1, intid); }

  // As an operating system leaves it: everything in group 1 at 0xa0, both groups on, masks open.
  void start() {
    set_dist(kGicdCtlr, kCtlrEnableGrp0 | kCtlrEnableGrp1);
    for (unsigned word = 1; word < 32; ++word) {
      set_dist(kGicdIgroupr + word * 4, ~0u);
      for (unsigned n = 0; n < 8; ++n) set_dist(kGicdIpriorityr + word * 32 + n * 4, 0xa0a0a0a0);
    }
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) {
      set_redist(cpu, kGicrWaker, 0);
      set_redist(cpu, kGicrIgroupr0, ~0u);
      for (unsigned n = 0; n < 8; ++n) set_redist(cpu, kGicrIpriorityr + n * 4, 0xa0a0a0a0);
      set_icc(cpu, kIccPmr, 0xf8);
      set_icc(cpu, kIccIgrpen0, 1);
      set_icc(cpu, kIccIgrpen1, 1);
    }
  }
  unsigned cpus() {
    unsigned n = 0;
    while ((redist(n, kGicrTyper) & 0x10) == 0) ++n;
    return n + 1;
  }
  void enable_spi(unsigned intid, unsigned cpu) {
    set_dist(kGicdIrouter + intid * 8, cpu, 8);
    set_dist(kGicdIsenabler + intid / 32 * 4, 1u << (intid % 32));
  }
  void enable_private(unsigned cpu, unsigned intid) {
    set_redist(cpu, kGicrIsenabler0, 1u << intid);
  }
  void spi_priority(unsigned intid, uint8_t priority) {
    set_dist(kGicdIpriorityr + intid, priority, 1);
  }
  void private_priority(unsigned cpu, unsigned intid, uint8_t priority) {
    set_redist(cpu, kGicrIpriorityr + intid, priority, 1);
  }
  void make_edge(unsigned intid) {
    const uint64_t at = kGicdIcfgr + intid / 16 * 4;
    set_dist(at, dist(at) | 2u << (intid % 16 * 2));
  }
  void line(unsigned intid, bool level) { gic.spi(intid - 32).set(level); }
  bool bit(uint64_t offset, unsigned intid) {
    return (dist(offset + intid / 32 * 4) >> (intid % 32) & 1) != 0;
  }
  bool pending(unsigned intid) { return bit(kGicdIspendr, intid); }
  bool active(unsigned intid) { return bit(kGicdIsactiver, intid); }

  Gicv3 gic;
  FakeLine irq[Gicv3::kMaxCpus];
  FakeLine fiq[Gicv3::kMaxCpus];
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_TESTS_DEVICES_GICV3_GIC_FIXTURE_H_
