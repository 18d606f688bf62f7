// Random register traffic against the decisions made from scratch, and threads against each other.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {
namespace {

const SysregId kSysregs[] = {kIccPmr,   kIccIar0,  kIccEoir0,   kIccHppir0,  kIccBpr0,
                             kIccAp0r0, kIccAp1r0, kIccDir,     kIccRpr,     kIccSgi1r,
                             kIccSgi0r, kIccIar1,  kIccEoir1,   kIccHppir1,  kIccBpr1,
                             kIccCtlr,  kIccSre,   kIccIgrpen0, kIccIgrpen1, kIccAsgi1r};

class GicRandom : public testing::TestWithParam<unsigned> {};

TEST_P(GicRandom, CachedDecisionsEqualFreshOnes) {
  std::mt19937_64 random(GetParam());
  const unsigned num_cpus = 1 + GetParam() % 8;
  GicBench b(num_cpus, GetParam() % 3 == 0 ? 988 : 64);
  b.start();
  const auto pick = [&](uint64_t n) { return random() % n; };
  for (unsigned step = 0; step < 20'000; ++step) {
    const unsigned cpu = static_cast<unsigned>(pick(num_cpus));
    // Few interrupts, so that they meet.
    const unsigned spi = 32 + static_cast<unsigned>(pick(8)) * (pick(2) == 0 ? 1 : 9);
    const uint64_t ctlr_on = pick(20) != 0;
    switch (pick(16)) {
      case 0:
      case 1:
        b.line(spi, pick(2) != 0);
        break;
      case 2:
        b.gic.ppi(cpu, 16 + static_cast<unsigned>(pick(16))).set(pick(2) != 0);
        break;
      case 3:
      case 4: {
        const uint64_t intid = b.icc(cpu, pick(4) != 0 ? kIccIar1 : kIccIar0);
        if (pick(2) != 0) b.eoi(cpu, intid);
        break;
      }
      case 5:
        b.eoi(cpu, pick(2) != 0 ? spi : pick(32));
        break;
      case 6:
        b.set_icc(cpu, kIccSgi1r, pick(16) << 24 | pick(256) | (pick(8) == 0 ? 1ull << 40 : 0));
        break;
      case 7:
        b.set_dist(kGicdIrouter + spi * 8, pick(3) == 0 ? 1u << 31 : pick(num_cpus + 1), 8);
        break;
      case 8:
        b.spi_priority(spi, static_cast<uint8_t>(random()));
        break;
      case 9:
        b.set_dist(kGicdIgroupr + pick(7) * 0x80 + spi / 32 * 4, 1u << (spi % 32));
        break;
      case 10:
        b.set_redist(cpu, kGicrIgroupr0 + pick(7) * 0x80, random());
        break;
      case 11:
        b.set_dist(kGicdIcfgr + spi / 16 * 4, random());
        break;
      case 12:
        b.set_dist(kGicdCtlr, ctlr_on ? 3 | pick(2) << 7 : pick(4));
        b.set_redist(cpu, pick(2) != 0 ? kGicrCtlr : kGicrWaker, pick(2) != 0 ? 0 : random());
        break;
      case 13:
        b.set_icc(cpu, kIccPmr, pick(4) != 0 ? 0xff : random());
        b.set_icc(cpu, pick(2) != 0 ? kIccIgrpen1 : kIccIgrpen0, ctlr_on);
        break;
      case 14:
        b.gic.distributor().write(pick(0x10000), 1u << pick(4), random(), cpu);
        b.gic.redistributors().write(pick(num_cpus << 17), 1u << pick(4), random(), cpu);
        break;
      default: {
        const SysregId id = kSysregs[pick(std::size(kSysregs))];
        uint64_t value;
        if (pick(2) != 0) {
          b.gic.cpu_interface().sysreg_read(id, cpu, value);
        } else {
          b.gic.cpu_interface().sysreg_write(id, cpu, random());
        }
        break;
      }
    }
    ASSERT_TRUE(b.gic.consistent()) << "step " << step;
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, GicRandom, testing::Range(0u, 12u));

TEST(GicRandom, AnyOffsetSizeAndValueIsDefined) {
  std::mt19937_64 random(1);
  GicBench b(8, 988);
  for (unsigned n = 0; n < 300'000; ++n) {
    const unsigned size = 1u << random() % 4;
    Device& device = random() % 2 == 0 ? b.gic.distributor() : b.gic.redistributors();
    const uint64_t window = random() % 2 == 0 ? 0x10000 : 0x140000;
    const uint64_t offset = random() % window;
    const MmioResult result = device.read(offset, size, random() % 8);
    EXPECT_FALSE(result.abort);
    if (size < 8) {
      EXPECT_EQ(result.value >> (size * 8), 0u);
    }
    device.write(offset, size, random(), random() % 8);
    device.register_name(offset);
  }
  EXPECT_TRUE(b.gic.consistent());
}

// Each CPU's thread acknowledges what arrives and sends SGIs on; a further thread toggles SPIs. No
// SGI may be lost: what is pending at the end plus what was taken covers what was sent last.
TEST(GicThreads, SgisCirculateBetweenThreads) {
  constexpr unsigned kCpus = 4;
  constexpr unsigned kRounds = 3'000;
  struct AtomicLine final : IrqLine {
    void set(bool high) override { level.store(high); }
    std::atomic<bool> level{false};
  } irq[kCpus];
  GicBench b(kCpus);
  for (unsigned n = 0; n < kCpus; ++n) b.gic.connect_cpu(n, &irq[n], nullptr);
  b.start();
  for (unsigned n = 0; n < kCpus; ++n) b.enable_private(n, 1);
  for (unsigned n = 0; n < 8; ++n) {
    b.enable_spi(40 + n, 0);
    b.make_edge(40 + n);
    b.set_dist(kGicdIrouter + (40 + n) * 8, n % 2 == 0 ? uint64_t{1} << 31 : n % kCpus, 8);
  }
  // A token goes round: each CPU that takes it sends it to the next.
  std::atomic<unsigned> hops{0};
  std::atomic<unsigned> spis{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned cpu = 0; cpu < kCpus; ++cpu) {
    threads.emplace_back([&, cpu] {
      while (!stop) {
        if (!irq[cpu].level) {
          std::this_thread::yield();
          continue;
        }
        uint64_t intid = 0;
        b.gic.cpu_interface().sysreg_read(kIccIar1, cpu, intid);
        if (intid == 1) {
          // An SPI must have been among them: its thread may be the last to start.
          if (++hops >= kRounds && spis != 0) stop = true;
          b.gic.cpu_interface().sysreg_write(kIccSgi1r, cpu, 1u << 24 | 1u << ((cpu + 1) % kCpus));
        } else if (intid != 1023) {
          ++spis;
        }
        if (intid != 1023) b.gic.cpu_interface().sysreg_write(kIccEoir1, cpu, intid);
      }
    });
  }
  threads.emplace_back([&] {
    unsigned n = 0;
    while (!stop) {
      b.line(40 + n % 8, n / 8 % 2 == 0);
      ++n;
      if (n % 64 == 0) std::this_thread::yield();
    }
  });
  b.set_icc(0, kIccSgi1r, 1u << 24 | 1);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(hops.load(), kRounds);
  EXPECT_GT(spis.load(), 0u);
  EXPECT_TRUE(b.gic.consistent());
}

}  // namespace
}  // namespace trapline::gicv3
