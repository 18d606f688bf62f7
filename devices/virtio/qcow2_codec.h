// Unpacks compressed qcow2 clusters (QEMU docs/interop/qcow2.txt, "Compressed Clusters
// Descriptor").
#ifndef TRAPLINE_DEVICES_VIRTIO_QCOW2_CODEC_H_
#define TRAPLINE_DEVICES_VIRTIO_QCOW2_CODEC_H_

#include <cstdint>
#include <vector>

#include "devices/virtio/qcow2_header.h"

namespace trapline::virtio {

// `packed` begins with one cluster's stream and may go on with bytes of the next. False: it is
// damaged, or does not fill `plain`. Bounded in time and memory whatever the bytes are.
bool unpack_cluster(Qcow2Compression compression, const std::vector<uint8_t>& packed,
                    std::vector<uint8_t>& plain);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_QCOW2_CODEC_H_
