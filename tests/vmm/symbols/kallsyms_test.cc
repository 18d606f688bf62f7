#include "vmm/symbols/kallsyms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>

#include "tests/vmm/symbols/kallsyms_image.h"
#include "vmm/symbols/kernel_file.h"
#include "vmm/symbols/kernel_fit.h"
#include "vmm/symbols/load.h"

namespace trapline {
namespace {

using Layout = KallsymsImage::Layout;

void expect_all(const KallsymsImage& image, const std::string& what) {
  SCOPED_TRACE(what);
  const std::vector<uint8_t> bytes = image.bytes();
  EXPECT_TRUE(may_hold_kallsyms(bytes));
  EXPECT_EQ(copy_of_shared(bytes), bytes);
  auto table = kallsyms_of_image(bytes);
  ASSERT_TRUE(table) << table.error();
  size_t code = 0;
  for (const KallsymsImage::Symbol& symbol : image.symbols) {
    const char type = symbol.typed_name[0];
    const std::string name = symbol.typed_name.substr(1);
    const uint64_t address = image.base + symbol.offset;
    if (type == 'T' || type == 't') {
      ++code;
      EXPECT_EQ(table->describe(address + 4), name + "+0x4");
      EXPECT_EQ(table->address_of(name), address);
    } else if (type != 'A') {
      EXPECT_EQ(table->describe(address + 4), "") << "data has no name: " << name;
    }
  }
  EXPECT_EQ(table->size(), code);
  EXPECT_EQ(table->text_begin(), image.base);
  EXPECT_EQ(table->text_end(), image.base + image.symbols.back().offset);
}

TEST(Kallsyms, EveryLayout) {
  KallsymsImage image;
  image.symbols = KallsymsImage::some(1000);
  for (const Layout layout : {Layout::k5, Layout::k6_2, Layout::k6_4, Layout::k7}) {
    for (const bool in_place : {true, false}) {
      for (const bool padded : {true, false}) {
        image.layout = layout;
        image.base_in_place = in_place;
        image.padded_seqs = padded;
        expect_all(image, "layout " + std::to_string(static_cast<int>(layout)) +
                              (in_place ? " base in place" : " base by relocations"));
      }
    }
  }
}

TEST(Kallsyms, SymbolCountsAroundAMarker) {
  for (const unsigned count : {257u, 511u, 512u, 513u, 4096u}) {
    for (const Layout layout : {Layout::k5, Layout::k6_4}) {
      KallsymsImage image;
      image.layout = layout;
      image.symbols = KallsymsImage::some(count);
      expect_all(image, std::to_string(count));
    }
  }
}

TEST(Kallsyms, PercpuSymbolsAreAbsolute) {
  KallsymsImage image;
  image.absolute_percpu = true;
  image.symbols = KallsymsImage::some(600);
  image.symbols.insert(image.symbols.begin(), {{0, "Afixed_percpu"}, {0x40, "Acpu_number"}});
  for (const Layout layout : {Layout::k5, Layout::k6_2, Layout::k6_4}) {
    image.layout = layout;
    expect_all(image, "percpu");
  }
}

TEST(Kallsyms, WithoutKallsymsAllTheBaseIsTheFirstFunction) {
  KallsymsImage image;
  image.symbols = KallsymsImage::some(600, false);
  image.first = 0x1'0000;
  for (const Layout layout : {Layout::k5, Layout::k6_2, Layout::k6_4, Layout::k7}) {
    for (const bool in_place : {true, false}) {
      image.layout = layout;
      image.base_in_place = in_place;
      expect_all(image, "from _stext on");
    }
  }
}

TEST(Kallsyms, OtherBases) {
  for (const uint64_t base :
       {0xffff'8000'8000'0000, 0xffff'ffc0'0800'0000, 0xffff'a45b'8c60'0000}) {
    KallsymsImage image;
    image.base = base;
    image.base_in_place = false;
    image.symbols = KallsymsImage::some(600);
    expect_all(image, std::to_string(base));
  }
}

// The digits alone are in every firmware's text, in UCS-2.
TEST(Kallsyms, NoLinuxInMemory) {
  EXPECT_FALSE(may_hold_kallsyms({}));
  std::vector<uint8_t> memory(1 << 20);
  EXPECT_FALSE(may_hold_kallsyms(memory));
  for (size_t at = 1000; at < memory.size(); at += 40'001) {
    for (unsigned i = 0; i < 10; ++i) memory[at + 2 * i] = static_cast<uint8_t>('0' + i);
  }
  EXPECT_FALSE(may_hold_kallsyms(memory));
  // Too many to look at each: the search proper says.
  for (size_t at = 1000; at < memory.size() - 20; at += 4'001) {
    for (unsigned i = 0; i < 10; ++i) memory[at + 2 * i] = static_cast<uint8_t>('0' + i);
  }
  EXPECT_TRUE(may_hold_kallsyms(memory));
  EXPECT_FALSE(kallsyms_of_image(memory));
}

TEST(Kallsyms, DamageIsAnError) {
  KallsymsImage image;
  image.symbols = KallsymsImage::some(1000);
  const std::vector<uint8_t> whole = image.bytes();
  EXPECT_EQ(kallsyms_of_image({}).error(), "has no symbol table (kallsyms) inside");
  EXPECT_EQ(kallsyms_of_image(std::span(whole).first(0x4'0000)).error(),
            "has no symbol table (kallsyms) inside");
  // Cut anywhere in the tables: an error, whatever is missing.
  const size_t tables_end = whole.size() - 64 * 24 - 8;
  for (size_t size = 0x4'0000; size < tables_end; size += 97) {
    EXPECT_FALSE(kallsyms_of_image(std::span(whole).first(size))) << size;
  }
  // A byte of the names changed: the markers or a length disagree, or one name is another.
  size_t refused = 0;
  for (size_t at = 0x4'0020; at < 0x4'2000; at += 61) {
    std::vector<uint8_t> damaged = whole;
    damaged[at] ^= 0x35;
    if (!kallsyms_of_image(damaged)) ++refused;
  }
  EXPECT_GT(refused, 0u);
}

std::string debian_image() {
  const char* folder = std::getenv("TRAPLINE_GUEST");
  return std::string(folder != nullptr ? folder : TRAPLINE_GUEST_FOLDER) + "/Image";
}

TEST(Kallsyms, DebiansImage) {
  if (!std::filesystem::exists(debian_image())) {
    GTEST_SKIP() << "no " << debian_image() << ": run scripts/fetch-guest";
  }
  const auto begin = std::chrono::steady_clock::now();
  auto table = load_symbols(debian_image());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(table) << table.error();
  std::printf("%zu symbols from %#lx to %#lx in %.3f s\n", table->size(), table->text_begin(),
              table->text_end(), took.count());
  EXPECT_GT(table->size(), 30'000u);
  EXPECT_LT(table->size(), 300'000u);
  EXPECT_EQ(table->text_begin() >> 48, 0xffffu);
  EXPECT_EQ(table->text_begin() % 0x20'0000, 0u);
  for (const char* name : {"start_kernel", "vectors", "gic_handle_irq", "cpu_do_idle",
                           "el1h_64_irq", "pl011_read", "schedule", "do_idle"}) {
    const uint64_t address = table->address_of(name);
    EXPECT_NE(address, 0u) << name;
    EXPECT_EQ(table->describe(address), name + std::string("+0x0"));
  }
  // `vectors` is what VBAR_EL1 points to: 2 KiB.
  EXPECT_EQ(table->address_of("vectors") % 0x800, 0u);
  EXPECT_EQ(table->describe(table->text_begin() - 0x1000), "");

  // Its own instructions: HVC and WFI where the names say.
  auto file = KernelFile::open(debian_image());
  ASSERT_TRUE(file);
  const KernelCode code{file->bytes(), table->text_begin()};
  const auto contains = [&](const char* name, uint32_t mask, uint32_t value) {
    const uint64_t address = table->address_of(name);
    for (unsigned i = 0; i < 64; ++i) {
      if ((code.word(address + i * 4).value_or(0) & mask) == value) return true;
    }
    return false;
  };
  EXPECT_TRUE(contains("__arm_smccc_hvc", 0xffe0'001f, 0xd400'0002));
  EXPECT_TRUE(contains("cpu_do_idle", 0xffff'ffff, 0xd503'207f));
  EXPECT_TRUE(linux_banner(file->bytes()).starts_with("Linux version 6."));
}

}  // namespace
}  // namespace trapline
