#include "devices/virtio/image_format.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace trapline::virtio {
namespace {

constexpr uint8_t kQcow2Magic[4] = {'Q', 'F', 'I', 0xfb};
constexpr std::string_view kRawMark = "raw";

enum class Mark : uint8_t { kNone, kRaw, kImpossible };

Mark read_mark(const HostFile& file, const ImageOptions& options) {
  // The kernel keeps user attributes for regular files only, and says "no data" for devices.
  if (!options.may_mark || file.is_block_device()) return Mark::kImpossible;
  char value[8];
  const ssize_t n = fgetxattr(file.fd(), kFormatAttribute, value, sizeof value);
  if (n < 0) return errno == ENODATA ? Mark::kNone : Mark::kImpossible;
  return std::string_view(value, static_cast<size_t>(n)) == kRawMark ? Mark::kRaw : Mark::kNone;
}

// On the disk before the guest can write its first sector.
bool write_mark(const HostFile& file) {
  return fsetxattr(file.fd(), kFormatAttribute, kRawMark.data(), kRawMark.size(), 0) == 0 &&
         fsync(file.fd()) == 0;
}

}  // namespace

bool begins_as_qcow2(const uint8_t* first_sector) {
  return std::memcmp(first_sector, kQcow2Magic, sizeof kQcow2Magic) == 0;
}

FormatResult decide_format(const HostFile& file, const ImageOptions& options) {
  FormatResult result;
  uint8_t start[sizeof kQcow2Magic] = {};
  if (const int error = file.read(0, start, sizeof start)) {
    result.error = file.path() + ": cannot read: " + std::strerror(-error);
    return result;
  }
  const bool qcow2 = begins_as_qcow2(start);
  const bool probed = options.format == ImageFormat::kProbe;
  const Mark mark = read_mark(file, options);

  if (options.format == ImageFormat::kQcow2) {
    result.format = ImageFormat::kQcow2;
    if (!qcow2) result.error = file.path() + ": `format=qcow2`, but it is no qcow2 image";
    return result;
  }
  if (probed && qcow2) {
    if (mark == Mark::kRaw) {
      result.warning = file.path() +
                       ": was attached as a raw disk before, so the qcow2 header in it counts as "
                       "the guest's; `format=qcow2` reads it as qcow2";
    } else if (mark == Mark::kNone || file.path().ends_with(".qcow2")) {
      result.format = ImageFormat::kQcow2;
      return result;
    } else {
      result.error = file.path() +
                     ": begins like a qcow2 image, but here a raw disk on which a guest wrote "
                     "such a header looks the same: say `format=qcow2` or `format=raw`";
      return result;
    }
  }
  if (options.read_only || mark == Mark::kRaw) return result;
  if (mark == Mark::kNone && write_mark(file)) return result;
  result.guarded = probed;
  if (!probed && mark == Mark::kNone) {
    result.warning = file.path() + ": cannot be marked as a raw disk (" + std::strerror(errno) +
                     "): give `format=raw` at each start";
  }
  return result;
}

}  // namespace trapline::virtio
