#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include <cstring>

#include "devices/virtio/balloon.h"
#include "devices/virtio/input.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::virtio::test {
namespace {

// --- input ---

struct InputBench : Bench {
  explicit InputBench(Input::Kind kind)
      : Bench(std::make_unique<Input>(kind)), input(static_cast<Input&>(device.function())) {}
  std::vector<uint8_t> shown(uint8_t select, uint8_t subselect) {
    device.write(reg::kConfig, 1, select, 0);
    device.write(reg::kConfig + 1, 1, subselect, 0);
    std::vector<uint8_t> bytes(device.read(reg::kConfig + 2, 1, 0).value);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<uint8_t>(device.read(reg::kConfig + 8 + i, 1, 0).value);
    }
    return bytes;
  }
  void send(std::vector<InputEvent> events) { input.send(events); }
  // Events that arrived, from a driver that lends one buffer at a time.
  std::vector<InputEvent> take(size_t most) {
    std::vector<InputEvent> out;
    for (size_t i = 0; i < most; ++i) {
      queue[0].add(0, {{kData, sizeof(InputEvent), true}});
      notify(0);
      settle();
      const auto used = queue[0].take_used();
      if (!used) break;
      EXPECT_EQ(used->length, sizeof(InputEvent));
      out.push_back(dma.get<InputEvent>(kData));
    }
    return out;
  }
  Input& input;
};

bool bit(const std::vector<uint8_t>& bitmap, unsigned n) {
  return n / 8 < bitmap.size() && (bitmap[n / 8] >> n % 8 & 1) != 0;
}

TEST(Input, SaysWhatItIs) {
  InputBench keyboard(Input::Kind::kKeyboard), tablet(Input::Kind::kTablet);
  const auto name = keyboard.shown(1, 0);
  EXPECT_EQ(std::string(name.begin(), name.end()), "Trapline keyboard");
  EXPECT_EQ(keyboard.shown(3, 0).size(), 8u);
  EXPECT_TRUE(bit(keyboard.shown(0x11, EV_KEY), KEY_A));
  EXPECT_FALSE(bit(keyboard.shown(0x11, EV_KEY), BTN_LEFT));
  EXPECT_TRUE(keyboard.shown(0x11, EV_ABS).empty());
  EXPECT_TRUE(bit(tablet.shown(0x11, EV_KEY), BTN_LEFT));
  EXPECT_TRUE(bit(tablet.shown(0x11, EV_ABS), ABS_Y));
  EXPECT_TRUE(bit(tablet.shown(0x11, EV_REL), REL_WHEEL));
  const auto axis = tablet.shown(0x12, ABS_X);
  ASSERT_EQ(axis.size(), 20u);
  EXPECT_EQ(axis[4] | axis[5] << 8, 0x7fff);
  EXPECT_TRUE(tablet.shown(0x12, ABS_Z).empty());
  EXPECT_TRUE(tablet.shown(0xff, 0xff).empty());
}

TEST(Input, EventsEndInAReport) {
  InputBench b(Input::Kind::kKeyboard);
  b.send({{EV_KEY, KEY_A, 1}});  // nobody is there
  b.start(kVersion1, 2, 16);
  b.send({{EV_KEY, KEY_B, 1}});
  b.settle();
  const auto events = b.take(8);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].code, KEY_B);
  EXPECT_EQ(events[0].value, 1u);
  EXPECT_EQ(events[1].type, EV_SYN);
}

TEST(Input, WhatIsNotReadIsDroppedAsAWhole) {
  InputBench b(Input::Kind::kKeyboard);
  b.start(kVersion1, 2, 16);
  for (unsigned i = 0; i < Input::kMaxWaiting; ++i) b.send({{EV_KEY, KEY_A, i & 1}});
  size_t reports = 0;
  const auto events = b.take(2 * Input::kMaxWaiting);
  for (const InputEvent& event : events) reports += event.type == EV_SYN;
  EXPECT_LE(events.size() + 1, Input::kMaxWaiting + 1);
  EXPECT_EQ(reports * 2, events.size());
  EXPECT_GE(reports, Input::kMaxWaiting / 2 - 1);
}

TEST(Input, StateHasWhatWaits) {
  InputBench a(Input::Kind::kTablet), b(Input::Kind::kTablet);
  a.start(kVersion1, 2, 16);
  a.send({{EV_ABS, ABS_X, 5}});
  a.settle();
  StateWriter out;
  a.device.save(out);
  std::copy(a.dma.ram.begin(), a.dma.ram.end(), b.dma.ram.begin());
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.device.load(in));
  b.queue = {DriverQueue(&b.dma, kRamBase + 0x10000, 16)};
  const auto events = b.take(3);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].value, 5u);
}

// --- balloon ---

struct BalloonBench : Bench {
  BalloonBench()
      : Bench(std::make_unique<Balloon>(
            [this](uint64_t ipa, uint64_t size) { given.emplace_back(ipa, size); })),
        balloon(static_cast<Balloon&>(device.function())) {
    start(kVersion1 | device_features(), 5, 16);
  }
  static uint64_t device_features() { return 1 << 1 | 1 << 2 | 1 << 5; }
  void put_pages(const std::vector<uint32_t>& pages) {
    std::memcpy(dma.host(kData, 4096), pages.data(), pages.size() * 4);
    ASSERT_TRUE(run(0, 0, {{kData, static_cast<uint32_t>(pages.size() * 4), false}}));
  }
  using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;
  Ranges given;
  Balloon& balloon;
};

TEST(Balloon, TargetIsConfiguration) {
  BalloonBench b;
  EXPECT_EQ(b.offered() & 0xff, BalloonBench::device_features());
  const uint32_t generation = b.read(reg::kGeneration);
  b.balloon.set_target(8 << 20);
  EXPECT_NE(b.read(reg::kGeneration), generation);
  EXPECT_TRUE(b.irq.level);
  EXPECT_EQ(b.read(reg::kConfig), 2048u);
  b.write(reg::kConfig + 4, 77);
  EXPECT_EQ(b.balloon.shown().actual_bytes, 77 * 4096u);
  EXPECT_EQ(b.balloon.shown().target_bytes, 8u << 20);
  b.device.reset();
  EXPECT_EQ(b.balloon.shown().actual_bytes, 0u);
}

TEST(Balloon, RunsOfPagesGoBackTogether) {
  BalloonBench b;
  const uint32_t first = kRamBase >> 12;
  b.put_pages({first + 8, first + 9, first + 10, first + 20, first + 19});
  EXPECT_EQ(b.given, (BalloonBench::Ranges{{kRamBase + 0x8000, 0x3000},
                                           {kRamBase + 0x14000, 0x1000},
                                           {kRamBase + 0x13000, 0x1000}}));
}

TEST(Balloon, PagesThatAreNotRamAreRefused) {
  BalloonBench b;
  b.put_pages({0, ~0u, kRamBase >> 12, 0x0a000});
  EXPECT_EQ(b.given, (BalloonBench::Ranges{{kRamBase, 0x1000}}));
  EXPECT_EQ(b.device.errors(), 3u);
}

TEST(Balloon, ReportedPagesGoBackInBothNumberings) {
  for (const unsigned queue : {3u, 4u}) {
    BalloonBench b;
    ASSERT_TRUE(b.run(queue, 0,
                      {{kRamBase + 0x200000, 0x10000, true},
                       {kRamBase + 0x280800, 0x1800, true},
                       {kRamBase + 0x290010, 0xff0, true}}));
    EXPECT_EQ(b.given, (BalloonBench::Ranges{{kRamBase + 0x200000, 0x10000},
                                             {kRamBase + 0x281000, 0x1000}}));
    EXPECT_EQ(b.balloon.shown().reported_bytes, 0x11000u);
  }
}

TEST(Balloon, StatisticsStayInTheirBuffer) {
  BalloonBench b;
  const auto stat = [&](unsigned n, uint16_t tag, uint64_t value) {
    b.dma.put(kData + 10 * n, tag);
    std::memcpy(b.dma.host(kData + 10 * n + 2, 8), &value, 8);
  };
  stat(0, 4, 1234);
  stat(1, 5, 5678);
  stat(2, 99, 1);
  b.queue[2].add(0, {{kData, 30, false}});
  b.notify(2);
  b.settle();
  EXPECT_FALSE(b.queue[2].take_used());
  EXPECT_EQ(b.balloon.shown().stats[4], 1234u);
  EXPECT_EQ(b.balloon.shown().stats[5], 5678u);
  EXPECT_EQ(b.balloon.shown().stats[0], std::nullopt);
}

TEST(Balloon, StatisticsComeWhenTheyAreAskedFor) {
  TestIrq irq;
  Bench b(std::make_unique<Balloon>([](uint64_t, uint64_t) {}), true);
  auto& balloon = static_cast<Balloon&>(b.device.function());
  b.start(kVersion1 | BalloonBench::device_features(), 5, 16);
  b.dma.put(kData, uint16_t{4});
  b.dma.put(kData + 2, uint64_t{1});
  b.queue[2].add(0, {{kData, 10, false}});
  b.notify(2);
  ASSERT_TRUE(came_true([&] { return balloon.shown().stats[4].has_value(); }));
  EXPECT_EQ(balloon.shown().stats[4], 1u);
  ASSERT_TRUE(b.complete(2));  // for the next one
  b.device.quiesce();
}

}  // namespace
}  // namespace trapline::virtio::test
