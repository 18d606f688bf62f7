#include <gtest/gtest.h>

#include <numeric>

#include "tests/devices/hda/harness.h"

namespace trapline::hda::test {
namespace {

constexpr uint64_t kGctl = 0x08, kStatests = 0x0e, kIntctl = 0x20, kIntsts = 0x24, kWalclk = 0x30,
                   kCorblbase = 0x40, kCorbwp = 0x48, kCorbrp = 0x4a, kCorbctl = 0x4c,
                   kRirblbase = 0x50, kRirbwp = 0x58, kRintcnt = 0x5a, kRirbctl = 0x5c,
                   kRirbsts = 0x5d, kIc = 0x60, kIr = 0x64, kIcs = 0x68, kDplbase = 0x70,
                   kSdctl = 0x80, kSdsts = 0x83, kSdlpib = 0x84, kSdcbl = 0x88, kSdlvi = 0x8c,
                   kSdfmt = 0x92, kSdbdpl = 0x98;
constexpr uint64_t kCorb = kRamBase + 0x1000, kRirb = kRamBase + 0x2000, kBdl = kRamBase + 0x3000,
                   kPosition = kRamBase + 0x4000, kSound = kRamBase + 0x10000;
constexpr uint32_t kRun = 2, kIoc = 4;

uint32_t verb(unsigned node, unsigned verb, unsigned payload) {
  return node << 20 | verb << 8 | payload;
}

struct Driver : HdaBench {
  Driver() {
    write(kGctl, 1);
    write(kCorblbase, kCorb);
    write(kRirblbase, kRirb);
    write(kRintcnt, 1, 2);
    write(kRirbctl, 3, 1);
    write(kCorbctl, 2, 1);
  }
  uint32_t immediate(uint32_t command) {
    write(kIc, command);
    write(kIcs, 1, 2);
    EXPECT_EQ(read(kIcs, 2) & 3, 2u);
    write(kIcs, 2, 2);
    return read(kIr);
  }
  // Two buffers of `bytes` each, the second one with an interrupt.
  void play(uint32_t bytes) {
    for (unsigned i = 0; i < 2; ++i) {
      dma.put(kBdl + 16 * i, kSound + i * bytes);
      dma.put(kBdl + 16 * i + 8, bytes);
      dma.put(kBdl + 16 * i + 12, uint32_t{i});
    }
    for (uint32_t i = 0; i < 2 * bytes; ++i)
      dma.ram[kSound - kRamBase + i] = static_cast<uint8_t>(i * 7);
    immediate(verb(2, 0x706, 0x10));
    write(kSdctl, 1, 1);
    write(kSdctl, 0, 1);
    write(kSdcbl, 2 * bytes);
    write(kSdlvi, 1, 2);
    write(kSdfmt, 0x0011, 2);
    write(kSdbdpl, kBdl);
    write(kDplbase, kPosition | 1);
    write(kIntctl, 0xc0000001);
    write(kSdctl, 1 << 20 | kRun | kIoc);
  }
};

TEST(Hda, InResetThereIsNothing) {
  HdaBench b;
  EXPECT_EQ(b.read(0, 2), 0x1001u);
  EXPECT_EQ(b.read(3, 1), 1u);
  b.write(kSdcbl, 77);
  EXPECT_EQ(b.read(kSdcbl), 0u);
  EXPECT_EQ(b.read(kStatests, 2), 0u);
  b.write(kGctl, 1);
  EXPECT_EQ(b.read(kStatests, 2), 1u);  // a codec
  b.write(kStatests, 1, 2);
  EXPECT_EQ(b.read(kStatests, 2), 0u);
  b.write(kSdcbl, 77);
  EXPECT_EQ(b.read(kSdcbl), 77u);
  b.write(kGctl, 0);
  EXPECT_EQ(b.read(kSdcbl), 0u);
}

TEST(Hda, EachWidthSeesTheSame) {
  Driver b;
  b.write(kSdcbl, 0x12345678);
  EXPECT_EQ(b.hda.read(kSdlpib, 8, 0).value, 0x12345678ull << 32);
  EXPECT_EQ(b.read(kSdcbl + 1, 2), 0x3456u);
  b.write(kSdcbl + 3, 0xab, 1);
  EXPECT_EQ(b.read(kSdcbl), 0xab345678u);
  b.clock.advance(125);
  EXPECT_EQ(b.read(kWalclk), 48u);  // 24 MHz
  EXPECT_EQ(b.read(0x2000), 0u);
  EXPECT_EQ(b.hda.register_name(kSdsts), "SD0STS");
  EXPECT_EQ(b.hda.register_name(0x4b), "CORBRP");
}

TEST(Hda, TheCodecSaysWhatItIs) {
  Driver b;
  EXPECT_EQ(b.immediate(verb(0, 0xf00, 0)), 0x1af40011u);
  EXPECT_EQ(b.immediate(verb(0, 0xf00, 4)), 0x00010001u);
  EXPECT_EQ(b.immediate(verb(1, 0xf00, 5)), 1u);
  EXPECT_EQ(b.immediate(verb(3, 0xf02, 0)), 2u);
  EXPECT_EQ(b.immediate(verb(2, 0xa00, 0)), 0x0011u);
  b.immediate(2 << 20 | 0x2 << 16 | 0x4011);
  EXPECT_EQ(b.immediate(verb(2, 0xa00, 0)), 0x4011u);
  EXPECT_EQ(b.immediate(verb(3, 0xf1c, 0)), 0x01014110u);
  b.immediate(verb(3, 0x71f, 0x42));
  EXPECT_EQ(b.immediate(verb(3, 0xf1c, 0)), 0x42014110u);
  b.write(kIc, 1u << 28);  // nobody has that address
  b.write(kIcs, 1, 2);
  EXPECT_EQ(b.read(kIcs, 2) & 3, 0u);
}

TEST(Hda, RingsOfCommandsAndResponses) {
  Driver b;
  b.write(kIntctl, 0xc0000000);
  b.dma.put(kCorb + 4, verb(0, 0xf00, 0));
  b.dma.put(kCorb + 8, verb(1, 0xf00, 5));
  b.write(kCorbwp, 2, 2);
  EXPECT_EQ(b.read(kCorbrp, 2), 2u);
  EXPECT_EQ(b.read(kRirbwp, 2), 2u);
  EXPECT_EQ(b.dma.get<uint32_t>(kRirb + 8), 0x1af40011u);
  EXPECT_EQ(b.dma.get<uint32_t>(kRirb + 16), 1u);
  EXPECT_TRUE(b.dma.told(kRirb + 8, 16));
  EXPECT_EQ(b.read(kIntsts), 0xc0000000u);
  EXPECT_TRUE(b.bus.lines[1].level);
  b.write(kRirbsts, 1, 1);
  EXPECT_EQ(b.read(kIntsts), 0u);
  EXPECT_FALSE(b.bus.lines[1].level);
  // Pointers are reset as drivers do: CORBRP's bit is seen, and taken back.
  b.write(kCorbrp, 0x8000, 2);
  EXPECT_EQ(b.read(kCorbrp, 2), 0x8000u);
  b.write(kCorbrp, 0, 2);
  EXPECT_EQ(b.read(kCorbrp, 2), 0u);
  b.write(kRirbwp, 0x8000, 2);
  EXPECT_EQ(b.read(kRirbwp, 2), 0u);
}

TEST(Hda, AStreamPlaysAtItsRate) {
  Driver b;
  constexpr uint32_t kBytes = 1920;  // 10 ms
  b.play(kBytes);
  b.clock.advance(Clock::kFrequency / 100 + 1000);
  EXPECT_GE(b.ear.total, kBytes - 960u);
  EXPECT_FALSE(b.bus.lines[1].level);
  b.clock.advance(Clock::kFrequency / 100 + Clock::kFrequency / 200);
  EXPECT_TRUE(b.bus.lines[1].level);
  EXPECT_EQ(b.read(kIntsts), 0x80000001u);
  EXPECT_EQ(b.read(kSdsts, 1) & 4, 4u);
  b.write(kSdsts, 4, 1);
  EXPECT_FALSE(b.bus.lines[1].level);
  const uint32_t position = b.read(kSdlpib);
  EXPECT_EQ(position, b.ear.total % (2 * kBytes));
  EXPECT_EQ(b.dma.get<uint32_t>(kPosition), position);
  b.clock.advance(Clock::kFrequency);
  EXPECT_NEAR(static_cast<double>(b.ear.total), 48000.0 * 4 * 1.025, 1920);
  for (size_t i = 0; i < b.ear.heard.size(); ++i) {
    ASSERT_EQ(b.ear.heard[i], static_cast<uint8_t>(i % (2 * kBytes) * 7)) << i;
  }
  b.write(kSdctl, 0);
  const uint64_t total = b.ear.total;
  b.clock.advance(Clock::kFrequency);
  EXPECT_EQ(b.ear.total, total);
  EXPECT_TRUE(b.clock.events.empty());  // nothing runs when nothing plays
}

TEST(Hda, BadListsStopTheStream) {
  for (const uint64_t bdl : {uint64_t{kBdl}, uint64_t{0x1000}}) {  // of empty entries; not in RAM
    Driver b;
    b.play(1920);
    for (unsigned i = 0; i < 256; ++i) b.dma.put(kBdl + 16 * i + 8, uint32_t{0});
    b.write(kSdbdpl, static_cast<uint32_t>(bdl));
    b.clock.advance(Clock::kFrequency / 50);
    EXPECT_EQ(b.read(kSdctl) & kRun, 0u);
    EXPECT_EQ(b.read(kSdsts, 1) & 0x10, 0x10u);
  }
}

TEST(Hda, OtherFormatsAndStreamsAreNotHeard) {
  Driver b;
  b.play(1920);
  b.immediate(verb(2, 0x706, 0x20));
  b.clock.advance(Clock::kFrequency / 70);
  EXPECT_EQ(b.ear.total, 0u);
  EXPECT_NE(b.read(kSdlpib), 0u);
}

TEST(Hda, StateGoesOn) {
  Driver a;
  HdaBench b;
  a.play(1920);
  a.clock.advance(Clock::kFrequency / 60);
  StateWriter out;
  a.hda.save(out);
  std::copy(a.dma.ram.begin(), a.dma.ram.end(), b.dma.ram.begin());
  b.clock.time = a.clock.time;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.hda.load(in));
  EXPECT_EQ(b.read(kSdlpib), a.read(kSdlpib));
  b.clock.advance(Clock::kFrequency / 100);
  a.clock.advance(Clock::kFrequency / 100);
  EXPECT_EQ(b.read(kSdlpib), a.read(kSdlpib));
  EXPECT_GT(b.ear.total, 1000u);
  StateReader cut(out.buffer().data(), out.buffer().size() - 20);
  EXPECT_FALSE(b.hda.load(cut));
}

// Under icount nobody may see that a machine was moved.
TEST(Hda, RestoredItTicksWhenItWouldHave) {
  Driver a;
  a.play(1920);
  a.clock.advance(Clock::kFrequency / 400);
  EXPECT_GT(a.read(kSdlpib), 0u);  // the stream is moved between two ticks
  const uint64_t before = a.ear.total;
  StateWriter out;
  a.hda.save(out);
  HdaBench b;
  std::copy(a.dma.ram.begin(), a.dma.ram.end(), b.dma.ram.begin());
  b.clock.time = a.clock.time;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.hda.load(in));
  a.clock.advance(Clock::kFrequency / 400);
  b.clock.advance(Clock::kFrequency / 400);
  EXPECT_GT(a.ear.total, before);
  EXPECT_EQ(b.ear.total, a.ear.total - before);
}

TEST(Hda, NoMessageAnewWhenRestored) {
  Driver a;
  a.bus.write(1, 0x64, 0x08090040);
  a.bus.write(1, 0x62, 1, 2);  // MSI enable
  a.play(192);
  a.clock.advance(Clock::kFrequency / 100);
  EXPECT_EQ(a.bus.inbox.take().size(), 1u);
  StateWriter out;
  a.hda.save(out);
  HdaBench b;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.hda.load(in));
  EXPECT_TRUE(b.bus.inbox.take().empty());
  EXPECT_EQ(b.read(kIntsts) >> 31, 1u);
  b.write(kSdsts, 4, 1);
  EXPECT_EQ(b.read(kIntsts), 0u);
  b.clock.advance(Clock::kFrequency / 100);
  EXPECT_EQ(b.bus.inbox.take().size(), 0u);  // its memory holds no buffers
}

}  // namespace
}  // namespace trapline::hda::test
