#include "devices/virtio/scsi.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "devices/scsi/bytes.h"
#include "devices/scsi/sense.h"
#include "devices/virtio/scsi_wire.h"
#include "tests/devices/virtio/harness.h"
#include "tests/devices/virtio/memory_image.h"
#include "tests/devices/virtio/temp_file.h"

namespace trapline::virtio::test {
namespace {

using namespace scsi_wire;

constexpr uint64_t kFeatures = kVersion1 | kEventIdx | kIndirectDesc;
constexpr uint64_t kCommand = kData, kAnswer = kData + 0x200, kPayload = kData + 0x1000;
constexpr unsigned kCommandBytes = 19 + 32, kAnswerBytes = 12 + 96;
constexpr unsigned kRequests = kFirstRequestQueue;

std::vector<scsi::Drive> one(std::unique_ptr<Image> image, scsi::Type type = scsi::Type::kDisk,
                             unsigned number = 0) {
  std::vector<scsi::Drive> targets;
  targets.push_back({number, std::move(image), type});
  return targets;
}

std::unique_ptr<Image> open(const std::string& path, bool read_only = false) {
  auto result = open_image(path, {.read_only = read_only});
  EXPECT_NE(result.image, nullptr) << result.error;
  return std::move(result.image);
}

struct ScsiBench : Bench {
  ScsiBench(std::vector<scsi::Drive> targets, bool threaded)
      : Bench(make_scsi(std::move(targets), "scsi0", 1), threaded) {
    start(kFeatures, 3, 64);
  }

  void put_command(const std::vector<uint8_t>& cdb, unsigned target, unsigned lun, uint64_t id,
                   uint64_t at) {
    std::vector<uint8_t> bytes(kCommandBytes);
    bytes[0] = 1;
    bytes[1] = static_cast<uint8_t>(target);
    bytes[2] = 0x40;
    bytes[3] = static_cast<uint8_t>(lun);
    std::memcpy(&bytes[8], &id, 8);
    std::copy(cdb.begin(), cdb.end(), bytes.begin() + 19);
    std::memcpy(dma.host(at, kCommandBytes), bytes.data(), kCommandBytes);
  }
  // Runs a command with `out` or `in` bytes of data at kPayload.
  ResponseHeader run_command(const std::vector<uint8_t>& cdb, uint32_t out, uint32_t in,
                             unsigned target = 0, unsigned lun = 0) {
    put_command(cdb, target, lun, 1, kCommand);
    std::memset(dma.host(kAnswer, kAnswerBytes), 0xaa, kAnswerBytes);
    std::vector<Buffer> chain = {{kCommand, kCommandBytes, false}};
    if (out > 0) chain.push_back({kPayload, out, false});
    chain.push_back({kAnswer, kAnswerBytes, true});
    if (in > 0) chain.push_back({kPayload, in, true});
    queue[kRequests].set_used_event(queue[kRequests].used_index());
    EXPECT_TRUE(run(kRequests, 0, chain));
    return dma.get<ResponseHeader>(kAnswer);
  }
  void expect_good(const std::vector<uint8_t>& cdb, uint32_t out, uint32_t in,
                   uint32_t residual = 0) {
    const ResponseHeader r = run_command(cdb, out, in);
    EXPECT_EQ(r.response, kOk);
    EXPECT_EQ(r.status, 0) << unsigned{cdb[0]};
    EXPECT_EQ(r.residual, residual) << unsigned{cdb[0]};
    EXPECT_EQ(r.sense_len, 0u);
  }
  void expect_sense(const std::vector<uint8_t>& cdb, uint32_t out, uint32_t in,
                    const scsi::Sense& sense, unsigned lun = 0) {
    const ResponseHeader r = run_command(cdb, out, in, 0, lun);
    EXPECT_EQ(r.response, kOk);
    EXPECT_EQ(r.status, 2) << unsigned{cdb[0]};
    EXPECT_EQ(r.sense_len, 18u);
    EXPECT_EQ(dma.get<uint8_t>(kAnswer + 12 + 2), sense.key);
    EXPECT_EQ(dma.get<uint8_t>(kAnswer + 12 + 12), sense.asc);
    EXPECT_EQ(dma.get<uint8_t>(kAnswer + 12 + 13), sense.ascq);
  }
  void ready() { expect_sense({0x00}, 0, 0, scsi::kPowerOn); }
  void put_tmf(uint32_t subtype, unsigned target, uint64_t id, uint64_t at) {
    TmfRequest request = {kTmf, subtype, {1, static_cast<uint8_t>(target), 0x40, 0}, id};
    dma.put(at, request);
    dma.put(at + 64, uint8_t{0xaa});
  }
  uint8_t tmf(uint32_t subtype, unsigned target = 0, uint64_t id = 1) {
    constexpr uint64_t kAt = kData + 0x400;
    put_tmf(subtype, target, id, kAt);
    EXPECT_TRUE(run(kControlQueue, 0, {{kAt, sizeof(TmfRequest), false}, {kAt + 64, 1, true}}));
    return dma.get<uint8_t>(kAt + 64);
  }
};

std::vector<uint8_t> disk_bytes() {
  std::vector<uint8_t> v(1 << 20);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<uint8_t>(i / 512 + i % 251);
  return v;
}

TEST(Scsi, ConfigurationSpace) {
  TempFile file(1 << 20);
  ScsiBench b(one(open(file.path), scsi::Type::kDisk, 3), false);
  EXPECT_EQ(b.read(0x100), 1u);        // num_queues
  EXPECT_EQ(b.read(0x104), 254u);      // seg_max
  EXPECT_EQ(b.read(0x110), 16u);       // event_info_size
  EXPECT_EQ(b.read(0x114), 96u);       // sense_size
  EXPECT_EQ(b.read(0x118), 32u);       // cdb_size
  EXPECT_EQ(b.read(0x11c), 3u << 16);  // max_channel, max_target
  b.write(0x114, 1u << 20);
  b.write(0x118, 0);
  EXPECT_EQ(b.read(0x114), 96u);
  EXPECT_EQ(b.read(0x118), 32u);
  b.write(0x114, 20);
  EXPECT_EQ(b.read(0x114), 20u);
  b.write(reg::kStatus, 0);
  EXPECT_EQ(b.read(0x114), 96u);
}

TEST(Scsi, ReadsAndWritesBothWays) {
  for (const bool threaded : {false, true}) {
    TempFile file(disk_bytes());
    ScsiBench b(one(open(file.path)), threaded);
    b.ready();
    const auto expected = disk_bytes();
    b.expect_good({0x28, 0, 0, 0, 0, 3, 0, 0, 8}, 0, 4096);
    EXPECT_EQ(std::memcmp(b.dma.host(kPayload, 4096), &expected[3 * 512], 4096), 0);
    EXPECT_TRUE(b.dma.told(kPayload, 4096));
    EXPECT_TRUE(b.dma.told(kAnswer, 12));
    // More room than the command asks for, and less.
    b.expect_good({0x28, 0, 0, 0, 0, 3, 0, 0, 1}, 0, 4096, 4096 - 512);
    EXPECT_EQ(b.run_command({0x28, 0, 0, 0, 0, 3, 0, 0, 9}, 0, 4096).response, kOverrun);
    EXPECT_EQ(b.run_command({0x2a, 0, 0, 0, 0, 3, 0, 0, 9}, 4096, 0).response, kOverrun);
    std::memset(b.dma.host(kPayload, 8192), 0x5a, 8192);
    b.expect_good({0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 16}, 8192, 0);
    b.expect_good({0x35}, 0, 0);
    auto now = file.read();
    EXPECT_EQ(now[100 * 512 - 1], expected[100 * 512 - 1]);
    EXPECT_EQ(now[100 * 512], 0x5a);
    EXPECT_EQ(now[100 * 512 + 8191], 0x5a);
    EXPECT_EQ(now[100 * 512 + 8192], expected[100 * 512 + 8192]);
    // The same block over and over; zeroes; a hole.
    b.expect_good({0x93, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1}, 512, 0);
    now = file.read();
    EXPECT_EQ(now[256 * 512], 0x5a);
    EXPECT_EQ(now[513 * 512 - 1], 0x5a);
    EXPECT_EQ(now[513 * 512], expected[513 * 512]);
    std::memset(b.dma.host(kPayload, 512), 0, 512);
    b.expect_good({0x93, 8, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, 512, 0);
    uint8_t* list = b.dma.host(kPayload, 24);
    scsi::put_big(list, 2, 22);
    scsi::put_big(list + 2, 2, 16);
    scsi::put_big(list + 8, 8, 264);
    scsi::put_big(list + 16, 4, 8);
    b.expect_good({0x42, 0, 0, 0, 0, 0, 0, 0, 24}, 24, 0);
    now = file.read();
    EXPECT_EQ(now[256 * 512], 0);
    EXPECT_EQ(now[257 * 512], 0x5a);
    EXPECT_EQ(now[264 * 512], 0);
    EXPECT_EQ(now[272 * 512], 0x5a);
    EXPECT_EQ(b.device.errors(), 0u);
  }
}

TEST(Scsi, WhoIsAskedAndWhoIsNot) {
  TempFile disk(1 << 20), cd(1 << 20);
  std::vector<scsi::Drive> targets = one(open(disk.path), scsi::Type::kDisk, 2);
  targets.push_back({5, open(cd.path, true), scsi::Type::kCd});
  ScsiBench b(std::move(targets), false);
  const std::vector<uint8_t> inquiry = {0x12, 0, 0, 0, 36};
  EXPECT_EQ(b.run_command(inquiry, 0, 36, 0).response, kBadTarget);
  EXPECT_EQ(b.run_command(inquiry, 0, 36, 255).response, kBadTarget);
  EXPECT_EQ(b.run_command(inquiry, 0, 36, 2).response, kOk);
  EXPECT_EQ(b.dma.get<uint8_t>(kPayload), 0);
  EXPECT_EQ(b.run_command(inquiry, 0, 36, 5).response, kOk);
  EXPECT_EQ(b.dma.get<uint8_t>(kPayload), 5);
  EXPECT_EQ(b.run_command(inquiry, 0, 36, 5, 1).response, kOk);
  EXPECT_EQ(b.dma.get<uint8_t>(kPayload), 0x7f);
  EXPECT_EQ(b.run_command({0x00}, 0, 0, 5, 1).status, 2);
  EXPECT_EQ(b.run_command(inquiry, 0, 10, 2).response, kOverrun);
  EXPECT_EQ(b.run_command(inquiry, 8, 36, 2).response, kFailure);  // both ways
}

TEST(Scsi, ChainsWithoutRoomBreakTheQueue) {
  TempFile file(1 << 20);
  for (const std::vector<Buffer>& chain : std::vector<std::vector<Buffer>>{
           {{kCommand, kCommandBytes - 1, false}, {kAnswer, kAnswerBytes, true}},
           {{kCommand, kCommandBytes, false}, {kAnswer, kAnswerBytes - 1, true}},
           {{kCommand, kCommandBytes, false}}}) {
    ScsiBench b(one(open(file.path)), false);
    b.queue[kRequests].add(0, chain);
    b.notify(kRequests);
    b.settle();
    EXPECT_EQ(b.status() & kNeedsReset, kNeedsReset);
  }
}

// Its first flush fails.
class Slow final : public SlowImage {
 public:
  int flush() override { return ++flushes == 1 ? -EIO : 0; }
  int discard(uint64_t, uint64_t) override { return 0; }
  std::atomic<unsigned> flushes{0};
};

// A task that is to be aborted has ended before the answer says so; others are no reason to wait.
TEST(Scsi, TaskManagement) {
  auto image = std::make_unique<Slow>();
  Slow& slow = *image;
  ScsiBench b(one(std::move(image)), true);
  b.ready();
  EXPECT_EQ(b.tmf(kAbortTask), kOk);
  EXPECT_EQ(b.tmf(kAbortTask, 1), kBadTarget);
  EXPECT_EQ(b.tmf(99), kFunctionRejected);
  EXPECT_EQ(b.tmf(kQueryTask), kOk);
  b.put_command({0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0, 77, kCommand);
  b.queue[kRequests].add(
      0, {{kCommand, kCommandBytes, false}, {kAnswer, kAnswerBytes, true}, {kPayload, 512, true}});
  b.notify(kRequests);
  {
    std::unique_lock lock(slow.mutex);
    slow.changed.wait(lock, [&] { return slow.reading == 1; });
  }
  EXPECT_EQ(b.tmf(kQueryTask, 0, 77), kFunctionSucceeded);
  EXPECT_EQ(b.tmf(kQueryTask, 0, 78), kOk);
  EXPECT_EQ(b.tmf(kAbortTask, 0, 78), kOk);
  constexpr uint64_t kReset = kData + 0x600;
  b.put_tmf(kUnitReset, 0, 0, kReset);
  b.queue[kControlQueue].add(8, {{kReset, sizeof(TmfRequest), false}, {kReset + 64, 1, true}});
  b.notify(kControlQueue);
  b.settle();
  EXPECT_EQ(b.dma.get<uint8_t>(kReset + 64), 0xaa);
  {
    std::lock_guard lock(slow.mutex);
    slow.go = true;
  }
  slow.changed.notify_all();
  ASSERT_TRUE(b.complete(kControlQueue));
  EXPECT_EQ(b.dma.get<uint8_t>(kReset + 64), kOk);
  ASSERT_TRUE(b.complete(kRequests));
  b.expect_sense({0x00}, 0, 0, scsi::kUnitReset);
}

TEST(Scsi, ResetAndSaveWaitForTheDisk) {
  auto image = std::make_unique<Slow>();
  Slow& slow = *image;
  ScsiBench b(one(std::move(image)), true);
  b.ready();
  for (uint16_t i = 0; i < 8; ++i) {
    b.put_command({0x28, 0, 0, 0, 0, static_cast<uint8_t>(i), 0, 0, 1}, 0, 0, i,
                  kCommand + 64u * i);
    b.queue[kRequests].add(static_cast<uint16_t>(i * 4),
                           {{kCommand + 64u * i, kCommandBytes, false},
                            {kPayload + 0x200u * i, kAnswerBytes, true},
                            {kPayload + 0x2000, 512, true}});
  }
  b.notify(kRequests);
  std::thread release([&] {
    std::unique_lock lock(slow.mutex);
    slow.changed.wait(lock, [&] { return slow.reading > 0; });
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    lock.lock();
    slow.go = true;
    slow.changed.notify_all();
  });
  b.device.quiesce();
  release.join();
  unsigned done = 0;
  while (b.queue[kRequests].take_used()) ++done;
  EXPECT_GT(done, 0u);
  b.device.resume();
  for (; done < 8; ++done) EXPECT_TRUE(b.complete(kRequests));
  b.write(reg::kStatus, 0);
  EXPECT_EQ(b.status(), 0u);
}

TEST(Scsi, HostErrorsAreSense) {
  for (const bool threaded : {false, true}) {
    ScsiBench b(one(std::make_unique<Slow>()), threaded);
    b.ready();
    b.expect_sense({0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 512, 0, scsi::kWriteError);
    // A flush that failed once fails for ever.
    b.expect_sense({0x35}, 0, 0, scsi::kWriteError);
    b.expect_sense({0x35}, 0, 0, scsi::kWriteError);
    EXPECT_GE(b.device.errors(), 2u);
  }
}

TEST(Scsi, SaveAndLoad) {
  TempFile file(disk_bytes());
  StateWriter out;
  {
    ScsiBench a(one(open(file.path)), true);
    a.ready();
    a.write(0x114, 40);
    a.device.quiesce();
    a.device.save(out);
  }
  ScsiBench b(one(open(file.path)), false);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.device.load(in));
  EXPECT_EQ(b.read(0x114), 40u);
  ScsiBench other(one(std::make_unique<Slow>(), scsi::Type::kDisk, 1), false);
  StateReader again(out.buffer().data(), out.buffer().size());
  EXPECT_FALSE(other.device.load(again));
}

}  // namespace
}  // namespace trapline::virtio::test
