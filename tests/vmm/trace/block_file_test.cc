#include "vmm/trace/block_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>

#include "vmm/trace/reader.h"

namespace trapline::trace {
namespace {

class TraceFile : public ::testing::Test {
 protected:
  TraceFile() : path_(testing::TempDir() + "trace." + std::to_string(getpid())) {}
  ~TraceFile() override { unlink(path_.c_str()); }

  std::string write(unsigned blocks) {
    auto writer = BlockWriter::create(path_);
    EXPECT_TRUE(writer) << writer.error();
    for (unsigned i = 0; i < blocks; ++i) {
      Block block;
      block.header.vcpu = i;
      block.data.assign(1000 + i, static_cast<uint8_t>(i));
      block.header.raw = 1000 + i;
      (*writer)->write(std::move(block));
    }
    return (*writer)->finish();
  }
  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void replace(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  // Blocks that are read, and how it ends.
  std::pair<unsigned, BlockReader::Status> read() const {
    auto reader = BlockReader::open(path_);
    if (!reader) return {0, BlockReader::Status::kDamaged};
    Block block;
    for (unsigned i = 0;; ++i) {
      const auto status = (*reader)->next(block);
      if (status != BlockReader::Status::kBlock) return {i, status};
      EXPECT_EQ(block.header.vcpu, i);
      EXPECT_EQ(block.data, std::vector<uint8_t>(1000 + i, static_cast<uint8_t>(i)));
    }
  }
  std::string path_;
};

TEST_F(TraceFile, ReadsBackWhatWasWritten) {
  EXPECT_EQ(write(20), "");
  EXPECT_EQ(read(), std::pair(20u, BlockReader::Status::kEnd));
}

TEST_F(TraceFile, CutOffAnywhereItLosesAtMostTheLastBlock) {
  write(3);
  const std::string whole = bytes();
  unsigned last = 0;
  for (size_t size = sizeof kMagic; size < whole.size(); ++size) {
    replace(whole.substr(0, size));
    const auto [blocks, status] = read();
    EXPECT_GE(blocks, last);
    EXPECT_LE(blocks, last + 1);
    last = blocks;
    if (blocks < 3) {
      EXPECT_EQ(status, BlockReader::Status::kCutOff);
    }
  }
  EXPECT_EQ(last, 3u);
}

TEST_F(TraceFile, EveryFlippedBitOfABlockIsFound) {
  write(1);
  const std::string whole = bytes();
  const auto header = reinterpret_cast<const BlockHeader*>(whole.data() + sizeof kMagic);
  for (size_t at = sizeof kMagic; at < sizeof kMagic + sizeof *header + header->stored; ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    replace(damaged);
    const auto [blocks, status] = read();
    EXPECT_EQ(blocks, 0u) << at;
    EXPECT_NE(status, BlockReader::Status::kEnd) << at;
  }
}

TEST_F(TraceFile, ForeignAndNewerFilesAreOneClearLine) {
  replace("{\"schema\": 2}");
  EXPECT_NE(Reader::open(path_).error().find("no trace of Trapline's"), std::string::npos);
  auto writer = BlockWriter::create(path_);
  (*writer)->write(BlockType::kConfiguration, R"({"version": 99})");
  (*writer)->finish();
  EXPECT_NE(Reader::open(path_).error().find("version 99 of a newer Trapline"), std::string::npos);
  EXPECT_NE(Reader::open(path_ + ".none").error().find("No such file"), std::string::npos);
}

TEST_F(TraceFile, AFullDiskIsSaidAndWhatWasWrittenStays) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 200;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = write(20);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(error.find(path_), std::string::npos) << error;
  EXPECT_NE(error.find("what was recorded before can be read"), std::string::npos) << error;
  const auto [blocks, status] = read();
  EXPECT_GE(blocks, 1u);
  EXPECT_EQ(status, BlockReader::Status::kCutOff);
}

}  // namespace
}  // namespace trapline::trace
