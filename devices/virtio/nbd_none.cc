// Built where libnbd is not.
#include "devices/virtio/nbd.h"

namespace trapline::virtio {

ImageResult open_nbd(const std::string& uri, const ImageOptions& /*options*/) {
  return {.image = nullptr,
          .error = uri + ": built without libnbd (Debian: libnbd-dev, then build again)",
          .warning = {}};
}

ImageResult open_nbd_socket(int /*socket*/, const std::string& path, const ImageOptions& options,
                            std::shared_ptr<void> /*keeper*/) {
  return open_nbd(path, options);
}

}  // namespace trapline::virtio
