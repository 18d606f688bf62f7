#include "devices/virtio/nbd_library.h"

#include "devices/loaded_library.h"

namespace trapline::virtio {

Libnbd::Libnbd() {
  const LoadedLibrary library(TRAPLINE_NBD_SONAME, missing);
#define TRAPLINE_LIBNBD_FIND(name) library.find("nbd_" #name, name);
  TRAPLINE_LIBNBD(TRAPLINE_LIBNBD_FIND)
#undef TRAPLINE_LIBNBD_FIND
}

const Libnbd& libnbd() {
  static const Libnbd library;
  return library;
}

}  // namespace trapline::virtio
