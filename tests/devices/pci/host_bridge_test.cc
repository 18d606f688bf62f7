#include "devices/pci/host_bridge.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/devices/pci/harness.h"

namespace trapline::pci::test {
namespace {

// A function with a BAR of each kind, MSI and MSI-X.
struct TestFunction final : Endpoint::Client {
  TestFunction()
      : memory("memory"), wide("wide", 0x2000), ports("ports", 32), endpoint(spec(), this) {}
  void bus_master(bool on) override { master = on; }

  Endpoint::Spec spec() {
    Endpoint::Spec s;
    s.name = "test";
    s.vendor = 0x1234;
    s.device = 0x5678;
    s.subsystem_vendor = 0x9abc;
    s.subsystem = 0xdef0;
    s.revision = 7;
    s.class_code = 0x010203;
    s.interrupt_pin = true;
    s.msi_vectors = 4;
    s.msix_vectors = 40;
    s.msix_bar = 1;
    s.msix_capability = 0x98;
    s.bars[0] = {Space::kMemory32, false, 0x1000, &memory};
    s.bars[2] = {Space::kMemory64, true, 0x2000, &wide};
    s.bars[4] = {Space::kIo, false, 32, &ports};
    return s;
  }
  Scratch memory, wide, ports;
  bool master = false;
  Endpoint endpoint;
};

constexpr unsigned kAt = 3;  // its device number

struct HostBridgeTest : testing::Test {
  HostBridgeTest() { bench.bridge.attach(kAt, function.endpoint); }
  uint32_t read(unsigned offset, unsigned size = 4) { return bench.read(kAt, offset, size); }
  void write(unsigned offset, uint32_t value, unsigned size = 4) {
    bench.write(kAt, offset, value, size);
  }
  BridgeBench bench;
  TestFunction function;
};

TEST_F(HostBridgeTest, HeaderAndWidths) {
  EXPECT_EQ(bench.read(0, 0), 0x00081b36u);
  EXPECT_EQ(bench.read(0, 8), 0x06000000u);
  EXPECT_EQ(read(0), 0x56781234u);
  EXPECT_EQ(read(2, 2), 0x5678u);
  EXPECT_EQ(read(3, 1), 0x56u);
  EXPECT_EQ(read(8), 0x01020307u);
  EXPECT_EQ(read(0x2c), 0xdef09abcu);
  EXPECT_EQ(read(0x3c, 2), 0x0100u);
  EXPECT_EQ(read(kStatus, 2), kCapabilitiesList);
  // Eight bytes, and what crosses words or functions.
  EXPECT_EQ(bench.bridge.read(kAt * 0x8000, 8, 0).value, 0x0010'0000'5678'1234u);
  EXPECT_EQ(bench.bridge.read(kAt * 0x8000 + 2, 4, 0).value, 0x0000'5678u);
  EXPECT_EQ(bench.bridge.read(kAt * 0x8000 - 2, 4, 0).value, 0x1234'ffffu);
  write(0, ~0u);
  EXPECT_EQ(read(0), 0x56781234u);
  write(0x3c, 0xffff);
  EXPECT_EQ(read(0x3c), 0x01ffu);
}

TEST_F(HostBridgeTest, NobodyThereIsAllOnes) {
  for (const uint64_t offset : {uint64_t{4} << 15, uint64_t{kAt} << 15 | 1 << 12, uint64_t{1} << 20,
                                uint64_t{0xfff'fffc}}) {
    EXPECT_EQ(bench.bridge.read(offset, 4, 0).value, 0xffff'ffffu) << offset;
    EXPECT_EQ(bench.bridge.read(offset, 1, 0).value, 0xffu) << offset;
    bench.bridge.write(offset, 4, 0, 0);
  }
  // No extended configuration space: the function is not PCI Express.
  EXPECT_EQ(read(0x100), 0xffff'ffffu);
  EXPECT_EQ(bench.memory_read(0x1000'0000, 8), ~uint64_t{0});
  EXPECT_EQ(bench.memory_read(0x80'0000'0000, 2), 0xffffu);
}

TEST_F(HostBridgeTest, BarsAreSized) {
  struct Row {
    unsigned bar;
    uint32_t first, sized;
  };
  for (const Row& r : {Row{0, 0, 0xffff'f000}, Row{1, 0, 0xffff'f000}, Row{2, 0xc, 0xffff'e00c},
                       Row{3, 0, 0xffff'ffff}, Row{4, 1, 0xffff'ffe1}, Row{5, 0, 0}}) {
    EXPECT_EQ(read(kBar0 + 4 * r.bar), r.first) << r.bar;
    write(kBar0 + 4 * r.bar, ~0u);
    EXPECT_EQ(read(kBar0 + 4 * r.bar), r.sized) << r.bar;
  }
}

TEST_F(HostBridgeTest, BarsAreMovedAndTurnedOff) {
  write(kBar0, 0x1000'0000);
  EXPECT_EQ(bench.memory_read(0x1000'0000, 4), 0xffff'ffffu);  // not decoded
  write(kCommand, kMemorySpace, 2);
  bench.memory_write(0x1000'0ffc, 4, 0x11223344);
  EXPECT_EQ(bench.memory_read(0x1000'0ffc, 4), 0x11223344u);
  EXPECT_EQ(bench.memory_read(0x1000'0ffe, 4), 0xffff'ffffu);  // not all of it inside
  write(kBar0, 0x2000'0000);
  EXPECT_EQ(bench.memory_read(0x1000'0ffc, 4), 0xffff'ffffu);
  EXPECT_EQ(bench.memory_read(0x2000'0ffc, 4), 0x11223344u);
  write(kBar0, 0x4000'0000);  // RAM
  EXPECT_EQ(bench.memory_read(0x2000'0ffc, 4), 0xffff'ffffu);
  write(kBar0 + 8, 0x1000'2000);  // a 64-bit BAR below 4 GiB
  bench.memory_write(0x1000'3000, 8, 42);
  write(kBar0 + 12, 0x80);
  EXPECT_EQ(bench.memory_read(0x1000'3000, 8), ~uint64_t{0});
  EXPECT_EQ(bench.memory_read(0x80'1000'3000, 8), 42u);
  write(kCommand, 0, 2);
  EXPECT_EQ(bench.memory_read(0x80'1000'3000, 8), ~uint64_t{0});
  write(kCommand, kIoSpace, 2);
  write(kBar0 + 16, 0x100);
  bench.bridge.window(Space::kIo).write(0x104, 2, 0xbeef, 0);
  EXPECT_EQ(bench.bridge.window(Space::kIo).read(0x104, 2, 0).value, 0xbeefu);
}

TEST_F(HostBridgeTest, OfTwoAtOneAddressTheLowerWins) {
  TestFunction other;
  bench.bridge.attach(2, other.endpoint);
  for (const unsigned number : {2u, kAt}) {
    bench.write(number, kBar0 + 8, 0x1000'0000);  // 8 KiB
    bench.write(number, kCommand, kMemorySpace, 2);
  }
  bench.memory_write(0x1000'0000, 4, 1);
  EXPECT_EQ(other.wide.read(0, 4, 0).value, 1u);
  EXPECT_EQ(function.wide.read(0, 4, 0).value, 0u);
  bench.write(2, kBar0 + 8, 0x1000'2000);
  bench.memory_write(0x1000'0000, 4, 2);
  EXPECT_EQ(function.wide.read(0, 4, 0).value, 2u);
}

TEST_F(HostBridgeTest, LineAndItsMasks) {
  Line& line = bench.lines[kAt % 4];
  function.endpoint.set_interrupt(true);
  EXPECT_TRUE(line.level);
  EXPECT_EQ(read(kStatus, 2), kCapabilitiesList | kInterruptStatus);
  write(kCommand, kInterruptDisable, 2);
  EXPECT_FALSE(line.level);
  EXPECT_EQ(read(kStatus, 2), kCapabilitiesList | kInterruptStatus);
  write(kCommand, 0, 2);
  EXPECT_TRUE(line.level);
  write(0x9a, 0x8000, 2);  // MSI-X
  EXPECT_FALSE(line.level);
  write(0x9a, 0, 2);
  EXPECT_TRUE(line.level);
  // Another function on the same line.
  TestFunction other;
  bench.bridge.attach(kAt + 4, other.endpoint);
  other.endpoint.set_interrupt(true);
  function.endpoint.set_interrupt(false);
  EXPECT_TRUE(line.level);
  other.endpoint.set_interrupt(false);
  EXPECT_FALSE(line.level);
}

TEST_F(HostBridgeTest, MessagesByMsiX) {
  constexpr uint64_t kTable = 0x1000'4000, kDoorbell = 0x8090040;
  constexpr uint32_t kRequester = kAt << 3;
  write(kBar0 + 4, kTable);
  write(kCommand, kMemorySpace | kBusMaster, 2);
  EXPECT_TRUE(function.master);
  EXPECT_EQ(read(0x98), 39u << 16 | 0x4011u);  // behind it: MSI at 0x40
  for (unsigned v = 0; v < 40; ++v) bench.set_vector(kTable, v, kDoorbell, 100 + v, false);
  function.endpoint.message(1);
  EXPECT_TRUE(bench.inbox.take().empty());  // not enabled
  write(0x9a, 0x8000, 2);
  function.endpoint.message(1);
  function.endpoint.message(40);  // there is none
  EXPECT_EQ(bench.inbox.take(), (std::vector<Message>{{kRequester, kDoorbell, 101}}));
  // Masked by itself, all, and without leave to send: kept, and once.
  bench.memory_write(kTable + 16 * 35 + 12, 4, 1);
  function.endpoint.message(35);
  function.endpoint.message(35);
  EXPECT_EQ(bench.memory_read(kTable + 0x800, 8), uint64_t{1} << 35);
  write(0x9a, 0xc000, 2);
  function.endpoint.message(2);
  bench.memory_write(kTable + 16 * 35 + 12, 4, 0);
  EXPECT_TRUE(bench.inbox.take().empty());
  write(kCommand, kMemorySpace, 2);
  write(0x9a, 0x8000, 2);
  EXPECT_TRUE(bench.inbox.take().empty());
  write(kCommand, kMemorySpace | kBusMaster, 2);
  EXPECT_EQ(bench.inbox.take(),
            (std::vector<Message>{{kRequester, kDoorbell, 102}, {kRequester, kDoorbell, 135}}));
  EXPECT_EQ(bench.memory_read(kTable + 0x800, 8), 0u);
  // Bytes and halves are read, and not written.
  bench.memory_write(kTable + 8, 2, 0);
  EXPECT_EQ(bench.memory_read(kTable + 8, 1), 100u);
  EXPECT_EQ(bench.memory_read(kTable + 16 * 40, 8), 0u);
}

TEST_F(HostBridgeTest, MessagesByMsi) {
  constexpr unsigned kCap = 0x40;
  EXPECT_EQ(read(kCap) & 0xff, 5u);
  EXPECT_EQ(read(kCap + 2, 2), 2u << 1 | 1u << 7 | 1u << 8);
  write(kCap + 4, 0x8090043);
  EXPECT_EQ(read(kCap + 4), 0x8090040u);
  write(kCap + 8, 1);
  write(kCap + 12, 0x4321, 2);
  write(kCommand, kBusMaster, 2);
  write(kCap + 2, 1 | 1 << 4, 2);  // two of the four
  function.endpoint.message(0);
  function.endpoint.message(3);
  EXPECT_EQ(bench.inbox.take(), (std::vector<Message>{{kAt << 3, 0x1'0809'0040, 0x4320},
                                                      {kAt << 3, 0x1'0809'0040, 0x4321}}));
  write(kCap + 16, ~0u);
  EXPECT_EQ(read(kCap + 16), 0xfu);
  function.endpoint.message(1);
  EXPECT_EQ(read(kCap + 20), 2u);
  write(kCap + 16, 0);
  EXPECT_EQ(bench.inbox.take().size(), 1u);
  EXPECT_EQ(read(kCap + 20), 0u);
}

TEST_F(HostBridgeTest, ResetAndState) {
  write(kBar0, 0x1000'0000);
  write(kBar0 + 4, 0x1000'4000);
  write(kCommand, kMemorySpace | kBusMaster, 2);
  write(0x9a, 0x8000, 2);
  bench.set_vector(0x1000'4000, 7, 0x8090040, 77, true);
  function.endpoint.message(7);
  StateWriter out;
  function.endpoint.save(out);
  function.endpoint.reset();
  EXPECT_EQ(read(kBar0), 0u);
  EXPECT_FALSE(function.master);
  EXPECT_EQ(bench.memory_read(0x1000'0000, 4), 0xffff'ffffu);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(function.endpoint.load(in));
  EXPECT_TRUE(function.master);
  EXPECT_EQ(bench.memory_read(0x1000'0000, 4), 0u);
  bench.memory_write(0x1000'4000 + 16 * 7 + 12, 4, 0);
  EXPECT_EQ(bench.inbox.take(), (std::vector<Message>{{kAt << 3, 0x8090040, 77}}));
  // Another function's, and too little.
  std::vector<uint8_t> foreign = out.buffer();
  foreign[4] ^= 1;
  StateReader bad(foreign.data(), foreign.size());
  EXPECT_FALSE(function.endpoint.load(bad));
  EXPECT_EQ(read(kBar0), 0u);
  StateReader cut(out.buffer().data(), out.buffer().size() - 1);
  EXPECT_FALSE(function.endpoint.load(cut));
}

TEST_F(HostBridgeTest, PartsForStatistics) {
  std::vector<std::pair<uint64_t, std::string>> parts;
  bench.bridge.name_parts([&](uint64_t size, Device& device) {
    parts.emplace_back(size, device.name());
    return static_cast<uint16_t>(100 + parts.size());
  });
  EXPECT_EQ(parts, (std::vector<std::pair<uint64_t, std::string>>{{0x1000, "pci-config"},
                                                                  {0x1000, "memory"},
                                                                  {0x1000, "test-msix"},
                                                                  {0x2000, "wide"},
                                                                  {32, "ports"}}));
  write(kBar0 + 8, 0x1000'2000);
  write(kCommand, kMemorySpace, 2);
  BusTarget::Part part;
  ASSERT_TRUE(bench.bridge.window(Space::kMemory32).part_at(0x2008, part));
  EXPECT_EQ(part.region, 104);
  EXPECT_EQ(part.offset, 8u);
  EXPECT_FALSE(bench.bridge.window(Space::kMemory32).part_at(0x4000, part));
  ASSERT_TRUE(bench.bridge.part_at(kAt * 0x8000 + kCommand, part));
  EXPECT_EQ(part.region, 101);
  EXPECT_EQ(bench.bridge.register_name(part.offset), "Command,Status");
}

// One vCPU moves a BAR to and fro while others are inside: each access meets the device or nobody.
TEST_F(HostBridgeTest, BarsMoveUnderRunningVcpus) {
  bench.bridge.name_parts([](uint64_t, Device&) { return uint16_t{1}; });
  write(kBar0, 0x1000'0000);
  write(kCommand, kMemorySpace, 2);
  bench.memory_write(0x1000'0000, 4, 0x5a5a5a5a);
  std::atomic<bool> stop{false};
  std::atomic<unsigned> wrong{0}, met{0};
  std::vector<std::thread> vcpus;
  for (unsigned vcpu = 1; vcpu <= 2; ++vcpu) {
    vcpus.emplace_back([&, vcpu] {
      while (!stop) {
        BusTarget::Part part;
        bench.bridge.window(Space::kMemory32).part_at(0, part);
        const uint64_t value = bench.bridge.window(Space::kMemory32).read(0, 4, vcpu).value;
        if (value != 0x5a5a5a5a && value != 0xffff'ffff) ++wrong;
        if (value == 0x5a5a5a5a) ++met;
      }
    });
  }
  for (unsigned i = 0; i < 500 || met == 0; ++i) {
    write(kBar0, i % 2 == 0 ? 0x2000'0000 : 0x1000'0000);
  }
  stop = true;
  for (std::thread& thread : vcpus) thread.join();
  EXPECT_EQ(wrong, 0u);
}

TEST(Routes, OverlapsGoToTheFirst) {
  Scratch a("a"), b("b");
  const std::vector<Route> table = without_overlaps({{100, 199, &a, 0},
                                                     {50, 299, &b, 0},
                                                     {150, 180, &b, 0},
                                                     {~uint64_t{0} - 1, ~uint64_t{0}, &a, 0}});
  ASSERT_EQ(table.size(), 4u);
  EXPECT_EQ(table[0].first, 50u);
  EXPECT_EQ(table[0].last, 99u);
  EXPECT_EQ(table[1].device, &a);
  EXPECT_EQ(table[2].first, 200u);
  EXPECT_EQ(table[2].offset, 150u);
  EXPECT_EQ(table[3].last, ~uint64_t{0});
}

}  // namespace
}  // namespace trapline::pci::test
