#include "devices/fw_cfg.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/devices/virtio/harness.h"

namespace trapline {
namespace {

using virtio::test::kRamBase;
using virtio::test::TestDma;

constexpr uint64_t kAccess = kRamBase + 0x100, kTarget = kRamBase + 0x1000;

std::vector<uint8_t> bytes(std::string_view text) { return {text.begin(), text.end()}; }

struct Machine {
  Machine() {
    EXPECT_EQ(fw.add_file("opt/b", bytes("second file")), "");
    EXPECT_EQ(fw.add_file("etc/a", bytes("first")), "");
    EXPECT_EQ(fw.add_writable_file("etc/w", 4,
                                   [this](auto now) { written.assign(now.begin(), now.end()); }),
              "");
    fw.add_item32(FwCfgKey::kCpus, 4);
  }
  void select(uint16_t key) { fw.write(8, 2, __builtin_bswap16(key), 0); }
  std::string bytes_of(uint16_t key, size_t n) {
    select(key);
    std::string s;
    for (size_t i = 0; i < n; ++i) s.push_back(static_cast<char>(fw.read(0, 1, 0).value));
    return s;
  }
  // Returns the control word after the transfer, host byte order.
  uint32_t transfer(uint32_t control, uint32_t length, uint64_t address, bool halves = false,
                    uint64_t at = kAccess) {
    dma.put(kAccess, __builtin_bswap32(control));
    dma.put(kAccess + 4, __builtin_bswap32(length));
    dma.put(kAccess + 8, __builtin_bswap64(address));
    if (halves) {
      fw.write(0x10, 4, __builtin_bswap32(static_cast<uint32_t>(at >> 32)), 0);
      fw.write(0x14, 4, __builtin_bswap32(static_cast<uint32_t>(at)), 0);
    } else {
      fw.write(0x10, 8, __builtin_bswap64(at), 0);
    }
    return __builtin_bswap32(dma.get<uint32_t>(kAccess));
  }
  std::string target(size_t n) { return {reinterpret_cast<char*>(dma.host(kTarget, n)), n}; }
  TestDma dma{1 << 20};
  std::vector<uint8_t> written;  // of etc/w, as told
  FwCfg fw{"fw-cfg", &dma};
};

TEST(FwCfg, SignatureIdAndItems) {
  Machine m;
  EXPECT_EQ(m.bytes_of(0, 6), std::string("QEMU\0\0", 6));
  EXPECT_EQ(m.bytes_of(1, 4), std::string("\3\0\0\0", 4));
  EXPECT_EQ(m.bytes_of(5, 4), std::string("\4\0\0\0", 4));
  EXPECT_EQ(m.bytes_of(0x7777, 3), std::string(3, '\0'));
  EXPECT_EQ(m.fw.read(0x10, 8, 0).value, 0x47464320554d4551u);  // "QEMU CFG" in memory order
  EXPECT_EQ(m.fw.read(0x14, 4, 0).value, 0x47464320u);
  EXPECT_EQ(m.fw.register_name(0), "Data");
  EXPECT_EQ(m.fw.register_name(8), "Selector");
  EXPECT_EQ(m.fw.register_name(0x14), "DMA");
}

TEST(FwCfg, DataKeepsMemoryOrderInEverySize) {
  Machine m;
  for (unsigned size : {1u, 2u, 4u, 8u}) {
    m.select(0x20);
    std::string s;
    for (unsigned i = 0; i < 16 / size; ++i) {
      const uint64_t value = m.fw.read(0, size, 0).value;
      s.append(reinterpret_cast<const char*>(&value), size);
    }
    EXPECT_EQ(s, std::string("second file\0\0\0\0\0", 16)) << size;
  }
}

TEST(FwCfg, DirectoryIsSortedAndBigEndian) {
  Machine m;
  const std::string d = m.bytes_of(0x19, 4 + 3 * 64);
  EXPECT_EQ(d.substr(0, 4), std::string("\0\0\0\3", 4));
  struct Row {
    size_t at;
    uint8_t size, key;
    const char* name;
  };
  for (const Row& r :
       {Row{4, 5, 0x21, "etc/a"}, {68, 4, 0x22, "etc/w"}, {132, 11, 0x20, "opt/b"}}) {
    EXPECT_EQ(d.substr(r.at, 8),
              std::string({0, 0, 0, static_cast<char>(r.size), 0, static_cast<char>(r.key), 0, 0}));
    EXPECT_STREQ(d.c_str() + r.at + 8, r.name);
  }
}

TEST(FwCfg, BadFilesAreRefused) {
  Machine m;
  EXPECT_NE(m.fw.add_file("etc/a", {}), "");
  EXPECT_NE(m.fw.add_file("", {}), "");
  EXPECT_NE(m.fw.add_file(std::string(56, 'x'), {}), "");
  EXPECT_EQ(m.fw.add_file(std::string(55, 'x'), {}), "");
}

TEST(FwCfg, DmaTransfers) {
  constexpr uint32_t kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16, kError = 1;
  for (bool halves : {false, true}) {
    Machine m;
    EXPECT_EQ(m.transfer(0x200000 | kSelect | kRead, 6, kTarget, halves), 0u);
    EXPECT_EQ(m.target(6), "second");
    EXPECT_TRUE(m.dma.told(kTarget, 6));
    EXPECT_TRUE(m.dma.told(kAccess, 4));
    EXPECT_EQ(m.transfer(kSkip, 1, 0, halves), 0u);
    EXPECT_EQ(m.transfer(kRead, 8, kTarget, halves), 0u);  // past the end: zeroes
    EXPECT_EQ(m.target(8), std::string("file\0\0\0\0", 8));
    EXPECT_EQ(m.transfer(0x770000 | kSelect | kRead, 4, kTarget, halves), 0u);
    EXPECT_EQ(m.target(4), std::string(4, '\0'));
    m.dma.put(kTarget, uint32_t{0x64636261});
    EXPECT_EQ(m.transfer(0x220000 | kSelect | kWrite, 4, kTarget, halves), 0u);
    EXPECT_EQ(*m.fw.file("etc/w"), bytes("abcd"));
    EXPECT_EQ(m.written, bytes("abcd"));
    EXPECT_EQ(m.transfer(0x220000 | kSelect | kWrite, 5, kTarget), kError);
    EXPECT_EQ(m.transfer(0x210000 | kSelect | kWrite, 4, kTarget), kError);  // read-only
    EXPECT_EQ(*m.fw.file("etc/a"), bytes("first"));
    EXPECT_EQ(m.transfer(0x210000 | kSelect, 0, 0), 0u);
    EXPECT_EQ(m.fw.read(0, 1, 0).value, 'f');
    EXPECT_EQ(m.transfer(0, 0, 0), 0u);
  }
}

TEST(FwCfg, DmaOutsideRam) {
  constexpr uint32_t kRead = 2, kSelect = 8;
  Machine m;
  for (auto [length, address] : {std::pair{4u, uint64_t{0}},
                                 {0xffffffffu, kTarget},
                                 {8u, kRamBase + (1 << 20) - 4},
                                 {8u, ~uint64_t{3}}}) {
    EXPECT_EQ(m.transfer(0x200000 | kSelect | kRead, length, address), 1u);
  }
  for (uint64_t at : {uint64_t{0}, kRamBase + (1 << 20) - 8, ~uint64_t{7}}) {
    m.transfer(kRead, 4, kTarget, false, at);
  }
  EXPECT_EQ(m.fw.errors(), 7u);
  // A descriptor that the transfer overwrites.
  EXPECT_EQ(m.transfer(0x200000 | kSelect | kRead, 64, kAccess), 0u);
}

TEST(FwCfg, MeaninglessWrites) {
  Machine m;
  for (auto [offset, size] :
       {std::pair{0, 1}, {0, 8}, {8, 1}, {8, 4}, {9, 2}, {0x10, 2}, {0x14, 8}}) {
    m.fw.write(static_cast<uint64_t>(offset), static_cast<unsigned>(size), ~0ull, 0);
  }
  EXPECT_EQ(m.fw.errors(), 7u);
  EXPECT_EQ(m.bytes_of(0, 4), "QEMU");
}

TEST(FwCfg, SaveAndLoad) {
  Machine a, b;
  a.dma.put(kTarget, uint32_t{0x64636261});
  a.transfer(0x220000 | 8 | 16, 4, kTarget);
  a.select(0x20);
  for (int i = 0; i < 7; ++i) a.fw.read(0, 1, 0);
  StateWriter out;
  a.fw.save(out);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.fw.load(in));
  EXPECT_EQ(b.fw.read(0, 4, 0).value, 0x656c6966u);  // "file"
  EXPECT_EQ(*b.fw.file("etc/w"), bytes("abcd"));
  b.fw.reset();
  EXPECT_EQ(b.fw.read(0, 4, 0).value, 0x554d4551u);
  StateReader cut(out.buffer().data(), 5);
  EXPECT_FALSE(b.fw.load(cut));
}

}  // namespace
}  // namespace trapline
