#include "vmm/boot/boot.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "vmm/config/platform.h"
#include "vmm/memory/guest_memory.h"

namespace trapline {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class BootTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "trapline-boot-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    options_.memory = 64 * kMiB;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, const std::vector<uint8_t>& bytes) {
    std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path;
  }

  static std::vector<uint8_t> image(uint64_t size, uint64_t text_offset, uint64_t image_size) {
    std::vector<uint8_t> bytes(size);
    std::memcpy(&bytes[8], &text_offset, 8);
    std::memcpy(&bytes[16], &image_size, 8);
    std::memcpy(&bytes[56], "ARM\x64", 4);
    return bytes;
  }

  // With an EFI stub whose one section says that it ends at `end`.
  static std::vector<uint8_t> pe_image(uint64_t size, uint32_t end) {
    std::vector<uint8_t> bytes = image(std::max<uint64_t>(size, 512), 0, 3 * kMiB);
    const uint32_t pe_offset = 64, signature = 0x4550, start = 4096, raw_size = end - start;
    const uint16_t sections = 1, optional_header = 0;
    std::memcpy(&bytes[60], &pe_offset, 4);
    std::memcpy(&bytes[64], &signature, 4);
    std::memcpy(&bytes[70], &sections, 2);
    std::memcpy(&bytes[84], &optional_header, 2);
    std::memcpy(&bytes[88 + 16], &raw_size, 4);
    std::memcpy(&bytes[88 + 20], &start, 4);
    bytes.resize(size);
    return bytes;
  }

  // What the plan puts at its entry point, up to the image's end.
  std::vector<uint8_t> loaded(BootPlan& plan) {
    GuestMemory memory;
    EXPECT_EQ(memory.add(platform::kRamBase, options_.memory, true), "");
    plan.load(memory);
    std::vector<uint8_t> bytes(plan.image_end - plan.entry);
    EXPECT_TRUE(memory.read(plan.entry, bytes.data(), bytes.size()));
    return bytes;
  }

  std::string error_of(const std::string& kernel) {
    options_.kernel = kernel;
    auto plan = plan_boot(options_);
    return plan ? "" : plan.error();
  }

  std::string directory_;
  Options options_;
};

TEST_F(BootTest, ImageGoesToItsTextOffset) {
  options_.kernel = file("Image", image(8192, 0, 16384));
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(plan->entry, platform::kRamBase + 2 * kMiB);
  EXPECT_EQ(plan->place_device_tree(10'000, options_), "");
  EXPECT_EQ(plan->dtb_ipa % (2 * kMiB), 0u);
  EXPECT_GE(plan->dtb_ipa, plan->entry + 16384);

  options_.kernel = file("Old", image(8192, 0x80000, 8192));
  plan = plan_boot(options_);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->entry, platform::kRamBase + 0x80000);
}

TEST_F(BootTest, InitrdAndTreeDoNotOverlapTheKernel) {
  options_.kernel = file("Image", image(20 * kMiB, 0, 45 * kMiB / 2));
  options_.initrd = file("initrd", std::vector<uint8_t>(3 * kMiB, 7));
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_GE(plan->initrd_start, plan->entry + 45 * kMiB / 2);
  EXPECT_EQ(plan->initrd_end - plan->initrd_start, 3 * kMiB);
  EXPECT_EQ(plan->place_device_tree(10'000, options_), "");
  EXPECT_GE(plan->dtb_ipa, plan->initrd_end);
  EXPECT_LT(plan->dtb_ipa, platform::kRamBase + options_.memory);
}

TEST_F(BootTest, ModulesFollowEachOther) {
  options_.kernel = file("xen", image(8192, 0, 16384));
  const std::vector<uint8_t> kernel(3 * kMiB, 7), initrd(5000, 9);
  options_.modules = {{file("kernel", kernel), "console=hvc0"}, {file("initrd", initrd), ""}};
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan) << plan.error();
  ASSERT_EQ(plan->modules.size(), 2u);
  EXPECT_EQ(plan->modules[0].start, platform::kRamBase + 32 * kMiB);
  EXPECT_EQ(plan->modules[0].end, plan->modules[0].start + kernel.size());
  EXPECT_EQ(plan->modules[0].append, "console=hvc0");
  EXPECT_EQ(plan->modules[1].start, platform::kRamBase + 36 * kMiB);
  EXPECT_EQ(plan->initrd_end, 0u);
  EXPECT_EQ(plan->place_device_tree(10'000, options_), "");
  EXPECT_EQ(plan->dtb_ipa, platform::kRamBase + 38 * kMiB);
  GuestMemory memory;
  ASSERT_EQ(memory.add(platform::kRamBase, options_.memory, true), "");
  plan->load(memory);
  std::vector<uint8_t> got(initrd.size());
  ASSERT_TRUE(memory.read(plan->modules[1].start, got.data(), got.size()));
  EXPECT_EQ(got, initrd);

  options_.memory = 8 * kMiB;  // the second would begin at the end
  plan = plan_boot(options_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().find(options_.modules[1].path + ": needs"), 0u) << plan.error();
}

TEST_F(BootTest, Gzip) {
  std::vector<uint8_t> raw = image(300'000, 0, 300'000);
  std::string path = directory_ + "/Image.gz";
  gzFile gz = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(gz, raw.data(), static_cast<unsigned>(raw.size())), 300'000);
  gzclose(gz);
  options_.kernel = path;
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(loaded(*plan), raw);

  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_NE(error_of(path).find("gzip"), std::string::npos);
}

TEST_F(BootTest, BadInputNamesTheFile) {
  struct {
    std::string path, expected;
  } const kCases[] = {
      {directory_ + "/missing", "No such file"},
      {directory_, "directory"},
      {file("text", std::vector<uint8_t>(100, 'x')), "not an arm64 Image"},
      {file("short", std::vector<uint8_t>(10, 'x')), "not an arm64 Image"},
      {file("empty", {}), "empty"},
      {file("cut", pe_image(1 * kMiB, 2 * kMiB)), "truncated"},
      {file("stub", pe_image(64, 2 * kMiB)), "truncated"},
      {file("huge", image(64, 0, ~uint64_t{0})), "huge"},
      {file("large", image(50 * kMiB, 0, 63 * kMiB)), "memory"},
  };
  for (const auto& c : kCases) {
    std::string error = error_of(c.path);
    EXPECT_EQ(error.find(c.path), 0u) << error;
    EXPECT_NE(error.find(c.expected), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

TEST_F(BootTest, InitrdLargerThanMemory) {
  options_.kernel = file("Image", image(8192, 0, 8192));
  options_.initrd = file("initrd", std::vector<uint8_t>(70 * kMiB));
  auto plan = plan_boot(options_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().find(options_.initrd), 0u);
}

TEST_F(BootTest, RawBinary) {
  options_.raw = file("raw", std::vector<uint8_t>(100, 1));
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->entry, platform::kRamBase + platform::kRawOffset);
  // The tree goes below it, at the start of RAM, if it fits there.
  EXPECT_EQ(plan->place_device_tree(platform::kRawOffset, options_), "");
  EXPECT_EQ(plan->dtb_ipa, platform::kRamBase);
  EXPECT_EQ(plan->place_device_tree(platform::kRawOffset + 1, options_), "");
  EXPECT_GE(plan->dtb_ipa, plan->image_end);
  options_.memory = kMiB / 2;
  plan = plan_boot(options_);
  EXPECT_FALSE(plan);
}

TEST_F(BootTest, ASmallGuestHasItsTreeBehindTheImage) {
  options_.kernel = file("Image", image(8192, 0, 8192));
  options_.memory = 2 * kMiB + 0x4000;
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(plan->place_device_tree(0x2000, options_), "");
  EXPECT_EQ(plan->dtb_ipa, plan->entry + 0x2000);
  EXPECT_EQ(plan->place_device_tree(0x2001, options_),
            options_.kernel + ": needs 2065 KiB of memory, but the guest has 2064 KiB (--memory)");
}

// What a file is decides which option it belongs to; the line names that option.
TEST_F(BootTest, EachOptionPointsToTheOther) {
  std::vector<uint8_t> elf(64), gz(64);
  std::memcpy(elf.data(),
              "\x7f"
              "ELF",
              4);
  std::memcpy(gz.data(), "\x1f\x8b\x08", 3);
  std::vector<uint8_t> zboot(64);
  std::memcpy(zboot.data(), "MZ\0\0zimg", 8);
  for (const auto& bytes : {elf, gz, zboot}) {
    options_.raw = file("file", bytes);
    auto plan = plan_boot(options_);
    ASSERT_FALSE(plan);
    EXPECT_NE(plan.error().find("--kernel"), std::string::npos) << plan.error();
  }
  // An Image can be run as it stands: its header begins with an instruction.
  options_.raw = file("file", image(64, 0, 64));
  EXPECT_TRUE(plan_boot(options_));
  options_.raw.clear();
  EXPECT_NE(error_of(file("file", std::vector<uint8_t>(100, 1))).find("--raw"), std::string::npos);
}

// Found out by fstat() alone: nothing is read, nothing waited for.
TEST_F(BootTest, OnlyRegularFiles) {
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  options_.kernel = file("Image", image(8192, 0, 8192));
  for (const std::string& path : {fifo, std::string("/dev/zero"), std::string("/dev/null")}) {
    for (std::string Options::*option : {&Options::kernel, &Options::initrd, &Options::raw}) {
      Options options = options_;
      if (option == &Options::raw) options.kernel.clear();
      options.*option = path;
      auto plan = plan_boot(options);
      ASSERT_FALSE(plan) << path;
      EXPECT_EQ(plan.error(), path + ": not a regular file");
    }
    EXPECT_EQ(open_limited(path, kMiB, "the flash").error(), path + ": not a regular file");
  }
}

// A sparse file of 6 GB takes no time and no memory: its size is looked at first.
TEST_F(BootTest, SizeBeforeContent) {
  const std::string small = file("Image", image(8192, 0, 8192));
  const std::string sparse = file("sparse", image(64, 0, 64));
  std::filesystem::resize_file(sparse, uint64_t{6} << 30);
  const std::string gz = file("sparse.gz", {0x1f, 0x8b, 8, 0});
  std::filesystem::resize_file(gz, uint64_t{6} << 30);
  const std::string bare = file("bare", {1, 2, 3});
  std::filesystem::resize_file(bare, uint64_t{6} << 30);
  const struct {
    std::string kernel, initrd, raw, culprit;
  } kRows[] = {
      {sparse, "", "", sparse},
      {gz, "", "", gz},
      {small, sparse, "", sparse},
      {"", "", bare, bare},
  };
  for (const auto& row : kRows) {
    options_.kernel = row.kernel;
    options_.initrd = row.initrd;
    options_.raw = row.raw;
    auto plan = plan_boot(options_);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().find(row.culprit), 0u) << plan.error();
    EXPECT_NE(plan.error().find("of memory, but the guest has 6"), std::string::npos)
        << plan.error();
  }
  auto firmware = open_limited(sparse, 64 * kMiB, "the flash");
  ASSERT_FALSE(firmware);
  EXPECT_NE(firmware.error().find("the flash holds"), std::string::npos);
}

// A guest that starts again finds the same file, whatever became of its name; and is told of a
// change of what is in it.
TEST_F(BootTest, TheFileStaysOpen) {
  std::vector<uint8_t> bytes = image(300'000, 0, 300'000);
  bytes[200'000] = 0x5a;
  options_.kernel = file("Image", bytes);
  BootFiles files;
  auto plan = plan_boot(options_, files);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_FALSE(plan->loaded);
  EXPECT_EQ(loaded(*plan), bytes);
  EXPECT_TRUE(plan->loaded);
  std::filesystem::rename(options_.kernel, options_.kernel + ".old");
  file("Image", std::vector<uint8_t>(300'000, 7));
  plan = plan_boot(options_, files);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(loaded(*plan), bytes);
  EXPECT_EQ(files.changed(), "");

  std::filesystem::resize_file(options_.kernel + ".old", 290'000);
  plan = plan_boot(options_, files);
  ASSERT_TRUE(plan) << plan.error();
  bytes.resize(290'000);
  bytes.resize(300'000);
  EXPECT_EQ(loaded(*plan), bytes);
  EXPECT_EQ(files.changed(), options_.kernel);
}

// What is moved rather than copied: nothing behind it appears in the guest.
TEST_F(BootTest, LargeImagesAreMoved) {
  std::vector<uint8_t> bytes = image(5 * kMiB + 12345, 0, 7 * kMiB);
  for (size_t i = 4096; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7 >> 9);
  options_.kernel = file("Image", bytes);
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan) << plan.error();
  bytes.resize(7 * kMiB);
  EXPECT_EQ(loaded(*plan), bytes);
}

}  // namespace
}  // namespace trapline
