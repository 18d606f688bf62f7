// virtio-net (virtio 1.2, 5.1).
#ifndef TRAPLINE_DEVICES_VIRTIO_NET_H_
#define TRAPLINE_DEVICES_VIRTIO_NET_H_

#include <memory>

#include "devices/virtio/function.h"
#include "devices/virtio/net_backend.h"

namespace trapline::virtio {

// Live traffic is outside determinism (design, rule 5): give the transport IoMode::threaded() even
// under icount, unless the backend is silent.
std::unique_ptr<Function> make_net(std::unique_ptr<NetBackend> backend, const MacAddress& mac);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NET_H_
