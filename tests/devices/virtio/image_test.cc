#include "devices/virtio/image.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "devices/virtio/host_file.h"
#include "tests/devices/virtio/temp_file.h"

namespace trapline::virtio::test {
namespace {

constexpr size_t kCluster = 65536;
constexpr ImageOptions kQcow2 = {.read_only = true, .format = ImageFormat::kQcow2};

void put_big(std::vector<uint8_t>& v, size_t at, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i)
    v[at + i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
}

std::vector<uint8_t> pattern(uint8_t seed) {
  std::vector<uint8_t> v(kCluster);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<uint8_t>(seed + i * 7 + i / 256);
  return v;
}

// Version 3, 64 KiB clusters, a disk of five: data, compressed, zero (flag), not allocated, data.
std::vector<uint8_t> make_qcow2(uint32_t version = 3) {
  std::vector<uint8_t> v(6 * kCluster);
  std::memcpy(v.data(), "QFI\xfb", 4);
  put_big(v, 4, version, 4);
  put_big(v, 20, 16, 4);            // cluster bits
  put_big(v, 24, 5 * kCluster, 8);  // size
  put_big(v, 36, 1, 4);             // L1 entries
  put_big(v, 40, kCluster, 8);
  if (version == 3) put_big(v, 100, 104, 4);
  put_big(v, kCluster, 2 * kCluster | uint64_t{1} << 63, 8);  // L1[0]
  const size_t l2 = 2 * kCluster;
  put_big(v, l2, 3 * kCluster | uint64_t{1} << 63, 8);
  std::vector<uint8_t> packed(kCluster);
  z_stream stream = {};
  deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY);
  auto plain = pattern(2);
  stream.next_in = plain.data();
  stream.avail_in = kCluster;
  stream.next_out = packed.data();
  stream.avail_out = kCluster;
  deflate(&stream, Z_FINISH);
  const size_t bytes = stream.total_out;
  deflateEnd(&stream);
  const size_t at = 4 * kCluster + 300;  // compressed data need no alignment
  std::memcpy(&v[at], packed.data(), bytes);
  const uint64_t sectors = (at % 512 + bytes - 1) / 512;
  put_big(v, l2 + 8, uint64_t{1} << 62 | sectors << 54 | at, 8);
  put_big(v, l2 + 16, version == 3 ? 1 : 0, 8);
  put_big(v, l2 + 32, 5 * kCluster | uint64_t{1} << 63, 8);
  const auto first = pattern(1), last = pattern(5);
  std::memcpy(&v[3 * kCluster], first.data(), kCluster);
  std::memcpy(&v[5 * kCluster], last.data(), kCluster);
  return v;
}

std::vector<uint8_t> read_all(Image& image, size_t step) {
  std::vector<uint8_t> out(image.bytes());
  for (size_t at = 0; at < out.size(); at += step) {
    const size_t n = std::min(step, out.size() - at);
    iovec iov[2] = {{&out[at], n / 2}, {&out[at + n / 2], n - n / 2}};
    EXPECT_EQ(image.readv(iov, 2, at), 0);
  }
  return out;
}

TEST(Image, OpenErrorsNameTheFile) {
  TempFile empty, small(511), disk(1 << 20);
  TempFile directory;
  unlink(directory.path.c_str());
  mkdir(directory.path.c_str(), 0700);
  TempFile fifo;
  unlink(fifo.path.c_str());
  mkfifo(fifo.path.c_str(), 0600);
  struct Row {
    std::string path;
    const char* says;
  };
  for (const Row& r : {Row{"/nonexistent/disk.img", "No such file"},
                       {directory.path, "directory"},
                       {fifo.path, "neither a regular file nor"},
                       {empty.path, "too small"},
                       {small.path, "too small"},
                       {"", "No such file"}}) {
    for (bool read_only : {false, true}) {
      const ImageResult result = open_image(r.path, {.read_only = read_only});
      EXPECT_EQ(result.image, nullptr);
      EXPECT_NE(result.error.find(r.says), std::string::npos) << result.error;
      EXPECT_EQ(result.error.find(r.path), 0u) << result.error;
      EXPECT_EQ(result.error.find('\n'), std::string::npos);
    }
  }
  rmdir(directory.path.c_str());
}

TEST(Image, ReadOnlyFileForWriting) {
  if (geteuid() == 0) GTEST_SKIP() << "root writes everything";
  TempFile disk(1 << 20);
  chmod(disk.path.c_str(), 0444);
  EXPECT_NE(open_image(disk.path, {}).error.find("cannot open for writing"), std::string::npos);
  EXPECT_NE(open_image(disk.path, {.read_only = true}).image, nullptr);
}

// Another process that has a file open, as another virtual machine would.
class Holder {
 public:
  Holder(const std::string& path, bool read_only) {
    int ready[2], end[2];
    if (pipe(ready) != 0 || pipe(end) != 0) abort();
    child_ = fork();
    if (child_ == 0) {
      close(end[1]);
      HostFile file;
      char byte = file.open(path, {.read_only = read_only}).empty() ? 'y' : 'n';
      if (write(ready[1], &byte, 1) != 1) _exit(1);
      while (read(end[0], &byte, 1) > 0) {
      }
      _exit(0);
    }
    close(end[0]);
    close(ready[1]);
    end_ = end[1];
    char byte = 'n';
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    close(ready[0]);
  }
  ~Holder() {
    close(end_);
    waitpid(child_, nullptr, 0);
  }

 private:
  pid_t child_;
  int end_;
};

TEST(Image, OneWriterOrManyReaders) {
  TempFile disk(1 << 20);
  const ImageOptions ro{.read_only = true};
  {
    Holder writer(disk.path, false);
    EXPECT_NE(open_image(disk.path, {}).error.find("locked"), std::string::npos);
    EXPECT_NE(open_image(disk.path, ro).error.find("locked"), std::string::npos);
  }
  Holder other(disk.path, true);
  auto reader = open_image(disk.path, ro);
  ASSERT_NE(reader.image, nullptr) << reader.error;
  reader.image.reset();
  EXPECT_NE(open_image(disk.path, {}).error.find("locked"), std::string::npos);
}

TEST(Image, GivenTwiceSaysSoByWhateverName) {
  TempFile disk(1 << 20);
  const std::string symbolic = disk.path + "-symlink", hard = disk.path + "-link";
  ASSERT_EQ(symlink(disk.path.c_str(), symbolic.c_str()), 0);
  ASSERT_EQ(link(disk.path.c_str(), hard.c_str()), 0);
  const ImageOptions ro{.read_only = true};
  {
    auto writer = open_image(disk.path, {});
    ASSERT_NE(writer.image, nullptr) << writer.error;
    for (const std::string& name : {disk.path, symbolic, hard}) {
      for (const ImageOptions& options : {ImageOptions{}, ro}) {
        const std::string error = open_image(name, options).error;
        EXPECT_EQ(error.find(name + ": given twice"), 0u) << error;
        EXPECT_EQ(error.find("another virtual machine"), std::string::npos) << error;
      }
      // A file that is no disk, such as the flash's, is known, too.
      HostFile vars;
      EXPECT_NE(vars.open(name, {}).find("given twice"), std::string::npos);
    }
  }
  auto reader = open_image(disk.path, ro);
  ASSERT_NE(reader.image, nullptr) << reader.error;
  EXPECT_NE(open_image(symbolic, ro).image, nullptr);  // readers may share
  EXPECT_NE(open_image(hard, {}).error.find("given twice"), std::string::npos);
  reader.image.reset();
  EXPECT_NE(open_image(hard, {}).image, nullptr);
  unlink(symbolic.c_str());
  unlink(hard.c_str());
}

TEST(Image, OddTailIsLeftOutWithAWarning) {
  TempFile disk(1000);
  auto result = open_image(disk.path, {});
  ASSERT_NE(result.image, nullptr);
  EXPECT_EQ(result.image->bytes(), 512u);
  EXPECT_NE(result.warning.find("multiple of 512"), std::string::npos);
}

TEST(Image, RawReadWriteDiscardZero) {
  TempFile disk(1 << 20);
  auto image = std::move(open_image(disk.path, {}).image);
  ASSERT_NE(image, nullptr);
  auto data = pattern(9);
  iovec iov[3] = {{data.data(), 100}, {data.data() + 100, 1}, {data.data() + 101, kCluster - 101}};
  for (bool durable : {false, true}) EXPECT_EQ(image->writev(iov, 3, 512, durable), 0);
  EXPECT_EQ(image->flush(), 0);
  auto all = disk.read();
  EXPECT_TRUE(std::equal(data.begin(), data.end(), all.begin() + 512));
  EXPECT_EQ(image->discard(4096, 4096), 0);
  EXPECT_EQ(image->write_zeroes(16384, 512, false), 0);
  EXPECT_EQ(image->write_zeroes(32768, 4096, true), 0);
  all = disk.read();
  EXPECT_EQ(all.size(), 1u << 20);
  EXPECT_EQ(all[16384], 0);
  EXPECT_EQ(all[16895], 0);
  EXPECT_EQ(all[16896], data[16896 - 512]);
  EXPECT_EQ(all[32768], 0);
  EXPECT_EQ(all[36863], 0);
}

TEST(Image, ReadOnlyRefusesWrites) {
  TempFile disk(1 << 20);
  auto image = std::move(open_image(disk.path, {.read_only = true}).image);
  uint8_t byte[512] = {};
  iovec iov = {byte, 512};
  EXPECT_EQ(image->writev(&iov, 1, 0, false), -EROFS);
  EXPECT_EQ(image->discard(0, 512), -EROFS);
  EXPECT_EQ(image->write_zeroes(0, 512, false), -EROFS);
  EXPECT_EQ(image->flush(), 0);
}

TEST(Qcow2, ReadsEveryKindOfCluster) {
  for (uint32_t version : {2u, 3u}) {
    TempFile file(make_qcow2(version));
    auto result = open_image(file.path, kQcow2);
    ASSERT_NE(result.image, nullptr) << result.error;
    EXPECT_EQ(result.image->bytes(), 5 * kCluster);
    EXPECT_EQ(result.image->raw_fd(), -1);
    std::vector<uint8_t> expected = pattern(1);
    const auto two = pattern(2), five = pattern(5);
    expected.insert(expected.end(), two.begin(), two.end());
    expected.resize(4 * kCluster);
    expected.insert(expected.end(), five.begin(), five.end());
    for (size_t step : {size_t{512}, size_t{3000}, kCluster, 5 * kCluster}) {
      EXPECT_TRUE(read_all(*result.image, step) == expected) << version << ' ' << step;
    }
  }
}

TEST(Qcow2, RefusesWhatItCannotRead) {
  struct Row {
    const char* says;
    std::function<void(std::vector<uint8_t>&)> change;
  };
  const Row rows[] = {
      {"version", [](auto& v) { put_big(v, 4, 4, 4); }},
      {"backing file name does not fit", [](auto& v) { put_big(v, 8, 0x200, 8); }},
      {"backing file name does not fit",
       [](auto& v) {
         put_big(v, 8, 0xffffffffffffff00, 8);
         put_big(v, 16, 0x200, 4);
       }},
      {"name is not text",
       [](auto& v) {
         put_big(v, 8, 0x200, 8);
         put_big(v, 16, 3, 4);
       }},
      {"encrypted", [](auto& v) { put_big(v, 32, 1, 4); }},
      {"external data file", [](auto& v) { put_big(v, 72, 4, 8); }},
      {"cluster size",
       [](auto& v) {
         put_big(v, 72, 16, 8);  // extended L2
         put_big(v, 20, 13, 4);
       }},
      {"too short", [](auto& v) { put_big(v, 100, 72, 4); }},
      {"unknown incompatible", [](auto& v) { put_big(v, 72, uint64_t{1} << 40, 8); }},
      {"other than zlib and zstd",
       [](auto& v) {
         put_big(v, 72, 8, 8);
         put_big(v, 100, 112, 4);
         v[104] = 2;
       }},
      {"cluster size", [](auto& v) { put_big(v, 20, 30, 4); }},
      {"cluster size", [](auto& v) { put_big(v, 20, 8, 4); }},
      {"L1 table does not fit", [](auto& v) { put_big(v, 36, 0, 4); }},
      {"L1 table does not fit", [](auto& v) { put_big(v, 24, uint64_t{1} << 62, 8); }},
      {"L1 table does not fit", [](auto& v) { put_big(v, 36, 0xffffffff, 4); }},
      {"misaligned", [](auto& v) { put_big(v, 40, kCluster + 8, 8); }},
      {"beyond the end", [](auto& v) { put_big(v, 40, 6 * kCluster, 8); }},
      {"too small", [](auto& v) { put_big(v, 24, 100, 8); }},
  };
  for (const Row& r : rows) {
    auto bytes = make_qcow2();
    r.change(bytes);
    TempFile file(bytes);
    const auto result = open_image(file.path, kQcow2);
    EXPECT_EQ(result.image, nullptr) << r.says;
    EXPECT_NE(result.error.find(r.says), std::string::npos) << result.error;
  }
}

TEST(Qcow2, MarkedCorruptIsReadWithAWarning) {
  auto bytes = make_qcow2();
  put_big(bytes, 72, 2, 8);
  TempFile file(bytes);
  auto result = open_image(file.path, kQcow2);
  ASSERT_NE(result.image, nullptr) << result.error;
  EXPECT_EQ(result.warning.find(file.path), 0u) << result.warning;
  EXPECT_NE(result.warning.find("marked corrupt"), std::string::npos) << result.warning;
  const auto all = read_all(*result.image, kCluster), first = pattern(1);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), all.begin()));
}

TEST(Qcow2, DamagedTablesAreIoErrors) {
  struct Row {
    size_t at;
    uint64_t value;
  };
  for (const Row& r : {Row{kCluster, 2 * kCluster + 512},          // L2 table misaligned
                       {2 * kCluster, 3 * kCluster + 512},         // cluster misaligned
                       {2 * kCluster, uint64_t{1} << 62 | 0x400},  // not a deflate stream
                       {2 * kCluster, 0x00ffffffffff0000}}) {      // far beyond the end
    auto bytes = make_qcow2();
    put_big(bytes, r.at, r.value, 8);
    TempFile file(bytes);
    auto image = std::move(open_image(file.path, kQcow2).image);
    ASSERT_NE(image, nullptr);
    std::vector<uint8_t> out(kCluster, 1);
    iovec iov = {out.data(), out.size()};
    const int error = image->readv(&iov, 1, 0);
    EXPECT_TRUE(error < 0 || out == std::vector<uint8_t>(kCluster)) << r.value;
  }
}

}  // namespace
}  // namespace trapline::virtio::test
