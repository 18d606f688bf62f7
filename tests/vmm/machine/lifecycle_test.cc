#include "vmm/machine/lifecycle.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "vmm/machine/idle_watch.h"

namespace trapline {
namespace {

using enum LifeState;
constexpr LifeState kAll[] = {kCreated, kRunning, kResetting, kStopping, kEnded};

TEST(Lifecycle, TheTable) {
  static constexpr struct {
    LifeState from, to;
  } kAllowed[] = {
      {kCreated, kRunning},  {kCreated, kStopping},  {kRunning, kResetting},
      {kRunning, kStopping}, {kResetting, kRunning}, {kResetting, kStopping},
      {kStopping, kEnded},
  };
  for (LifeState from : kAll) {
    for (LifeState to : kAll) {
      bool allowed = false;
      for (const auto& change : kAllowed) allowed |= change.from == from && change.to == to;
      EXPECT_EQ(Lifecycle::allows(from, to), allowed)
          << static_cast<int>(from) << " -> " << static_cast<int>(to);
    }
  }
}

// A stop, whenever it comes, is kept; nothing else may follow it.
TEST(Lifecycle, AStopIsSticky) {
  for (LifeState before : {kCreated, kRunning, kResetting}) {
    Lifecycle life;
    if (before != kCreated) {
      ASSERT_TRUE(life.change(kRunning));
    }
    if (before == kResetting) {
      ASSERT_TRUE(life.change(kResetting));
    }
    EXPECT_TRUE(life.change(kStopping, 143));
    EXPECT_FALSE(life.change(kRunning));
    EXPECT_FALSE(life.change(kResetting));
    EXPECT_FALSE(life.change(kStopping, 0));
    EXPECT_TRUE(life.stopping());
    EXPECT_EQ(life.status(), 143);
    EXPECT_TRUE(life.change(kEnded));
    EXPECT_EQ(life.status(), 143);
  }
}

// Of many at once one wins, and its status stands.
TEST(Lifecycle, TheFirstStopsStatus) {
  for (int round = 0; round < 200; ++round) {
    Lifecycle life;
    life.change(kRunning);
    std::atomic<int> won{-1}, winners{0};
    std::vector<std::thread> threads;
    for (int n = 0; n < 4; ++n) {
      threads.emplace_back([&, n] {
        if (life.change(kStopping, 100 + n)) {
          won = 100 + n;
          ++winners;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(life.status(), won);
  }
}

TEST(IdleWatch, OnlyAWaitLoopThatDoesNothingElseIsStuck) {
  constexpr uint64_t kSecond = 1'000'000'000;
  IdleWatch watch(2);
  uint64_t now = 5 * kSecond, retired = 1000;
  const auto waits = [&](uint64_t pc) { return watch.waits(0, pc, retired, [&] { return now; }); };
  EXPECT_FALSE(waits(0x1000));
  for (int i = 0; i < 4; ++i) {
    retired += 2;
    EXPECT_FALSE(waits(0x1000)) << i;
    now += kSecond / 2;
  }
  retired += 2;
  EXPECT_TRUE(waits(0x1000));
  EXPECT_TRUE(watch.stuck(0));
  EXPECT_FALSE(watch.stuck(1));
  // It does something: not any more.
  retired += 100;
  EXPECT_FALSE(waits(0x1000));
  EXPECT_FALSE(watch.stuck(0));
  // Another place.
  now += 10 * kSecond;
  retired += 2;
  EXPECT_FALSE(waits(0x2000));
  EXPECT_TRUE(watch.first_to_tell());
  EXPECT_FALSE(watch.first_to_tell());
}

}  // namespace
}  // namespace trapline
