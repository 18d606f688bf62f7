// Fuzzes the qcow2 reader: the input is laid over a small valid image, as (offset, bytes) patches.
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "devices/virtio/image.h"
#include "tests/devices/virtio/fuzz/input.h"

namespace trapline::virtio {
namespace {

void put_big(std::vector<uint8_t>& v, size_t at, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) {
    v[at + i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
  }
}

// A compressed cluster's stream.
std::vector<uint8_t> packed(bool zstd, size_t cluster) {
  std::vector<uint8_t> plain(cluster), out(cluster + 1024);
  for (size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<uint8_t>(i / 7);
  if (zstd) {
    out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 1));
    return out;
  }
  z_stream stream = {};
  deflateInit2(&stream, 1, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY);
  stream.next_in = plain.data();
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// The image that the input is laid over. Extended L2 entries need clusters of 16 KiB.
std::vector<uint8_t> image(bool extended, bool zstd, const std::string& backing) {
  const unsigned bits = extended ? 14 : 9;
  const size_t cluster = size_t{1} << bits, entry = extended ? 16 : 8;
  std::vector<uint8_t> v(16 * cluster);
  std::memcpy(v.data(), "QFI\xfb", 4);
  put_big(v, 4, 3, 4);
  put_big(v, 20, bits, 4);
  put_big(v, 24, 64 * cluster, 8);
  put_big(v, 36, 4, 4);
  put_big(v, 40, cluster, 8);
  put_big(v, 72, (zstd ? 8u : 0u) | (extended ? 16u : 0u), 8);
  put_big(v, 100, 112, 4);
  v[104] = zstd ? 1 : 0;
  if (!backing.empty()) {
    put_big(v, 8, 256, 8);
    put_big(v, 16, backing.size(), 4);
    std::copy(backing.begin(), backing.end(), v.begin() + 256);
    put_big(v, 112, 0xe2792aca, 4);
    put_big(v, 116, 3, 4);
    std::memcpy(&v[120], "raw", 3);
  }
  for (unsigned i = 0; i < 2; ++i) put_big(v, cluster + 8 * i, (2 + i) * cluster, 8);
  const auto stream = packed(zstd, cluster);
  for (unsigned i = 0; i < 12; ++i) {
    const uint64_t at = (4 + i) * cluster;
    const uint64_t sectors = (stream.size() - 1) / 512;
    put_big(v, 2 * cluster + entry * i,
            i % 3 == 2 ? uint64_t{1} << 62 | sectors << (62 - (bits - 8)) | at : at, 8);
    if (extended) put_big(v, 2 * cluster + entry * i + 8, 0x00ff0000ff0000ffull >> i, 8);
    if (i % 3 == 2) std::copy(stream.begin(), stream.end(), v.begin() + static_cast<ptrdiff_t>(at));
  }
  return v;
}

void run(fuzz::Input in) {
  static const int backing = [] {
    const int fd = memfd_create("backing", MFD_CLOEXEC);
    const std::string text(3000, 'b');
    if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
    return fd;
  }();
  const auto shape = in.take<uint8_t>();
  const bool extended = (shape & 1) != 0;
  const size_t unit = extended ? 32 : 1;  // patches lie where the tables are
  static std::vector<uint8_t> images[8];  // by shape: compressing takes longer than all the rest
  std::vector<uint8_t>& made = images[shape & 7];
  if (made.empty()) {
    made = image(extended, (shape & 2) != 0,
                 (shape & 4) != 0 ? "/proc/self/fd/" + std::to_string(backing) : "");
  }
  std::vector<uint8_t> v = made;
  const size_t tables = 4 * (v.size() / 16);
  while (!in.empty()) {
    const auto where = in.take<uint16_t>();
    // Half of the patches in the header, L1 and L2 tables; for the rest, anywhere.
    const size_t at = (where & 1) != 0 ? (where >> 1) % tables : where * unit % v.size();
    size_t size = 1 + (in.take<uint8_t>() & 31);
    size = std::min(size, v.size() - at);
    const uint8_t* data = in.take_bytes(size);
    std::copy_n(data, size, &v[at]);
  }
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (write(fd, v.data(), v.size()) != static_cast<ssize_t>(v.size())) std::abort();
  auto result = open_image("/proc/self/fd/" + std::to_string(fd),
                           {.read_only = true,
                            .format = (shape & 8) != 0 ? ImageFormat::kProbe : ImageFormat::kQcow2,
                            .backing = true});
  if (result.image == nullptr && result.error.empty()) std::abort();
  if (result.image != nullptr) {
    std::vector<uint8_t> out(extended ? 5 * 16384 : 40 * 512);
    for (uint64_t at : {uint64_t{0}, uint64_t{100}, result.image->bytes() / 2}) {
      if (at + out.size() > result.image->bytes()) continue;
      iovec iov[2] = {{out.data(), 700}, {out.data() + 700, out.size() - 700}};
      result.image->readv(iov, 2, at);
    }
  }
  close(fd);
}

}  // namespace
}  // namespace trapline::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trapline::virtio::run({data, size});
  return 0;
}
