#include "devices/virtio/image_format.h"

#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <cstring>

#include "devices/virtio/blk.h"
#include "tests/devices/virtio/harness.h"
#include "tests/devices/virtio/temp_file.h"

namespace trapline::virtio::test {
namespace {

constexpr uint64_t kHeader = kData, kPayload = kData + 0x1000, kStatusByte = kData + 0x100;
constexpr uint8_t kMagic[4] = {'Q', 'F', 'I', 0xfb};

// What a guest might write: a version 3 header whose backing file is one of the host's.
std::vector<uint8_t> hostile_header() {
  std::vector<uint8_t> v(512);
  const uint8_t fields[] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 11};
  std::memcpy(v.data(), fields, sizeof fields);
  std::memcpy(&v[256], "/etc/shadow", 11);
  return v;
}

bool can_mark() {
  TempFile file(512);
  return setxattr(file.path.c_str(), kFormatAttribute, "raw", 3, 0) == 0;
}

// A guest's write to the image: the request's status byte.
class Writer {
 public:
  explicit Writer(std::unique_ptr<Image> image, bool threaded = false)
      : bench_(make_blk(std::move(image), {}), threaded) {
    bench_.start(kVersion1, 1, 16);
  }
  uint8_t write(const std::vector<uint8_t>& bytes, uint64_t sector, uint32_t cut = 0) {
    bench_.dma.put(kHeader, uint32_t{1});
    bench_.dma.put(kHeader + 8, sector);
    bench_.dma.put(kStatusByte, uint8_t{0xaa});
    std::memcpy(bench_.dma.host(kPayload, bytes.size()), bytes.data(), bytes.size());
    const auto size = static_cast<uint32_t>(bytes.size());
    std::vector<Buffer> chain = {{kHeader, 16, false}};
    if (cut > 0) chain.push_back({kPayload, cut, false});
    chain.push_back({kPayload + cut, size - cut, false});
    chain.push_back({kStatusByte, 1, true});
    EXPECT_TRUE(bench_.run(0, 0, chain));
    return bench_.dma.get<uint8_t>(kStatusByte);
  }
  uint64_t errors() { return bench_.device.errors(); }

 private:
  Bench bench_;
};

std::vector<uint8_t> begin_of(const TempFile& file, size_t n) {
  auto all = file.read();
  all.resize(n);
  return all;
}

TEST(ImageFormat, WhatAGuestWroteStaysRaw) {
  if (!can_mark()) GTEST_SKIP() << "no extended attributes here";
  for (const ImageFormat first : {ImageFormat::kProbe, ImageFormat::kRaw}) {
    TempFile disk(1 << 20);
    const auto header = hostile_header();
    {
      auto opened = open_image(disk.path, {.format = first});
      ASSERT_NE(opened.image, nullptr) << opened.error;
      EXPECT_EQ(opened.warning, "");
      EXPECT_FALSE(opened.image->guards_format());
      Writer guest(std::move(opened.image));
      EXPECT_EQ(guest.write(header, 0), 0);
    }
    EXPECT_EQ(begin_of(disk, 512), header);
    for (bool read_only : {false, true}) {
      const auto again = open_image(disk.path, {.read_only = read_only, .backing = true});
      ASSERT_NE(again.image, nullptr) << again.error;
      EXPECT_GE(again.image->raw_fd(), 0);
      EXPECT_EQ(again.image->bytes(), 1u << 20);
      EXPECT_NE(again.warning.find("format=qcow2"), std::string::npos) << again.warning;
    }
  }
}

TEST(ImageFormat, WithoutMarksTheHeaderIsRefused) {
  for (bool threaded : {false, true}) {
    TempFile disk(1 << 20);
    auto opened = open_image(disk.path, {.may_mark = false});
    ASSERT_NE(opened.image, nullptr) << opened.error;
    EXPECT_TRUE(opened.image->guards_format());
    Writer guest(std::move(opened.image), threaded);
    auto header = hostile_header();
    for (uint32_t cut : {0u, 1u, 3u, 511u}) EXPECT_EQ(guest.write(header, 0, cut), 1) << cut;
    EXPECT_EQ(guest.errors(), 4u);
    header.resize(8192);
    EXPECT_EQ(guest.write(header, 0, 1000), 1);
    EXPECT_EQ(begin_of(disk, 4), std::vector<uint8_t>(4));
    // All else is written, and whole.
    EXPECT_EQ(guest.write(header, 1), 0);
    for (size_t i = 0; i < header.size(); ++i) header[i] = static_cast<uint8_t>(i * 7 + i / 256);
    for (uint32_t cut : {0u, 1u, 511u, 512u, 513u, 5000u}) {
      header[5] = static_cast<uint8_t>(cut);
      EXPECT_EQ(guest.write(header, 0, cut), 0);
      EXPECT_EQ(begin_of(disk, header.size()), header) << cut;
    }
  }
}

TEST(ImageFormat, ExplicitRawTakesAnything) {
  TempFile disk(1 << 20);
  {
    auto opened = open_image(disk.path, {.format = ImageFormat::kRaw, .may_mark = false});
    ASSERT_NE(opened.image, nullptr) << opened.error;
    Writer guest(std::move(opened.image));
    EXPECT_EQ(guest.write(hostile_header(), 0), 0);
  }
  // Nobody can know now: the user has to say.
  for (bool read_only : {false, true}) {
    const auto probed = open_image(disk.path, {.read_only = read_only, .may_mark = false});
    EXPECT_EQ(probed.image, nullptr);
    EXPECT_EQ(probed.error.find(disk.path), 0u);
    EXPECT_NE(probed.error.find("format=raw"), std::string::npos) << probed.error;
    const auto told = open_image(
        disk.path, {.read_only = read_only, .format = ImageFormat::kRaw, .may_mark = false});
    EXPECT_NE(told.image, nullptr) << told.error;
  }
}

TEST(ImageFormat, ReadOnlyDisksAreNotTouched) {
  if (!can_mark()) GTEST_SKIP() << "no extended attributes here";
  TempFile disk(1 << 20);
  ASSERT_NE(open_image(disk.path, {.read_only = true}).image, nullptr);
  char value[8];
  EXPECT_LT(getxattr(disk.path.c_str(), kFormatAttribute, value, sizeof value), 0);
  ASSERT_NE(open_image(disk.path, {}).image, nullptr);
  EXPECT_EQ(getxattr(disk.path.c_str(), kFormatAttribute, value, sizeof value), 3);
}

TEST(ImageFormat, AFullAttributeBlockMeansTheGuard) {
  if (!can_mark()) GTEST_SKIP() << "no extended attributes here";
  TempFile disk(1 << 20);
  // As much as the file system takes, down to single bytes.
  int names = 0;
  for (size_t size = 60'000; size > 0; size /= 2) {
    const std::vector<char> value(size, 'x');
    while (names < 4000 && setxattr(disk.path.c_str(), ("user.f" + std::to_string(names)).c_str(),
                                    value.data(), size, 0) == 0) {
      ++names;
    }
  }
  if (names == 4000) GTEST_SKIP() << "attributes without end here";
  const auto probed = open_image(disk.path, {});
  ASSERT_NE(probed.image, nullptr) << probed.error;
  EXPECT_TRUE(probed.image->guards_format());
}

TEST(ImageFormat, SaidFormatMustFit) {
  TempFile disk(1 << 20);
  const auto said =
      open_image(disk.path, {.read_only = true, .format = ImageFormat::kQcow2, .may_mark = false});
  EXPECT_NE(said.error.find("no qcow2 image"), std::string::npos) << said.error;
  EXPECT_EQ(std::memcmp(hostile_header().data(), kMagic, 4), 0);
  EXPECT_TRUE(begins_as_qcow2(kMagic));
}

}  // namespace
}  // namespace trapline::virtio::test
