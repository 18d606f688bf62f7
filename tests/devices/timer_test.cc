// The generic timer by system registers.
#include "devices/timer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "tests/devices/fake_clock.h"

namespace trapline {
namespace {

constexpr SysregId kFrq = sysreg_id(3, 3, 14, 0, 0);
constexpr SysregId kPct = sysreg_id(3, 3, 14, 0, 1);
constexpr SysregId kVct = sysreg_id(3, 3, 14, 0, 2);
// The virtual timer's registers are those of the physical one with CRm 3.
// A timer is its registers' CRm, 2 physical and 3 virtual, and kEl2 for those of EL2.
constexpr unsigned kEl2 = 8;
constexpr SysregId timer_id(unsigned timer, unsigned op2) {
  return sysreg_id(3, (timer & kEl2) != 0 ? 4 : 3, 14, timer & 7, op2);
}
constexpr SysregId tval(unsigned timer) { return timer_id(timer, 0); }
constexpr SysregId ctl(unsigned timer) { return timer_id(timer, 1); }
constexpr SysregId cval(unsigned timer) { return timer_id(timer, 2); }
constexpr SysregId kCntvoff = sysreg_id(3, 4, 14, 0, 3);

struct Bench {
  Bench() : timer(clock, 2) {
    for (unsigned cpu = 0; cpu < 2; ++cpu) {
      timer.connect(cpu, &virt[cpu], &physical[cpu]);
      timer.connect_el2(cpu, &el2_virt[cpu], &el2_physical[cpu]);
    }
  }
  uint64_t get(SysregId id, unsigned cpu = 0) {
    uint64_t value = 0xdead;
    EXPECT_TRUE(timer.sysreg_read(id, cpu, value));
    return value;
  }
  void set(SysregId id, uint64_t value, unsigned cpu = 0) {
    EXPECT_TRUE(timer.sysreg_write(id, cpu, value));
  }
  FakeLine& line(unsigned which, unsigned cpu = 0) {
    switch (which) {
      case 2:
        return physical[cpu];
      case 3:
        return virt[cpu];
      case 2 | kEl2:
        return el2_physical[cpu];
      default:
        return el2_virt[cpu];
    }
  }

  FakeClock clock;
  FakeLine virt[2], physical[2], el2_virt[2], el2_physical[2];
  GenericTimer timer;
};

class EachTimer : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(PhysicalAndVirtual, EachTimer,
                         testing::Values(2u, 3u, 2u | kEl2, 3u | kEl2));

TEST_P(EachTimer, FiresAtTheCompareValue) {
  Bench b;
  const unsigned crm = GetParam();
  b.set(cval(crm), 1000);
  b.set(ctl(crm), 1);
  EXPECT_EQ(b.get(ctl(crm)), 1u);
  b.clock.advance_to(999);
  EXPECT_FALSE(b.line(crm).level);
  b.clock.advance_to(1000);
  EXPECT_TRUE(b.line(crm).level);
  EXPECT_FALSE(b.line(crm ^ 1).level);  // the other timer's
  EXPECT_FALSE(b.line(crm, 1).level);   // the other CPU's
  EXPECT_EQ(b.get(ctl(crm)), 5u);
  b.set(ctl(crm), 3);  // masked: the status stays
  EXPECT_FALSE(b.line(crm).level);
  EXPECT_EQ(b.get(ctl(crm)), 7u);
  b.set(ctl(crm), 1);
  EXPECT_TRUE(b.line(crm).level);
  b.set(cval(crm), 5000);
  EXPECT_FALSE(b.line(crm).level);
  EXPECT_EQ(b.get(ctl(crm)), 1u);
  b.set(ctl(crm), 0);
  b.clock.advance_to(6000);
  EXPECT_FALSE(b.line(crm).level);
  EXPECT_EQ(b.get(ctl(crm)), 0u);
}

struct TvalRow {
  uint64_t now, written;
  uint64_t cval;
  bool met;
};

TEST_P(EachTimer, TvalIsASigned32BitView) {
  constexpr TvalRow kRows[] = {
      {100, 50, 150, false},
      {100, 0, 100, true},
      {100, 0xffff'ffff, 99, true},  // -1
      {100, 0x7fff'ffff, 100 + 0x7fff'ffffull, false},
      {0x1'0000'0000, 0x8000'0000, 0x8000'0000, true},  // -2^31
      {100, 0xdead'beef'0000'0001, 101, false},         // only 32 bits count
      {100, 0xffff'ff00, 100 - 256ull, false},          // wraps: as good as never
  };
  const unsigned crm = GetParam();
  for (const TvalRow& row : kRows) {
    Bench b;
    b.clock.skip_to(row.now);
    b.set(ctl(crm), 1);
    b.set(tval(crm), row.written);
    EXPECT_EQ(b.get(cval(crm)), row.cval);
    EXPECT_EQ(b.get(tval(crm)), row.written & 0xffff'ffff);
    EXPECT_EQ(b.line(crm).level, row.met);
    EXPECT_EQ(b.get(ctl(crm)), row.met ? 5u : 1u);
  }
}

TEST_P(EachTimer, TvalCountsDownPastZero) {
  Bench b;
  const unsigned crm = GetParam();
  b.set(tval(crm), 10);
  b.clock.advance(4);
  EXPECT_EQ(b.get(tval(crm)), 6u);
  b.clock.advance(10);
  EXPECT_EQ(b.get(tval(crm)), 0xffff'fffcu);
}

TEST_P(EachTimer, CompareIsUnsigned) {
  Bench b;
  const unsigned crm = GetParam();
  b.set(ctl(crm), 1);
  b.set(cval(crm), ~uint64_t{0});
  b.clock.advance(1'000'000);
  EXPECT_FALSE(b.line(crm).level);
  EXPECT_EQ(b.clock.pending(), 0u);  // 9,000 years: not even armed
  b.set(cval(crm), 0);
  EXPECT_TRUE(b.line(crm).level);
}

TEST(GenericTimer, CountersAndFrequency) {
  Bench b;
  b.clock.skip_to(123'456);
  EXPECT_EQ(b.get(kPct), 123'456u);
  EXPECT_EQ(b.get(kVct), 123'456u);
  EXPECT_EQ(b.get(kFrq), 62'500'000u);
  b.set(kFrq, 1);
  EXPECT_EQ(b.get(kFrq), 62'500'000u);
  EXPECT_FALSE(b.timer.sysreg_write(kVct, 0, 0));  // read-only
  EXPECT_FALSE(b.timer.sysreg_write(kPct, 0, 0));
  uint64_t value;
  EXPECT_FALSE(b.timer.sysreg_read(sysreg_id(3, 7, 14, 2, 0), 0, value));  // CNTPS_TVAL_EL1
  EXPECT_FALSE(b.timer.sysreg_read(sysreg_id(3, 3, 14, 0, 6), 0, value));  // CNTVCTSS_EL0
  EXPECT_FALSE(b.timer.sysreg_read(kFrq, 2, value));
  EXPECT_FALSE(b.timer.sysreg_write(ctl(3), 2, 0));
}

// CNTVOFF_EL2 is EL1's virtual timer's alone, and moves its condition at once.
TEST(GenericTimer, VirtualOffset) {
  Bench b;
  for (const unsigned timer : {2u, 3u, 2u | kEl2, 3u | kEl2}) {
    b.set(cval(timer), 1000);
    b.set(ctl(timer), 1);
  }
  b.set(kCntvoff, 500);
  EXPECT_EQ(b.get(kCntvoff), 500u);
  b.clock.advance_to(1000);
  EXPECT_TRUE(b.physical[0].level && b.el2_physical[0].level && b.el2_virt[0].level);
  EXPECT_FALSE(b.virt[0].level);
  EXPECT_EQ(b.get(tval(3)), 500u);
  b.clock.advance_to(1500);
  EXPECT_TRUE(b.virt[0].level);
  b.set(kCntvoff, 501);
  EXPECT_FALSE(b.virt[0].level);
  b.set(kCntvoff, 0);
  EXPECT_TRUE(b.virt[0].level);
  EXPECT_EQ(b.get(ctl(3)), 5u);
}

TEST(GenericTimer, Names) {
  Bench b;
  EXPECT_EQ(b.timer.register_name(cval(3)), "CNTV_CVAL_EL0");
  EXPECT_EQ(b.timer.register_name(ctl(2)), "CNTP_CTL_EL0");
  EXPECT_EQ(b.timer.register_name(sysreg_id(3, 0, 1, 0, 0)), "");
}

// A tick costs one at(): moving the deadline later costs none, and none piles up.
TEST(GenericTimer, ReprogrammingIsCheapAndBounded) {
  Bench b;
  b.set(cval(3), 1000);
  b.set(ctl(3), 1);
  EXPECT_EQ(b.clock.at_calls, 1u);
  for (unsigned n = 0; n < 100; ++n) b.set(cval(3), 2000 + n);
  EXPECT_EQ(b.clock.at_calls, 1u);
  b.clock.advance_to(1000);  // the early callback finds that it is early
  EXPECT_FALSE(b.virt[0].level);
  EXPECT_EQ(b.clock.at_calls, 2u);
  EXPECT_EQ(b.clock.next_deadline(), 2099u);
  for (unsigned n = 0; n < 100; ++n) {
    b.set(cval(3), 2090 - n);
    EXPECT_EQ(b.clock.pending(), 1u);
  }
  EXPECT_EQ(b.clock.cancel_calls, 100u);
  b.clock.advance_to(1991);
  EXPECT_TRUE(b.virt[0].level);
  EXPECT_EQ(b.virt[0].rises, 1u);
  EXPECT_EQ(b.clock.pending(), 0u);
}

TEST(GenericTimer, ALateCallbackIsNotAnEarlyOne) {
  Bench b;
  b.set(ctl(2), 1);
  b.set(cval(2), 100);
  b.clock.skip_to(500);  // due, not yet fired: the registers know already
  EXPECT_EQ(b.get(ctl(2)), 5u);
  b.set(cval(2), 400);
  EXPECT_TRUE(b.physical[0].level);
  b.clock.advance(0);
  EXPECT_TRUE(b.physical[0].level);
}

TEST(GenericTimer, SaveAndLoad) {
  Bench a;
  a.set(cval(3), 700, 1);
  a.set(ctl(3), 1, 1);
  a.set(cval(2), 50);
  a.set(ctl(2), 3);
  a.set(cval(2 | kEl2), 900, 1);
  a.set(kCntvoff, 40, 1);
  a.clock.advance(100);
  StateWriter out;
  a.timer.save(out);
  Bench b;
  b.clock.skip_to(100);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.timer.load(in));
  EXPECT_EQ(b.get(ctl(2)), 7u);
  EXPECT_EQ(b.get(cval(3), 1), 700u);
  EXPECT_EQ(b.get(cval(2 | kEl2), 1), 900u);
  EXPECT_EQ(b.get(kCntvoff, 1), 40u);
  b.clock.advance_to(740);
  EXPECT_TRUE(b.virt[1].level);
  b.timer.reset();
  EXPECT_FALSE(b.virt[1].level);
  EXPECT_EQ(b.get(cval(3), 1), 0u);
  EXPECT_EQ(b.clock.pending(), 0u);
  for (size_t size = 0; size < out.buffer().size(); ++size) {
    StateReader truncated(out.buffer().data(), size);
    EXPECT_FALSE(b.timer.load(truncated));
  }
}

// The CPU's thread sleeps to its own deadlines; the clock has them later, for safety.
TEST(GenericTimer, WhoeverSleepsSeesToItsTimers) {
  Bench b;
  EXPECT_EQ(b.timer.falls_asleep(0), CompareTimer::kNever);
  b.timer.wakes(0);
  b.set(cval(3), 1000);
  b.set(ctl(3), 1);
  b.set(cval(2), 2000);
  b.set(ctl(2), 1);
  EXPECT_EQ(b.timer.falls_asleep(0), 1000u);
  b.clock.advance_to(1500);
  EXPECT_FALSE(b.virt[0].level) << "the clock sees to it later";
  b.timer.wakes(0);
  EXPECT_TRUE(b.virt[0].level);
  EXPECT_FALSE(b.physical[0].level);
  EXPECT_EQ(b.timer.falls_asleep(0), 2000u) << "what is pending is waited for no more";
  b.timer.wakes(0);  // early
  b.clock.advance_to(2000);
  EXPECT_TRUE(b.physical[0].level) << "the clock's again";

  b.set(ctl(2), 0);
  b.set(cval(3), 5000);
  EXPECT_EQ(b.timer.falls_asleep(0), 5000u);
  b.clock.advance_to(5000 + Clock::kFrequency / 10);
  EXPECT_TRUE(b.virt[0].level) << "even if nobody wakes";
  EXPECT_EQ(b.timer.falls_asleep(0), CompareTimer::kNever);
}

// A clock with a thread of its own, whose cancel() waits for a running callback as HostClock's
// does: a deadlock between it and the timer's lock would show here.
class ThreadClock final : public Clock {
 public:
  ThreadClock() : thread_([this] { run(); }) {}
  ~ThreadClock() override {
    stop_ = true;
    thread_.join();
  }
  uint64_t now() override { return now_.fetch_add(1); }
  Handle at(uint64_t deadline, std::function<void()> callback) override {
    std::lock_guard lock(mutex_);
    EXPECT_LE(events_.size(), 2u);
    events_.push_back({deadline, ++last_, std::move(callback)});
    return last_;
  }
  void cancel(Handle handle) override {
    for (;;) {
      {
        std::lock_guard lock(mutex_);
        std::erase_if(events_, [&](const Event& e) { return e.handle == handle; });
        if (running_ != handle) return;
      }
      std::this_thread::yield();
    }
  }

 private:
  struct Event {
    uint64_t deadline;
    Handle handle;
    std::function<void()> callback;
  };
  void run() {
    while (!stop_) {
      std::function<void()> callback;
      {
        std::lock_guard lock(mutex_);
        for (size_t n = 0; n < events_.size(); ++n) {
          if (events_[n].deadline > now_) continue;
          callback = std::move(events_[n].callback);
          running_ = events_[n].handle;
          events_.erase(events_.begin() + static_cast<ptrdiff_t>(n));
          break;
        }
      }
      if (callback) {
        callback();
        std::lock_guard lock(mutex_);
        running_ = 0;
      } else {
        std::this_thread::yield();
      }
    }
  }
  std::mutex mutex_;
  std::vector<Event> events_;
  Handle last_ = 0, running_ = 0;
  std::atomic<uint64_t> now_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST(GenericTimer, CallbacksRaceWithReprogramming) {
  ThreadClock clock;
  struct CountingLine final : IrqLine {
    void set(bool high) override { level = high; }
    std::atomic<bool> level{false};
  } virt, physical;
  GenericTimer timer(clock, 1);
  timer.connect(0, &virt, &physical);
  std::mt19937_64 random(3);
  uint64_t value = 0;
  for (unsigned n = 0; n < 20'000; ++n) {
    timer.sysreg_write(tval(3), 0, random() % 64);
    timer.sysreg_write(ctl(3), 0, random() % 8 == 0 ? 0 : 1);
    if (random() % 16 == 0) std::this_thread::yield();
    timer.sysreg_read(ctl(3), 0, value);
  }
  // It must still fire: nothing was lost on the way.
  timer.sysreg_write(ctl(3), 0, 1);
  timer.sysreg_write(tval(3), 0, 200);
  EXPECT_FALSE(virt.level);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!virt.level && std::chrono::steady_clock::now() < deadline) clock.now();
  EXPECT_TRUE(virt.level);
}

}  // namespace
}  // namespace trapline
