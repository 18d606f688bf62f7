// Whether a file is a raw disk or a qcow2 image, when nobody says. The first sector alone cannot
// tell: the guest of a raw disk may have written a qcow2 header there, whose backing file would
// name any file of the host. So a file that a guest may write as a raw disk is marked, out of the
// guest's reach, by an extended attribute; where a file cannot carry one, a guest's write of such a
// header to a disk whose format was probed is refused.
#ifndef TRAPLINE_DEVICES_VIRTIO_IMAGE_FORMAT_H_
#define TRAPLINE_DEVICES_VIRTIO_IMAGE_FORMAT_H_

#include <cstdint>
#include <string>

#include "devices/virtio/host_file.h"
#include "devices/virtio/image.h"

namespace trapline::virtio {

inline constexpr char kFormatAttribute[] = "user.trapline.format";

struct FormatResult {
  ImageFormat format = ImageFormat::kRaw;  // never kProbe
  std::string error;                       // names the file; empty on success
  std::string warning;
  bool guarded = false;  // the guest may not write what would be taken for another format
};

// Decides, and marks the file if a guest may write it as a raw disk.
FormatResult decide_format(const HostFile& file, const ImageOptions& options);

// The first bytes of a qcow2 image.
bool begins_as_qcow2(const uint8_t* first_sector);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_IMAGE_FORMAT_H_
