#include "vmm/boot/unpack.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace trapline {
namespace {

using Vector = std::vector<uint8_t>;
constexpr uint64_t kMiB = 1 << 20;

Vector gzip(const Vector& in) {
  Vector out(compressBound(in.size()) + 64);
  z_stream s{};
  EXPECT_EQ(deflateInit2(&s, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  s.next_in = const_cast<Bytef*>(in.data());
  s.avail_in = static_cast<uInt>(in.size());
  s.next_out = out.data();
  s.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&s, Z_FINISH), Z_STREAM_END);
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}

// `sized`: the frame says how large its content is.
Vector zstd(const Vector& in, bool sized) {
  Vector out(ZSTD_compressBound(in.size()));
  ZSTD_CCtx* c = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, sized);
  ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
  out.resize(ZSTD_compress2(c, out.data(), out.size(), in.data(), in.size()));
  ZSTD_freeCCtx(c);
  return out;
}

Vector zboot(const std::string& method, const Vector& payload) {
  constexpr uint32_t kOffset = 0x200;
  const auto size = static_cast<uint32_t>(payload.size());
  Vector file(kOffset + payload.size() + 1000);  // with what else a PE file has
  std::memcpy(file.data(), "MZ\0\0zimg", 8);
  std::memcpy(file.data() + 8, &kOffset, 4);
  std::memcpy(file.data() + 12, &size, 4);
  std::memcpy(file.data() + 24, method.data(), method.size());
  std::copy(payload.begin(), payload.end(), file.begin() + kOffset);
  return file;
}

using Unpack = Result<BootFile> (*)(const BootFile&, uint64_t);

// The unpacked bytes as text, or "error: ...".
std::string unpacked(Unpack unpack, const Vector& bytes, uint64_t limit) {
  std::string path = testing::TempDir() + "trapline-unpack-XXXXXX";
  close(mkstemp(path.data()));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  auto file = BootFile::open(path);
  EXPECT_TRUE(file);
  auto result = unpack(*file, limit);
  std::filesystem::remove(path);
  if (!result) {
    EXPECT_EQ(result.error().find(path), 0u) << result.error();
    return "error: " + result.error();
  }
  auto content = result->take();
  return {reinterpret_cast<const char*>(content->data()), content->size()};
}

Vector some(size_t size) {
  Vector bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * i >> 7);
  return bytes;
}
std::string text(const Vector& v) { return {v.begin(), v.end()}; }
Vector cut(Vector v, size_t by) {
  v.resize(v.size() - by);
  return v;
}
Vector followed(Vector v) {  // as Linux's build appends the size to a zstd payload
  v.insert(v.end(), {1, 2, 3, 4});
  return v;
}

TEST(Unpack, WhatWentIn) {
  const Vector plain = some(3'000'000);
  const std::string whole = text(plain);
  const uint64_t exactly = plain.size();
  EXPECT_EQ(unpacked(unpack_gzip, gzip(plain), exactly), whole);
  EXPECT_EQ(unpacked(unpack_gzip, followed(gzip(plain)), exactly), whole);
  EXPECT_EQ(unpacked(unpack_zboot, zboot("gzip", gzip(plain)), exactly), whole);
  for (const bool sized : {true, false}) {
    EXPECT_EQ(unpacked(unpack_zboot, zboot("zstd", zstd(plain, sized)), exactly), whole);
    EXPECT_EQ(unpacked(unpack_zboot, zboot("zstd22", followed(zstd(plain, sized))), exactly),
              whole);
  }
}

TEST(Unpack, Refused) {
  const Vector plain = some(3'000'000);
  const Vector bomb(8 * kMiB);  // of 8 KiB packed
  Vector beyond = zboot("gzip", gzip(plain));
  beyond[8 + 3] = 0x7f;
  Vector long_name = zboot(std::string(32, 'x'), plain);
  Vector flipped = zstd(plain, true);
  flipped[flipped.size() / 2] ^= 0xff;
  const struct {
    Unpack unpack;
    Vector bytes;
    uint64_t limit;
    const char* expected;
  } kRows[] = {
      {unpack_gzip, gzip(plain), plain.size() - 1, "larger than the guest's memory"},
      {unpack_gzip, gzip(bomb), kMiB, "larger than the guest's memory"},
      {unpack_gzip, cut(gzip(plain), 9), 4 * kMiB, "truncated"},
      {unpack_gzip, cut(gzip(plain), 20), 4 * kMiB, "truncated"},
      {unpack_gzip, some(2 * kMiB), kMiB, "of memory, but the guest has"},
      {unpack_zboot, zboot("gzip", gzip(bomb)), kMiB, "larger than the guest's memory"},
      {unpack_zboot, zboot("zstd", zstd(bomb, true)), kMiB, "larger than the guest's memory"},
      {unpack_zboot, zboot("zstd", zstd(bomb, false)), kMiB, "larger than the guest's memory"},
      {unpack_zboot, zboot("zstd", cut(zstd(plain, true), 5)), 4 * kMiB, "truncated"},
      {unpack_zboot, zboot("zstd", flipped), 4 * kMiB, "damaged"},
      {unpack_zboot, zboot("zstd", gzip(plain)), 4 * kMiB, "damaged"},
      {unpack_zboot, zboot("gzip", zstd(plain, true)), 4 * kMiB, "damaged"},
      {unpack_zboot, zboot("lzma", plain), 4 * kMiB, "'lzma'"},
      {unpack_zboot, zboot("a\nb", plain), 4 * kMiB, "'a?b'"},
      {unpack_zboot, long_name, 4 * kMiB, "only gzip and zstd"},
      {unpack_zboot, beyond, 4 * kMiB, "truncated EFI zboot"},
      {unpack_zboot, zboot("gzip", some(2 * kMiB)), kMiB, "of memory, but the guest has"},
  };
  for (const auto& row : kRows) {
    const std::string result = unpacked(row.unpack, row.bytes, row.limit).substr(0, 300);
    EXPECT_EQ(result.find("error: "), 0u) << row.expected;
    EXPECT_NE(result.find(row.expected), std::string::npos) << result;
    EXPECT_EQ(result.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace trapline
