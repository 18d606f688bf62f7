// The `--disk` argument.
#ifndef TRAPLINE_DEVICES_VIRTIO_DISK_OPTIONS_H_
#define TRAPLINE_DEVICES_VIRTIO_DISK_OPTIONS_H_

#include <string>
#include <string_view>

#include "devices/virtio/image.h"

namespace trapline::virtio {

struct DiskOptions {
  std::string path;
  ImageOptions image;
  bool cd = false;  // read-only, blocks of 2048 bytes
};

// `F[,WORD]*`, where the table in disk_options.cc says which words there are. A comma in F is
// written twice, as QEMU has it. Returns an error text that quotes what it did not understand;
// empty on success.
std::string parse_disk(std::string_view text, DiskOptions& options);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_DISK_OPTIONS_H_
