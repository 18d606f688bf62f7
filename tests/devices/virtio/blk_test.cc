#include "devices/virtio/blk.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <thread>

#include "tests/devices/virtio/harness.h"
#include "tests/devices/virtio/temp_file.h"

namespace trapline::virtio::test {
namespace {

constexpr uint64_t kFlushBit = 1 << 9, kWceBit = 1 << 11, kMqBit = 1 << 12, kDiscardBit = 1 << 13,
                   kZeroesBit = 1 << 14, kRoBit = 1 << 5;
constexpr uint64_t kFeatures =
    kVersion1 | kEventIdx | kIndirectDesc | kFlushBit | kDiscardBit | kZeroesBit;
constexpr uint64_t kHeader = kData, kPayload = kData + 0x1000, kStatusByte = kData + 0x100;
enum : uint8_t { kOk = 0, kIoErr = 1, kUnsupp = 2 };

// How requests are performed.
enum class Way { kDeterministic, kUring, kThreads };
constexpr Way kWays[] = {Way::kDeterministic, Way::kUring, Way::kThreads};

struct BlkBench : Bench {
  BlkBench(std::unique_ptr<Image> image, Way way, unsigned queues = 1)
      : Bench(make_blk(std::move(image), {.serial = "trapline-disk",
                                          .queues = queues,
                                          .engine = way == Way::kThreads ? BlkEngineKind::kThreads
                                                                         : BlkEngineKind::kUring}),
              way != Way::kDeterministic) {}

  void put_header(uint32_t type, uint64_t sector) {
    dma.put(kHeader, type);
    dma.put(kHeader + 4, uint32_t{0});
    dma.put(kHeader + 8, sector);
    dma.put(kStatusByte, uint8_t{0xaa});
  }
  // A request with its data in one descriptor; returns the status byte.
  uint8_t request(uint32_t type, uint64_t sector, uint32_t bytes, bool writable,
                  unsigned index = 0) {
    put_header(type, sector);
    queue[index].set_used_event(static_cast<uint16_t>(queue[index].used_index()));
    std::vector<Buffer> chain = {{kHeader, 16, false}};
    if (bytes > 0) chain.push_back({kPayload, bytes, writable});
    chain.push_back({kStatusByte, 1, true});
    const auto used = run(index, 0, chain);
    EXPECT_TRUE(used);
    if (used) {
      EXPECT_EQ(used->length, (writable ? bytes : 0) + 1);
    }
    EXPECT_TRUE(dma.told(kStatusByte, 1));
    return dma.get<uint8_t>(kStatusByte);
  }
  uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags) {
    dma.put(kPayload, sector);
    dma.put(kPayload + 8, sectors);
    dma.put(kPayload + 12, flags);
    return request(type, 0, 16, false);
  }
};

std::unique_ptr<Image> open(const std::string& path, bool read_only = false) {
  auto result = open_image(path, {.read_only = read_only});
  EXPECT_NE(result.image, nullptr) << result.error;
  return std::move(result.image);
}

std::vector<uint8_t> disk_bytes() {
  std::vector<uint8_t> v(1 << 20);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<uint8_t>(i / 512 + i % 251);
  return v;
}

TEST(Blk, ConfigurationSpace) {
  TempFile file(1 << 20);
  BlkBench b(open(file.path), Way::kDeterministic, 4);
  EXPECT_EQ(b.device.read(0x100, 8, 0).value, 2048u);  // capacity
  EXPECT_EQ(b.read(0x10c), 254u);                      // seg_max
  EXPECT_EQ(b.read(0x114), 512u);                      // blk_size
  EXPECT_EQ(b.device.read(0x118, 1, 0).value, 3u);     // physical_block_exp
  EXPECT_EQ(b.device.read(0x120, 1, 0).value, 1u);     // writeback
  EXPECT_EQ(b.device.read(0x122, 2, 0).value, 4u);     // num_queues
  EXPECT_EQ(b.read(0x128), 1u);                        // max_discard_seg
  EXPECT_EQ(b.read(0x134), 1u);                        // max_write_zeroes_seg
  EXPECT_EQ(b.offered() & (kMqBit | kRoBit | kFlushBit | kDiscardBit),
            kMqBit | kFlushBit | kDiscardBit);
}

TEST(Blk, ReadOnlyDiskSaysSo) {
  TempFile file(disk_bytes());
  BlkBench b(open(file.path, true), Way::kDeterministic);
  EXPECT_EQ(b.offered() & (kRoBit | kFlushBit | kDiscardBit | kZeroesBit | kWceBit), kRoBit);
  b.start(kVersion1 | kRoBit, 1, 64);
  EXPECT_EQ(b.request(1, 0, 512, false), kIoErr);
  EXPECT_EQ(b.request(0, 0, 512, true), kOk);
  EXPECT_EQ(b.request(11, 0, 16, false), kUnsupp);
}

TEST(Blk, ReadsAndWritesEveryWay) {
  for (Way way : kWays) {
    TempFile file(disk_bytes());
    BlkBench b(open(file.path), way);
    b.start(kFeatures, 1, 64);
    const uint64_t errors = b.device.errors();  // one where the kernel has no io_uring
    EXPECT_EQ(b.request(0, 3, 4096, true), kOk);
    const auto expected = disk_bytes();
    EXPECT_EQ(std::memcmp(b.dma.host(kPayload, 4096), &expected[3 * 512], 4096), 0);
    EXPECT_TRUE(b.dma.told(kPayload, 4096));
    std::memset(b.dma.host(kPayload, 8192), 0x5a, 8192);
    EXPECT_EQ(b.request(1, 100, 8192, false), kOk);
    EXPECT_EQ(b.request(4, 0, 0, false), kOk);
    const auto now = file.read();
    EXPECT_EQ(now[100 * 512 - 1], expected[100 * 512 - 1]);
    EXPECT_EQ(now[100 * 512], 0x5a);
    EXPECT_EQ(now[100 * 512 + 8191], 0x5a);
    EXPECT_EQ(now[100 * 512 + 8192], expected[100 * 512 + 8192]);
    EXPECT_EQ(b.device.errors(), errors);
  }
}

TEST(Blk, RequestsThatCannotBe) {
  struct Row {
    const char* what;
    uint32_t type;
    uint64_t sector;
    uint32_t bytes;
    bool writable;
    uint8_t status;
  };
  const Row rows[] = {
      {"last sector", 0, 2047, 512, true, kOk},
      {"one past the end", 0, 2048, 512, true, kIoErr},
      {"across the end", 0, 2047, 1024, true, kIoErr},
      {"sector overflows", 0, ~uint64_t{0}, 512, true, kIoErr},
      {"sector overflows in bytes", 0, uint64_t{1} << 55, 512, true, kIoErr},
      {"odd length", 0, 0, 511, true, kIoErr},
      {"write past the end", 1, 2048, 512, false, kIoErr},
      {"nothing to read", 0, 0, 0, true, kOk},
      {"unknown type", 77, 0, 512, true, kUnsupp},
      {"secure erase", 14, 0, 16, false, kUnsupp},
      {"discard cut short", 11, 0, 15, false, kIoErr},
      {"two discard ranges", 11, 0, 32, false, kIoErr},
  };
  TempFile file(disk_bytes());
  BlkBench b(open(file.path), Way::kDeterministic);
  b.start(kFeatures, 1, 64);
  for (const Row& r : rows) {
    EXPECT_EQ(b.request(r.type, r.sector, r.bytes, r.writable), r.status) << r.what;
  }
  EXPECT_EQ(file.read(), disk_bytes());
  EXPECT_EQ(b.status() & kNeedsReset, 0u);
}

TEST(Blk, ChainsWithoutHeaderOrStatusBreakTheQueue) {
  for (const std::vector<Buffer>& chain : {std::vector<Buffer>{{kHeader, 16, false}},
                                           {{kStatusByte, 1, true}},
                                           {{kHeader, 15, false}, {kStatusByte, 1, true}}}) {
    TempFile file(1 << 20);
    BlkBench b(open(file.path), Way::kDeterministic);
    b.start(kFeatures, 1, 64);
    b.put_header(0, 0);
    b.queue[0].add(0, chain);
    b.notify(0);
    b.settle();
    EXPECT_EQ(b.status() & kNeedsReset, kNeedsReset);
  }
}

TEST(Blk, AnyLayoutOfDescriptors) {
  for (Way way : kWays) {
    TempFile file(disk_bytes());
    BlkBench b(open(file.path), way);
    b.start(kFeatures, 1, 64);
    // Header in three pieces, data glued to the status.
    b.put_header(0, 5);
    ASSERT_TRUE(b.run(0, 0,
                      {{kHeader, 1, false},
                       {kHeader + 1, 8, false},
                       {kHeader + 9, 7, false},
                       {kPayload, 100, true},
                       {kPayload + 200, 413, true}}));
    const auto expected = disk_bytes();
    EXPECT_EQ(std::memcmp(b.dma.host(kPayload, 100), &expected[5 * 512], 100), 0);
    EXPECT_EQ(std::memcmp(b.dma.host(kPayload + 200, 412), &expected[5 * 512 + 100], 412), 0);
    EXPECT_EQ(b.dma.get<uint8_t>(kPayload + 612), kOk);
    // Header glued to the data of a write.
    b.put_header(1, 7);
    std::memset(b.dma.host(kHeader + 16, 512), 0x77, 512);
    b.dma.put(kHeader + 16 + 600, uint8_t{0xaa});
    ASSERT_TRUE(b.run(0, 5, {{kHeader, 16 + 512, false}, {kHeader + 616, 1, true}}));
    EXPECT_EQ(b.dma.get<uint8_t>(kHeader + 616), kOk);
    EXPECT_EQ(file.read()[7 * 512], 0x77);
  }
}

TEST(Blk, GetId) {
  TempFile file(1 << 20);
  BlkBench b(open(file.path), Way::kDeterministic);
  b.start(kFeatures, 1, 64);
  EXPECT_EQ(b.request(8, 0, 20, true), kOk);
  EXPECT_STREQ(reinterpret_cast<char*>(b.dma.host(kPayload, 20)), "trapline-disk");
  std::memset(b.dma.host(kPayload, 8), 0xee, 8);
  EXPECT_EQ(b.request(8, 0, 4, true), kOk);
  EXPECT_EQ(b.dma.get<uint32_t>(kPayload), 0x70617274u);
  EXPECT_EQ(b.dma.get<uint8_t>(kPayload + 4), 0xee);
}

TEST(Blk, DiscardAndWriteZeroes) {
  for (Way way : kWays) {
    TempFile file(disk_bytes());
    BlkBench b(open(file.path), way);
    b.start(kFeatures, 1, 64);
    EXPECT_EQ(b.range(11, 16, 16, 0), kOk);
    EXPECT_EQ(b.range(13, 64, 3, 0), kOk);
    EXPECT_EQ(b.range(13, 80, 8, 1), kOk);
    const auto now = file.read(), before = disk_bytes();
    EXPECT_EQ(now.size(), before.size());
    for (auto [sector, sectors] : {std::pair{64, 3}, {80, 8}}) {
      for (int i = 0; i < sectors * 512; ++i) ASSERT_EQ(now[sector * 512 + i], 0);
      EXPECT_EQ(now[(sector + sectors) * 512], before[(sector + sectors) * 512]);
    }
    EXPECT_EQ(b.range(11, 0, 8, 1), kUnsupp);    // unmap is for write zeroes
    EXPECT_EQ(b.range(13, 0, 8, 2), kUnsupp);    // unknown flag
    EXPECT_EQ(b.range(11, 2048, 1, 0), kIoErr);  // beyond the end
    EXPECT_EQ(b.range(11, ~uint64_t{0}, 8, 0), kIoErr);
    EXPECT_EQ(b.range(13, 0, 0xffffffff, 0), kIoErr);
    EXPECT_EQ(b.range(13, 0, 0, 0), kOk);
  }
}

TEST(Blk, WritebackFollowsTheNegotiation) {
  struct Row {
    uint64_t features;
    uint8_t writeback;
  };
  for (const Row& r : {Row{kVersion1, 0}, {kVersion1 | kFlushBit, 1}, {kVersion1 | kWceBit, 1}}) {
    TempFile file(1 << 20);
    BlkBench b(open(file.path), Way::kDeterministic);
    b.start(r.features, 1, 64);
    EXPECT_EQ(b.device.read(0x120, 1, 0).value, r.writeback);
    b.device.write(0x120, 1, 0, 0);
    EXPECT_EQ(b.device.read(0x120, 1, 0).value, (r.features & kWceBit) != 0 ? 0 : r.writeback);
    std::memset(b.dma.host(kPayload, 512), 0x33, 512);
    EXPECT_EQ(b.request(1, 0, 512, false), kOk);
    EXPECT_EQ(file.read()[511], 0x33);
  }
}

TEST(Blk, ManyInFlightOnManyQueues) {
  for (Way way : {Way::kUring, Way::kThreads}) {
    TempFile file(disk_bytes());
    BlkBench b(open(file.path), way, 4);
    b.start(kVersion1 | kMqBit, 4, 256);
    const auto expected = disk_bytes();
    // 4 queues of 85 requests, one sector each: more than the engine takes at once.
    constexpr unsigned kEach = 85;
    for (unsigned q = 0; q < 4; ++q) {
      for (unsigned i = 0; i < kEach; ++i) {
        const uint64_t slot = kData + (q * kEach + i) * 1024;
        b.dma.put(slot, uint32_t{0});
        b.dma.put(slot + 8, uint64_t{q * kEach + i});
        b.queue[q].add(static_cast<uint16_t>(3 * i),
                       {{slot, 16, false}, {slot + 512, 512, true}, {slot + 16, 1, true}});
      }
      b.notify(q);
    }
    for (unsigned q = 0; q < 4; ++q) {
      for (unsigned i = 0; i < kEach; ++i) ASSERT_TRUE(b.complete(q)) << q << ' ' << i;
    }
    for (unsigned n = 0; n < 4 * kEach; ++n) {
      EXPECT_EQ(b.dma.get<uint8_t>(kData + n * 1024 + 16), kOk);
      ASSERT_EQ(std::memcmp(b.dma.host(kData + n * 1024 + 512, 512), &expected[n * 512], 512), 0);
    }
  }
}

TEST(Blk, ResetDrainsWhatIsInFlight) {
  for (Way way : {Way::kUring, Way::kThreads}) {
    TempFile file(disk_bytes());
    BlkBench b(open(file.path), way);
    for (int round = 0; round < 30; ++round) {
      std::fill(b.dma.ram.begin(), b.dma.ram.end(), 0);
      b.start(kVersion1, 1, 64);
      b.put_header(0, 1);
      for (uint16_t i = 0; i < 16; ++i) {
        b.queue[0].add(
            static_cast<uint16_t>(3 * i),
            {{kHeader, 16, false}, {kPayload + 65536ull * i, 65536, true}, {kStatusByte, 1, true}});
      }
      b.notify(0);
      if (round % 2 == 1) std::this_thread::yield();
      b.write(reg::kStatus, 0);
      std::fill(b.dma.ram.begin(), b.dma.ram.end(), 0);
      for (int i = 0; i < 20; ++i) std::this_thread::yield();
      EXPECT_EQ(b.dma.ram, std::vector<uint8_t>(b.dma.ram.size()));
    }
  }
}

// An image whose host fails.
class FailingImage final : public Image {
 public:
  FailingImage() {
    bytes_ = 1 << 20;
    read_only_ = false;
    path_ = "failing.img";
  }
  int readv(const iovec*, unsigned, uint64_t) override { return -EIO; }
  int writev(const iovec*, unsigned, uint64_t, bool) override { return -ENOSPC; }
  int flush() override { return std::exchange(flush_error, 0); }
  int discard(uint64_t, uint64_t) override { return -EIO; }
  int write_zeroes(uint64_t, uint64_t, bool) override { return -EIO; }
  int flush_error = -EIO;
};

TEST(Blk, HostErrorsReachTheGuestAndOneLine) {
  for (Way way : {Way::kDeterministic, Way::kThreads}) {
    std::vector<std::string> lines;
    Report::set_sink([&](std::string_view line) { lines.emplace_back(line); });
    BlkBench b(std::make_unique<FailingImage>(), way);
    b.start(kFeatures, 1, 64);
    for (int i = 0; i < 9; ++i) EXPECT_EQ(b.request(1, 1, 512, false), kIoErr);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0],
              "trapline: dev0: failing.img: write failed at byte 512: No space left on device");
    EXPECT_EQ(b.request(0, 1, 512, true), kIoErr);
    EXPECT_EQ(b.request(4, 0, 0, false), kIoErr);
    // The host's next flush would succeed, but what it lost stays lost.
    EXPECT_EQ(b.request(4, 0, 0, false), kIoErr);
    EXPECT_EQ(b.range(11, 0, 8, 0), kIoErr);
    EXPECT_EQ(b.range(13, 0, 8, 0), kIoErr);
    Report::set_sink([](std::string_view) {});
  }
}

// A disk of zeroes whose reads wait at a gate; `cached` says what is known without waiting.
class GatedImage final : public Image {
 public:
  GatedImage() {
    bytes_ = 1 << 20;
    path_ = "gated.img";
  }
  int readv(const iovec* iov, unsigned count, uint64_t) override {
    gate.wait(false);
    for (unsigned i = 0; i < count; ++i) std::memset(iov[i].iov_base, 0, iov[i].iov_len);
    return 0;
  }
  bool read_at_once(const iovec* iov, unsigned, uint64_t, uint64_t bytes) override {
    if (!cached) return false;
    std::memset(iov[0].iov_base, 0x5a, bytes);
    return true;
  }
  int writev(const iovec*, unsigned, uint64_t, bool) override { return -EROFS; }
  int flush() override { return 0; }
  int discard(uint64_t, uint64_t) override { return -EROFS; }
  int write_zeroes(uint64_t, uint64_t, bool) override { return -EROFS; }
  std::atomic<bool> gate{false};
  std::atomic<bool> cached{false};
};

TEST(Blk, SmallCachedReadIsDoneAtTheNotify) {
  auto image = std::make_unique<GatedImage>();
  GatedImage& disk = *image;
  disk.cached = true;
  BlkBench b(std::move(image), Way::kThreads);
  b.start(kVersion1 | kEventIdx, 1, 64);
  unsigned at_once = 0;
  for (uint16_t i = 0; i < 100; ++i) {
    b.put_header(0, i);
    b.dma.put(kPayload, uint32_t{0});
    b.queue[0].set_used_event(i);
    b.queue[0].add(0, {{kHeader, 16, false}, {kPayload, 4096, true}, {kStatusByte, 1, true}});
    b.notify(0);
    // Unless the I/O thread was still at its first look at the queue; then the gate opens for it.
    if (b.queue[0].used_index() == static_cast<uint16_t>(i + 1)) {
      ++at_once;
      EXPECT_TRUE(b.irq.raised_soon());
      EXPECT_EQ(b.dma.get<uint32_t>(kPayload), 0x5a5a5a5au);
    } else {
      disk.gate = true;
      disk.gate.notify_all();
    }
    ASSERT_TRUE(b.complete(0));
    EXPECT_EQ(b.dma.get<uint8_t>(kStatusByte), kOk);
    b.write(reg::kIntAck, 3);
    EXPECT_EQ(b.queue[0].avail_event(), i + 1);  // the next one is notified as well
  }
  EXPECT_GT(at_once, 0u);
  // GET_ID needs no I/O at all; 32 KiB is more than a vCPU copies.
  EXPECT_EQ(b.request(8, 0, 20, true), kOk);
  disk.gate = true;
  disk.gate.notify_all();
  EXPECT_EQ(b.request(0, 0, 32768, true), kOk);
  EXPECT_EQ(b.dma.get<uint32_t>(kPayload), 0u);
}

TEST(Blk, SlowDiskDoesNotHoldTheNotify) {
  auto image = std::make_unique<GatedImage>();
  GatedImage& disk = *image;
  BlkBench b(std::move(image), Way::kThreads);
  b.start(kVersion1, 1, 64);
  b.put_header(0, 0);
  const auto add = [&](uint16_t first) {
    b.queue[0].add(first, {{kHeader, 16, false},
                           {kPayload + 512u * first, 512, true},
                           {kStatusByte + first, 1, true}});
    b.notify(0);
  };
  add(0);
  b.settle();
  EXPECT_EQ(b.queue[0].used_index(), 0);
  disk.cached = true;  // but the first is under way: the I/O thread's, too
  add(3);
  b.settle();
  EXPECT_EQ(b.queue[0].used_index(), 0);
  disk.gate = true;
  disk.gate.notify_all();
  EXPECT_TRUE(b.complete(0));
  EXPECT_TRUE(b.complete(0));
}

// Requests finished at the notify, and by the I/O thread, while the device is stopped and let go.
TEST(Blk, NotifiesFromManyThreads) {
  TempFile file(disk_bytes());
  BlkBench b(open(file.path), Way::kUring, 4);
  b.dma.record = false;
  b.start(kVersion1 | kMqBit | kFlushBit, 4, 64);
  const uint64_t errors = b.device.errors();  // one where the kernel has no io_uring
  const auto expected = disk_bytes();
  std::atomic<unsigned> running{4};
  std::vector<std::thread> drivers;
  for (unsigned q = 0; q < 4; ++q) {
    drivers.emplace_back([&, q] {
      const uint64_t area = kData + q * 0x20000;
      for (unsigned i = 0; i < 500; ++i) {
        const uint32_t bytes = i % 4 == 3 ? 32768 : 512u << i % 3;
        const uint64_t sector = (4 * i + q) % 1900;
        b.dma.put(area, uint32_t{i % 50 == 49 ? 4u : 0u});
        b.dma.put(area + 8, i % 50 == 49 ? 0 : sector);
        std::vector<Buffer> chain = {{area, 16, false}, {area + 16, 1, true}};
        if (i % 50 != 49) chain.insert(chain.begin() + 1, {area + 4096, bytes, true});
        b.queue[q].add(0, chain);
        b.notify(q);
        if (!b.complete(q)) return ADD_FAILURE() << q << ' ' << i;
        if (i % 50 == 49) continue;
        if (std::memcmp(b.dma.host(area + 4096, bytes), &expected[sector * 512], bytes) != 0) {
          return ADD_FAILURE() << "wrong data " << q << ' ' << i;
        }
      }
      --running;
    });
  }
  for (int i = 0; i < 200 && running != 0; ++i) {
    b.device.quiesce();
    b.device.resume();
    std::this_thread::yield();
  }
  for (std::thread& driver : drivers) driver.join();
  EXPECT_EQ(running, 0u);
  EXPECT_EQ(b.device.errors(), errors);
}

TEST(Blk, UringIsUsedWhereTheKernelHasIt) {
  // Told apart by the report: asking for io_uring and not getting it makes a line.
  TempFile file(disk_bytes());
  BlkBench b(open(file.path), Way::kUring);
  b.start(kFeatures, 1, 64);
  EXPECT_EQ(b.request(0, 0, 512, true), kOk);
  if (b.device.errors() != 0) GTEST_SKIP() << "no io_uring here";
}

// The child writes sector after sector, flushes after each, and reports what a flush confirmed. It
// is killed at some moment, with other writes under way; the image must hold all that was
// confirmed.
TEST(Blk, FlushedWritesSurviveSigkill) {
  constexpr uint32_t kSectors = 2048;
  for (int round = 0; round < 40; ++round) {
    TempFile file(kSectors * 512);
    int report[2];
    ASSERT_EQ(pipe(report), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto image = open_image(file.path, {}).image;
      if (image == nullptr) _exit(1);
      BlkBench b(std::move(image), round % 2 == 0 ? Way::kUring : Way::kThreads);
      b.start(kVersion1 | kFlushBit, 1, 64);
      const auto put = [&](uint64_t at, uint32_t type, uint64_t sector) {
        b.dma.put(at, type);
        b.dma.put(at + 8, sector);
      };
      uint16_t chain = 0;
      for (uint32_t i = 0; i < kSectors; ++i) {
        std::fill_n(b.dma.host(kPayload, 512), 512, static_cast<uint8_t>(i + 1));
        put(kHeader, 1, i);
        b.run(0, chain, {{kHeader, 16, false}, {kPayload, 512, false}, {kStatusByte, 1, true}});
        put(kHeader + 32, 4, 0);
        b.run(0, chain, {{kHeader + 32, 16, false}, {kStatusByte, 1, true}});
        if (write(report[1], &i, sizeof i) != sizeof i) _exit(1);
      }
      _exit(0);
    }
    close(report[1]);
    uint32_t last = 0, value;
    const auto stop = static_cast<uint32_t>(round) / 4;
    while (read(report[0], &value, sizeof value) == sizeof value && (last = value) < stop) {
    }
    kill(child, SIGKILL);
    while (read(report[0], &value, sizeof value) == sizeof value) last = value;
    close(report[0]);
    waitpid(child, nullptr, 0);
    // The lock went with the process: a new one may start at once.
    const auto again = open_image(file.path, {});
    EXPECT_NE(again.image, nullptr) << again.error;
    const auto bytes = file.read();
    for (uint32_t i = 0; i <= last; ++i) {
      ASSERT_EQ(bytes[512 * i], static_cast<uint8_t>(i + 1)) << round << ' ' << i;
      ASSERT_EQ(bytes[512 * i + 511], static_cast<uint8_t>(i + 1)) << round << ' ' << i;
    }
  }
}

// A limit of this process, lowered for a while.
class Limited {
 public:
  Limited(decltype(RLIMIT_FSIZE) what, rlim_t value) : what_(what) {
    getrlimit(what_, &before_);
    const rlimit lower = {value, before_.rlim_max};
    EXPECT_EQ(setrlimit(what_, &lower), 0);
  }
  ~Limited() { setrlimit(what_, &before_); }

 private:
  const decltype(RLIMIT_FSIZE) what_;
  rlimit before_;
};

TEST(Blk, FileSizeLimitIsAnIoError) {
  const auto before = signal(SIGXFSZ, SIG_IGN);  // as main() has it
  for (Way way : kWays) {
    TempFile disk(1 << 20);
    BlkBench b(open(disk.path), way);
    b.start(kFeatures, 1, 16);
    const uint64_t errors = b.device.errors();  // one where the kernel has no io_uring
    {
      Limited size(RLIMIT_FSIZE, 512 << 10);
      EXPECT_EQ(b.request(1, 1023, 512, false), kOk);
      EXPECT_EQ(b.request(1, 1024, 512, false), kIoErr);
      EXPECT_EQ(b.request(1, 1020, 4096, false), kIoErr);  // half of it fits
      EXPECT_EQ(b.device.errors(), errors + 2);
      EXPECT_EQ(b.request(0, 1024, 512, true), kOk);
      EXPECT_EQ(b.request(4, 0, 0, false), kOk);
    }
    EXPECT_EQ(b.request(1, 1024, 512, false), kOk);
  }
  signal(SIGXFSZ, before);
}

TEST(Blk, WorksWithoutDescriptorsForAnEngine) {
  // UBSan checks the first call of a virtual function with the help of a pipe: it comes now.
  try {
    throw std::system_error(EMFILE, std::generic_category(), "now");
  } catch (const std::system_error& error) {
    EXPECT_STRNE(error.what(), "");
  }
  for (Way way : {Way::kUring, Way::kThreads}) {
    TempFile disk(disk_bytes());
    BlkBench b(open(disk.path), way);
    std::vector<int> all;
    {
      Limited files(RLIMIT_NOFILE, 256);
      for (int fd; (fd = dup(STDERR_FILENO)) >= 0;) all.push_back(fd);
      ASSERT_EQ(errno, EMFILE);
      b.start(kFeatures, 1, 16);
    }
    for (int fd : all) close(fd);
    // A ring was made with the device; threads are, when the guest starts it.
    if (way == Way::kThreads) {
      EXPECT_GE(b.device.errors(), 1u);
    }
    EXPECT_EQ(b.request(0, 3, 512, true), kOk);
    EXPECT_EQ(b.dma.get<uint8_t>(kPayload + 5), disk_bytes()[3 * 512 + 5]);
    b.dma.put(kPayload, uint64_t{0x1122334455667788});
    EXPECT_EQ(b.request(1, 3, 512, false), kOk);
    EXPECT_EQ(b.request(4, 0, 0, false), kOk);
    EXPECT_EQ(disk.read()[3 * 512], 0x88);
  }
}

// An image that runs out of memory, as a qcow2 image's tables may.
class StarvedImage final : public Image {
 public:
  StarvedImage() { bytes_ = 1 << 20; }
  int readv(const iovec*, unsigned, uint64_t) override { throw std::bad_alloc(); }
  int writev(const iovec*, unsigned, uint64_t, bool) override { return -EROFS; }
  int flush() override { return 0; }
  int discard(uint64_t, uint64_t) override { return 0; }
  int write_zeroes(uint64_t, uint64_t, bool) override { return 0; }
};

TEST(Blk, OutOfMemoryIsAnIoError) {
  for (Way way : {Way::kDeterministic, Way::kThreads}) {
    BlkBench b(std::make_unique<StarvedImage>(), way);
    b.start(kVersion1, 1, 16);
    EXPECT_EQ(b.request(0, 0, 512, true), kIoErr);
    EXPECT_EQ(b.device.errors(), 1u);
  }
}

TEST(Blk, SaveAndLoad) {
  TempFile file(disk_bytes());
  StateWriter out;
  {
    BlkBench a(open(file.path), Way::kUring);
    a.start(kFeatures | kWceBit, 1, 64);
    a.device.write(0x120, 1, 0, 0);
    EXPECT_EQ(a.request(0, 0, 512, true), kOk);
    a.device.quiesce();
    a.device.save(out);
  }
  BlkBench b(open(file.path), Way::kDeterministic);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.device.load(in));
  EXPECT_EQ(b.device.read(0x120, 1, 0).value, 0u);
  EXPECT_EQ(b.status() & kDriverOk, kDriverOk);
}

}  // namespace
}  // namespace trapline::virtio::test
