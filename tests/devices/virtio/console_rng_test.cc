#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "tests/devices/fake_sink.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::virtio::test {
namespace {

struct ConsoleBench : private FakeSink, Bench {
  explicit ConsoleBench(bool threaded = false)
      : Bench(std::make_unique<Console>(static_cast<FakeSink&>(*this)), threaded),
        sink(*this),
        console(static_cast<Console&>(device.function())) {
    console.on_input_space([this] { ++space_calls; });
  }
  ~ConsoleBench() { device.quiesce(); }
  void make_room(size_t bytes) {
    sink.set_room(bytes);
    console.output_room();
  }
  size_t type(const std::string& text) {
    return console.receive(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  }
  std::string seen() const { return sink.text(); }
  unsigned used_index(unsigned index) { return dma.get16(queue[index].used + 2); }
  FakeSink& sink;
  Console& console;
  std::atomic<unsigned> space_calls{0};
};

TEST(Console, Output) {
  for (bool threaded : {false, true}) {
    ConsoleBench b(threaded);
    b.start(kVersion1, 2, 16);
    std::memcpy(b.dma.host(kData, 16), "hello, world\n", 13);
    ASSERT_TRUE(b.run(1, 0, {{kData, 5, false}, {kData + 5, 8, false}}));
    EXPECT_EQ(b.seen(), "hello, world\n");
    ASSERT_TRUE(b.run(1, 0, {{kData, 4, true}}));  // nothing readable
    EXPECT_EQ(b.seen(), "hello, world\n");
  }
}

TEST(Console, ALargeBufferIsTakenInParts) {
  for (bool threaded : {false, true}) {
    ConsoleBench b(threaded);
    b.start(kVersion1, 2, 16);
    std::string all(2 << 20, ' ');
    for (size_t n = 0; n < all.size(); ++n) all[n] = static_cast<char>('a' + n % 23);
    std::memcpy(b.dma.host(kData, all.size()), all.data(), all.size());
    ASSERT_TRUE(b.run(1, 0, {{kData, 2 << 20, false}}));
    EXPECT_EQ(b.seen(), all);
    EXPECT_EQ(b.device.errors(), 0u);
  }
}

TEST(Console, AFullSinkKeepsTheBuffer) {
  ConsoleBench b(true);
  b.start(kVersion1 | kEventIdx, 2, 16);
  std::memcpy(b.dma.host(kData, 32), "0123456789abcdefghijklmnopqrstuv", 32);
  b.sink.set_room(4);
  b.queue[1].add(0, {{kData, 6, false}, {kData + 6, 10, false}});
  b.queue[1].add(2, {{kData + 16, 16, false}});
  b.notify(1);
  while (b.seen().size() < 4) std::this_thread::yield();
  EXPECT_EQ(b.used_index(1), 0u);
  b.make_room(5);
  while (b.seen().size() < 9) std::this_thread::yield();
  EXPECT_EQ(b.used_index(1), 0u);
  b.make_room(8);  // the first buffer and one byte of the second
  EXPECT_EQ(b.complete(1)->id, 0u);
  while (b.seen().size() < 17) std::this_thread::yield();
  EXPECT_EQ(b.used_index(1), 1u);
  // Neither a reset of the driver's nor the machine's end waits for the sink.
  b.device.quiesce();
  b.device.resume();
  b.make_room(100);
  EXPECT_EQ(b.complete(1)->id, 2u);
  EXPECT_EQ(b.seen(), "0123456789abcdefghijklmnopqrstuv");
  EXPECT_EQ(b.sink.forced(), 0u);
}

TEST(Console, ADriverThatComesAnewStartsWithItsOwnFirstByte) {
  ConsoleBench b(true);
  b.start(kVersion1, 2, 16);
  std::memcpy(b.dma.host(kData, 16), "gone....new.....", 16);
  b.sink.set_room(4);
  b.queue[1].add(0, {{kData, 8, false}});
  b.notify(1);
  while (b.seen().size() < 4) std::this_thread::yield();
  std::memset(b.dma.host(b.queue[1].desc, 1024), 0, 1024);
  b.start(kVersion1, 2, 16);  // resets the device
  b.queue[1].add(0, {{kData + 8, 3, false}});
  b.make_room(100);
  b.notify(1);
  ASSERT_TRUE(b.complete(1));
  EXPECT_EQ(b.seen(), "gonenew");
}

TEST(Console, Input) {
  for (bool threaded : {false, true}) {
    ConsoleBench b(threaded);
    EXPECT_EQ(b.type("ab"), 2u);  // before there is a driver
    b.start(kVersion1 | kEventIdx, 2, 16);
    b.queue[0].add(0, {{kData, 1, true}});
    b.queue[0].add(1, {{kData + 16, 8, true}});
    b.notify(0);
    EXPECT_EQ(b.complete(0)->length, 1u);
    EXPECT_EQ(b.complete(0)->length, 1u);
    EXPECT_EQ(b.dma.get<uint8_t>(kData), 'a');
    EXPECT_EQ(b.dma.get<uint8_t>(kData + 16), 'b');
    EXPECT_TRUE(b.irq.raised_soon());
    b.queue[0].add(2, {{kData, 8, true}});
    b.notify(0);
    EXPECT_EQ(b.type("cde"), 3u);
    EXPECT_EQ(b.complete(0)->length, 3u);
  }
}

// Linux throws away what comes before its console is connected, which may be after it has printed
// its log there.
TEST(Console, ANewDriverIsGivenTimeBeforeItGetsInput) {
  for (bool threaded : {false, true}) {
    ConsoleBench b(threaded);
    b.type("early");
    b.start(kVersion1, 2, 16);
    b.queue[0].add(0, {{kData, 16, true}});
    b.notify(0);
    for (unsigned n = 0; n < 8; ++n) {
      if (!threaded) b.clock.advance(300 * Bench::kDelay);
      ASSERT_TRUE(b.run(1, 1, {{kData + 64, 1, false}}));
      EXPECT_EQ(b.used_index(0), 0u) << n;
    }
    const auto used = b.complete(0);
    ASSERT_TRUE(used);
    EXPECT_EQ(used->length, 5u);
    // Once: from now on input comes at once.
    b.queue[0].add(2, {{kData, 16, true}});
    b.notify(0);
    b.type("late");
    b.settle();
    if (!threaded) {
      EXPECT_EQ(b.used_index(0), 2u);
    }
    EXPECT_EQ(b.complete(0)->length, 4u);
  }
}

TEST(Console, InputHasBackPressure) {
  for (bool threaded : {false, true}) {
    ConsoleBench b(threaded);
    b.start(kVersion1, 2, 16);
    EXPECT_EQ(b.console.input_space(), Console::kMaxInput);
    EXPECT_EQ(b.type(std::string(100'000, 'x')), Console::kMaxInput);
    EXPECT_EQ(b.console.input_space(), 0u);
    EXPECT_EQ(b.type("y"), 0u);
    EXPECT_EQ(b.space_calls, 0u);
    // A buffer without room comes back empty and is no loop.
    b.queue[0].add(0, {{kData, 8, false}});
    b.notify(0);
    EXPECT_EQ(b.complete(0)->length, 0u);
    EXPECT_EQ(b.space_calls, 0u);
    b.queue[0].add(0, {{kData, 10, true}});
    b.notify(0);
    EXPECT_EQ(b.complete(0)->length, 10u);
    b.settle();
    while (threaded && b.space_calls == 0) std::this_thread::yield();
    EXPECT_EQ(b.space_calls, 1u);
    EXPECT_EQ(b.console.input_space(), 10u);
  }
}

TEST(Console, EmergencyWriteNeedsNoDriver) {
  ConsoleBench b;
  b.device.write(0x108, 4, 'E', 0);
  b.device.write(0x100, 4, 'x', 0);
  EXPECT_EQ(b.seen(), "E");
  b.sink.set_room(0);
  b.device.write(0x108, 4, 'F', 0);
  EXPECT_EQ(b.seen(), "EF");  // it cannot be told to wait
}

TEST(Console, WaitingInputIsSaved) {
  ConsoleBench a, b;
  a.start(kVersion1, 2, 16);
  a.type("typed");
  StateWriter out;
  a.device.save(out);
  StateReader in(out.buffer().data(), out.buffer().size());
  b.dma.ram = a.dma.ram;
  ASSERT_TRUE(b.device.load(in));
  DriverQueue q(&b.dma, kRamBase + 0x10000, 16);
  b.queue = {q};
  b.queue[0].add(0, {{kData, 8, true}});
  b.notify(0);
  EXPECT_EQ(b.complete(0)->length, 5u);
  EXPECT_EQ(std::memcmp(b.dma.host(kData, 5), "typed", 5), 0);
}

std::vector<uint8_t> draw(std::optional<uint64_t> seed, uint32_t bytes) {
  Bench b(std::make_unique<Rng>(seed));
  b.start(kVersion1, 1, 16);
  const auto used =
      b.run(0, 0, {{kData, bytes / 2, true}, {kData + 0x8000, bytes - bytes / 2, true}});
  EXPECT_TRUE(used);
  EXPECT_EQ(used->length, bytes);
  EXPECT_TRUE(b.dma.told(kData + 0x8000, bytes - bytes / 2));
  std::vector<uint8_t> out(b.dma.host(kData, bytes / 2), b.dma.host(kData, bytes / 2) + bytes / 2);
  const uint8_t* rest = b.dma.host(kData + 0x8000, bytes);
  out.insert(out.end(), rest, rest + (bytes - bytes / 2));
  return out;
}

TEST(Rng, FixedSeedsRepeatAndOthersDoNot) {
  EXPECT_EQ(draw(1, 1001), draw(1, 1001));
  EXPECT_NE(draw(1, 1001), draw(2, 1001));
  EXPECT_NE(draw({}, 1001), draw({}, 1001));
  const auto bytes = draw(1, 8192);
  EXPECT_NEAR(std::accumulate(bytes.begin(), bytes.end(), 0.0) / 8192, 127.5, 5);
}

TEST(Rng, BoundedAndHarmless) {
  Bench b(std::make_unique<Rng>(std::nullopt));
  b.start(kVersion1, 1, 16);
  EXPECT_EQ(b.run(0, 0, {{kData, 1 << 20, true}})->length, Rng::kMaxBytes);
  EXPECT_EQ(b.run(0, 0, {{kData, 16, false}})->length, 0u);
}

TEST(Rng, SequenceContinuesAfterLoad) {
  Bench a(std::make_unique<Rng>(5)), b(std::make_unique<Rng>(5));
  a.start(kVersion1, 1, 16);
  a.run(0, 0, {{kData, 8, true}});
  StateWriter out;
  a.device.save(out);
  b.dma.ram = a.dma.ram;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.device.load(in));
  a.run(0, 0, {{kData, 8, true}});
  b.dma.put16(kRamBase + 0x10000 + 16 * 16 + 4 + 2, 0);
  b.dma.put16(kRamBase + 0x10000 + 16 * 16 + 2, 2);
  b.notify(0);
  b.settle();
  EXPECT_EQ(a.dma.get<uint64_t>(kData), b.dma.get<uint64_t>(kData));
}

}  // namespace
}  // namespace trapline::virtio::test
