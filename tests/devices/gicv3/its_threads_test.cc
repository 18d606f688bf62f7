// Every LPI there is, on eight CPUs at once, while MOVI and DISCARD run: none lost, none twice.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <thread>

#include "devices/gicv3/core.h"
#include "tests/devices/gicv3/its_bench.h"

namespace trapline::gicv3 {
namespace {

constexpr unsigned kCpus = 8;
constexpr unsigned kDevice = 1;

struct AtomicLine final : IrqLine {
  void set(bool high) override { level.store(high); }
  std::atomic<bool> level{false};
};

class ItsThreads : public testing::Test {
 protected:
  ItsThreads() : b(kCpus), taken(std::make_unique<std::array<std::atomic<uint16_t>, kLpis>>()) {
    for (unsigned n = 0; n < kCpus; ++n) b.gic.connect_cpu(n, &lines[n], nullptr);
    b.start_its();
    EXPECT_TRUE(b.run(mapd(kDevice, 16, b.itt(kDevice))));
    for (unsigned event = 0; event < kLpis; ++event) map(event, event % kCpus);
  }

  void map(unsigned event, unsigned cpu) {
    ASSERT_TRUE(b.run(mapti(kDevice, event, kFirstLpi + event, static_cast<uint16_t>(cpu))));
  }

  // One CPU: takes what is signalled until nothing can come any more.
  void cpu(unsigned n) {
    for (;;) {
      const bool last = stop.load();
      while (lines[n].level) {
        uint64_t intid = 0;
        b.gic.cpu_interface().sysreg_read(kIccIar1, n, intid);
        if (intid == kSpurious) continue;  // it was moved away between line and acknowledge
        if (intid < kFirstLpi) std::abort();
        ++(*taken)[intid - kFirstLpi];
        b.gic.cpu_interface().sysreg_write(kIccEoir1, n, intid);
      }
      if (last) return;
      std::this_thread::yield();
    }
  }

  // All CPUs and `senders` devices, each sending its share of the events once; `commands`
  // meanwhile. What is still pending when all is sent is taken.
  template <typename Commands>
  void round(unsigned senders, Commands commands) {
    stop = false;
    std::atomic<unsigned> sending{senders};
    std::vector<std::thread> cpus, devices;
    for (unsigned n = 0; n < kCpus; ++n) cpus.emplace_back([this, n] { cpu(n); });
    for (unsigned s = 0; s < senders; ++s) {
      devices.emplace_back([this, s, senders, &sending] {
        for (unsigned event = s; event < kLpis; event += senders) b.send(kDevice, event);
        --sending;
      });
    }
    while (sending != 0) commands();
    for (std::thread& device : devices) device.join();
    commands();
    stop = true;
    for (std::thread& cpu : cpus) cpu.join();
    ASSERT_TRUE(b.gic.consistent());
  }

  ItsBench b;
  AtomicLine lines[kCpus];
  std::unique_ptr<std::array<std::atomic<uint16_t>, kLpis>> taken;
  std::atomic<bool> stop{false};
};

TEST_F(ItsThreads, MoviAndMovallLoseNothing) {
  std::mt19937 random(1);
  for (unsigned n = 1; n <= 3; ++n) {
    round(3, [&] {
      for (unsigned i = 0; i < 64; ++i) {
        ASSERT_TRUE(b.run(movi(kDevice, random() % kLpis, random() % kCpus)));
      }
      ASSERT_TRUE(b.run(movall(random() % kCpus, random() % kCpus)));
      ASSERT_TRUE(b.run(invall(random() % kCpus)));
    });
    for (unsigned event = 0; event < kLpis; ++event) ASSERT_EQ((*taken)[event], n) << event;
  }
}

// What DISCARD hits was taken before it, or is gone for good: once at most. The others come once.
TEST_F(ItsThreads, DiscardLosesOnlyItsOwn) {
  std::mt19937 random(2);
  std::vector<bool> discarded(kLpis);
  round(3, [&] {
    for (unsigned i = 0; i < 32; ++i) {
      const unsigned event = random() % kLpis;
      if (!discarded[event]) {
        ASSERT_TRUE(b.run(discard(kDevice, event)));
        discarded[event] = true;
      }
      ASSERT_EQ(b.run(movi(kDevice, event + 1 < kLpis ? event + 1 : 0, random() % kCpus)),
                !discarded[event + 1 < kLpis ? event + 1 : 0]);
    }
  });
  unsigned gone = 0;
  for (unsigned event = 0; event < kLpis; ++event) {
    if (!discarded[event]) {
      ASSERT_EQ((*taken)[event], 1u) << event;
      continue;
    }
    ASSERT_LE((*taken)[event], 1u) << event;
    gone += (*taken)[event] == 0;
    map(event, random() % kCpus);
  }
  EXPECT_GT(gone, 0u);
  // Mapped again they are as good as new: nothing was left behind.
  const auto before = std::make_unique<std::array<uint16_t, kLpis>>();
  for (unsigned event = 0; event < kLpis; ++event) (*before)[event] = (*taken)[event];
  round(4, [] { std::this_thread::yield(); });
  for (unsigned event = 0; event < kLpis; ++event) {
    ASSERT_EQ((*taken)[event], (*before)[event] + 1) << event;
  }
}

}  // namespace
}  // namespace trapline::gicv3
