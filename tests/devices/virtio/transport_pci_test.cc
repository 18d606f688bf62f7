// virtio-pci as a driver meets it: found by capabilities, negotiated, with MSI-X or its line.
#include "devices/virtio/transport_pci.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/devices/pci/harness.h"
#include "tests/devices/virtio/echo_function.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::virtio::test {
namespace {

using pci::test::BridgeBench;
using pci::test::Message;

constexpr unsigned kAt = 1;
constexpr uint64_t kRegisters = 0x80'0000'0000, kTable = 0x1000'0000, kDoorbell = 0x8090040;
// struct virtio_pci_common_cfg.
constexpr uint64_t kFeatureSelect = 0, kFeature = 4, kGuestFeatureSelect = 8, kGuestFeature = 12,
                   kConfigVector = 0x10, kNumQueuesAt = 0x12, kStatusAt = 0x14,
                   kGenerationAt = 0x15, kSelect = 0x16, kSize = 0x18, kVector = 0x1a,
                   kEnable = 0x1c, kNotifyOff = 0x1e, kDescAt = 0x20, kDriverAt = 0x28,
                   kDeviceAt = 0x30, kResetAt = 0x3a;
constexpr uint64_t kIsrAt = 0x1000, kConfigAt = 0x2000, kNotifyAt = 0x3000;

struct PciTransportTest : testing::Test {
  explicit PciTransportTest(bool threaded = false)
      : dma(4 << 20),
        device({.name = "dev0",
                .dma = &dma,
                .io = threaded ? IoMode::threaded() : IoMode::deterministic(clock, kDelay)},
               std::make_unique<EchoFunction>()) {
    bench.bridge.attach(kAt, device.endpoint());
    bench.write(kAt, pci::kBar0 + 4, kTable);
    bench.write(kAt, pci::kBar0 + 16, static_cast<uint32_t>(kRegisters));
    bench.write(kAt, pci::kBar0 + 20, static_cast<uint32_t>(kRegisters >> 32));
    bench.write(kAt, pci::kCommand, pci::kMemorySpace | pci::kBusMaster, 2);
  }
  static constexpr uint64_t kDelay = 100;

  uint64_t get(uint64_t offset, unsigned size) {
    return bench.memory_read(kRegisters + offset, size);
  }
  void put(uint64_t offset, unsigned size, uint64_t value) {
    bench.memory_write(kRegisters + offset, size, value);
  }
  void put64(uint64_t offset, uint64_t value) {
    put(offset, 4, value & 0xffff'ffff);
    put(offset + 4, 4, value >> 32);
  }
  void start(uint16_t size = 8) {
    put(kStatusAt, 1, 0);
    put(kStatusAt, 1, kAcknowledge | kDriver);
    put(kGuestFeatureSelect, 4, 1);
    put(kGuestFeature, 4, kVersion1 >> 32);
    put(kStatusAt, 1, kAcknowledge | kDriver | kFeaturesOk);
    std::fill_n(dma.ram.begin() + 0x10000, 0x1000, 0);
    queue = DriverQueue(&dma, kRamBase + 0x10000, size);
    put(kSelect, 2, 0);
    put(kSize, 2, size);
    put64(kDescAt, queue.desc);
    put64(kDriverAt, queue.avail);
    put64(kDeviceAt, queue.used);
    put(kVector, 2, 1);
    put(kEnable, 2, 1);
    put(kStatusAt, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
    clock.advance(kDelay);
  }
  // Sends "abcd", and says what came back.
  std::string echo() {
    dma.put(kData, uint32_t{0x64636261});
    dma.put(kData + 64, uint32_t{0});
    queue.add(0, {{kData, 4, false}, {kData + 64, 4, true}});
    put(kNotifyAt + 4 * get(kNotifyOff, 2), 4, 0);
    clock.advance(kDelay);
    if (!queue.take_used().has_value()) return {};
    return {reinterpret_cast<const char*>(dma.host(kData + 64, 4)), 4};
  }
  void use_messages() {
    for (unsigned v = 0; v < 3; ++v) bench.set_vector(kTable, v, kDoorbell, 50 + v, false);
    bench.write(kAt, 0x9a, 0x8000, 2);
  }

  TestClock clock;
  TestDma dma;
  BridgeBench bench;
  PciTransport device;
  DriverQueue queue;
};

TEST_F(PciTransportTest, IsFoundByItsCapabilities) {
  EXPECT_EQ(bench.read(kAt, 0), (0x1040u + 42) << 16 | 0x1af4);
  EXPECT_EQ(bench.read(kAt, 8), 0x00ff'0001u);
  std::map<unsigned, std::array<uint32_t, 3>> found;  // by type: bar, offset, length
  unsigned count = 0, at = bench.read(kAt, pci::kCapabilities, 1);
  for (; at != 0 && count < 48; at = bench.read(kAt, at + 1, 1), ++count) {
    if (bench.read(kAt, at, 1) != 9) continue;
    found[bench.read(kAt, at + 3, 1)] = {bench.read(kAt, at + 4, 1), bench.read(kAt, at + 8),
                                         bench.read(kAt, at + 12)};
  }
  EXPECT_EQ(count, 6u);
  EXPECT_EQ(found[1], (std::array<uint32_t, 3>{4, 0, 0x1000}));
  EXPECT_EQ(found[2], (std::array<uint32_t, 3>{4, 0x3000, 0x1000}));
  EXPECT_EQ(found[3], (std::array<uint32_t, 3>{4, 0x1000, 0x1000}));
  EXPECT_EQ(found[4], (std::array<uint32_t, 3>{4, 0x2000, 0x1000}));
  EXPECT_EQ(bench.read(kAt, 0x80), 4u);  // notify_off_multiplier
}

TEST_F(PciTransportTest, FieldsHaveTheirWidths) {
  EXPECT_EQ(get(kNumQueuesAt, 2), 2u);
  EXPECT_EQ(get(kSize, 2), 256u);  // the largest, until the driver says less
  EXPECT_EQ(get(kConfigVector, 2), 0xffffu);
  EXPECT_EQ(device.errors(), 0u);
  EXPECT_EQ(get(kNumQueuesAt, 1), 0u);
  EXPECT_EQ(get(kDescAt, 8), 0u);
  put(kStatusAt, 4, 1);
  EXPECT_EQ(device.errors(), 3u);
  EXPECT_EQ(get(kStatusAt, 1), 0u);
  put(kFeatureSelect, 4, 1);
  EXPECT_EQ(get(kFeature, 4), (kVersion1 | kRingReset) >> 32);
  put(kSelect, 2, 7);
  EXPECT_EQ(get(kSize, 2), 0u);
  EXPECT_EQ(get(kVector, 2), 0xffffu);
  EXPECT_EQ(get(kConfigAt, 8), 0x0807'0605'0403'0201u);
  put(kConfigAt + 7, 1, 0x99);
  EXPECT_EQ(get(kConfigAt + 7, 1), 0x99u);
}

TEST_F(PciTransportTest, WorksWithItsLine) {
  start();
  EXPECT_EQ(echo(), "abcd");
  EXPECT_TRUE(bench.lines[kAt].level);
  EXPECT_EQ(get(kIsrAt, 1), 1u);  // the read takes it away
  EXPECT_FALSE(bench.lines[kAt].level);
  EXPECT_EQ(get(kIsrAt, 1), 0u);
  static_cast<EchoFunction&>(device.function()).change_config();
  EXPECT_EQ(get(kGenerationAt, 1), 1u);
  EXPECT_EQ(get(kIsrAt, 1), 2u);
}

TEST_F(PciTransportTest, WorksWithMessages) {
  use_messages();
  start();
  put(kConfigVector, 2, 0);
  EXPECT_EQ(echo(), "abcd");
  EXPECT_EQ(bench.inbox.take(), (std::vector<Message>{{kAt << 3, kDoorbell, 51}}));
  static_cast<EchoFunction&>(device.function()).change_config();
  EXPECT_EQ(bench.inbox.take(), (std::vector<Message>{{kAt << 3, kDoorbell, 50}}));
  EXPECT_FALSE(bench.lines[kAt].level);
  put(kVector, 2, 3);  // there are three
  EXPECT_EQ(get(kVector, 2), 0xffffu);
  EXPECT_EQ(echo(), "abcd");
  EXPECT_TRUE(bench.inbox.take().empty());
}

TEST_F(PciTransportTest, NothingMovesWithoutBusMaster) {
  start();
  bench.write(kAt, pci::kCommand, pci::kMemorySpace, 2);
  EXPECT_EQ(echo(), "");
  bench.write(kAt, pci::kCommand, pci::kMemorySpace | pci::kBusMaster, 2);
  clock.advance(kDelay);
  EXPECT_TRUE(queue.take_used().has_value());
}

TEST_F(PciTransportTest, AccessByConfigurationSpace) {
  bench.write(kAt, 0x88, 4, 1);
  bench.write(kAt, 0x8c, kNumQueuesAt);
  bench.write(kAt, 0x90, 2);
  EXPECT_EQ(bench.read(kAt, 0x94, 2), 2u);
  bench.write(kAt, 0x8c, kStatusAt);
  bench.write(kAt, 0x90, 1);
  bench.write(kAt, 0x94, kAcknowledge, 1);
  EXPECT_EQ(get(kStatusAt, 1), kAcknowledge);
  EXPECT_EQ(bench.read(kAt, 0x94, 1), kAcknowledge);
  // Nonsense goes nowhere.
  for (const auto& [bar, offset, length] :
       {std::array<uint32_t, 3>{1, 0, 4}, {4, 0x4000, 4}, {4, 1, 2}, {4, 0, 3}, {4, ~0u, 1}}) {
    bench.write(kAt, 0x88, bar, 1);
    bench.write(kAt, 0x8c, offset);
    bench.write(kAt, 0x90, length);
    bench.write(kAt, 0x94, 0x1234);
    EXPECT_EQ(bench.read(kAt, 0x94), 0x1234u);
  }
}

TEST_F(PciTransportTest, QueueResetAndReuse) {
  start();
  put(kEnable, 2, 0);  // not so
  EXPECT_EQ(device.errors(), 1u);
  EXPECT_EQ(get(kEnable, 2), 1u);
  EXPECT_EQ(echo(), "abcd");
  put(kStatusAt, 1, 0);
  EXPECT_EQ(get(kEnable, 2), 0u);
  EXPECT_EQ(get(kVector, 2), 0xffffu);
  EXPECT_EQ(get(kSize, 2), 256u);
  start();
  put(kResetAt, 2, 1);  // not negotiated
  EXPECT_EQ(device.errors(), 2u);
  EXPECT_EQ(echo(), "abcd");
}

TEST_F(PciTransportTest, StateGoesOnElsewhere) {
  use_messages();
  start();
  EXPECT_EQ(echo(), "abcd");
  bench.inbox.take();
  StateWriter out;
  device.save(out);
  device.reset();
  EXPECT_EQ(get(kStatusAt, 1), 0xffu);  // its BAR is gone
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(device.load(in));
  EXPECT_EQ(get(kVector, 2), 1u);
  EXPECT_EQ(echo(), "abcd");
  EXPECT_EQ(bench.inbox.take(), (std::vector<Message>{{kAt << 3, kDoorbell, 51}}));
  for (size_t size = 0; size < out.buffer().size(); size += 7) {
    StateReader cut(out.buffer().data(), size);
    EXPECT_FALSE(device.load(cut)) << size;
  }
}

}  // namespace
}  // namespace trapline::virtio::test
