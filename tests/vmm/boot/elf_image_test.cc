#include "vmm/boot/elf_image.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace trapline {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kRam = 0x4000'0000, kRamEnd = kRam + 64 * kMiB;

// An ELF file of a header, program headers, and `size` bytes in all of a pattern.
class Elf {
 public:
  explicit Elf(uint64_t entry) {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_machine = EM_AARCH64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_entry = entry;
  }
  Elf& add(uint64_t vaddr, uint64_t paddr, uint64_t offset, uint64_t filesz, uint64_t memsz,
           uint32_t flags = PF_X | PF_R, uint32_t type = PT_LOAD) {
    segments.push_back({type, flags, offset, vaddr, paddr, filesz, memsz, 0});
    return *this;
  }
  static uint8_t pattern(uint64_t offset) {
    return static_cast<uint8_t>(offset * 7 + offset / 251);
  }

  Result<ElfImage> load(uint64_t size = 0x4000) {
    header.e_phnum = static_cast<uint16_t>(segments.size());
    const uint64_t table = segments.size() * sizeof segments[0];
    std::vector<uint8_t> bytes(std::max<uint64_t>(size, sizeof header + table));
    for (uint64_t i = 0; i < bytes.size(); ++i) bytes[i] = pattern(i);
    std::memcpy(bytes.data(), &header, sizeof header);
    if (table != 0) std::memcpy(bytes.data() + sizeof header, segments.data(), table);
    std::string path = testing::TempDir() + "trapline-elf-XXXXXX";
    close(mkstemp(path.data()));
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(size));
    auto file = BootFile::open(path);
    auto image = file ? load_elf(*file, kRam, kRamEnd) : Result<ElfImage>(Error{file.error()});
    std::filesystem::remove(path);
    return image;
  }
  std::string error(uint64_t size = 0x4000) {
    auto image = load(size);
    return image ? "" : image.error();
  }

  Elf64_Ehdr header{};
  std::vector<Elf64_Phdr> segments;
};

// e_entry is virtual; the MMU is off when the guest is entered.
TEST(ElfImage, Entry) {
  constexpr uint64_t kHigh = 0xffff'ff80'0000'0000;
  const struct {
    const char* what;
    uint64_t vaddr, paddr, entry, physical;
  } kRows[] = {
      {"identity", 0x40200000, 0x40200000, 0x40200004, 0x40200004},
      {"high half", kHigh, 0x40200000, kHigh + 0x10, 0x40200010},
      {"low, not identity", 0x1000, 0x40200000, 0x1800, 0x40200800},
      {"a physical entry of a high kernel", kHigh, 0x40200000, 0x40200010, 0x40200010},
      {"none of its segments", kHigh, 0x40200000, kHigh + 0x1000, 0},
      {"none at all", kHigh, 0x40200000, 0, 0},
  };
  for (const auto& row : kRows) {
    auto image = Elf(row.entry).add(row.vaddr, row.paddr, 0x1000, 0x1000, 0x1000).load();
    ASSERT_EQ(bool(image), row.physical != 0) << row.what;
    if (image) {
      EXPECT_EQ(image->entry, row.physical) << row.what;
    } else {
      EXPECT_NE(image.error().find("entry point"), std::string::npos) << image.error();
    }
  }
  // The segment that may be executed, where two hold the address.
  auto image = Elf(0x1800)
                   .add(0x1000, 0x40300000, 0x1000, 0x1000, 0x1000, PF_R | PF_W)
                   .add(0x1000, 0x40200000, 0x1000, 0x1000, 0x1000, PF_R | PF_X)
                   .load();
  ASSERT_TRUE(image);
  EXPECT_EQ(image->entry, 0x40200800u);
}

TEST(ElfImage, BytesThenZeroes) {
  auto image = Elf(0x40200000).add(0, 0x40200000, 0x1000, 0x800, 0x3000).load();
  ASSERT_TRUE(image) << image.error();
  ASSERT_EQ(image->placements.size(), 2u);
  EXPECT_EQ(image->placements[0].ipa, 0x40200000u);
  EXPECT_EQ(image->placements[0].size, 0x800u);
  for (uint64_t i = 0; i < 0x800; ++i) {
    ASSERT_EQ(image->placements[0].bytes[i], Elf::pattern(0x1000 + i)) << i;
  }
  EXPECT_EQ(image->placements[1].ipa, 0x40200800u);
  EXPECT_EQ(image->placements[1].size, 0x2800u);
  EXPECT_EQ(image->placements[1].bytes, nullptr);
  EXPECT_EQ(image->start, 0x40200000u);
  EXPECT_EQ(image->end, 0x40203000u);
  EXPECT_EQ(image->content.size(), 0x800u);
}

// As if the segments were loaded one after the other: checked against doing just that.
TEST(ElfImage, OverlapsEndAsTheLastSegmentLeavesThem) {
  uint32_t random = 12345;
  const auto next = [&random](uint32_t below) {
    random = random * 1664525 + 1013904223;
    return (random >> 8) % below;
  };
  for (unsigned round = 0; round < 200; ++round) {
    Elf elf(kRam);
    std::vector<int> expected(4096, -1);  // of RAM; -1: untouched
    elf.add(0, kRam, 0x2000, 1, 1);
    expected[0] = Elf::pattern(0x2000);
    for (unsigned i = next(40); i > 0; --i) {
      const uint64_t at = next(4000), memsz = 1 + next(96),
                     filesz = next(static_cast<uint32_t>(memsz) + 1),
                     offset = 0x2000 + next(0x1000);
      elf.add(0x10000000, kRam + at, offset, filesz, memsz);
      for (uint64_t k = 0; k < memsz; ++k) {
        expected[at + k] = k < filesz ? Elf::pattern(offset + k) : 0;
      }
    }
    elf.header.e_entry = kRam;
    auto image = elf.load();
    ASSERT_TRUE(image) << image.error();
    std::vector<int> actual(4096, -1);
    for (const Placement& p : image->placements) {
      for (uint64_t k = 0; k < p.size; ++k) {
        int& byte = actual[p.ipa - kRam + k];
        ASSERT_EQ(byte, -1) << "placed twice, round " << round;
        byte = p.bytes == nullptr ? 0 : p.bytes[k];
      }
    }
    ASSERT_EQ(actual, expected) << "round " << round;
  }
}

// 65,535 headers, each of all of RAM and of all the file: 4 TiB, were each kept by itself.
TEST(ElfImage, ManyOverlapsNeedNoMoreThanTheFile) {
  constexpr uint64_t kSize = 8 * kMiB;
  Elf elf(kRam);
  for (unsigned i = 0; i < 65535; ++i) elf.add(kRam, kRam, i % 3, kSize - 3, 64 * kMiB);
  auto image = elf.load(kSize);
  ASSERT_TRUE(image) << image.error();
  EXPECT_LE(image->content.size(), kSize);
  EXPECT_LE(image->placements.size(), 3u);
  // The same bytes again and again through memory.
  Elf shifted(kRam);
  for (unsigned i = 0; i < 60000; ++i) {
    shifted.add(kRam, kRam + (i * 997) % (56 * kMiB), i, kSize - 60000, kSize - 60000);
  }
  image = shifted.load(kSize);
  ASSERT_TRUE(image) << image.error();
  EXPECT_LE(image->content.size(), kSize);
  uint64_t placed = 0;
  for (const Placement& p : image->placements) placed += p.size;
  EXPECT_LE(placed, kRamEnd - kRam);
}

TEST(ElfImage, Refused) {
  const auto good = [] { return Elf(0x40200000).add(0, 0x40200000, 0x1000, 0x1000, 0x3000); };
  const auto with = [&](auto change) {
    Elf elf = good();
    change(elf);
    return elf.error();
  };
  const struct {
    std::string error;
    const char* expected;
  } kRows[] = {
      {with([](Elf& e) { e.header.e_machine = EM_X86_64; }), "AArch64"},
      {with([](Elf& e) { e.header.e_ident[EI_CLASS] = ELFCLASS32; }), "32-bit"},
      {with([](Elf& e) { e.header.e_ident[EI_DATA] = ELFDATA2MSB; }), "big-endian"},
      {with([](Elf& e) { e.header.e_phoff = ~uint64_t{0} - 3; }), "truncated"},
      {with([](Elf& e) { e.header.e_phoff = 0x3fff; }), "truncated"},
      {with([](Elf& e) { e.header.e_phentsize = 8; }), "too short"},
      {with([](Elf& e) { e.segments[0].p_paddr = 0x1000; }), "outside memory"},
      {with([](Elf& e) { e.segments[0].p_paddr = ~uint64_t{0} - 10; }), "outside memory"},
      {with([](Elf& e) { e.segments[0].p_memsz = ~uint64_t{0}; }), "outside memory"},
      {with([](Elf& e) { e.segments[0].p_filesz = ~uint64_t{0}; }), "truncated"},
      {with([](Elf& e) { e.segments[0].p_offset = ~uint64_t{0} - 5; }), "truncated"},
      {with([](Elf& e) { e.segments[0].p_type = PT_NOTE; }), "nothing to load"},
      {with([](Elf& e) { e.segments.clear(); }), "nothing to load"},
      {good().error(40), "truncated"},
      {good().error(100), "truncated"},
  };
  for (const auto& row : kRows) {
    EXPECT_NE(row.error.find(row.expected), std::string::npos) << row.error << row.expected;
    EXPECT_EQ(row.error.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace trapline
