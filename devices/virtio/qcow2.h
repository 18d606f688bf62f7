// qcow2, versions 2 and 3, for reading (QEMU docs/interop/qcow2.txt).
#ifndef TRAPLINE_DEVICES_VIRTIO_QCOW2_H_
#define TRAPLINE_DEVICES_VIRTIO_QCOW2_H_

#include <string>
#include <vector>

#include "devices/virtio/host_file.h"
#include "devices/virtio/image.h"

namespace trapline::virtio {

// The images that were opened on the way to a backing file.
struct BackingChain {
  static constexpr size_t kMaxFiles = 32;  // each holds a descriptor and its tables

  bool allowed = false;
  bool may_mark = true;                   // as in ImageOptions
  std::vector<HostFile::Identity> files;  // to find a chain that comes back to itself
};

// Reads zlib- and zstd-compressed clusters, zero clusters, extended L2 entries, and, where the
// chain allows it, backing files, raw or qcow2, which are looked for from the image's own folder.
// An image marked corrupt is read, with a warning. External data files and encryption are refused.
ImageResult open_qcow2(HostFile file, BackingChain& chain);

struct Qcow2Header;
// The line for an image whose backing file the options do not allow.
std::string needs_backing(const HostFile& file, const Qcow2Header& header);

// The backing file of a qcow2 image (image.cc).
ImageResult open_backing(const std::string& path, ImageFormat format, BackingChain& chain);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_QCOW2_H_
