// Image formats that our own driver does not do, by QEMU's: qemu-nbd (package qemu-utils) as a
// child on a socket that nobody else has.
#ifndef TRAPLINE_DEVICES_VIRTIO_QEMU_NBD_H_
#define TRAPLINE_DEVICES_VIRTIO_QEMU_NBD_H_

#include <string>

#include "devices/virtio/image.h"

namespace trapline::virtio {

// What such a child may open.
struct ChildFiles {
  std::string image;     // absolute
  bool writes = false;   // it may be written to
  bool folder = false;   // and so may its neighbours: some formats are several files
  bool backing = false;  // anything may be read
};
// What that process calls before it becomes qemu-nbd: gives up what it does not need. One line if
// that cannot be.
using EnterDiskJail = std::string (*)(const ChildFiles& files);
// From now on children call it; null, as at the start: they do not.
void keep_qemu_nbd_apart(EnterDiskJail enter);

// QEMU's name of the format: "vmdk".
const char* format_name(ImageFormat format);

// `path` exists and is not locked. `options.format` says what it is: qemu-nbd is never left to
// guess. It ends when the image does, or this process; its own lock on the file lasts as long.
ImageResult open_by_qemu_nbd(const std::string& path, const ImageOptions& options);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_QEMU_NBD_H_
