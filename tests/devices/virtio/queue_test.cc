// What a driver may put in a virtqueue, and what happens when it puts what it may not.
#include "devices/virtio/queue.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/devices/virtio/echo_function.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::virtio::test {
namespace {

constexpr uint16_t kNext = DriverQueue::kNext, kW = DriverQueue::kWrite,
                   kInd = DriverQueue::kIndirect;
constexpr uint64_t kTable = kRamBase + 0x80000;
constexpr uint64_t kEnd = kRamBase + (4 << 20);
constexpr uint64_t kAll = kVersion1 | kEventIdx | kIndirectDesc;

struct Case {
  const char* what;
  std::function<void(DriverQueue& q)> arrange;
  bool good;
  size_t segments = 0;
};

void check(const std::vector<Case>& cases, uint64_t features) {
  for (const Case& c : cases) {
    Bench b(std::make_unique<EchoFunction>());
    auto& echo = static_cast<EchoFunction&>(b.device.function());
    b.start(features, 1, 8);
    c.arrange(b.queue[0]);
    b.notify(0);
    b.settle();
    EXPECT_EQ((b.status() & kNeedsReset) == 0, c.good) << c.what;
    EXPECT_EQ(b.queue[0].take_used().has_value(), c.good) << c.what;
    if (c.good) {
      EXPECT_EQ(echo.segments, c.segments) << c.what;
    } else {
      // The driver is told, and nothing more is consumed until it resets.
      EXPECT_EQ(b.read(reg::kIntStatus), 2u) << c.what;
      EXPECT_EQ(b.device.errors(), 1u) << c.what;
      b.notify(0);
      b.settle();
      EXPECT_EQ(b.device.errors(), 1u) << c.what;
      b.dma.ram.assign(b.dma.ram.size(), 0);
      b.start(features, 1, 8);
      EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}})) << c.what;
    }
  }
}

TEST(Queue, Chains) {
  check(
      {
          {"one readable",
           [](auto& q) {
             q.add(0, {{kData, 4, false}});
           },
           true, 1},
          {"one writable",
           [](auto& q) {
             q.add(7, {{kData, 4, true}});
           },
           true, 1},
          {"as long as the queue",
           [](auto& q) {
             q.add(3, {{kData, 1, false},
                       {kData, 1, false},
                       {kData, 1, false},
                       {kData, 1, false},
                       {kData, 1, true},
                       {kData, 1, true},
                       {kData, 1, true},
                       {kData, 1, true}});
           },
           true, 8},
          {"empty descriptors vanish",
           [](auto& q) {
             q.add(0, {{kData, 0, false}, {kData, 4, false}, {0, 0, true}});
           },
           true, 1},
          {"to the last byte of RAM",
           [](auto& q) {
             q.add(0, {{kEnd - 4, 4, true}});
           },
           true, 1},
          {"head out of range", [](auto& q) { q.make_available(8); }, false},
          {"head far out of range", [](auto& q) { q.make_available(0xffff); }, false},
          {"next out of range",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kData, 4, kNext, 8);
             q.make_available(0);
           },
           false},
          {"loop of one",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kData, 4, kNext, 0);
             q.make_available(0);
           },
           false},
          {"loop of two",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kData, 4, kNext, 1);
             q.set_descriptor(q.desc, 1, kData, 4, kNext, 0);
             q.make_available(0);
           },
           false},
          {"loop of empty descriptors",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kData, 0, kNext, 0);
             q.make_available(0);
           },
           false},
          {"one byte past RAM",
           [](auto& q) {
             q.add(0, {{kEnd - 3, 4, true}});
           },
           false},
          {"length past RAM",
           [](auto& q) {
             q.add(0, {{kData, 0xffffffff, true}});
           },
           false},
          {"below RAM",
           [](auto& q) {
             q.add(0, {{kRamBase - 2, 4, false}});
           },
           false},
          {"address wraps",
           [](auto& q) {
             q.add(0, {{~uint64_t{1}, 4, false}});
           },
           false},
          {"the device's registers",
           [](auto& q) {
             q.add(0, {{0x0a000000, 0x200, true}});
           },
           false},
          {"readable after writable",
           [](auto& q) {
             q.add(0, {{kData, 4, true}, {kData, 4, false}});
           },
           false},
          {"index jumps by more than the size",
           [](auto& q) {
             for (int i = 0; i < 9; ++i) q.make_available(0);
           },
           false},
      },
      kAll);
}

TEST(Queue, IndirectTables) {
  check(
      {
          {"a table",
           [](auto& q) {
             q.add_indirect(0, kTable, {{kData, 4, false}, {kData, 4, true}});
           },
           true, 2},
          {"direct descriptors, then a table",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kData, 4, kNext, 1);
             q.set_descriptor(kTable, 0, kData, 4, kW, 0);
             q.set_descriptor(q.desc, 1, kTable, 16, kInd, 0);
             q.make_available(0);
           },
           true, 2},
          {"a table longer than the queue",
           [](auto& q) {
             q.add_indirect(0, kTable, std::vector<Buffer>(200, Buffer{kData, 1, false}));
           },
           true, 200},
          {"a table of the most entries",
           [](auto& q) {
             q.add_indirect(0, kTable, std::vector<Buffer>(1024, Buffer{kData, 1, false}));
           },
           true, 1024},
          {"a table of too many entries",
           [](auto& q) {
             q.add_indirect(0, kTable, std::vector<Buffer>(1025, Buffer{kData, 1, false}));
           },
           false},
          {"a table in a table",
           [](auto& q) {
             q.set_descriptor(kTable, 0, kTable + 64, 16, kInd, 0);
             q.set_descriptor(q.desc, 0, kTable, 16, kInd, 0);
             q.make_available(0);
           },
           false},
          {"a table with a next descriptor",
           [](auto& q) {
             q.set_descriptor(kTable, 0, kData, 4, 0, 0);
             q.set_descriptor(q.desc, 0, kTable, 16, kInd | kNext, 1);
             q.make_available(0);
           },
           false},
          {"an empty table",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kTable, 0, kInd, 0);
             q.make_available(0);
           },
           false},
          {"a broken entry's length",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kTable, 24, kInd, 0);
             q.make_available(0);
           },
           false},
          {"a table of 4 GiB",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kTable, 0xfffffff0, kInd, 0);
             q.make_available(0);
           },
           false},
          {"a table past RAM",
           [](auto& q) {
             q.set_descriptor(q.desc, 0, kEnd - 8, 16, kInd, 0);
             q.make_available(0);
           },
           false},
          {"a loop in a table",
           [](auto& q) {
             q.set_descriptor(kTable, 0, kData, 4, kNext, 1);
             q.set_descriptor(kTable, 1, kData, 4, kNext, 0);
             q.set_descriptor(q.desc, 0, kTable, 32, kInd, 0);
             q.make_available(0);
           },
           false},
          {"next leaves the table",
           [](auto& q) {
             q.set_descriptor(kTable, 0, kData, 4, kNext, 2);
             q.set_descriptor(q.desc, 0, kTable, 32, kInd, 0);
             q.make_available(0);
           },
           false},
      },
      kAll);
}

TEST(Queue, IndirectMustBeNegotiated) {
  check({{"a table",
          [](auto& q) {
            q.add_indirect(0, kTable, {{kData, 4, false}});
          },
          false}},
        kVersion1 | kEventIdx);
}

TEST(Queue, ChainLongerThan4GiBIsRefused) {
  // Many descriptors of the same large piece of RAM.
  Bench b(std::make_unique<EchoFunction>(), false, false, 8 << 20);
  b.start(kAll, 1, 8);
  b.queue[0].add_indirect(0, kTable, std::vector<Buffer>(1024, Buffer{kRamBase, 8 << 20, false}));
  b.notify(0);
  b.settle();
  EXPECT_EQ(b.status() & kNeedsReset, kNeedsReset);
}

TEST(Queue, UnpopGivesChainsBack) {
  TestDma dma(1 << 20);
  DriverQueue driver(&dma, kRamBase, 8);
  Queue queue;
  ASSERT_EQ(queue.enable(dma, {8, driver.desc, driver.avail, driver.used}, false, false), nullptr);
  for (uint16_t i = 0; i < 3; ++i) driver.add(i, {{kRamBase + 0x1000, 4, true}});
  Chain chain;
  for (int round = 0; round < 3; ++round) {
    for (uint16_t i = 0; i < 3; ++i) {
      ASSERT_EQ(queue.pop(chain), Queue::Pop::kChain);
      EXPECT_EQ(chain.head, i);
    }
    EXPECT_EQ(queue.pop(chain), Queue::Pop::kEmpty);
    EXPECT_EQ(queue.in_flight(), 3);
    queue.unpop(3);
    EXPECT_EQ(queue.in_flight(), 0);
  }
}

TEST(Queue, NotMoreInFlightThanTheSize) {
  TestDma dma(1 << 20);
  DriverQueue driver(&dma, kRamBase, 4);
  Queue queue;
  ASSERT_EQ(queue.enable(dma, {4, driver.desc, driver.avail, driver.used}, false, false), nullptr);
  Chain chain;
  for (uint16_t i = 0; i < 4; ++i) {
    driver.add(i, {{kRamBase + 0x1000, 4, true}});
    ASSERT_EQ(queue.pop(chain), Queue::Pop::kChain);
  }
  driver.add(0, {{kRamBase + 0x1000, 4, true}});
  EXPECT_EQ(queue.pop(chain), Queue::Pop::kBroken);
  EXPECT_EQ(queue.pop(chain), Queue::Pop::kEmpty);
}

TEST(Chain, ReadsAndWritesAcrossSegments) {
  TestDma dma(1 << 16);
  uint8_t* p = dma.ram.data();
  for (int i = 0; i < 64; ++i) p[i] = static_cast<uint8_t>(i);
  Chain chain;
  chain.readable = {{p, kRamBase, 3}, {p + 10, kRamBase + 10, 1}, {p + 20, kRamBase + 20, 4}};
  chain.readable_bytes = 8;
  chain.writable = {{p + 100, kRamBase + 100, 2}, {p + 200, kRamBase + 200, 2}};
  chain.writable_bytes = 4;
  uint8_t out[16] = {};
  EXPECT_EQ(chain.read(2, out, 16), 6u);
  EXPECT_EQ(std::vector<uint8_t>(out, out + 6), (std::vector<uint8_t>{2, 10, 20, 21, 22, 23}));
  EXPECT_EQ(chain.read(8, out, 1), 0u);
  EXPECT_EQ(chain.write(dma, 1, "abcd", 4), 3u);
  EXPECT_EQ(p[101], 'a');
  EXPECT_EQ(p[200], 'b');
  EXPECT_EQ(p[201], 'c');
  EXPECT_EQ(p[100], 0);
  EXPECT_TRUE(dma.told(kRamBase + 101, 1));
  EXPECT_TRUE(dma.told(kRamBase + 200, 2));
  EXPECT_FALSE(dma.told(kRamBase + 202, 1));
}

}  // namespace
}  // namespace trapline::virtio::test
