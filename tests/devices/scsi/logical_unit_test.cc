#include "devices/scsi/logical_unit.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "devices/scsi/bytes.h"

namespace trapline::scsi {
namespace {

using virtio::BlkOp;

// An image that is only asked for its size.
class Sized final : public virtio::Image {
 public:
  explicit Sized(uint64_t bytes, bool read_only = false) {
    bytes_ = bytes;
    read_only_ = read_only;
  }
  int readv(const iovec*, unsigned, uint64_t) override { return 0; }
  int writev(const iovec*, unsigned, uint64_t, bool) override { return 0; }
  int flush() override { return 0; }
  int discard(uint64_t, uint64_t) override { return 0; }
  int write_zeroes(uint64_t, uint64_t, bool) override { return 0; }
};

Outcome run(LogicalUnit& unit, std::initializer_list<uint8_t> bytes,
            const std::vector<uint8_t>& parameters = {}) {
  Cdb cdb{};
  std::copy(bytes.begin(), bytes.end(), cdb.begin());
  Outcome out;
  unit.execute(cdb, parameters, out);
  return out;
}

std::string text(const Outcome& out, unsigned at, unsigned bytes) {
  return {reinterpret_cast<const char*>(&out.data[at]), bytes};
}

constexpr uint64_t kBlocks = 2048;

struct DiskUnit {
  explicit DiskUnit(bool read_only = false)
      : image(kBlocks * 512, read_only), unit(image, Type::kDisk, "serial-1") {
    run(unit, {0x00});  // takes the unit attention away
  }
  Sized image;
  LogicalUnit unit;
};

struct CdUnit {
  CdUnit() : image(kBlocks * 512), unit(image, Type::kCd, "cd-1") { run(unit, {0x00}); }
  Sized image;
  LogicalUnit unit;
};

TEST(LogicalUnit, TellsOfItsPowerOnOnce) {
  Sized image(kBlocks * 512);
  LogicalUnit unit(image, Type::kDisk, "s");
  EXPECT_EQ(run(unit, {0x12, 0, 0, 0, 36}).kind, Outcome::Kind::kReply);
  const Outcome first = run(unit, {0x00});
  EXPECT_EQ(first.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(first.sense, kPowerOn);
  EXPECT_EQ(run(unit, {0x00}).kind, Outcome::Kind::kReply);
  unit.reset(kUnitReset);
  const Outcome asked = run(unit, {0x03, 0, 0, 0, 18});
  EXPECT_EQ(asked.data[2], kUnitReset.key);
  EXPECT_EQ(asked.data[12], kUnitReset.asc);
  EXPECT_EQ(run(unit, {0x00}).kind, Outcome::Kind::kReply);
}

TEST(LogicalUnit, Inquiry) {
  DiskUnit disk;
  Outcome out = run(disk.unit, {0x12, 0, 0, 0, 255});
  EXPECT_EQ(out.size, 36u);
  EXPECT_EQ(out.data[0], 0);
  EXPECT_EQ(text(out, 8, 8), "TRAPLINE");
  EXPECT_EQ(run(disk.unit, {0x12, 0, 0, 0, 5}).size, 5u);
  EXPECT_EQ(run(disk.unit, {0x12, 0, 1, 0, 255}).sense, kInvalidFieldInCdb);
  CdUnit cd;
  out = run(cd.unit, {0x12, 0, 0, 0, 255});
  EXPECT_EQ(out.data[0], 5);
  EXPECT_EQ(out.data[1], 0x80);
  EXPECT_EQ(run(cd.unit, {0x12, 1, 0xb0, 0, 255}).sense, kInvalidFieldInCdb);
  // Each page of the list is there.
  out = run(disk.unit, {0x12, 1, 0, 0, 255});
  ASSERT_EQ(out.size, 10u);
  for (unsigned i = 4; i < out.size; ++i) {
    const uint8_t page = out.data[i];
    const Outcome one = run(disk.unit, {0x12, 1, page, 0, 255});
    ASSERT_EQ(one.kind, Outcome::Kind::kReply);
    EXPECT_EQ(one.data[1], page);
    EXPECT_EQ(get_big(&one.data[2], 2) + 4, one.size);
  }
  EXPECT_EQ(text(run(disk.unit, {0x12, 1, 0x80, 0, 255}), 4, 8), "serial-1");
  const Outcome limits = run(disk.unit, {0x12, 1, 0xb0, 0, 255});
  EXPECT_EQ(get_big(&limits.data[20], 4), LogicalUnit::kMaxUnmapBlocks);
  EXPECT_EQ(get_big(&limits.data[24], 4), 1u);
  EXPECT_EQ(get_big(&limits.data[36], 8), LogicalUnit::kMaxWriteSameBlocks);
}

TEST(LogicalUnit, Capacity) {
  DiskUnit disk;
  Outcome out = run(disk.unit, {0x25});
  EXPECT_EQ(get_big(&out.data[0], 4), kBlocks - 1);
  EXPECT_EQ(get_big(&out.data[4], 4), 512u);
  out = run(disk.unit, {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32});
  EXPECT_EQ(out.size, 32u);
  EXPECT_EQ(get_big(&out.data[0], 8), kBlocks - 1);
  EXPECT_EQ(out.data[14], 0x80);
  CdUnit cd;
  out = run(cd.unit, {0x25});
  EXPECT_EQ(get_big(&out.data[0], 4), kBlocks / 4 - 1);
  EXPECT_EQ(get_big(&out.data[4], 4), 2048u);
  Sized huge(uint64_t{1} << 50);
  LogicalUnit unit(huge, Type::kDisk, "h");
  run(unit, {0});
  EXPECT_EQ(get_big(&run(unit, {0x25}).data[0], 4), 0xffffffffu);
}

TEST(LogicalUnit, ReadsAndWrites) {
  struct Row {
    std::vector<uint8_t> cdb;
    BlkOp op;
    uint64_t block, count;
    bool durable;
  };
  DiskUnit disk;
  for (const Row& r : std::vector<Row>{
           {{0x08, 0xe0, 1, 2, 3}, BlkOp::kRead, 0x102, 3, false},
           {{0x0a, 0, 0, 2, 0}, BlkOp::kWrite, 2, 256, false},
           {{0x28, 0, 0, 0, 7, 0xff, 0, 0, 1}, BlkOp::kRead, 0x7ff, 1, false},
           {{0x2a, 8, 0, 0, 0, 4, 0, 1, 0}, BlkOp::kWrite, 4, 256, true},
           {{0xa8, 0, 0, 0, 0, 4, 0, 0, 4, 0}, BlkOp::kRead, 4, 1024, false},
           {{0xaa, 8, 0, 0, 0, 4, 0, 0, 0, 1}, BlkOp::kWrite, 4, 1, true},
           {{0x88, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2}, BlkOp::kRead, 9, 2, false},
           {{0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2}, BlkOp::kWrite, 9, 2, true},
       }) {
    Cdb cdb{};
    std::copy(r.cdb.begin(), r.cdb.end(), cdb.begin());
    Outcome out;
    disk.unit.execute(cdb, {}, out);
    ASSERT_EQ(out.kind, Outcome::Kind::kIo) << unsigned{cdb[0]};
    EXPECT_EQ(out.op, r.op);
    EXPECT_EQ(out.offset, r.block * 512);
    EXPECT_EQ(out.bytes, r.count * 512);
    EXPECT_EQ(out.durable, r.durable) << unsigned{cdb[0]};
  }
  // Nothing to move; beyond the end, around it; protection information.
  EXPECT_EQ(run(disk.unit, {0x28, 0, 0, 0, 8, 0, 0, 0, 0}).kind, Outcome::Kind::kReply);
  EXPECT_EQ(run(disk.unit, {0x28, 0, 0, 0, 8, 0, 0, 0, 1}).sense, kOutOfRange);
  EXPECT_EQ(run(disk.unit, {0x28, 0, 0, 0, 7, 0xff, 0, 0, 2}).sense, kOutOfRange);
  EXPECT_EQ(
      run(disk.unit, {0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}).sense,
      kOutOfRange);
  EXPECT_EQ(run(disk.unit, {0x2a, 0x20, 0, 0, 0, 0, 0, 0, 1}).sense, kInvalidFieldInCdb);
  DiskUnit fixed(true);
  EXPECT_EQ(run(fixed.unit, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}).sense, kWriteProtected);
  CdUnit cd;
  const Outcome out = run(cd.unit, {0x28, 0, 0, 0, 0, 3, 0, 0, 2});
  EXPECT_EQ(out.offset, 3u * 2048);
  EXPECT_EQ(out.bytes, 2u * 2048);
  EXPECT_EQ(run(cd.unit, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}).sense, kInvalidOpcode);
}

TEST(LogicalUnit, UnmapsAndClears) {
  DiskUnit disk;
  std::vector<uint8_t> list(24);
  const auto describe = [&list](unsigned bytes, uint64_t block, uint32_t count) {
    put_big(&list[2], 2, bytes);
    put_big(&list[8], 8, block);
    put_big(&list[16], 4, count);
  };
  const auto unmap = [&] { return run(disk.unit, {0x42, 0, 0, 0, 0, 0, 0, 0, 24}, list); };
  describe(16, 8, 16);
  Outcome out = unmap();
  ASSERT_EQ(out.kind, Outcome::Kind::kIo);
  EXPECT_EQ(out.op, BlkOp::kDiscard);
  EXPECT_EQ(out.offset, 8u * 512);
  EXPECT_EQ(out.bytes, 16u * 512);
  describe(0, 0, 0);
  EXPECT_EQ(unmap().kind, Outcome::Kind::kReply);
  describe(32, 0, 1);
  EXPECT_EQ(unmap().sense, kInvalidParameter);
  describe(16, kBlocks, 1);
  EXPECT_EQ(unmap().sense, kOutOfRange);
  describe(16, ~uint64_t{0}, ~uint32_t{0});
  EXPECT_EQ(unmap().sense, kInvalidParameter);
  EXPECT_EQ(run(disk.unit, {0x42, 0, 0, 0, 0, 0, 0, 0, 24}, {0, 0, 0}).sense, kParameterListLength);
  EXPECT_EQ(run(disk.unit, {0x42, 0, 0, 0, 0, 0, 0, 0, 4}, list).sense, kParameterListLength);

  std::vector<uint8_t> block(512);
  out = run(disk.unit, {0x93, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5}, block);
  EXPECT_EQ(out.op, BlkOp::kWriteZeroes);
  EXPECT_TRUE(out.may_unmap);
  out = run(disk.unit, {0x93, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5});  // NDOB
  EXPECT_EQ(out.op, BlkOp::kWriteZeroes);
  EXPECT_FALSE(out.may_unmap);
  block[511] = 1;
  out = run(disk.unit, {0x41, 0, 0, 0, 0, 1, 0, 0, 5}, block);
  EXPECT_EQ(out.op, BlkOp::kWrite);
  EXPECT_TRUE(out.repeated);
  EXPECT_EQ(run(disk.unit, {0x41, 0, 0, 0, 0, 1, 0, 0, 0}, block).sense, kInvalidFieldInCdb);
  EXPECT_EQ(run(disk.unit, {0x41, 0, 0, 0, 0, 1, 0, 0, 5}).sense, kParameterListLength);
  EXPECT_EQ(run(disk.unit, {0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0}, block).sense,
            kInvalidFieldInCdb);
}

TEST(LogicalUnit, ModePages) {
  DiskUnit disk;
  Outcome out = run(disk.unit, {0x1a, 8, 0x08, 0, 255});
  EXPECT_EQ(out.size, 4u + 20);
  EXPECT_EQ(out.data[0], out.size - 1);
  EXPECT_EQ(out.data[2], 0x10);  // DPOFUA
  EXPECT_EQ(out.data[4], 0x08);
  EXPECT_EQ(out.data[6], 0x04);  // WCE
  out = run(disk.unit, {0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(out.size, 8u + 8 + 12 + 20 + 12);
  EXPECT_EQ(get_big(&out.data[0], 2), out.size - 2);
  EXPECT_EQ(run(disk.unit, {0x1a, 0, 0xc8, 0, 255}).sense, kSavingUnsupported);
  EXPECT_EQ(run(disk.unit, {0x1a, 0, 0x2a, 0, 255}).sense, kInvalidFieldInCdb);
  EXPECT_EQ(run(disk.unit, {0x1a, 0, 0x08, 1, 255}).sense, kInvalidFieldInCdb);
  DiskUnit fixed(true);
  EXPECT_EQ(run(fixed.unit, {0x1a, 8, 0x3f, 0, 255}).data[2], 0x90);
  CdUnit cd;
  EXPECT_EQ(run(cd.unit, {0x5a, 8, 0x2a, 0, 0, 0, 0, 1, 0}).size, 8u + 20);
}

TEST(LogicalUnit, CommandsOfCds) {
  CdUnit cd;
  Outcome out = run(cd.unit, {0x43, 0, 0, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(out.size, 20u);
  EXPECT_EQ(out.data[6], 1);
  EXPECT_EQ(out.data[14], 0xaa);
  EXPECT_EQ(get_big(&out.data[16], 4), kBlocks / 4);
  out = run(cd.unit, {0x43, 2, 0, 0, 0, 0, 0xaa, 1, 0});
  EXPECT_EQ(out.size, 12u);
  EXPECT_EQ(get_big(&out.data[8], 4), (512u + 150) / 75 << 8 | (512 + 150) % 75);
  EXPECT_EQ(run(cd.unit, {0x43, 0, 1, 0, 0, 0, 0, 1, 0}).data[2], 1);
  EXPECT_EQ(run(cd.unit, {0x43, 0, 0, 0, 0, 0, 2, 1, 0}).sense, kInvalidFieldInCdb);
  out = run(cd.unit, {0x46, 0, 0, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(get_big(&out.data[0], 4) + 4, out.size);
  EXPECT_EQ(get_big(&out.data[6], 2), 8u);
  out = run(cd.unit, {0x46, 2, 0, 3, 0, 0, 0, 1, 0});
  EXPECT_EQ(out.size, 16u);
  EXPECT_EQ(get_big(&out.data[8], 2), 3u);
  out = run(cd.unit, {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  EXPECT_EQ(out.size, 8u);
  EXPECT_EQ(out.data[5], 2);
  EXPECT_EQ(run(cd.unit, {0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8}).sense, kInvalidFieldInCdb);
  EXPECT_EQ(run(cd.unit, {0x51, 0, 0, 0, 0, 0, 0, 1, 0}).size, 34u);
  EXPECT_EQ(run(cd.unit, {0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8}).size, 8u);
  EXPECT_EQ(run(cd.unit, {0x1b, 0, 0, 0, 2}).sense, kRemovalPrevented);
  DiskUnit disk;
  EXPECT_EQ(run(disk.unit, {0x43, 0, 0, 0, 0, 0, 0, 1, 0}).sense, kInvalidOpcode);
}

TEST(LogicalUnit, UnitsThatAreNotThere) {
  Outcome out;
  execute_absent({0x12, 0, 0, 0, 36}, out);
  EXPECT_EQ(out.data[0], 0x7f);
  execute_absent({0x28}, out);
  EXPECT_EQ(out.sense, kNoSuchUnit);
}

// Whatever is asked, an answer stays within its bounds and I/O within the image.
TEST(LogicalUnit, AnyCommand) {
  std::mt19937 random(11);
  DiskUnit disk;
  DiskUnit fixed(true);
  CdUnit cd;
  LogicalUnit* units[] = {&disk.unit, &fixed.unit, &cd.unit};
  for (unsigned n = 0; n < 300'000; ++n) {
    LogicalUnit& unit = *units[n % 3];
    Cdb cdb;
    for (uint8_t& byte : cdb) byte = random() % 3 == 0 ? static_cast<uint8_t>(random()) : 0;
    cdb[0] = static_cast<uint8_t>(random());
    std::vector<uint8_t> parameters(std::min<size_t>(unit.parameter_bytes(cdb), random() % 600));
    for (uint8_t& byte : parameters) byte = random() % 4 == 0 ? static_cast<uint8_t>(random()) : 0;
    if (parameters.size() > 3 && n % 2 == 0) put_big(&parameters[2], 2, 16);
    Outcome out;
    unit.execute(cdb, parameters, out);
    if (out.kind == Outcome::Kind::kReply) {
      ASSERT_LE(out.size, out.data.size());
    } else if (out.kind == Outcome::Kind::kRefused) {
      ASSERT_NE(out.sense.key, 0);
    } else if (out.op != BlkOp::kFlush) {
      ASSERT_LE(out.offset + out.bytes, kBlocks * 512);
      ASSERT_GT(out.bytes, 0u);
      ASSERT_TRUE(out.op == BlkOp::kRead || &unit == &disk.unit);
    }
  }
}

}  // namespace
}  // namespace trapline::scsi
