// qcow2, versions 2 and 3, for reading (QEMU docs/interop/qcow2.txt).
#ifndef TRAPLINE_DEVICES_VIRTIO_QCOW2_H_
#define TRAPLINE_DEVICES_VIRTIO_QCOW2_H_

#include "devices/virtio/host_file.h"
#include "devices/virtio/image.h"

namespace trapline::virtio {

bool is_qcow2(const HostFile& file);

// Zlib-compressed and zero clusters are read; backing files, external data files, encryption,
// extended L2 entries, other compressions and images marked corrupt are refused.
ImageResult open_qcow2(HostFile file);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_QCOW2_H_
