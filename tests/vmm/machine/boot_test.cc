#include "vmm/boot.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "vmm/platform.h"

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
  EXPECT_EQ(plan->dtb_ipa % (2 * kMiB), 0u);

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
  EXPECT_GE(plan->dtb_ipa, plan->initrd_end);
  EXPECT_LT(plan->dtb_ipa, platform::kRamBase + options_.memory);
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
  EXPECT_EQ(plan->blobs[0].bytes, raw);

  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_NE(error_of(path).find("gzip"), std::string::npos);
}

TEST_F(BootTest, Elf) {
  std::vector<uint8_t> bytes(0x2000);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = EM_AARCH64;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  header.e_entry = 0x40200004;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_offset = 0x1000;
  segment.p_filesz = 0x1000;
  segment.p_memsz = 0x3000;
  segment.p_paddr = 0x40200000;
  auto write = [&] {
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, &segment, sizeof segment);
    return file("elf", bytes);
  };
  options_.kernel = write();
  auto plan = plan_boot(options_);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(plan->entry, 0x40200004u);
  EXPECT_EQ(plan->blobs[0].bytes.size(), 0x3000u);

  segment.p_paddr = 0x1000;
  EXPECT_NE(error_of(write()).find("outside memory"), std::string::npos);
  segment.p_paddr = ~uint64_t{0} - 10;
  EXPECT_NE(error_of(write()).find("outside memory"), std::string::npos);
  segment.p_paddr = 0x40200000;
  segment.p_filesz = ~uint64_t{0};
  EXPECT_NE(error_of(write()).find("truncated"), std::string::npos);
  header.e_phoff = ~uint64_t{0} - 3;
  EXPECT_NE(error_of(write()).find("truncated"), std::string::npos);
  header.e_machine = EM_X86_64;
  EXPECT_NE(error_of(write()).find("AArch64"), std::string::npos);
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
  options_.memory = kMiB;
  plan = plan_boot(options_);
  EXPECT_FALSE(plan);
}

}  // namespace
}  // namespace trapline
