// One thread counts, another reads meanwhile: what TSan must find nothing in.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "vmm/stats/latency.h"
#include "vmm/stats/run_clock.h"

namespace trapline {
namespace {

TEST(LiveRead, CountersAndTimesWhileTheyAreRaised) {
  VcpuCounters counters;
  ExitLatency latency;
  RunClock clock;
  std::atomic<bool> done{false};
  constexpr uint64_t kExits = 20'000;
  std::thread vcpu([&] {
    Exit exit;
    exit.kind = ExitKind::kSysreg;
    ExitRecord record;
    record.exit = &exit;
    record.exit_class = ExitClass::kSysreg;
    for (uint64_t i = 0; i < kExits; ++i) {
      clock.begins(2 * i);
      exit.sysreg = static_cast<SysregId>(i % 500);
      counters.exit(ExitClass::kSysreg);
      counters.sysreg_access(exit.sysreg, (i & 1) != 0);
      counters.unmapped_access(i, 4, false);
      record.total = i % 1000;
      latency.exited(record);
      clock.ends(2 * i + 1);
    }
    done = true;
  });
  uint64_t before = 0;
  while (!done) {
    VcpuCounters now;
    now.merge(counters);
    const uint64_t exits = now.exits[static_cast<size_t>(ExitClass::kSysreg)];
    EXPECT_GE(exits, before);
    before = exits;
    ExitLatency sum;
    sum.merge(latency);
    EXPECT_LE(sum.of(ExitClass::kSysreg).total.count(), kExits);
    EXPECT_LE(clock.read(2 * kExits).cycles, 2 * kExits);
  }
  vcpu.join();
  VcpuCounters now;
  now.merge(counters);
  EXPECT_EQ(now.exits[static_cast<size_t>(ExitClass::kSysreg)], kExits);
  EXPECT_EQ(now.counters.unmapped_accesses, kExits);
  EXPECT_EQ(now.register_counts().size(), 500u);
  EXPECT_EQ(clock.read(0).cycles, kExits);
}

}  // namespace
}  // namespace trapline
