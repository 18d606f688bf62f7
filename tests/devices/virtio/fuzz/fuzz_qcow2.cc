// Fuzzes the qcow2 reader: the input is laid over a small valid image, as (offset, bytes) patches.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "devices/virtio/image.h"
#include "tests/devices/virtio/fuzz/input.h"

namespace trapline::virtio {
namespace {

constexpr size_t kCluster = 512;

void put_big(std::vector<uint8_t>& v, size_t at, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) {
    v[at + i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
  }
}

void run(fuzz::Input in) {
  std::vector<uint8_t> v(16 * kCluster);
  std::memcpy(v.data(), "QFI\xfb", 4);
  put_big(v, 4, 3, 4);
  put_big(v, 20, 9, 4);
  put_big(v, 24, 64 * kCluster, 8);
  put_big(v, 36, 4, 4);
  put_big(v, 40, kCluster, 8);
  put_big(v, 100, 104, 4);
  for (unsigned i = 0; i < 2; ++i) put_big(v, kCluster + 8 * i, (2 + i) * kCluster, 8);
  for (unsigned i = 0; i < 12; ++i) {
    put_big(v, 2 * kCluster + 8 * i,
            i % 3 == 2 ? uint64_t{1} << 62 | (4 + i) * kCluster : (4 + i) * kCluster, 8);
  }
  while (!in.empty()) {
    const size_t at = in.take<uint16_t>() % v.size();
    size_t size = 1 + (in.take<uint8_t>() & 31);
    size = std::min(size, v.size() - at);
    const uint8_t* data = in.take_bytes(size);
    std::copy_n(data, size, &v[at]);
  }
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (write(fd, v.data(), v.size()) != static_cast<ssize_t>(v.size())) std::abort();
  auto result = open_image("/proc/self/fd/" + std::to_string(fd), {.read_only = true});
  if (result.image == nullptr && result.error.empty()) std::abort();
  if (result.image != nullptr) {
    std::vector<uint8_t> out(40 * kCluster);
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
