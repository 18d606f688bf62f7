#include "devices/virtio/image.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/host_file.h"
#include "devices/virtio/image_format.h"
#include "devices/virtio/nbd.h"
#include "devices/virtio/qcow2.h"
#include "devices/virtio/qcow2_header.h"
#include "devices/virtio/qemu_nbd.h"

namespace trapline::virtio {

Image::~Image() = default;
std::unique_ptr<BlkEngine> Image::make_engine() { return nullptr; }

namespace {

constexpr unsigned kMaxIov = 1024;  // IOV_MAX

// preadv/pwritev until all is done. `transfer(iov, count, offset)` returns bytes or -1 with errno.
// The list is cut on the stack: a host without memory must not stop a transfer halfway.
template <typename Transfer>
int transfer_all(const iovec* iov, unsigned count, uint64_t offset, bool zero_at_end,
                 Transfer transfer) {
  iovec part[kMaxIov];
  size_t skip = 0;  // of the first
  bool at_end = false;
  while (count > 0) {
    const unsigned n = std::min(count, kMaxIov);
    std::copy_n(iov, n, part);
    part[0].iov_base = static_cast<uint8_t*>(part[0].iov_base) + skip;
    part[0].iov_len -= skip;
    if (at_end) {
      for (unsigned i = 0; i < n; ++i) std::memset(part[i].iov_base, 0, part[i].iov_len);
      iov += n;
      count -= n;
      skip = 0;
      continue;
    }
    const ssize_t moved = transfer(part, n, offset);
    if (moved < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (moved == 0) {
      if (!zero_at_end) return -EIO;
      at_end = true;
      continue;
    }
    offset += static_cast<uint64_t>(moved);
    skip += static_cast<size_t>(moved);
    for (; count > 0 && skip >= iov->iov_len; ++iov, --count) skip -= iov->iov_len;
  }
  return 0;
}

class RawImage final : public Image {
 public:
  RawImage(HostFile file, uint64_t bytes, bool read_only, bool guards_format)
      : file_(std::move(file)) {
    bytes_ = bytes;
    read_only_ = read_only;
    guards_format_ = guards_format;
    path_ = file_.path();
  }

  int fd() const override { return file_.fd(); }
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
    const auto plain = [&](const iovec* v, unsigned n, uint64_t at) {
      return pwritev(file_.fd(), v, static_cast<int>(n), static_cast<off_t>(at));
    };
    if (!durable) return transfer_all(iov, count, offset, false, plain);
    if (dsync_.load(std::memory_order_relaxed)) {
      const int error =
          transfer_all(iov, count, offset, false, [&](const iovec* v, unsigned n, uint64_t at) {
            return pwritev2(file_.fd(), v, static_cast<int>(n), static_cast<off_t>(at), RWF_DSYNC);
          });
      if (error != -EOPNOTSUPP && error != -ENOSYS) return error;
      dsync_.store(false, std::memory_order_relaxed);
    }
    const int error = transfer_all(iov, count, offset, false, plain);
    return error != 0 ? error : file_.sync();
  }

  std::string unlock() override { return file_.unlock(); }
  std::string lock() override { return file_.lock(); }
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
    static constexpr uint8_t kZeroes[64 * 1024] = {};
    while (size > 0) {
      const size_t n = std::min<uint64_t>(size, sizeof kZeroes);
      if (const int failed = file_.write(offset, kZeroes, n)) return failed;
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
  // Relaxed: hints, each found out anew by whoever does not know yet.
  std::atomic<bool> nowait_{true};  // the file system knows RWF_NOWAIT
  std::atomic<bool> dsync_{true};   // the kernel knows RWF_DSYNC; qemu-aarch64 does not
};

// By qemu-nbd, which locks the file itself.
ImageResult open_elsewhere(HostFile file, const ImageOptions& options) {
  const std::string path = file.path();
  file = HostFile();
  return open_by_qemu_nbd(path, options);
}

// A qcow2 image is refused for writing where it is for reading.
std::string why_not_written(const HostFile& file, const ImageOptions& options) {
  Qcow2Header header;
  if (const std::string why = read_qcow2_header(file, header); !why.empty()) {
    return file.path() + ": " + why;
  }
  if (header.backing_file.empty() || options.backing) return {};
  return needs_backing(file, header);
}

void add_warning(ImageResult& result, const std::string& text) {
  result.warning += (result.warning.empty() ? "" : "; ") + text;
}

}  // namespace

ImageResult open_image(const std::string& path, const ImageOptions& options) {
  if (is_nbd_uri(path)) return open_nbd(path, options);
  ImageResult result;
  HostFile file;
  result.error = file.open(path, {.read_only = options.read_only});
  if (!result.error.empty()) return result;
  if (file.size() < 512) {
    result.error = path + ": too small for a disk: " + std::to_string(file.size()) +
                   " bytes, less than a sector";
    return result;
  }
  if (options.format > ImageFormat::kQcow2) return open_elsewhere(std::move(file), options);
  FormatResult format = decide_format(file, options);
  result.error = format.error;
  if (!result.error.empty()) return result;
  if (format.format == ImageFormat::kQcow2) {
    if (!options.read_only) {
      ImageOptions writes = options;
      writes.format = ImageFormat::kQcow2;
      result.error = why_not_written(file, options);
      return result.error.empty() ? open_elsewhere(std::move(file), writes) : std::move(result);
    }
    BackingChain chain{.allowed = options.backing, .may_mark = options.may_mark, .files = {}};
    return open_qcow2(std::move(file), chain);
  }
  result.warning = format.warning;
  if (file.size() % 512 != 0) {
    add_warning(result, path + ": size is not a multiple of 512; the last " +
                            std::to_string(file.size() % 512) + " bytes are not part of the disk");
  }
  const uint64_t bytes = file.size() / 512 * 512;
  result.image =
      std::make_unique<RawImage>(std::move(file), bytes, options.read_only, format.guarded);
  return result;
}

ImageResult open_backing(const std::string& path, ImageFormat format, BackingChain& chain) {
  ImageResult result;
  HostFile file;
  result.error = file.open(path, {.read_only = true});
  if (!result.error.empty()) return result;
  const ImageOptions options{.read_only = true, .format = format, .may_mark = chain.may_mark};
  const FormatResult decided = decide_format(file, options);
  result.error = decided.error;
  if (!result.error.empty()) return result;
  if (decided.format == ImageFormat::kQcow2) return open_qcow2(std::move(file), chain);
  result.warning = decided.warning;
  // The last sector's missing bytes read as zeroes.
  const uint64_t bytes = (file.size() + 511) / 512 * 512;
  result.image = std::make_unique<RawImage>(std::move(file), bytes, true, false);
  return result;
}

}  // namespace trapline::virtio
