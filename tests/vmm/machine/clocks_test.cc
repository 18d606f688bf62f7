#include "vmm/machine/clocks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace trapline {
namespace {

TEST(IcountClock, TicksAreInstructions) {
  uint64_t retired = 0;
  IcountClock clock;
  clock.set_source([&] { return retired; });
  EXPECT_EQ(clock.now(), 0u);
  retired = 160;
  EXPECT_EQ(clock.now(), 10u);
  EXPECT_EQ(clock.budget(), ~uint64_t{0});
}

TEST(IcountClock, FiresInOrderOfDeadlineThenOfArming) {
  uint64_t retired = 0;
  IcountClock clock;
  clock.set_source([&] { return retired; });
  std::vector<int> order;
  clock.at(20, [&] { order.push_back(3); });
  clock.at(10, [&] { order.push_back(1); });
  clock.at(10, [&] { order.push_back(2); });
  Clock::Handle gone = clock.at(5, [&] { order.push_back(99); });
  clock.cancel(gone);
  clock.cancel(gone);
  EXPECT_EQ(clock.budget(), 160u);
  retired = 159;
  clock.fire_due();
  EXPECT_TRUE(order.empty());
  EXPECT_EQ(clock.budget(), 1u);
  retired = 160;
  clock.fire_due();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  ASSERT_TRUE(clock.skip_to_next());
  EXPECT_EQ(clock.now(), 20u);
  clock.fire_due();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_FALSE(clock.skip_to_next());
}

TEST(IcountClock, FarDeadlinesDoNotOverflow) {
  IcountClock clock;
  clock.at(~uint64_t{0}, [] { FAIL(); });
  EXPECT_EQ(clock.budget(), ~uint64_t{0});
  EXPECT_FALSE(clock.skip_to_next());
}

TEST(HostClock, FiresAndCancels) {
  HostClock clock;
  std::atomic<int> fired{0};
  clock.at(0, [&] { fired += 1; });
  clock.at(clock.now() + Clock::kFrequency / 1000, [&] { fired += 10; });
  Clock::Handle far = clock.at(~uint64_t{0}, [&] { fired += 100; });
  while (fired != 11) std::this_thread::yield();
  clock.cancel(far);
  clock.cancel(12345);
  uint64_t a = clock.now(), b = clock.now();
  EXPECT_LE(a, b);
}

TEST(HostClock, CancelWaitsForARunningCallback) {
  HostClock clock;
  std::atomic<bool> entered{false}, done{false};
  Clock::Handle handle = clock.at(0, [&] {
    entered = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    done = true;
  });
  while (!entered) std::this_thread::yield();
  clock.cancel(handle);
  EXPECT_TRUE(done);
}

TEST(HostClock, PostponesWithoutLosingTheRest) {
  HostClock clock;
  std::atomic<int> fired{0};
  const uint64_t ms = Clock::kFrequency / 1000, start = clock.now();
  const Clock::Handle moved = clock.at(start + 500 * ms, [&] { fired += 1; });
  clock.at(start + 503 * ms, [&] { fired += 10; });
  EXPECT_TRUE(clock.postpone(moved, start + 10'000 * ms));
  while (fired == 0) std::this_thread::yield();
  EXPECT_EQ(fired, 10);
  EXPECT_GE(clock.now(), start + 503 * ms);
  EXPECT_TRUE(clock.postpone(moved, 0));  // earlier, too: at once
  while (fired != 11) std::this_thread::yield();
  EXPECT_FALSE(clock.postpone(moved, 0)) << "it has fired";
}

// Deadlines set while the thread sleeps, is about to, or runs callbacks.
TEST(HostClock, NoDeadlineIsMissed) {
  HostClock clock;
  std::atomic<int> fired{0};
  for (int n = 0; n < 2000; ++n) {
    clock.at(clock.now() + static_cast<uint64_t>(n * 37 % 500), [&] { fired += 1; });
    if (n % 3 == 0) {
      while (fired != n + 1) std::this_thread::yield();
    }
    if (n % 100 == 0) {
      clock.freeze();
      clock.go(n % 200 == 0);
    }
  }
  while (fired != 2000) std::this_thread::yield();
}

}  // namespace
}  // namespace trapline
