// The memory-mapped generic timer.
#include <gtest/gtest.h>

#include <random>

#include "devices/timer.h"
#include "tests/devices/fake_clock.h"

namespace trapline {
namespace {

struct Bench {
  Bench() : timer(clock) { timer.connect(&line); }
  uint64_t ctl(uint64_t offset, unsigned size = 4) {
    return timer.control().read(offset, size, 0).value;
  }
  void set_ctl(uint64_t offset, uint64_t value, unsigned size = 4) {
    timer.control().write(offset, size, value, 0);
  }
  uint64_t base(uint64_t offset, unsigned size = 4) {
    return timer.frame().read(offset, size, 0).value;
  }
  void set_base(uint64_t offset, uint64_t value, unsigned size = 4) {
    timer.frame().write(offset, size, value, 0);
  }
  FakeClock clock;
  FakeLine line;
  MemoryMappedTimer timer;
};

TEST(TimerControlFrame, ResetAndWritableBits) {
  struct {
    uint64_t offset, reset, written, expected;
  } rows[] = {
      {0x000, 62'500'000, 1, 62'500'000},    // CNTFRQ
      {0x004, 0, 0xffff'ffff, 0},            // CNTNSAR: Secure only
      {0x008, 3, 0xffff'ffff, 3},            // CNTTIDR
      {0x040, 0, 0xffff'ffff, 0x3f},         // CNTACR0
      {0x044, 0, 0xffff'ffff, 0},            // CNTACR1
      {0x080, 0, 0x1234'5678, 0x1234'5678},  // CNTVOFF0
      {0x084, 0, 0x9abc'def0, 0x9abc'def0},
      {0x088, 0, 0xffff'ffff, 0},  // CNTVOFF1
      {0xfe8, 0, 1, 0},
      {0xff0, 0x0d, 0, 0x0d},
      {0xffc, 0xb1, 0, 0xb1},
  };
  for (const auto& row : rows) {
    Bench b;
    EXPECT_EQ(b.ctl(row.offset), row.reset) << std::hex << row.offset;
    b.set_ctl(row.offset, row.written);
    EXPECT_EQ(b.ctl(row.offset), row.expected) << std::hex << row.offset;
    b.timer.control().reset();
    b.timer.frame().reset();
    EXPECT_EQ(b.ctl(row.offset), row.reset) << std::hex << row.offset;
  }
}

// What Linux does to find a frame: see what of CNTACR sticks, for each frame that CNTTIDR names.
TEST(TimerFrame, LinuxFindsTheVirtualTimer) {
  Bench b;
  EXPECT_EQ(b.ctl(0x008) & 0x3, 3u);
  b.set_ctl(0x040, 0x3f);
  EXPECT_EQ(b.ctl(0x040), 0x3fu);
  b.clock.skip_to(0x1'2345'6789);
  EXPECT_EQ(b.base(0x00c), 1u);
  EXPECT_EQ(b.base(0x008), 0x2345'6789u);
  b.set_base(0x038, 1000);  // CNTV_TVAL
  b.set_base(0x03c, 1);     // CNTV_CTL
  EXPECT_EQ(b.base(0x038), 1000u);
  b.clock.advance(999);
  EXPECT_FALSE(b.line.level);
  b.clock.advance(1);
  EXPECT_TRUE(b.line.level);
  EXPECT_EQ(b.base(0x03c), 5u);
  b.set_base(0x03c, 3);
  EXPECT_FALSE(b.line.level);
}

TEST(TimerFrame, AccessControl) {
  struct {
    uint32_t bit;
    uint64_t offset, expected;
  } rows[] = {
      {1, 0x000, 5000}, {2, 0x008, 4000}, {4, 0x010, 62'500'000},
      {8, 0x018, 1000}, {16, 0x030, 77},  {32, 0x020, 88},
  };
  for (const auto& row : rows) {
    Bench b;
    b.clock.skip_to(5000);
    b.set_ctl(0x080, 1000);  // CNTVOFF0
    b.set_ctl(0x040, 0x3f);
    b.set_base(0x030, 77);
    b.set_base(0x020, 88);
    EXPECT_EQ(b.base(row.offset), row.expected);
    b.set_ctl(0x040, 0x3f & ~row.bit);
    EXPECT_EQ(b.base(row.offset), 0u) << row.bit;
    b.set_base(row.offset, 99);
    b.set_ctl(0x040, 0x3f);
    EXPECT_EQ(b.base(row.offset), row.expected) << row.bit;
  }
}

TEST(TimerFrame, HalvesAndWholes) {
  Bench b;
  b.set_ctl(0x040, 0x3f);
  for (uint64_t cval : {uint64_t{0x20}, uint64_t{0x30}}) {
    b.set_base(cval, 0x1122'3344'5566'7788, 8);
    EXPECT_EQ(b.base(cval), 0x5566'7788u);
    EXPECT_EQ(b.base(cval + 4), 0x1122'3344u);
    b.set_base(cval + 4, 0xaabb'ccdd);
    b.set_base(cval, 0x0102'0304);
    EXPECT_EQ(b.base(cval, 8), 0xaabb'ccdd'0102'0304u);
    EXPECT_EQ(b.base(cval, 2), 0u);  // no such size
    EXPECT_EQ(b.base(cval + 1, 4), 0u);
    EXPECT_EQ(b.base(cval + 4, 8), 0u);
  }
  b.set_ctl(0x080, 0x7'0000'0005, 8);
  EXPECT_EQ(b.ctl(0x080, 8), 0x7'0000'0005u);
  EXPECT_EQ(b.base(0x018, 8), 0x7'0000'0005u);
  b.set_base(0x018, 0);  // read-only in this frame
  EXPECT_EQ(b.base(0x018), 5u);
}

TEST(TimerFrame, TheOffsetMovesTheVirtualTimerOnly) {
  Bench b;
  b.set_ctl(0x040, 0x3f);
  b.set_ctl(0x080, 500);
  b.clock.skip_to(1000);
  b.set_base(0x030, 600);  // CNTV_CVAL
  b.set_base(0x03c, 1);
  b.set_base(0x020, 1200);  // CNTP_CVAL
  b.set_base(0x02c, 1);
  b.clock.advance_to(1099);
  EXPECT_FALSE(b.line.level);
  b.clock.advance_to(1100);
  EXPECT_TRUE(b.line.level);
  b.set_base(0x03c, 0);
  EXPECT_FALSE(b.line.level);
  b.clock.advance_to(1200);
  EXPECT_TRUE(b.line.level);
  b.set_base(0x03c, 1);  // both: one line
  b.set_base(0x02c, 0);
  EXPECT_TRUE(b.line.level);
  b.set_base(0x03c, 0);
  EXPECT_FALSE(b.line.level);
}

TEST(TimerFrame, SaveLoadAndNames) {
  Bench a;
  a.set_ctl(0x040, 0x3f);
  a.set_base(0x020, 300);
  a.set_base(0x02c, 1);
  StateWriter out;
  a.timer.control().save(out);
  a.timer.frame().save(out);
  Bench b;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.timer.control().load(in));
  ASSERT_TRUE(b.timer.frame().load(in));
  b.clock.advance(300);
  EXPECT_TRUE(b.line.level);
  for (size_t size = 0; size < out.buffer().size(); ++size) {
    StateReader truncated(out.buffer().data(), size);
    EXPECT_FALSE(b.timer.control().load(truncated) && b.timer.frame().load(truncated));
  }
  EXPECT_EQ(b.timer.control().register_name(0x40), "CNTACR");
  EXPECT_EQ(b.timer.frame().register_name(0x2c), "CNTP_CTL");
  EXPECT_EQ(b.timer.frame().register_name(0x3c), "CNTV_CTL");
  EXPECT_EQ(b.timer.frame().register_name(0x100), "");
}

TEST(TimerFrame, AnyAccessIsDefined) {
  Bench b;
  std::mt19937_64 random(5);
  for (unsigned n = 0; n < 200'000; ++n) {
    const unsigned size = 1u << random() % 4;
    const uint64_t offset = random() % (n % 4 == 0 ? 0x10000 : 0x90);
    Device& device = random() % 2 == 0 ? b.timer.control() : b.timer.frame();
    device.read(offset, size, 0);
    device.write(offset, size, random() >> random() % 64, 0);
    device.register_name(offset);
    ASSERT_LE(b.clock.pending(), 2u);
    if (n % 64 == 0) b.clock.advance(random() % 10'000);
  }
}

}  // namespace
}  // namespace trapline
