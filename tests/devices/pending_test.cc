// No register shows a condition whose enabled interrupt is not pending yet: over all devices, with
// the GIC between them and a CPU. Two ways to be too early are tried: the clock's thread, which
// raises a timer's line, is late; and another CPU reads while a line is being raised.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "devices/gicv3/registers.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/timer.h"
#include "devices/virtio/transport_mmio.h"
#include "tests/devices/fake_sink.h"
#include "tests/devices/gicv3/gic_fixture.h"
#include "tests/devices/virtio/echo_function.h"
#include "tests/devices/virtio/harness.h"

namespace trapline {
namespace {

using gicv3::GicBench;

constexpr unsigned kUartSpi = 1, kRtcSpi = 2, kVirtioSpi = 47, kFrameSpi = 64, kFreeSpi = 100;
constexpr uint64_t kSecond = Clock::kFrequency;

constexpr SysregId kCntpct = sysreg_id(3, 3, 14, 0, 1), kCntvct = sysreg_id(3, 3, 14, 0, 2),
                   kCntpTval = sysreg_id(3, 3, 14, 2, 0), kCntpCtl = sysreg_id(3, 3, 14, 2, 1),
                   kCntpCval = sysreg_id(3, 3, 14, 2, 2), kCntvTval = sysreg_id(3, 3, 14, 3, 0),
                   kCntvCtl = sysreg_id(3, 3, 14, 3, 1), kCntvCval = sysreg_id(3, 3, 14, 3, 2);

// A CPU's interrupt input. Before it is high, `look` may be asked on another thread what a guest
// would see there and then.
class WatchedLine final : public IrqLine {
 public:
  void set(bool high) override {
    if (high && !level && look && !seen_.valid()) {
      seen_ = std::async(std::launch::async, look);
      // One that is held up by the device until the line is high sees nothing too early. So does
      // one that is slow: this errs to one side only.
      const auto answer = seen_.wait_for(std::chrono::milliseconds(50));
      early = answer == std::future_status::ready && seen_.get();
    }
    level = high;
    if (high) rose = true;
  }
  // When set() has returned.
  void finish() {
    if (seen_.valid()) seen_.wait();
  }
  std::atomic<bool> level{false}, rose{false};
  bool early = false;
  std::function<bool()> look;

 private:
  std::future<bool> seen_;
};

// Every device, wired to CPU 0 through a GIC in which everything is enabled.
struct Machine {
  Machine() {
    gic.gic.connect_cpu(0, &line, &fiq);
    gic.start();
    for (unsigned word = 1; word < 5; ++word) gic.set_dist(gicv3::kGicdIsenabler + word * 4, ~0u);
    gic.set_redist(0, gicv3::kGicrIsenabler0, ~0u);
    timer.connect(0, &gic.gic.ppi(0, Gicv3::kVirtualTimerIntid),
                  &gic.gic.ppi(0, Gicv3::kPhysicalTimerIntid));
    frames.connect(&gic.gic.spi(kFrameSpi));
  }

  uint64_t sysreg(SysregId id) {
    uint64_t value = 0;
    EXPECT_TRUE(timer.sysreg_read(id, 0, value));
    return value;
  }
  void set_sysreg(SysregId id, uint64_t value) { timer.sysreg_write(id, 0, value); }
  uint64_t frame(uint64_t offset, unsigned size) {
    return timer_frame().read(offset, size, 0).value;
  }
  void set_frame(uint64_t offset, unsigned size, uint64_t value) {
    timer_frame().write(offset, size, value, 0);
  }
  Device& timer_frame() { return frames.frame(); }
  uint64_t rtc_reg(uint64_t offset) { return rtc.read(offset, 4, 0).value; }
  uint64_t uart_reg(uint64_t offset) { return uart.read(offset, 4, 0).value; }
  uint32_t virtio_reg(uint64_t offset) {
    return static_cast<uint32_t>(device().read(offset, 4, 0).value);
  }
  virtio::MmioTransport& device() {
    if (transport == nullptr) {
      transport = std::make_unique<virtio::MmioTransport>(
          virtio::MmioTransport::Options{.name = "dev0",
                                         .dma = &dma,
                                         .irq = &gic.gic.spi(kVirtioSpi),
                                         .io = IoMode::deterministic(clock, 100),
                                         .legacy = false},
          std::make_unique<virtio::test::EchoFunction>());
    }
    return *transport;
  }
  virtio::test::EchoFunction& echo() {
    return static_cast<virtio::test::EchoFunction&>(device().function());
  }
  void start_virtio() {
    using namespace virtio;
    for (uint32_t status : {0, 1, 3}) device().write(test::reg::kStatus, 4, status, 0);
    device().write(test::reg::kDriverFeaturesSel, 4, 1, 0);
    device().write(test::reg::kDriverFeatures, 4, 1, 0);
    for (uint32_t status : {11, 15}) device().write(test::reg::kStatus, 4, status, 0);
  }

  FakeClock clock;
  WatchedLine line;
  FakeLine fiq;
  GicBench gic{1};
  GenericTimer timer{clock, 1};
  MemoryMappedTimer frames{clock};
  Pl031 rtc{clock, 1000, &gic.gic.spi(kRtcSpi)};
  FakeSink sink;
  Pl011 uart{sink, &gic.gic.spi(kUartSpi)};
  virtio::test::TestDma dma{1 << 20};
  std::unique_ptr<virtio::MmioTransport> transport;
};

// --- the clock's thread is late ------------------------------------------------------------------

struct TimedRow {
  const char* name;
  uint64_t deadline;  // ticks
  std::function<void(Machine&, bool enabled)> arm;
  std::function<bool(Machine&)> shows;
};

std::vector<TimedRow> timed_rows() {
  constexpr uint64_t kAt = 1000;
  std::vector<TimedRow> rows;
  auto by_sysreg = [&](const char* name, SysregId control, SysregId compare,
                       std::function<bool(Machine&)> shows) {
    rows.push_back({name, kAt,
                    [=](Machine& m, bool enabled) {
                      m.set_sysreg(compare, kAt);
                      m.set_sysreg(control, enabled ? 1 : 3);
                    },
                    std::move(shows)});
  };
  auto low = [](uint64_t value) { return static_cast<int32_t>(static_cast<uint32_t>(value)) <= 0; };
  by_sysreg("CNTV_CTL_EL0", kCntvCtl, kCntvCval,
            [](Machine& m) { return m.sysreg(kCntvCtl) >> 2; });
  by_sysreg("CNTV_TVAL_EL0", kCntvCtl, kCntvCval,
            [=](Machine& m) { return low(m.sysreg(kCntvTval)); });
  by_sysreg("CNTVCT_EL0", kCntvCtl, kCntvCval, [](Machine& m) { return m.sysreg(kCntvct) >= kAt; });
  by_sysreg("CNTP_CTL_EL0", kCntpCtl, kCntpCval,
            [](Machine& m) { return m.sysreg(kCntpCtl) >> 2; });
  by_sysreg("CNTP_TVAL_EL0", kCntpCtl, kCntpCval,
            [=](Machine& m) { return low(m.sysreg(kCntpTval)); });
  by_sysreg("CNTPCT_EL0", kCntpCtl, kCntpCval, [](Machine& m) { return m.sysreg(kCntpct) >= kAt; });

  auto by_frame = [&](const char* name, uint64_t control, uint64_t compare,
                      std::function<bool(Machine&)> shows) {
    rows.push_back({name, kAt,
                    [=](Machine& m, bool enabled) {
                      m.frames.control().write(0x40, 4, 0x3f, 0);  // CNTACR0: everything
                      m.set_frame(compare, 8, kAt);
                      m.set_frame(control, 4, enabled ? 1 : 3);
                    },
                    std::move(shows)});
  };
  by_frame("CNTP_CTL", 0x2c, 0x20, [](Machine& m) { return m.frame(0x2c, 4) >> 2; });
  by_frame("CNTP_TVAL", 0x2c, 0x20, [=](Machine& m) { return low(m.frame(0x28, 4)); });
  by_frame("CNTPCT", 0x2c, 0x20, [](Machine& m) { return m.frame(0x00, 8) >= kAt; });
  by_frame("CNTPCT low half", 0x2c, 0x20, [](Machine& m) { return m.frame(0x00, 4) >= kAt; });
  by_frame("CNTV_CTL", 0x3c, 0x30, [](Machine& m) { return m.frame(0x3c, 4) >> 2; });
  by_frame("CNTV_TVAL", 0x3c, 0x30, [=](Machine& m) { return low(m.frame(0x38, 4)); });
  by_frame("CNTVCT", 0x3c, 0x30, [](Machine& m) { return m.frame(0x08, 8) >= kAt; });
  by_frame("CNTPCT of CNTV", 0x3c, 0x30, [](Machine& m) { return m.frame(0x00, 8) >= kAt; });

  auto by_rtc = [&](const char* name, std::function<bool(Machine&)> shows) {
    rows.push_back({name, 3 * kSecond,
                    [](Machine& m, bool enabled) {
                      m.rtc.write(0x10, 4, enabled, 0);  // IMSC
                      m.rtc.write(0x04, 4, 1003, 0);     // MR
                    },
                    std::move(shows)});
  };
  by_rtc("RTCRIS", [](Machine& m) { return m.rtc_reg(0x14) != 0; });
  by_rtc("RTCMIS", [](Machine& m) { return m.rtc_reg(0x18) != 0; });
  by_rtc("RTCDR", [](Machine& m) { return m.rtc_reg(0x00) >= 1003; });
  return rows;
}

TEST(Pending, NoRegisterIsAheadOfALateClock) {
  for (const TimedRow& row : timed_rows()) {
    SCOPED_TRACE(row.name);
    Machine m;
    row.arm(m, true);
    m.clock.skip_to(row.deadline - 1);
    EXPECT_FALSE(row.shows(m));
    EXPECT_FALSE(m.line.level);
    m.clock.skip_to(row.deadline);  // the callback is late
    EXPECT_FALSE(m.line.level);
    EXPECT_TRUE(row.shows(m));
    EXPECT_TRUE(m.line.level);
    m.clock.advance(1);  // it comes, and finds nothing to do
    EXPECT_TRUE(m.line.level);
  }
}

TEST(Pending, WhatIsMaskedStaysLow) {
  for (const TimedRow& row : timed_rows()) {
    SCOPED_TRACE(row.name);
    Machine m;
    row.arm(m, false);
    m.clock.skip_to(row.deadline + 1);
    row.shows(m);
    EXPECT_FALSE(m.line.level);
  }
}

// A match that had come before the write, though the clock's thread has not said so.
TEST(Pending, AWriteComesAfterTheMatch) {
  Machine m;
  m.rtc.write(0x10, 4, 1, 0);
  m.rtc.write(0x04, 4, 1003, 0);
  m.clock.skip_to(3 * kSecond);
  m.rtc.write(0x04, 4, 2000, 0);  // MR: the next one
  EXPECT_TRUE(m.line.level);
  m.rtc.write(0x04, 4, 1005, 0);
  m.clock.skip_to(5 * kSecond);
  m.rtc.write(0x1c, 4, 1, 0);  // ICR clears both
  EXPECT_FALSE(m.line.level);
  EXPECT_EQ(m.rtc_reg(0x14), 0u);
}

// --- another CPU reads meanwhile -----------------------------------------------------------------

struct RacedRow {
  const char* name;
  std::function<void(Machine&)> prepare;
  std::function<void(Machine&)> raise;
  std::function<bool(Machine&)> shows;
};

std::vector<RacedRow> raced_rows() {
  using namespace gicv3;
  auto expire = [](Machine& m) { m.clock.advance(2000); };
  auto uart_on = [](Machine& m) {
    m.uart.write(0x30, 4, 0x301, 0);
    m.uart.write(0x38, 4, 0x7ff, 0);
  };
  auto byte = [](Machine& m) {
    const uint8_t typed[] = {'a'};
    m.uart.receive(typed);
  };
  auto virtio_on = [](Machine& m) { m.start_virtio(); };
  auto change = [](Machine& m) { m.echo().change_config(); };
  auto none = [](Machine&) {};
  auto press = [](Machine& m) { m.gic.gic.spi(kFreeSpi).set(true); };
  return {
      {"CNTV_CTL_EL0",
       [](Machine& m) {
         m.set_sysreg(kCntvCval, 1000);
         m.set_sysreg(kCntvCtl, 1);
       },
       expire, [](Machine& m) { return m.sysreg(kCntvCtl) >> 2; }},
      {"RTCRIS",
       [](Machine& m) {
         m.rtc.write(0x10, 4, 1, 0);
         m.rtc.write(0x04, 4, 1001, 0);
       },
       [](Machine& m) { m.clock.advance(kSecond); },
       [](Machine& m) { return m.rtc_reg(0x14) != 0; }},
      {"UARTRIS", uart_on, byte, [](Machine& m) { return m.uart_reg(0x3c) != 0; }},
      {"UARTMIS", uart_on, byte, [](Machine& m) { return m.uart_reg(0x40) != 0; }},
      {"UARTFR", uart_on, byte, [](Machine& m) { return (m.uart_reg(0x18) & 0x10) == 0; }},
      {"InterruptStatus", virtio_on, change, [](Machine& m) { return m.virtio_reg(0x60) != 0; }},
      {"ConfigGeneration", virtio_on, change, [](Machine& m) { return m.virtio_reg(0xfc) != 0; }},
      {"Status", virtio_on,
       [](Machine& m) {
         // A queue beyond QueueNumMax, made ready: DEVICE_NEEDS_RESET.
         m.device().write(0x30, 4, 0, 0);
         m.device().write(0x38, 4, 512, 0);
         m.device().write(0x44, 4, 1, 0);
       },
       [](Machine& m) { return (m.virtio_reg(0x70) & 0x40) != 0; }},
      {"GICD_ISPENDR", none, press, [](Machine& m) { return m.gic.dist(kGicdIspendr + 16) != 0; }},
      {"GICD_ICPENDR", none, press, [](Machine& m) { return m.gic.dist(kGicdIcpendr + 16) != 0; }},
      {"GICR_ISPENDR0", none, [](Machine& m) { m.gic.set_icc(0, kIccSgi1r, 1 | 5 << 24); },
       [](Machine& m) { return m.gic.redist(0, kGicrIspendr0) != 0; }},
      {"GICR_ICPENDR0", none, [](Machine& m) { m.gic.gic.ppi(0, 20).set(true); },
       [](Machine& m) { return m.gic.redist(0, kGicrIcpendr0) != 0; }},
      {"ICC_HPPIR1_EL1", none, press, [](Machine& m) { return m.gic.icc(0, kIccHppir1) != 1023; }},
      {"ICC_IAR1_EL1", none, press, [](Machine& m) { return m.gic.ack(0) != 1023; }},
      {"GICD_SETSPI_NSR", none, [](Machine& m) { m.gic.set_dist(kGicdSetspiNsr, 32 + kFreeSpi); },
       [](Machine& m) { return m.gic.dist(kGicdIspendr + 16) != 0; }},
  };
}

TEST(Pending, NoRegisterIsAheadOfItsLine) {
  for (const RacedRow& row : raced_rows()) {
    SCOPED_TRACE(row.name);
    Machine m;
    row.prepare(m);
    ASSERT_FALSE(row.shows(m));
    ASSERT_FALSE(m.line.level);
    m.line.look = [&] { return row.shows(m); };
    row.raise(m);
    m.line.finish();
    EXPECT_FALSE(m.line.early);
    EXPECT_TRUE(m.line.rose);  // an acknowledge has lowered it again
  }
}

// What a guest reads of the GIC while its CPU's input is low shows nothing that could be taken.
TEST(Pending, TheGicAndItsCpuAgree) {
  using namespace gicv3;
  Machine m;
  m.set_sysreg(kCntvCval, 1000);
  m.set_sysreg(kCntvCtl, 1);
  m.clock.skip_to(1000);
  // The timer's condition is nobody's yet: neither the GIC nor the CPU has heard of it.
  EXPECT_EQ(m.gic.redist(0, kGicrIspendr0), 0u);
  EXPECT_EQ(m.gic.icc(0, kIccHppir1), 1023u);
  EXPECT_FALSE(m.line.level);
  EXPECT_NE(m.sysreg(kCntvCtl) & 4, 0u);
  EXPECT_EQ(m.gic.redist(0, kGicrIspendr0), 1u << Gicv3::kVirtualTimerIntid);
  EXPECT_EQ(m.gic.icc(0, kIccHppir1), Gicv3::kVirtualTimerIntid);
  EXPECT_TRUE(m.line.level);
  EXPECT_EQ(m.gic.ack(0), Gicv3::kVirtualTimerIntid);
  EXPECT_EQ(m.gic.icc(0, kIccRpr), 0xa0u);
  EXPECT_FALSE(m.line.level);
  // The level goes where the condition goes, before anything shows that it went.
  m.set_sysreg(kCntvCval, 5000);
  EXPECT_EQ(m.sysreg(kCntvCtl), 1u);
  EXPECT_EQ(m.gic.redist(0, kGicrIspendr0), 0u);
}

// The words that a backend which answers the counter by itself compares it with.
TEST(Pending, PublishesWhenATimerIsDue) {
  Machine m;
  std::atomic<uint64_t> virtual_due{0}, physical_due{0};
  m.timer.publish_due(0, &virtual_due, &physical_due);
  m.set_sysreg(kCntvCval, 1000);
  EXPECT_EQ(virtual_due, CompareTimer::kNever);  // off
  m.set_sysreg(kCntvCtl, 1);
  EXPECT_EQ(virtual_due, 1000u);
  m.set_sysreg(kCntvCval, 2000);
  EXPECT_EQ(virtual_due, 2000u);
  m.set_sysreg(kCntvCtl, 3);  // masked
  EXPECT_EQ(virtual_due, CompareTimer::kNever);
  m.set_sysreg(kCntvCtl, 1);
  m.set_sysreg(kCntpCval, ~uint64_t{0});  // beyond the horizon
  m.set_sysreg(kCntpCtl, 1);
  EXPECT_EQ(physical_due, CompareTimer::kNever);
  m.clock.skip_to(2000);
  EXPECT_EQ(virtual_due, 2000u);
  m.sysreg(kCntvct);  // raised: nothing is due any more
  EXPECT_TRUE(m.line.level);
  EXPECT_EQ(virtual_due, CompareTimer::kNever);
  m.set_sysreg(kCntvCval, 3000);
  EXPECT_EQ(virtual_due, 3000u);
  m.clock.advance_to(3000);
  EXPECT_EQ(virtual_due, CompareTimer::kNever);
  m.set_sysreg(kCntvCval, 4000);
  m.timer.reset();
  EXPECT_EQ(virtual_due, CompareTimer::kNever);
}

}  // namespace
}  // namespace trapline
