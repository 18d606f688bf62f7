#include "devices/virtio/transport.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/devices/virtio/echo_function.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::virtio::test {
namespace {

constexpr uint32_t kA = kAcknowledge, kD = kDriver, kF = kFeaturesOk, kOk = kDriverOk;
constexpr uint64_t kUsual = kVersion1 | kEventIdx | kIndirectDesc;

struct EchoBench : Bench {
  explicit EchoBench(bool threaded = false, bool legacy = false)
      : Bench(std::make_unique<EchoFunction>(), threaded, legacy),
        echo(static_cast<EchoFunction&>(device.function())) {}
  EchoFunction& echo;
};

TEST(Transport, IdentificationRegisters) {
  struct Row {
    uint64_t offset;
    uint32_t modern, legacy;
    const char* name;
  };
  const Row rows[] = {
      {reg::kMagic, 0x74726976, 0x74726976, "MagicValue"},
      {reg::kVersion, 2, 1, "Version"},
      {reg::kDeviceId, 42, 42, "DeviceID"},
      {reg::kVendor, 0x554d4551, 0x554d4551, "VendorID"},
      {reg::kNumMax, 256, 256, "QueueNumMax"},
      {reg::kReady, 0, 0, "QueueReady"},
      {reg::kPfn, 0, 0, "QueuePFN"},
      {reg::kIntStatus, 0, 0, "InterruptStatus"},
      {reg::kStatus, 0, 0, "Status"},
      {reg::kShmLen, 0xffffffff, 0, "SHMLenLow"},
      {0xb8, 0xffffffff, 0, "SHMBaseLow"},
      {reg::kGeneration, 0, 0, "ConfigGeneration"},
      {0x18, 0, 0, ""},
      {reg::kNotify, 0, 0, "QueueNotify"},
      {reg::kConfig, 0x04030201, 0x04030201, "Config"},
      {reg::kConfig + 8, 0, 0, "Config"},
  };
  EchoBench modern, legacy(false, true);
  for (const Row& r : rows) {
    EXPECT_EQ(modern.read(r.offset), r.modern) << r.name;
    EXPECT_EQ(legacy.read(r.offset), r.legacy) << r.name;
    EXPECT_EQ(modern.device.register_name(r.offset), r.name);
  }
}

TEST(Transport, OnlyAlignedWordsReachControlRegisters) {
  EchoBench b;
  for (auto [offset, size] : {std::pair{0, 1}, {0, 2}, {0, 8}, {1, 4}, {2, 4}, {0x70, 8}}) {
    EXPECT_EQ(b.device.read(static_cast<uint64_t>(offset), static_cast<unsigned>(size), 0).value,
              0u);
    b.device.write(0x70, size == 4 ? 2 : static_cast<unsigned>(size), kA, 0);
    EXPECT_EQ(b.status(), 0u);
  }
  EXPECT_EQ(b.device.errors(), 12u);
}

TEST(Transport, ConfigurationTakesEverySize) {
  EchoBench b;
  EXPECT_EQ(b.device.read(0x101, 1, 0).value, 2u);
  EXPECT_EQ(b.device.read(0x102, 2, 0).value, 0x0403u);
  EXPECT_EQ(b.device.read(0x100, 8, 0).value, 0x0807060504030201u);
  EXPECT_EQ(b.device.read(0x106, 4, 0).value, 0x0807u);  // the rest is beyond the end
  EXPECT_EQ(b.device.read(0x1ff, 1, 0).value, 0u);
  b.device.write(0x106, 8, 0x1122, 0);
  EXPECT_EQ(b.device.read(0x100, 8, 0).value, 0x1122060504030201u);
  b.device.write(0x1f8, 8, ~0ull, 0);
}

TEST(Transport, OffersFeatures) {
  EXPECT_EQ(EchoBench().offered(),
            EchoFunction::kFeature | kIndirectDesc | kEventIdx | kVersion1 | kRingReset);
  EXPECT_EQ(EchoBench(false, true).offered(),
            EchoFunction::kFeature | kIndirectDesc | kEventIdx | kAnyLayout);
  EchoBench b;
  b.write(reg::kFeaturesSel, 2);
  EXPECT_EQ(b.read(reg::kFeatures), 0u);
}

TEST(Transport, FeaturesOkStaysOnlyForASubsetWithVersion1) {
  struct Row {
    uint64_t features;
    bool stays;
  };
  for (const Row& r : {Row{kVersion1, true},
                       {kVersion1 | EchoFunction::kFeature | kEventIdx, true},
                       {0, false},
                       {EchoFunction::kFeature, false},
                       {kVersion1 | 1, false},
                       {kVersion1 | uint64_t{1} << 34, false}}) {
    EchoBench b;
    b.negotiate(r.features);
    EXPECT_EQ(b.status(), kA | kD | (r.stays ? kF : 0)) << std::hex << r.features;
    b.driver_ok();
    EXPECT_EQ((b.status() & kOk) != 0, r.stays);
    EXPECT_EQ(b.echo.started, r.stays);
  }
}

TEST(Transport, RefusedFeaturesCanBeCorrected) {
  EchoBench b;
  b.negotiate(kVersion1 | 1);
  EXPECT_EQ(b.status() & kF, 0u);
  b.write(reg::kDriverFeaturesSel, 0);
  b.write(reg::kDriverFeatures, 0);
  b.write(reg::kStatus, kA | kD | kF);
  EXPECT_NE(b.status() & kF, 0u);
  // Then they are closed.
  b.write(reg::kDriverFeatures, 8);
  b.driver_ok();
  EXPECT_EQ(b.echo.taken, kVersion1);
}

TEST(Transport, StatusBitsAreOnlyAdded) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  b.write(reg::kStatus, kA);
  EXPECT_EQ(b.status(), kA | kD | kF | kOk);
  b.write(reg::kStatus, kNeedsReset);  // ours, not the driver's
  EXPECT_EQ(b.status() & kNeedsReset, 0u);
  b.write(reg::kStatus, kFailed);
  EXPECT_EQ(b.status() & kFailed, kFailed);
  b.queue[0].add(0, {{kData, 4, false}, {kData + 16, 4, true}});
  b.notify(0);
  b.settle();
  EXPECT_FALSE(b.queue[0].take_used());
  b.write(reg::kStatus, 0);
  EXPECT_EQ(b.status(), 0u);
}

TEST(Transport, ResetForgetsEverything) {
  EchoBench b;
  b.start(kUsual, 2, 8);
  b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}});
  EXPECT_TRUE(b.irq.level);
  b.write(reg::kStatus, 0);
  EXPECT_FALSE(b.irq.level);
  EXPECT_EQ(b.read(reg::kIntStatus), 0u);
  for (uint32_t i = 0; i < 2; ++i) {
    b.write(reg::kQueueSel, i);
    EXPECT_EQ(b.read(reg::kReady), 0u);
  }
  EXPECT_FALSE(b.echo.started);
  // And starts again from index 0.
  b.dma.ram.assign(b.dma.ram.size(), 0);
  b.start(kUsual, 1, 8);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
}

TEST(Transport, QueueSelectionAndSizes) {
  EchoBench b;
  b.negotiate(kVersion1);
  for (auto [index, max] : {std::pair{0u, 256u}, {1u, 8u}, {2u, 0u}, {0xffffffffu, 0u}}) {
    b.write(reg::kQueueSel, index);
    EXPECT_EQ(b.read(reg::kNumMax), max);
  }
  b.write(reg::kReady, 1);  // of a queue that does not exist
  EXPECT_EQ(b.read(reg::kReady), 0u);
}

TEST(Transport, BadQueuesNeedReset) {
  constexpr uint64_t kGood = kRamBase + 0x1000;
  const uint64_t end = kRamBase + (4 << 20);
  struct Row {
    const char* what;
    uint32_t size;
    uint64_t desc, avail, used;
  };
  const Row rows[] = {
      {"no size", 0, kGood, kGood + 0x1000, kGood + 0x2000},
      {"not a power of two", 3, kGood, kGood + 0x1000, kGood + 0x2000},
      {"above the maximum", 512, kGood, kGood + 0x1000, kGood + 0x2000},
      {"above 16 bits", 0x10008, kGood, kGood + 0x1000, kGood + 0x2000},
      {"descriptors misaligned", 8, kGood + 8, kGood + 0x1000, kGood + 0x2000},
      {"available misaligned", 8, kGood, kGood + 0x1001, kGood + 0x2000},
      {"used misaligned", 8, kGood, kGood + 0x1000, kGood + 0x2002},
      {"descriptors at zero", 8, 0, kGood + 0x1000, kGood + 0x2000},
      {"over the device's registers", 8, 0x0a000000, 0x0a000080, 0x0a000100},
      {"descriptors past the end", 8, end - 64, kGood + 0x1000, kGood + 0x2000},
      {"available past the end", 8, kGood, end - 16, kGood + 0x2000},
      {"used past the end", 8, kGood, kGood + 0x1000, end - 16},
      {"address wraps", 8, ~uint64_t{15}, kGood, kGood},
  };
  for (const Row& r : rows) {
    EchoBench b;
    b.negotiate(kVersion1);
    b.write(reg::kNum, r.size);
    b.write64(reg::kDesc, r.desc);
    b.write64(reg::kAvail, r.avail);
    b.write64(reg::kUsed, r.used);
    b.write(reg::kReady, 1);
    EXPECT_EQ(b.read(reg::kReady), 0u) << r.what;
    EXPECT_EQ(b.status() & kNeedsReset, kNeedsReset) << r.what;
    b.driver_ok();
    b.notify(0);
    b.settle();
    b.write(reg::kStatus, 0);
    EXPECT_EQ(b.status(), 0u);
    b.start(kVersion1, 1, 8);
    EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}})) << r.what;
  }
}

TEST(Transport, QueueIsFixedWhileReady) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  const uint64_t errors = b.device.errors();
  b.write(reg::kQueueSel, 0);
  b.write64(reg::kDesc, 0);
  b.write(reg::kNum, 4);
  EXPECT_EQ(b.device.errors(), errors + 3);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
}

TEST(Transport, QueueNeedsFeaturesOk) {
  EchoBench b;
  b.write(reg::kStatus, kA | kD);
  b.make_queue(0, 8);
  EXPECT_EQ(b.read(reg::kReady), 0u);
  EXPECT_EQ(b.status() & kNeedsReset, 0u);
}

TEST(Transport, NothingIsConsumedBeforeDriverOk) {
  EchoBench b;
  b.negotiate(kVersion1);
  b.queue.push_back(b.make_queue(0, 8));
  b.queue[0].add(0, {{kData, 4, false}, {kData + 16, 4, true}});
  b.notify(0);
  b.settle();
  EXPECT_FALSE(b.queue[0].take_used());
  b.driver_ok();
  EXPECT_TRUE(b.complete(0));
}

TEST(Transport, InterruptIsALevelUntilAcknowledged) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
  EXPECT_EQ(b.read(reg::kIntStatus), 1u);
  EXPECT_TRUE(b.irq.level);
  b.write(reg::kIntAck, 2);
  EXPECT_TRUE(b.irq.level);
  b.echo.change_config();
  EXPECT_EQ(b.read(reg::kIntStatus), 3u);
  b.write(reg::kIntAck, 1);
  EXPECT_TRUE(b.irq.level);
  b.write(reg::kIntAck, 2);
  EXPECT_FALSE(b.irq.level);
}

TEST(Transport, ConfigGenerationCounts) {
  EchoBench b;
  const uint32_t before = b.read(reg::kGeneration);
  b.echo.change_config();
  EXPECT_NE(b.read(reg::kGeneration), before);
  EXPECT_FALSE(b.irq.level);  // no driver yet
}

TEST(Transport, EventIndexSuppressesInterruptsAndNotifications) {
  EchoBench b;
  b.start(kUsual, 1, 8);
  EXPECT_EQ(b.queue[0].avail_event(), 0u);
  b.queue[0].set_used_event(1);  // interrupt with the second chain
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
  EXPECT_FALSE(b.irq.level);
  EXPECT_EQ(b.queue[0].avail_event(), 1u);
  EXPECT_TRUE(b.run(0, 2, {{kData, 4, false}, {kData + 16, 4, true}}));
  EXPECT_TRUE(b.irq.level);
  EXPECT_EQ(b.queue[0].avail_event(), 2u);
}

TEST(Transport, EventIndexAcrossTheWrap) {
  EchoBench b;
  b.start(kUsual, 1, 8);
  unsigned interrupts = 0;
  for (unsigned i = 0; i < 70'000; ++i) {
    b.queue[0].set_used_event(static_cast<uint16_t>(i | 3));  // every fourth
    b.queue[0].add(0, {{kData, 1, false}, {kData + 16, 1, true}});
    b.notify(0);
    b.clock.advance(Bench::kDelay);
    ASSERT_TRUE(b.queue[0].take_used());
    b.dma.ranges.clear();
    if (b.irq.level) ++interrupts;
    b.write(reg::kIntAck, 1);
  }
  EXPECT_EQ(interrupts, 70'000u / 4);
}

TEST(Transport, NoInterruptFlagIsHonoured) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  b.dma.put16(b.queue[0].avail, 1);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
  EXPECT_FALSE(b.irq.level);
}

TEST(Transport, NotifyOfUnknownQueuesIsIgnored) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  for (uint32_t index : {1u, 2u, 64u, 0x10000u, 0xffffffffu}) b.notify(index);
  b.settle();
  EXPECT_EQ(b.status() & kNeedsReset, 0u);
}

TEST(Transport, QueueResetAndReuse) {
  EchoBench b;
  b.start(kVersion1 | kRingReset, 1, 8);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
  b.write(reg::kQueueSel, 0);
  b.write(reg::kQueueReset, 1);
  EXPECT_EQ(b.read(reg::kQueueReset), 0u);
  EXPECT_EQ(b.read(reg::kReady), 0u);
  b.dma.ram.assign(b.dma.ram.size(), 0);
  b.queue[0] = b.make_queue(0, 16);
  EXPECT_EQ(b.read(reg::kReady), 1u);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
}

TEST(Transport, QueueReadyZeroStopsTheQueue) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  b.write(reg::kQueueSel, 0);
  b.write(reg::kReady, 0);
  EXPECT_EQ(b.read(reg::kReady), 0u);
  b.queue[0].add(0, {{kData, 4, false}, {kData + 16, 4, true}});
  b.notify(0);
  b.settle();
  EXPECT_FALSE(b.queue[0].take_used());
}

TEST(Transport, DmaIsToldBeforeTheInterrupt) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  b.dma.put<uint32_t>(kData, 0x12345678);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
  EXPECT_EQ(b.dma.get<uint32_t>(kData + 16), 0x12345678u);
  EXPECT_TRUE(b.dma.told(kData + 16, 4));
  EXPECT_TRUE(b.dma.told(b.queue[0].used + 2, 2));  // the used index
  EXPECT_TRUE(b.dma.told(b.queue[0].used + 4, 8));  // its element
}

TEST(Transport, DeterministicCompletionComesAfterTheDelay) {
  EchoBench b;
  b.start(kVersion1, 1, 8);
  b.queue[0].add(0, {{kData, 4, false}, {kData + 16, 4, true}});
  b.notify(0);
  b.clock.advance(Bench::kDelay - 1);
  EXPECT_FALSE(b.queue[0].take_used());
  b.clock.advance(1);
  EXPECT_TRUE(b.queue[0].take_used());
}

// --- legacy --------------------------------------------------------------------------------------

void start_legacy(EchoBench& b, uint32_t features, uint16_t size) {
  b.write(reg::kStatus, 0);
  b.write(reg::kStatus, kA | kD);
  b.write(reg::kDriverFeaturesSel, 0);
  b.write(reg::kDriverFeatures, features);
  b.write(reg::kPageSize, 4096);
  b.write(reg::kQueueSel, 0);
  b.write(reg::kNum, size);
  b.write(reg::kAlign, 4096);
  b.write(reg::kPfn, (kRamBase + 0x10000) >> 12);
  DriverQueue q(&b.dma, kRamBase + 0x10000, size);
  q.used = (q.avail + 6 + 2ull * size + 4095) & ~4095ull;
  b.queue = {q};
  b.write(reg::kStatus, kA | kD | kOk);
}

TEST(LegacyTransport, RunsWithoutFeaturesOk) {
  EchoBench b(false, true);
  start_legacy(b, kEventIdx | 1u << 30, 8);  // bits that were not offered are dropped
  EXPECT_EQ(b.status(), kA | kD | kOk);
  EXPECT_EQ(b.echo.taken, kEventIdx);
  EXPECT_EQ(b.read(reg::kPfn), (kRamBase + 0x10000) >> 12);
  EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
  b.write(reg::kPfn, 0);
  EXPECT_EQ(b.read(reg::kPfn), 0u);
}

TEST(LegacyTransport, PageSizeOutlivesTheDriversReset) {
  // Linux writes it when it finds the transport, and resets the device afterwards.
  EchoBench b(false, true);
  b.write(reg::kPageSize, 4096);
  b.write(reg::kStatus, 0);
  b.write(reg::kNum, 8);
  b.write(reg::kAlign, 4096);
  b.write(reg::kPfn, 0x40010);
  EXPECT_EQ(b.read(reg::kPfn), 0x40010u);
  EXPECT_EQ(b.status(), 0u);
  b.device.reset();
  b.write(reg::kNum, 8);
  b.write(reg::kAlign, 4096);
  b.write(reg::kPfn, 0x40010);
  EXPECT_EQ(b.read(reg::kPfn), 0u);
}

TEST(LegacyTransport, BadGeometryNeedsReset) {
  struct Row {
    uint32_t page, align, num, pfn;
  };
  for (const Row& r : {Row{4095, 4096, 8, 0x40010},
                       {4096, 3, 8, 0x40010},
                       {4096, 4096, 0, 0x40010},
                       {4096, 4096, 8, 1},
                       {4096, 4096, 8, 0xffffffff},
                       {0x80000000, 4096, 8, 0xffffffff},
                       {4096, 0x80000000, 8, 0x40010}}) {
    EchoBench b(false, true);
    b.write(reg::kPageSize, r.page);
    b.write(reg::kNum, r.num);
    b.write(reg::kAlign, r.align);
    b.write(reg::kPfn, r.pfn);
    EXPECT_EQ(b.status() & kNeedsReset, kNeedsReset) << r.page << ' ' << r.align << ' ' << r.pfn;
  }
}

// What a driver does not write, QEMU knows: a page of 1 byte, so that QueuePFN is an address, an
// alignment of 4096, and the whole queue.
TEST(LegacyTransport, RegistersLeftUnset) {
  struct Row {
    const char* name;
    std::optional<uint32_t> page, align, num;
    uint32_t pfn;
    uint16_t size;
    uint64_t used_align;
  };
  constexpr uint32_t kAt = kRamBase + 0x10000;
  for (const Row& r : {Row{"all set", 4096, 4096, 8, kAt >> 12, 8, 4096},
                       {"no QueueAlign", 4096, {}, 8, kAt >> 12, 8, 4096},
                       {"QueueAlign 0", 4096, 0, 8, kAt >> 12, 8, 4096},
                       {"QueueAlign 16", 4096, 16, 8, kAt >> 12, 8, 16},
                       {"no GuestPageSize", {}, 4096, 8, kAt, 8, 4096},
                       {"GuestPageSize 0", 0, 4096, 8, kAt, 8, 4096},
                       {"GuestPageSize 1", 1, 4096, 8, kAt, 8, 4096},
                       {"neither", {}, {}, 8, kAt, 8, 4096},
                       {"a page of 1 that is not page-aligned", {}, {}, 8, kAt + 0x30, 8, 4096},
                       {"no QueueNum", 4096, 4096, {}, kAt >> 12, 256, 4096},
                       {"nothing", {}, {}, {}, kAt, 256, 4096}}) {
    SCOPED_TRACE(r.name);
    EchoBench b(false, true);
    for (const bool again : {false, true}) {  // and after the driver's reset
      b.write(reg::kStatus, 0);
      b.write(reg::kStatus, kA | kD);
      b.write(reg::kQueueSel, 0);
      if (r.page.has_value()) b.write(reg::kPageSize, *r.page);
      if (r.num.has_value()) b.write(reg::kNum, *r.num);
      if (r.align.has_value()) b.write(reg::kAlign, *r.align);
      b.write(reg::kPfn, r.pfn);
      EXPECT_EQ(b.read(reg::kPfn), r.pfn);
      DriverQueue q(&b.dma, r.page.value_or(0) == 4096 ? kAt : r.pfn, r.size);
      q.used = (q.avail + 6 + 2ull * r.size + r.used_align - 1) & ~(r.used_align - 1);
      std::fill(b.dma.ram.begin(), b.dma.ram.end(), uint8_t{0});
      b.queue = {q};
      b.write(reg::kStatus, kA | kD | kOk);
      EXPECT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}})) << again;
      EXPECT_EQ(b.status(), kA | kD | kOk);
    }
  }
}

// --- threads, snapshots --------------------------------------------------------------------------

TEST(ThreadedTransport, CompletesOnItsThread) {
  EchoBench b(true);
  b.start(kUsual, 2, 8);
  for (uint16_t i = 0; i < 1000; ++i) {
    b.queue[0].set_used_event(i);
    ASSERT_TRUE(b.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
  }
  EXPECT_EQ(b.echo.chains, 1000u);
}

// As a host's kernel notifies: by the event alone, which does not say for which queue.
TEST(ThreadedTransport, AnEventIsANotificationOfAnyQueue) {
  EchoBench b(true);
  const int event = b.device.notify_event();
  ASSERT_GE(event, 0);
  b.device.hear_events();
  const auto signal = [event] {
    const uint64_t one = 1;
    EXPECT_EQ(::write(event, &one, sizeof one), ssize_t{sizeof one});
  };
  signal();  // before there is a driver
  b.start(kVersion1, 2, 8);
  for (unsigned n = 0; n < 100; ++n) {
    const unsigned index = n % 2;
    b.queue[index].add(0, {{kData, 4, false}, {kData + 64, 4, true}});
    if (n % 10 == 0) b.device.quiesce();
    signal();
    if (n % 10 == 0) b.device.resume();
    ASSERT_TRUE(b.complete(index)) << n;
  }
  EXPECT_EQ(b.device.notifies(), 0u);
}

TEST(ThreadedTransport, ResetsAndQueueChangesRaceWithWork) {
  EchoBench b(true);
  for (int round = 0; round < 200; ++round) {
    b.dma.ram.assign(b.dma.ram.size(), 0);
    b.dma.ranges.clear();
    b.negotiate(kVersion1 | kRingReset);
    b.queue = {b.make_queue(0, 8)};
    b.driver_ok();
    for (uint16_t i = 0; i < 4; ++i) {
      b.queue[0].add(static_cast<uint16_t>(2 * i), {{kData, 4, false}, {kData + 16, 4, true}});
      b.notify(0);
    }
    if (round % 3 == 0) {
      b.write(reg::kQueueSel, 0);
      b.write(reg::kQueueReset, 1);
    }
    if (round % 3 == 1) {
      b.device.quiesce();
      b.device.resume();
    }
    b.write(reg::kStatus, 0);
    // Nothing writes to memory any more.
    std::fill(b.dma.ram.begin(), b.dma.ram.end(), 0);
    for (int i = 0; i < 10; ++i) std::this_thread::yield();
    EXPECT_EQ(b.dma.get16(b.queue[0].used + 2), 0u);
  }
}

TEST(Transport, SaveAndLoadContinue) {
  for (bool threaded : {false, true}) {
    EchoBench a(threaded);
    a.start(kUsual, 2, 8);
    ASSERT_TRUE(a.run(0, 0, {{kData, 4, false}, {kData + 16, 4, true}}));
    a.device.quiesce();
    // One chain is on its way when the machine stops.
    a.queue[0].add(2, {{kData, 4, false}, {kData + 16, 4, true}});
    a.notify(0);
    StateWriter out;
    a.device.save(out);

    EchoBench b(threaded);
    b.dma.ram = a.dma.ram;
    b.clock.time = a.clock.time;
    StateReader in(out.buffer().data(), out.buffer().size());
    ASSERT_TRUE(b.device.load(in));
    EXPECT_EQ(in.left(), 0u);
    b.queue = a.queue;
    for (auto& q : b.queue) q = a.queue[0];
    EXPECT_EQ(b.status(), a.status());
    EXPECT_EQ(b.read(reg::kIntStatus), 1u);
    EXPECT_TRUE(b.irq.level);
    EXPECT_TRUE(b.echo.started);
    // The driver's queue object still points to the first machine's RAM: look by hand.
    const auto both = [&] { return b.dma.get16(a.queue[0].used + 2) == 2; };
    for (int i = 0; i < 5000 && !threaded && !both(); ++i) b.clock.advance(1);
    EXPECT_TRUE(came_true(both));
  }
}

TEST(Transport, TruncatedOrForeignStateIsRefused) {
  EchoBench a;
  a.start(kUsual, 2, 8);
  StateWriter out;
  a.device.save(out);
  for (size_t size = 0; size < out.buffer().size(); ++size) {
    EchoBench b;
    StateReader in(out.buffer().data(), size);
    EXPECT_FALSE(b.device.load(in)) << size;
    EXPECT_EQ(b.status(), 0u);
  }
}

TEST(EmptySlot, HasNoDevice) {
  EmptySlot slot(false);
  EXPECT_EQ(slot.read(0, 4, 0).value, 0x74726976u);
  EXPECT_EQ(slot.read(4, 4, 0).value, 2u);
  EXPECT_EQ(slot.read(8, 4, 0).value, 0u);
}

}  // namespace
}  // namespace trapline::virtio::test
