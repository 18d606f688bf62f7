// Disks that an NBD server has (the protocol: NetworkBlockDevice/nbd, doc/proto.md), by libnbd.
#ifndef TRAPLINE_DEVICES_VIRTIO_NBD_H_
#define TRAPLINE_DEVICES_VIRTIO_NBD_H_

#include <memory>
#include <string>
#include <string_view>

#include "devices/virtio/image.h"

namespace trapline::virtio {

// `nbd://`, `nbds://`, `nbd+unix://`, ...: nbd_connect_uri(3) has them all.
bool is_nbd_uri(std::string_view text);

// Connects, and waits until the server has said what it has. One connection more for each queue of
// a guest's (up to four) where the server's word is that a flush on one is a flush on all.
//
// A server that goes away is dialled again. What it had acknowledged and not been asked to make
// durable is kept (nbd_journal.h) and sent again before anything else; where that was too much to
// keep, the next flush fails. Requests wait meanwhile, or fail (ImageOptions::fail_on_loss).
ImageResult open_nbd(const std::string& uri, const ImageOptions& options);

// Likewise of a server of our own, for `path`, at the other end of a connected socket. It is
// nobody's to dial again: a loss is for ever. `keeper` goes once the connection has ended.
ImageResult open_nbd_socket(int socket, const std::string& path, const ImageOptions& options,
                            std::shared_ptr<void> keeper);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NBD_H_
