// What all disk devices ask of a request before and after it is performed.
#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/dma.h"
#include "devices/virtio/image_format.h"

namespace trapline::virtio {

bool keeps_format(const Image& image, BlkRequest& r, Report& report) {
  constexpr size_t kSector = sizeof r.first_sector;
  if (!image.guards_format() || r.offset != 0 || r.bytes < kSector) return true;
  size_t got = 0, gone = 0;
  for (iovec& v : r.iov) {
    const size_t n = std::min(kSector - got, v.iov_len);
    copy_from_guest(r.first_sector + got, static_cast<const uint8_t*>(v.iov_base), n);
    got += n;
    v.iov_base = static_cast<uint8_t*>(v.iov_base) + n;
    v.iov_len -= n;
    if (v.iov_len == 0) ++gone;
    if (got == kSector) break;
  }
  r.iov.erase(r.iov.begin(), r.iov.begin() + static_cast<std::ptrdiff_t>(gone));
  r.iov.insert(r.iov.begin(), {r.first_sector, kSector});
  if (!begins_as_qcow2(r.first_sector)) return true;
  report.add("write of a qcow2 header to " + image.path() +
             ", whose format was probed, refused: `format=raw` allows it");
  return false;
}

void report_failure(const Image& image, const BlkRequest& r, Report& report) {
  static constexpr const char* kNames[] = {"read", "write", "flush", "discard", "write zeroes"};
  try {
    report.add(image.path() + ": " + kNames[static_cast<unsigned>(r.op)] + " failed at byte " +
               std::to_string(r.offset) + ": " + std::strerror(-r.result));
  } catch (const std::bad_alloc&) {
    // The guest gets its I/O error all the same.
  }
}

}  // namespace trapline::virtio
