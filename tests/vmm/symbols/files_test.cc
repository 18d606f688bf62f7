// Symbols from files of all kinds.
#include <elf.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/vmm/symbols/kallsyms_image.h"
#include "vmm/symbols/elf_symbols.h"
#include "vmm/symbols/load.h"
#include "vmm/symbols/text_symbols.h"

namespace trapline {
namespace {

TEST(TextSymbols, SystemMap) {
  auto table = symbols_of_text(
      "ffff800008000000 T _text\n"
      "ffff800008010000 T do_idle\n"
      "ffff800008010100 t cpu_do_idle\n"
      "ffff800008010140 D data\n"
      "ffff800008020000 D _etext\n");
  ASSERT_TRUE(table) << table.error();
  EXPECT_EQ(table->size(), 3u);
  EXPECT_EQ(table->describe(0xffff800008010104), "cpu_do_idle+0x4");
  EXPECT_EQ(table->describe(0xffff800008010140), "");
  EXPECT_EQ(table->text_end(), 0xffff800008020000u);
}

TEST(TextSymbols, ProcKallsymsWithModules) {
  const std::string kallsyms =
      "ffff800008010000 T do_idle\r\n"
      "ffff800000e50000 t $x\t[virtio_net]\n"
      "ffff800000e50000 t virtnet_poll\t[virtio_net]\n"
      "ffff800000e50400 t virtnet_remove\t[virtio_net]\n"
      "ffff800000f00000 d ops\t[failover]\n";
  auto table = symbols_of_text(kallsyms);
  ASSERT_TRUE(table) << table.error();
  EXPECT_EQ(table->describe(0xffff800000e50010), "virtio_net:virtnet_poll+0x10");
  EXPECT_EQ(table->describe(0xffff800000e50ffc), "virtio_net:virtnet_remove+0xbfc");
  EXPECT_EQ(table->describe(0xffff800000e51000), "") << "the page behind a module's last";
  EXPECT_EQ(table->describe(0xffff800000f00010), "");

  table = symbols_of_text(kallsyms +
                          "virtio_net 1280 0 - Live 0xffff800000e50000\n"
                          "failover 16384 1 virtio_net, Live 0xffff800000f00000 (OE)\n");
  ASSERT_TRUE(table) << table.error();
  EXPECT_EQ(table->describe(0xffff800000e504fc), "virtio_net:virtnet_remove+0xfc");
  EXPECT_EQ(table->describe(0xffff800000e50500), "") << "behind the module";
  EXPECT_EQ(table->describe(0xffff800000f00010), "failover:.text+0x10");
}

TEST(TextSymbols, OneClearLine) {
  auto error = [](std::string_view text) { return symbols_of_text(text).error(); };
  EXPECT_NE(
      error("ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n")
          .find("Debian's placeholder"),
      std::string::npos);
  EXPECT_NE(error("0000000000000000 T _text\n0000000000000000 t x\n").find("kptr_restrict"),
            std::string::npos);
  EXPECT_NE(error("ffff800008000000 T _text\nhello world\n").find("line 2"), std::string::npos);
  EXPECT_EQ(error("ffff800008000000 D data\n"), "names no code");
}

std::vector<uint8_t> elf(uint16_t machine = EM_AARCH64, uint16_t type = ET_EXEC) {
  const std::string strings = std::string("\0start\0poll\0table\0", 18);
  const auto symbol = [](uint32_t name, unsigned kind, uint16_t section, uint64_t value) {
    Elf64_Sym s{};
    s.st_name = name;
    s.st_info = static_cast<unsigned char>(ELF64_ST_INFO(STB_GLOBAL, kind));
    s.st_shndx = section;
    s.st_value = value;
    return s;
  };
  const Elf64_Sym symbols[] = {{},
                               symbol(1, STT_NOTYPE, 1, 0x40080000),
                               symbol(7, STT_FUNC, 1, 0x40080100),
                               symbol(12, STT_OBJECT, 4, 0x40080200)};
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = machine;
  header.e_type = type;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 5;
  header.e_shoff = sizeof header + sizeof symbols + strings.size();
  Elf64_Shdr sections[5]{};
  sections[1].sh_type = SHT_PROGBITS;
  sections[1].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
  sections[2].sh_type = SHT_SYMTAB;
  sections[2].sh_offset = sizeof header;
  sections[2].sh_size = sizeof symbols;
  sections[2].sh_link = 3;
  sections[3].sh_type = SHT_STRTAB;
  sections[3].sh_offset = sizeof header + sizeof symbols;
  sections[3].sh_size = strings.size();
  sections[4].sh_type = SHT_NOBITS;
  std::vector<uint8_t> out;
  const auto put = [&out](const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    out.insert(out.end(), bytes, bytes + size);
  };
  put(&header, sizeof header);
  put(symbols, sizeof symbols);
  put(strings.data(), strings.size());
  put(sections, sizeof sections);
  return out;
}

TEST(ElfSymbols, Symtab) {
  auto table = symbols_of_elf(elf());
  ASSERT_TRUE(table) << table.error();
  EXPECT_EQ(table->size(), 2u);
  EXPECT_EQ(table->describe(0x40080004), "start+0x4");
  EXPECT_EQ(table->describe(0x400801fc), "poll+0xfc");
  EXPECT_EQ(table->describe(0x40080200), "");
}

TEST(ElfSymbols, OneClearLine) {
  EXPECT_NE(symbols_of_elf(elf(EM_X86_64)).error().find("not for arm64"), std::string::npos);
  EXPECT_NE(symbols_of_elf(elf(EM_AARCH64, ET_REL)).error().find("vmlinux"), std::string::npos);
  const std::vector<uint8_t> whole = elf();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(symbols_of_elf(std::span(whole).first(size))) << size;
  }
}

class SymbolFiles : public testing::Test {
 protected:
  SymbolFiles() { std::filesystem::create_directory(folder_); }
  ~SymbolFiles() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::vector<uint8_t>& bytes) {
    std::ofstream(folder_ + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return folder_ + name;
  }
  std::string file(const std::string& name, std::string_view text) {
    return file(name, std::vector<uint8_t>(text.begin(), text.end()));
  }
  static std::vector<uint8_t> gzip(const std::vector<uint8_t>& in) {
    std::vector<uint8_t> out(in.size() + 1000);
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = const_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
  }
  static std::vector<uint8_t> zstd(const std::vector<uint8_t>& in) {
    std::vector<uint8_t> out(ZSTD_compressBound(in.size()));
    out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3));
    return out;
  }
  static std::vector<uint8_t> zboot(const char* compression, const std::vector<uint8_t>& payload) {
    std::vector<uint8_t> out(64);
    std::memcpy(out.data(), "MZ\0\0zimg", 8);
    const uint32_t place[2] = {64, static_cast<uint32_t>(payload.size())};
    std::memcpy(out.data() + 8, place, 8);
    std::strcpy(reinterpret_cast<char*>(out.data()) + 24, compression);
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
  }

  std::string folder_ = testing::TempDir() + "symbol_files." + std::to_string(getpid()) + "/";
};

TEST_F(SymbolFiles, EveryKind) {
  KallsymsImage image;
  image.symbols = KallsymsImage::some(600);
  const std::vector<uint8_t> bytes = image.bytes();
  const std::string map = "ffff800008000000 T _text\nffff800008010040 T kvm_1_read\n";
  for (const std::string& path :
       {file("Image", bytes), file("Image.gz", gzip(bytes)), file("Image.zst", zstd(bytes)),
        file("zboot.gz", zboot("gzip", gzip(bytes))),
        file("zboot.zst", zboot("zstd22", zstd(bytes))), file("System.map", map),
        file("map.gz", gzip({map.begin(), map.end()}))}) {
    auto table = load_symbols(path);
    ASSERT_TRUE(table) << table.error();
    EXPECT_EQ(table->describe(0xffff800008010040), "kvm_1_read+0x0") << path;
  }
  auto table = load_symbols(file("vmlinux", elf()));
  ASSERT_TRUE(table) << table.error();
  EXPECT_EQ(table->describe(0x40080000), "start+0x0");
}

TEST_F(SymbolFiles, OneClearLine) {
  const auto says = [](const std::string& path, const std::string& what) {
    auto table = load_symbols(path);
    ASSERT_FALSE(table) << path;
    EXPECT_TRUE(table.error().starts_with(path + ": ")) << table.error();
    EXPECT_NE(table.error().find(what), std::string::npos) << table.error();
    EXPECT_EQ(table.error().find('\n'), std::string::npos);
  };
  std::vector<uint8_t> bytes(1000, 0x80), packed = gzip(bytes);
  packed.resize(packed.size() / 2);
  says(folder_ + "missing", "No such file");
  says(folder_, "folder");
  says(file("empty", ""), "empty");
  says(file("cut.gz", packed), "gzip");
  says(file("cut.zst", "\x28\xb5\x2f\xfd..."), "zstd");
  says(file("lz4", zboot("lz4", bytes)), "neither gzip nor zstd");
  says(file("noise", bytes), "none of");
  bytes.assign(100, 0);
  std::memcpy(bytes.data() + 56, "ARM\x64", 4);
  says(file("Image", bytes), "has no symbol table (kallsyms) inside");
}

}  // namespace
}  // namespace trapline
