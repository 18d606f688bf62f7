#include "devices/pl031.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/devices/fake_clock.h"

namespace trapline {
namespace {

enum : uint64_t {
  kDr = 0x00,
  kMr = 0x04,
  kLr = 0x08,
  kCr = 0x0c,
  kImsc = 0x10,
  kRis = 0x14,
  kMis = 0x18,
  kIcr = 0x1c,
};
constexpr uint64_t kSecond = Clock::kFrequency;
constexpr uint32_t kEpoch = 1'700'000'000;

struct Bench {
  explicit Bench(uint64_t epoch = kEpoch) : rtc(clock, epoch, &line) {}
  uint64_t get(uint64_t offset, unsigned size = 4) { return rtc.read(offset, size, 0).value; }
  void set(uint64_t offset, uint64_t value, unsigned size = 4) {
    rtc.write(offset, size, value, 0);
  }
  FakeClock clock;
  FakeLine line;
  Pl031 rtc;
};

TEST(Pl031, ResetAndWritableBits) {
  struct {
    uint64_t offset, reset, written, expected;
  } rows[] = {
      {kDr, kEpoch, 0, kEpoch},
      {kMr, 0, 0xffff'fff0, 0xffff'fff0},
      {kLr, 0, 0x1234'5678, 0x1234'5678},
      {kCr, 1, 0, 1},
      {kImsc, 0, 0xffff'ffff, 1},
      {kRis, 0, 1, 0},
      {kMis, 0, 1, 0},
      {kIcr, 0, 1, 0},
      {0xfe0, 0x31, 0, 0x31},
      {0xfe4, 0x10, 0, 0x10},
      {0xfe8, 0x14, 0, 0x14},
      {0xffc, 0xb1, 0, 0xb1},
      {0x20, 0, 1, 0},
  };
  for (const auto& row : rows) {
    Bench b;
    EXPECT_EQ(b.get(row.offset), row.reset) << std::hex << row.offset;
    b.set(row.offset, row.written);
    EXPECT_EQ(b.get(row.offset), row.expected) << std::hex << row.offset;
  }
}

TEST(Pl031, TimeAdvancesAndIsSet) {
  Bench b;
  b.clock.advance(kSecond - 1);
  EXPECT_EQ(b.get(kDr), kEpoch);
  b.clock.advance(1);
  EXPECT_EQ(b.get(kDr), kEpoch + 1);
  b.set(kLr, 1000);
  EXPECT_EQ(b.get(kDr), 1000u);
  EXPECT_EQ(b.get(kLr), 1000u);
  b.clock.advance(10 * kSecond);
  EXPECT_EQ(b.get(kDr), 1010u);
  b.rtc.reset();
  EXPECT_EQ(b.get(kDr), 1010u);  // a reset does not take the battery out
}

TEST(Pl031, AlarmAtTheSecond) {
  Bench b;
  b.clock.advance(kSecond / 2);
  b.set(kImsc, 1);
  b.set(kMr, kEpoch + 3);
  b.clock.advance_to(3 * kSecond - 1);
  EXPECT_FALSE(b.line.level);
  b.clock.advance(1);
  EXPECT_TRUE(b.line.level);
  EXPECT_EQ(b.get(kDr), kEpoch + 3);
  EXPECT_EQ(b.get(kRis), 1u);
  EXPECT_EQ(b.get(kMis), 1u);
  b.set(kImsc, 0);
  EXPECT_FALSE(b.line.level);
  EXPECT_EQ(b.get(kRis), 1u);
  EXPECT_EQ(b.get(kMis), 0u);
  b.set(kImsc, 1);
  b.set(kIcr, 1);
  EXPECT_FALSE(b.line.level);
  b.clock.advance(10 * kSecond);
  EXPECT_FALSE(b.line.level);  // once
}

TEST(Pl031, AlarmNow) {
  Bench b;
  b.set(kImsc, 1);
  b.set(kMr, kEpoch);
  EXPECT_TRUE(b.line.level);
}

TEST(Pl031, SettingTheTimeMovesTheAlarm) {
  Bench b;
  b.set(kImsc, 1);
  b.set(kMr, kEpoch + 100);
  b.set(kLr, kEpoch + 95);
  b.clock.advance(5 * kSecond - 1);
  EXPECT_FALSE(b.line.level);
  b.clock.advance(1);
  EXPECT_TRUE(b.line.level);
  EXPECT_EQ(b.clock.pending(), 0u);
}

TEST(Pl031, TimeWrapsAt32Bits) {
  Bench b(0xffff'ffff);
  EXPECT_EQ(b.get(kDr), 0xffff'ffffu);
  b.set(kImsc, 1);
  b.set(kMr, 1);
  b.clock.advance(kSecond);
  EXPECT_EQ(b.get(kDr), 0u);
  EXPECT_FALSE(b.line.level);
  b.clock.advance(kSecond);
  EXPECT_TRUE(b.line.level);
}

TEST(Pl031, AccessSizes) {
  Bench b(0x1234'5678);
  EXPECT_EQ(b.get(kDr, 2), 0x5678u);
  EXPECT_EQ(b.get(kDr, 1), 0x78u);
  EXPECT_EQ(b.get(kDr + 1, 1), 0u);
  EXPECT_EQ(b.get(kDr, 8), 0u);
}

TEST(Pl031, SaveLoadAndNames) {
  Bench a;
  a.set(kImsc, 1);
  a.set(kLr, 500);
  a.set(kMr, 510);
  StateWriter out;
  a.rtc.save(out);
  Bench b;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.rtc.load(in));
  b.clock.advance(10 * kSecond);
  EXPECT_EQ(b.get(kDr), 510u);
  EXPECT_TRUE(b.line.level);
  b.rtc.reset();
  EXPECT_FALSE(b.line.level);
  for (size_t size = 0; size < out.buffer().size(); ++size) {
    StateReader truncated(out.buffer().data(), size);
    EXPECT_FALSE(b.rtc.load(truncated));
  }
  EXPECT_EQ(b.rtc.register_name(kDr), "RTCDR");
  EXPECT_EQ(b.rtc.register_name(0xff0), "RTCPCellID");
  EXPECT_EQ(b.rtc.register_name(0x40), "");
}

TEST(Pl031, AnyAccessIsDefined) {
  Bench b;
  std::mt19937_64 random(4);
  for (unsigned n = 0; n < 100'000; ++n) {
    const unsigned size = 1u << random() % 4;
    const uint64_t offset = random() % (n % 4 == 0 ? 0x1000 : 0x24);
    b.get(offset, size);
    b.set(offset, random(), size);
    ASSERT_LE(b.clock.pending(), 1u);
    if (n % 256 == 0) b.clock.advance(random() % (100 * kSecond));
  }
}

}  // namespace
}  // namespace trapline
