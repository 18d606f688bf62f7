#include "devices/virtio/image.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "devices/virtio/host_file.h"
#include "devices/virtio/qcow2.h"

namespace trapline::virtio {
namespace {

constexpr unsigned kMaxIov = 1024;  // IOV_MAX
constexpr size_t kZeroChunk = 1 << 20;

// preadv/pwritev until all is done. `transfer(iov, count, offset)` returns bytes or -1 with errno.
template <typename Transfer>
int transfer_all(const iovec* iov, unsigned count, uint64_t offset, bool zero_at_end,
                 Transfer transfer) {
  std::vector<iovec> rest(iov, iov + count);
  size_t first = 0;
  while (first < rest.size()) {
    const unsigned n = std::min<size_t>(rest.size() - first, kMaxIov);
    const ssize_t moved = transfer(&rest[first], n, offset);
    if (moved < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (moved == 0) {
      if (!zero_at_end) return -EIO;
      for (; first < rest.size(); ++first) {
        std::memset(rest[first].iov_base, 0, rest[first].iov_len);
      }
      return 0;
    }
    offset += static_cast<uint64_t>(moved);
    auto left = static_cast<size_t>(moved);
    while (first < rest.size() && left >= rest[first].iov_len) left -= rest[first++].iov_len;
    if (left > 0) {
      rest[first].iov_base = static_cast<uint8_t*>(rest[first].iov_base) + left;
      rest[first].iov_len -= left;
    }
  }
  return 0;
}

class RawImage final : public Image {
 public:
  RawImage(HostFile file, bool read_only) : file_(std::move(file)) {
    bytes_ = file_.size() / 512 * 512;
    read_only_ = read_only;
    path_ = file_.path();
  }

  int raw_fd() const override { return file_.fd(); }

  int readv(const iovec* iov, unsigned count, uint64_t offset) override {
    return transfer_all(iov, count, offset, true, [&](const iovec* v, unsigned n, uint64_t at) {
      return preadv(file_.fd(), v, static_cast<int>(n), static_cast<off_t>(at));
    });
  }

  bool read_at_once(const iovec* iov, unsigned count, uint64_t offset, uint64_t bytes) override {
    if (!nowait_.load(std::memory_order_relaxed)) return false;
    const ssize_t got = preadv2(file_.fd(), iov, static_cast<int>(std::min(count, kMaxIov)),
                                static_cast<off_t>(offset), RWF_NOWAIT);
    if (got < 0 && errno == EOPNOTSUPP) nowait_.store(false, std::memory_order_relaxed);
    return got >= 0 && static_cast<uint64_t>(got) == bytes;
  }

  int writev(const iovec* iov, unsigned count, uint64_t offset, bool durable) override {
    if (read_only_) return -EROFS;
    const int flags = durable ? RWF_DSYNC : 0;
    return transfer_all(iov, count, offset, false, [&](const iovec* v, unsigned n, uint64_t at) {
      return pwritev2(file_.fd(), v, static_cast<int>(n), static_cast<off_t>(at), flags);
    });
  }

  int flush() override { return read_only_ ? 0 : file_.sync(); }

  int discard(uint64_t offset, uint64_t size) override {
    if (read_only_) return -EROFS;
    const int error = allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
    // A hint: a file system without holes has nothing to do.
    return error == -EOPNOTSUPP ? 0 : error;
  }

  int write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override {
    if (read_only_) return -EROFS;
    int error = -EOPNOTSUPP;
    if (may_unmap) error = allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
    if (error == -EOPNOTSUPP) {
      error = allocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, size);
    }
    if (error != -EOPNOTSUPP) return error;
    const std::vector<uint8_t> zeroes(std::min<uint64_t>(size, kZeroChunk));
    while (size > 0) {
      const size_t n = std::min<uint64_t>(size, zeroes.size());
      if (const int failed = file_.write(offset, zeroes.data(), n)) return failed;
      offset += n;
      size -= n;
    }
    return 0;
  }

 private:
  int allocate(int mode, uint64_t offset, uint64_t size) {
    const int result =
        fallocate(file_.fd(), mode, static_cast<off_t>(offset), static_cast<off_t>(size));
    return result == 0 ? 0 : -errno;
  }

  HostFile file_;
  std::atomic<bool> nowait_{true};  // the file system knows RWF_NOWAIT
};

}  // namespace

ImageResult open_image(const std::string& path, const ImageOptions& options) {
  ImageResult result;
  HostFile file;
  result.error = file.open(path, {.read_only = options.read_only});
  if (!result.error.empty()) return result;
  if (file.size() < 512) {
    result.error = path + ": too small for a disk: " + std::to_string(file.size()) +
                   " bytes, less than a sector";
    return result;
  }
  if (is_qcow2(file)) {
    if (!options.read_only) {
      result.error = path +
                     ": qcow2 images can only be opened read-only; convert it with `qemu-img "
                     "convert -O raw` to write to it";
      return result;
    }
    return open_qcow2(std::move(file));
  }
  if (file.size() % 512 != 0) {
    result.warning = path + ": size is not a multiple of 512; the last " +
                     std::to_string(file.size() % 512) + " bytes are not part of the disk";
  }
  result.image = std::make_unique<RawImage>(std::move(file), options.read_only);
  return result;
}

}  // namespace trapline::virtio
