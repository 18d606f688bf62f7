// libnbd, loaded when the first disk of an NBD server is opened: with GnuTLS and libxml2 behind it,
// it would cost every start.
#ifndef TRAPLINE_DEVICES_VIRTIO_NBD_LIBRARY_H_
#define TRAPLINE_DEVICES_VIRTIO_NBD_LIBRARY_H_

#include <libnbd.h>

#include <string>

namespace trapline::virtio {

// clang-format off
#define TRAPLINE_LIBNBD(F) \
  F(create) F(close) F(get_error) F(set_export_name) F(get_export_name) \
  F(set_uri_allow_local_file) F(set_strict_mode) F(is_read_only) F(can_flush) F(can_fua) \
  F(can_trim) F(can_zero) F(can_multi_conn) F(get_size) F(get_block_size) \
  F(aio_connect_uri) F(aio_connect_socket) F(aio_pread) F(aio_pwrite) F(aio_flush) \
  F(aio_trim) F(aio_zero) F(aio_get_fd) F(aio_get_direction) F(aio_notify_read) \
  F(aio_notify_write) F(aio_is_ready) F(aio_is_dead) F(aio_is_closed) F(aio_disconnect)
// clang-format on

struct Libnbd {
  Libnbd();

#define TRAPLINE_LIBNBD_MEMBER(name) decltype(&nbd_##name) name = nullptr;
  TRAPLINE_LIBNBD(TRAPLINE_LIBNBD_MEMBER)
#undef TRAPLINE_LIBNBD_MEMBER
  std::string missing;  // empty: all is there
};

const Libnbd& libnbd();

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NBD_LIBRARY_H_
