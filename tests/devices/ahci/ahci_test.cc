#include "devices/ahci/ahci.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/devices/ahci/harness.h"
#include "tests/devices/virtio/memory_image.h"
#include "tests/devices/virtio/temp_file.h"

namespace trapline::ahci::test {
namespace {

using virtio::Image;
using virtio::test::SlowImage;
using virtio::test::TempFile;

constexpr uint32_t kGood = kGoodStatus;

std::unique_ptr<Image> open(const std::string& path, bool read_only = false) {
  auto result = virtio::open_image(path, {.read_only = read_only});
  EXPECT_NE(result.image, nullptr) << result.error;
  return std::move(result.image);
}

std::vector<uint8_t> disk_bytes() {
  std::vector<uint8_t> v(1 << 20);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<uint8_t>(i / 512 + i % 251);
  return v;
}

TEST(Ahci, RegistersAtPowerOn) {
  TempFile disk(1 << 20), cd(1 << 20);
  std::vector<scsi::Drive> drives = one(open(disk.path));
  drives.push_back({4, open(cd.path, true), scsi::Type::kCd});
  AhciBench b(std::move(drives));
  EXPECT_EQ(b.bus.read(1, 0), 0x29228086u);
  EXPECT_EQ(b.bus.read(1, 8) >> 8, 0x010601u);
  EXPECT_EQ(b.read(kCap), kCapValue);
  EXPECT_EQ(b.read(kCap) & 0x1f, kPorts - 1);
  EXPECT_EQ(b.read(kPi), 0x11u);
  EXPECT_EQ(b.read(kVs), 0x10301u);
  EXPECT_EQ(b.read(kGhc), 0x80000000u);
  EXPECT_EQ(b.get(kPxSig, 0), 0x00000101u);
  EXPECT_EQ(b.get(kPxSig, 4), 0xeb140101u);
  EXPECT_EQ(b.get(kPxSsts, 0), 0x133u);
  EXPECT_EQ(b.get(kPxSsts, 1), 0u);
  EXPECT_EQ(b.device.read(kCap + 1, 1, 0).value, kCapValue >> 8 & 0xff);
  EXPECT_EQ(b.device.read(kCap, 8, 0).value, uint64_t{0x80000000} << 32 | kCapValue);
  EXPECT_EQ(b.device.register_name(AhciBench::of(3, kPxCi)), "PxCI");
  // Its signature as a frame, once there is a place for it.
  b.start(4);
  EXPECT_EQ(b.dma.get<uint8_t>(kReceived + kD2hAt), kFisD2h);
  EXPECT_EQ(b.dma.get<uint8_t>(kReceived + kD2hAt + 5), 0x14);
}

TEST(Ahci, Identify) {
  TempFile disk(1 << 20);
  AhciBench b(one(open(disk.path)));
  b.start();
  EXPECT_EQ(b.run({.command = 0xec}, {{kData, 512}}), kGood);
  EXPECT_EQ(b.moved(), 512u);
  EXPECT_EQ(b.get(kPxIs) & (kPss | kDhrs), uint32_t{kPss});
  EXPECT_EQ(b.dma.get<uint8_t>(kReceived + kPioSetupAt), kFisPioSetup);
  EXPECT_EQ(b.dma.get<uint8_t>(kReceived + kPioSetupAt + 15), kGood);
  const uint8_t* page = b.dma.host(kData, 512);
  EXPECT_EQ(std::accumulate(page, page + 512, 0) & 0xff, 0);
  EXPECT_EQ(b.dma.get<uint32_t>(kData + 120), 2048u);  // LBA28
  EXPECT_EQ(b.dma.get<uint64_t>(kData + 200), 2048u);  // LBA48
  EXPECT_EQ(std::memcmp(page + 54, "RTPAILENI", 4), 0);
  EXPECT_EQ(b.run({.command = 0xa1}, {{kData, 512}}), 0x0441u);
  EXPECT_NE(b.get(kPxIs) & kTfes, 0u);
}

TEST(Ahci, ReadsAndWritesBothWays) {
  for (const bool threaded : {false, true}) {
    TempFile file(disk_bytes());
    AhciBench b(one(open(file.path)), threaded);
    b.start();
    const auto expected = disk_bytes();
    struct Row {
      uint8_t read, write;
    };
    uint64_t at = 8;
    for (const Row& r : {Row{0x25, 0x35}, {0xc8, 0xca}, {0x20, 0x30}, {0x24, 0x34}, {0xc4, 0xc5}}) {
      // In pieces, one of them of two bytes.
      EXPECT_EQ(b.run({.command = r.read, .lba = at, .count = 4},
                      {{kData + 2, 2}, {kData + 0x1000, 1022}, {kData + 0x2000, 4096}}),
                kGood);
      EXPECT_EQ(b.moved(), 2048u);
      EXPECT_EQ(b.dma.get<uint16_t>(kData + 2),
                *reinterpret_cast<const uint16_t*>(&expected[at * 512]));
      EXPECT_EQ(std::memcmp(b.dma.host(kData + 0x1000, 1022), &expected[at * 512 + 2], 1022), 0);
      EXPECT_EQ(std::memcmp(b.dma.host(kData + 0x2000, 1024), &expected[at * 512 + 1024], 1024), 0);
      EXPECT_TRUE(b.dma.told(kData + 0x2000, 1024));
      std::memset(b.dma.host(kData, 1024), r.write, 1024);
      EXPECT_EQ(b.run({.command = r.write, .lba = at, .count = 2}, {{kData, 1024}}), kGood);
      EXPECT_EQ(file.read()[at * 512], r.write);
      EXPECT_EQ(file.read()[at * 512 + 1023], r.write);
      EXPECT_EQ(file.read()[at * 512 + 1024], expected[at * 512 + 1024]);
      at += 8;
    }
    EXPECT_EQ(b.run({.command = 0xea}), kGood);
    EXPECT_EQ(b.run({.command = 0xe7}), kGood);
    // Beyond the end, by cylinders, into nothing.
    EXPECT_EQ(b.run({.command = 0x25, .lba = 2047, .count = 2}, {{kData, 1024}}), 0x1041u);
    EXPECT_NE(b.get(kPxCi), 0u);  // it says whose the error is
    b.restart();
    EXPECT_EQ(b.get(kPxCi), 0u);
    EXPECT_EQ(b.run({.command = 0x25, .count = 1, .device = 0}, {{kData, 1024}}), 0x0441u);
    b.restart();
    EXPECT_EQ(b.run({.command = 0x77}), 0x0441u);
    b.restart();
    EXPECT_EQ(b.run({.command = 0x42, .lba = 2047, .count = 1}), kGood);
    EXPECT_EQ(b.device.errors(), 0u);
    b.run({.command = 0x25, .count = 2}, {{kData, 1022}});
    EXPECT_NE(b.get(kPxIs) & kOfs, 0u);
    b.restart();
    b.run({.command = 0x25, .count = 2}, {{0x1000, 1024}});
    EXPECT_NE(b.get(kPxIs) & kHbfs, 0u);
  }
}

TEST(Ahci, QueuedCommands) {
  for (const bool threaded : {false, true}) {
    TempFile file(disk_bytes());
    AhciBench b(one(open(file.path)), threaded);
    b.start();
    const auto expected = disk_bytes();
    for (unsigned i = 0; i < 32; ++i) {
      b.put(
          i,
          {.command = 0x60, .lba = 16u * i, .count = static_cast<uint16_t>(i << 3), .features = 8},
          {{kData + 0x1000 * i, 4096}});
    }
    b.set(kPxSact, ~0u);
    b.set(kPxCi, ~0u);
    b.settle(~0u);
    EXPECT_EQ(b.get(kPxSact), 0u);
    EXPECT_EQ(b.get(kPxCi), 0u);
    EXPECT_NE(b.get(kPxIs) & kSdbs, 0u);
    for (unsigned i = 0; i < 32; ++i) {
      EXPECT_EQ(std::memcmp(b.dma.host(kData + 0x1000 * i, 4096), &expected[512 * 16 * i], 4096),
                0);
    }
    EXPECT_EQ(b.dma.get<uint8_t>(kReceived + kSetBitsAt), kFisSetBits);
    // One that fails halts the port and is in the log.
    b.put(3, {.command = 0x61, .lba = 5000, .count = 3 << 3, .features = 1}, {{kData, 512}});
    b.set(kPxSact, 8);
    b.set(kPxCi, 8);
    b.settle(8);
    EXPECT_NE(b.get(kPxIs) & kTfes, 0u);
    EXPECT_EQ(b.get(kPxTfd), 0x1041u);
    EXPECT_EQ(b.get(kPxSact), 8u);
    b.restart();
    EXPECT_EQ(b.get(kPxSact), 0u);
    EXPECT_EQ(b.run({.command = 0x2f, .lba = 0x10, .count = 1}, {{kData, 512}}), kGood);
    EXPECT_EQ(b.dma.get<uint8_t>(kData), 3);
    EXPECT_EQ(b.dma.get<uint8_t>(kData + 3), 0x10);
    EXPECT_EQ(b.dma.get<uint16_t>(kData + 4), 5000);
    // A tag that is not the slot's.
    b.put(3, {.command = 0x60, .count = 4 << 3, .features = 1}, {{kData, 512}});
    b.set(kPxSact, 8);
    b.set(kPxCi, 8);
    b.settle(8);
    EXPECT_EQ(b.get(kPxTfd), 0x0441u);
  }
}

TEST(Ahci, Trim) {
  for (const bool threaded : {false, true}) {
    TempFile file(disk_bytes());
    AhciBench b(one(open(file.path)), threaded);
    b.start();
    const auto put = [&](unsigned i, uint64_t sector, uint64_t count) {
      b.dma.put(kData + 8 * i, count << 48 | sector);
    };
    put(0, 8, 8);
    put(1, 16, 8);  // its neighbour
    put(5, 64, 8);
    put(63, 128, 8);
    EXPECT_EQ(b.run({.command = 0x06, .count = 1, .features = 1}, {{kData, 512}}), kGood);
    const auto now = file.read(), expected = disk_bytes();
    for (const unsigned sector : {8, 23, 64, 71, 128, 135}) EXPECT_EQ(now[sector * 512 + 9], 0);
    for (const unsigned sector : {7, 24, 63, 72, 127, 136}) {
      EXPECT_EQ(now[sector * 512 + 9], expected[sector * 512 + 9]) << sector;
    }
    put(6, 2047, 2);
    EXPECT_EQ(b.run({.command = 0x06, .count = 1, .features = 1}, {{kData, 512}}), 0x1041u);
    b.restart();
    EXPECT_EQ(b.run({.command = 0x06, .count = 1}, {{kData, 512}}), 0x0441u);
    b.restart();
    std::memset(b.dma.host(kData, 512), 0, 512);
    EXPECT_EQ(b.run({.command = 0x06, .count = 1, .features = 1}, {{kData, 512}}), kGood);
  }
}

TEST(Ahci, Packets) {
  for (const bool threaded : {false, true}) {
    TempFile file(disk_bytes());
    AhciBench b(one(open(file.path, true), scsi::Type::kCd, 2), threaded);
    b.start(2);
    const auto packet = [&](const std::array<uint8_t, 16>& cdb, uint16_t features,
                            const std::vector<Piece>& pieces) {
      return b.run({.command = 0xa0, .features = features}, pieces, 2, cdb);
    };
    EXPECT_EQ(b.run({.command = 0xa1}, {{kData, 512}}, 2), kGood);
    EXPECT_EQ(b.dma.get<uint16_t>(kData), 0x85c0);
    EXPECT_EQ(b.run({.command = 0xec}, {{kData, 512}}, 2), 0x0441u);
    EXPECT_EQ(b.dma.get<uint8_t>(kReceived + kD2hAt + 6), 0xeb);
    b.restart(2);
    // Told of the power-on, which REQUEST SENSE explains.
    EXPECT_EQ(packet({0x00}, 0, {}), 0x6441u);
    b.restart(2);
    EXPECT_EQ(packet({0x03, 0, 0, 0, 18}, 0, {{kData, 18}}), kGood);
    EXPECT_EQ(b.dma.get<uint8_t>(kData + 2), 6);
    EXPECT_EQ(b.dma.get<uint8_t>(kData + 12), 0x29);
    EXPECT_EQ(b.moved(), 18u);
    EXPECT_EQ(packet({0x00}, 0, {}), kGood);
    EXPECT_EQ(packet({0x28, 0, 0, 0, 0, 3, 0, 0, 2}, 1, {{kData, 4096}}), kGood);
    EXPECT_EQ(b.moved(), 4096u);
    EXPECT_EQ(std::memcmp(b.dma.host(kData, 4096), &disk_bytes()[3 * 2048], 4096), 0);
    EXPECT_EQ(packet({0x43, 2, 0, 0, 0, 0, 0, 0, 12}, 1, {{kData, 12}}), kGood);
    EXPECT_EQ(packet({0x2a, 0, 0, 0, 0, 3, 0, 0, 2}, 1, {{kData, 4096}}), 0x5441u);
  }
}

// A software reset is two frames that are no commands; a port's reset is its link's.
TEST(Ahci, Resets) {
  TempFile file(1 << 20);
  AhciBench b(one(open(file.path)));
  b.start();
  EXPECT_EQ(b.run({.command = 0xef, .features = 0x82}), kGood);
  b.run({.command = 0xec}, {{kData, 512}});
  EXPECT_EQ(b.dma.get<uint16_t>(kData + 170) & 0x20, 0);
  b.run({.control = 4, .is_command = false});
  b.dma.put(kReceived + kD2hAt, uint8_t{0});
  EXPECT_EQ(b.run({.is_command = false}), 0x0150u);
  EXPECT_EQ(b.dma.get<uint8_t>(kReceived + kD2hAt), kFisD2h);
  b.run({.command = 0xec}, {{kData, 512}});
  EXPECT_EQ(b.dma.get<uint16_t>(kData + 170) & 0x20, 0x20);
  b.set(kPxCmd, kFisReceive);
  b.set(kPxSctl, 1);
  EXPECT_EQ(b.get(kPxSsts), 0u);
  b.set(kPxSctl, 0);
  EXPECT_EQ(b.get(kPxSsts), 0x133u);
  EXPECT_EQ(b.get(kPxTfd), 0x0150u);
  b.write(kGhc, kHbaReset);
  EXPECT_EQ(b.read(kGhc), 0x80000000u);
  EXPECT_EQ(b.get(kPxCmd) & (kStart | kFisReceive), 0u);
}

TEST(Ahci, LineAndMessages) {
  TempFile file(1 << 20);
  AhciBench b(one(open(file.path)));
  b.start();
  b.run({.command = 0xea});
  EXPECT_EQ(b.read(kIs), 1u);
  EXPECT_TRUE(b.bus.lines[1].level);
  // IS alone does not take away what the port still has to tell.
  b.write(kIs, 1);
  EXPECT_EQ(b.read(kIs), 1u);
  b.set(kPxIs, ~0u);
  EXPECT_TRUE(b.bus.lines[1].level);
  b.write(kIs, 1);
  EXPECT_FALSE(b.bus.lines[1].level);
  b.write(kGhc, kAhciEnable);
  b.run({.command = 0xea});
  EXPECT_FALSE(b.bus.lines[1].level);
  b.write(kGhc, kAhciEnable | kInterruptEnable);
  EXPECT_TRUE(b.bus.lines[1].level);

  b.bus.write(1, 0x84, 0x08080040);
  b.bus.write(1, 0x8c, 7, 2);
  b.bus.write(1, 0x82, 1, 2);  // MSI enable
  EXPECT_FALSE(b.bus.lines[1].level);
  b.set(kPxIs, ~0u);
  b.write(kIs, 1);
  b.bus.inbox.take();
  b.run({.command = 0xea});
  EXPECT_EQ(b.bus.inbox.take().size(), 1u);
  // Again only when the driver has seen it.
  b.run({.command = 0xea});
  EXPECT_EQ(b.bus.inbox.take().size(), 0u);
  b.write(kIs, 1);
  EXPECT_EQ(b.bus.inbox.take().size(), 1u);
  b.set(kPxIs, ~0u);
  b.write(kIs, 1);
  EXPECT_EQ(b.bus.inbox.take().size(), 0u);
}

TEST(Ahci, WithoutBusMasteringNothingHappens) {
  TempFile file(1 << 20);
  for (const bool threaded : {false, true}) {
    AhciBench b(one(open(file.path)), threaded);
    b.start();
    b.bus.write(1, pci::kCommand, pci::kMemorySpace, 2);
    b.put(0, {.command = 0xec}, {{kData, 512}});
    b.set(kPxCi, 1);
    b.clock.advance(kDelay);
    EXPECT_EQ(b.get(kPxCi), 1u);
    b.bus.write(1, pci::kCommand, pci::kMemorySpace | pci::kBusMaster, 2);
    b.settle(1);
    EXPECT_EQ(b.get(kPxCi), 0u);
  }
}

TEST(Ahci, WrongPlacesHaltThePort) {
  TempFile file(1 << 20);
  AhciBench b(one(open(file.path)));
  struct Row {
    const char* what;
    void (*spoil)(AhciBench& b);
    uint32_t interrupt;
  };
  for (const Row& r :
       {Row{"list", [](AhciBench& x) { x.set(kPxClbu, 1); }, kHbfs},
        {"table",
         [](AhciBench& x) {
           x.dma.put(kList, CommandHeader{5, 0, 0, ~uint64_t{0}, {}});
         },
         kHbfs},
        {"prds",
         [](AhciBench& x) {
           x.dma.put(kList, CommandHeader{5, 65535, 0, AhciBench::table(0), {}});
         },
         kHbfs},
        {"frame", [](AhciBench& x) { x.dma.put(AhciBench::table(0), uint8_t{1}); }, kIfs},
        {"received", [](AhciBench& x) { x.set(kPxFbu, 1); }, kHbfs}}) {
    b.write(kGhc, kHbaReset);
    b.start();
    b.set(kPxClbu, 0);
    b.set(kPxFbu, 0);
    b.put(0, {.command = 0xec}, {{kData, 512}});
    r.spoil(b);
    b.set(kPxCi, 1);
    b.settle(1);
    EXPECT_NE(b.get(kPxIs) & r.interrupt, 0u) << r.what;
    b.restart();
  }
}

// Whoever stops the port, or saves it, waits for the disk; what has not begun stays to be done.
TEST(Ahci, StopAndSaveWaitForTheDisk) {
  for (const bool save : {false, true}) {
    auto image = std::make_unique<SlowImage>();
    SlowImage& slow = *image;
    AhciBench b(one(std::move(image)), true);
    b.start();
    b.put(0, {.command = 0x25, .count = 1}, {{kData, 512}});
    b.put(1, {.command = 0xea}, {});
    std::thread release([&] { slow.release_when_reading(); });
    b.set(kPxCi, 3);
    EXPECT_EQ(b.get(kPxTfd) & kBusy, uint32_t{kBusy});
    if (save) {
      b.device.quiesce();
      EXPECT_EQ(b.get(kPxCi), 2u);
      StateWriter out;
      b.device.save(out);
      b.device.resume();
      b.settle(2);
      EXPECT_EQ(b.get(kPxCi), 0u);
      AhciBench other(one(std::make_unique<SlowImage>()), true);
      std::copy(b.dma.ram.begin(), b.dma.ram.end(), other.dma.ram.begin());
      StateReader in(out.buffer().data(), out.buffer().size());
      ASSERT_TRUE(other.device.load(in));
      other.settle(2);
      EXPECT_EQ(other.get(kPxCi), 0u);
      EXPECT_EQ(other.get(kPxTfd), kGood);
    } else {
      b.set(kPxCmd, kFisReceive);
      EXPECT_EQ(b.get(kPxCi), 0u);
      EXPECT_EQ(b.get(kPxCmd) & kListRunning, 0u);
    }
    release.join();
  }
}

TEST(Ahci, HostErrors) {
  for (const bool threaded : {false, true}) {
    AhciBench b(one(std::make_unique<SlowImage>()), threaded);
    b.start();
    EXPECT_EQ(b.run({.command = 0x35, .count = 1}, {{kData, 512}}), 0x0441u);
    b.restart();
    b.dma.put(kData, uint64_t{1} << 48);
    b.dma.put(kData + 8, uint64_t{1} << 48 | 9);
    EXPECT_EQ(b.run({.command = 0x06, .count = 1, .features = 1}, {{kData, 512}}), 0x0441u);
    EXPECT_EQ(b.device.errors(), 2u);
  }
}

TEST(Ahci, SaveUnderIcountKeepsTheDeadline) {
  TempFile file(disk_bytes());
  StateWriter out;
  std::vector<uint8_t> ram;
  {
    AhciBench a(one(open(file.path)));
    a.start();
    a.put(0, {.command = 0x25, .lba = 5, .count = 1}, {{kData, 512}});
    a.set(kPxCi, 1);
    a.device.quiesce();
    a.device.save(out);
    ram = a.dma.ram;
  }
  AhciBench b(one(open(file.path)));
  b.dma.ram = ram;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.device.load(in));
  b.clock.advance(kDelay - 1);
  EXPECT_EQ(b.get(kPxCi), 1u);
  b.clock.advance(1);
  EXPECT_EQ(b.get(kPxCi), 0u);
  EXPECT_EQ(std::memcmp(b.dma.host(kData, 512), &disk_bytes()[5 * 512], 512), 0);
  TempFile second(1 << 20);
  AhciBench other(one(open(second.path), scsi::Type::kDisk, 1));
  StateReader again(out.buffer().data(), out.buffer().size());
  EXPECT_FALSE(other.device.load(again));
}

}  // namespace
}  // namespace trapline::ahci::test
