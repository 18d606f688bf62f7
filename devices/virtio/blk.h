// virtio-blk (virtio 1.2, 5.2).
#ifndef TRAPLINE_DEVICES_VIRTIO_BLK_H_
#define TRAPLINE_DEVICES_VIRTIO_BLK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "devices/virtio/function.h"
#include "devices/virtio/image.h"

namespace trapline::virtio {

enum class BlkEngineKind : uint8_t {
  kAuto,     // io_uring where the kernel lets us and the image is raw, else threads
  kUring,    // io_uring or, with a line, threads
  kThreads,  // a pool of threads with preadv/pwritev
};

struct BlkOptions {
  std::string serial;   // up to 20 bytes, GET_ID
  unsigned queues = 1;  // F_MQ above 1; at most 8
  BlkEngineKind engine = BlkEngineKind::kAuto;
};

// In deterministic mode requests are performed synchronously, without an engine.
std::unique_ptr<Function> make_blk(std::unique_ptr<Image> image, const BlkOptions& options);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_BLK_H_
