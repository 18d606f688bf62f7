#include <gtest/gtest.h>
#include <linux/input-event-codes.h>
#include <zlib.h>

#include "devices/ramfb.h"
#include "tests/devices/virtio/harness.h"
#include "vmm/display/keys.h"
#include "vmm/display/picture.h"

namespace trapline {
namespace {

using virtio::test::kRamBase;
using virtio::test::TestDma;

TEST(Keys, SymbolsAreOnTheKeysOfAUsKeyboard) {
  const struct {
    uint32_t keysym;
    uint16_t key;
  } rows[] = {
      {'a', KEY_A},
      {'Z', KEY_Z},
      {'1', KEY_1},
      {'+', KEY_EQUAL},
      {'{', KEY_LEFTBRACE},
      {'"', KEY_APOSTROPHE},
      {'~', KEY_GRAVE},
      {'|', KEY_BACKSLASH},
      {'?', KEY_SLASH},
      {' ', KEY_SPACE},
      {0xff0d, KEY_ENTER},
      {0xffbe, KEY_F1},
      {0xffc7, KEY_F10},
      {0xffc9, KEY_F12},
      {0xffb0, KEY_KP0},
      {0xffb6, KEY_KP6},
      {0xffb9, KEY_KP9},
      {0xffe1, KEY_LEFTSHIFT},
      {0xffff, KEY_DELETE},
      {0, 0},
      {0x7f, 0},
      {0xe4, 0},
      {0xffffffff, 0},
  };
  for (const auto& row : rows) EXPECT_EQ(key_of(row.keysym), row.key) << std::hex << row.keysym;
}

struct Screen {
  Screen() { EXPECT_EQ(ramfb.connect(fw_cfg), ""); }
  void configure(uint64_t address, uint32_t format, uint32_t width, uint32_t height,
                 uint32_t stride) {
    constexpr uint64_t kAccess = kRamBase + 0x100, kConfig = kRamBase + 0x200;
    dma.put(kConfig, __builtin_bswap64(address));
    const uint32_t words[] = {format, 0, width, height, stride};
    for (unsigned i = 0; i < 5; ++i) dma.put(kConfig + 8 + 4 * i, __builtin_bswap32(words[i]));
    dma.put(kAccess, __builtin_bswap32(0x20 << 16 | 8 | 16));  // select, write
    dma.put(kAccess + 4, __builtin_bswap32(28));
    dma.put(kAccess + 8, __builtin_bswap64(kConfig));
    fw_cfg.write(0x10, 8, __builtin_bswap64(kAccess), 0);
  }
  TestDma dma{1 << 20};
  Ramfb ramfb{&dma};
  FwCfg fw_cfg{"fw_cfg", &dma};
};

constexpr uint32_t kXr24 = 0x34325258, kAr24 = 0x34325241;

TEST(Ramfb, WhatTheGuestMayShow) {
  constexpr uint64_t kAt = kRamBase + 0x1000;
  const struct {
    uint64_t address;
    uint32_t format, width, height, stride;
    bool good;
  } rows[] = {
      {kAt, kXr24, 64, 32, 256, true},
      {kAt, kAr24, 64, 32, 0, true},  // no stride: as wide as a row
      {kAt, kXr24, 64, 32, 512, true},
      {kAt, kXr24, 64, 32, 255, false},
      {kAt, 0x36314752, 64, 32, 256, false},  // RG16
      {kAt, kXr24, 4097, 1, 0, false},
      {kAt, kXr24, 0x40000001, 1, 4, false},
      {kAt, kXr24, 1, 4097, 4, false},
      {kAt, kXr24, 64, 32, 0x10000000, false},
      {kRamBase + (1 << 20) - 64, kXr24, 64, 32, 256, false},  // beyond RAM
      {0x0a000000, kXr24, 64, 32, 256, false},
      {~uint64_t{0}, kXr24, 64, 32, 256, false},
      {kAt, kXr24, 0, 32, 256, false},  // nothing: no mistake
  };
  for (const auto& row : rows) {
    Screen s;
    int changes = 0;
    s.ramfb.on_change([&] { ++changes; });
    s.configure(row.address, row.format, row.width, row.height, row.stride);
    EXPECT_EQ(s.ramfb.surface().has_value(), row.good) << row.width << " " << row.stride;
    EXPECT_EQ(changes, 1);
    s.fw_cfg.reset();
    EXPECT_FALSE(s.ramfb.surface());
  }
}

TEST(Ramfb, ItsStateIsTheFile) {
  Screen a, b;
  a.configure(kRamBase + 0x1000, kXr24, 64, 32, 0);
  StateWriter out;
  a.fw_cfg.save(out);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.fw_cfg.load(in));
  ASSERT_TRUE(b.ramfb.surface());
  EXPECT_EQ(b.ramfb.surface()->stride, 256u);
}

TEST(Picture, Png) {
  Screen s;
  s.configure(kRamBase + 0x1000, kXr24, 3, 2, 16);
  for (uint32_t i = 0; i < 8; ++i) s.dma.put(kRamBase + 0x1000 + 4 * i, 0xaa000000 + 0x010203 * i);
  const Picture picture = take_picture(*s.ramfb.surface());
  EXPECT_EQ(picture.pixels[3], 0xaa000000 + 0x010203 * 4);  // the second row
  const std::string file = png(picture);
  EXPECT_EQ(file.substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_EQ(
      file.substr(8, 25),
      std::string("\0\0\0\x0dIHDR\0\0\0\x03\0\0\0\x02\x08\x02\0\0\0", 21) + file.substr(29, 4));
  const size_t at = file.find("IDAT");
  std::string rows(2 * (1 + 9), 0);
  uLongf size = rows.size();
  ASSERT_EQ(uncompress(reinterpret_cast<Bytef*>(rows.data()), &size,
                       reinterpret_cast<const Bytef*>(file.data() + at + 4), file.size() - at - 4),
            Z_OK);
  EXPECT_EQ(rows, std::string("\0\0\0\0\1\2\3\2\4\6\0\4\x08\x0c\5\x0a\x0f\6\x0c\x12", 20));
}

}  // namespace
}  // namespace trapline
