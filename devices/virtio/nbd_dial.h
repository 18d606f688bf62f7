// Connections to where an NBD server was found once: made by this process, or, where it may not any
// more, by whoever may.
#ifndef TRAPLINE_DEVICES_VIRTIO_NBD_DIAL_H_
#define TRAPLINE_DEVICES_VIRTIO_NBD_DIAL_H_

#include <string>

namespace trapline::virtio {

// A stream socket that connects, or has, to `address`, the bytes of a sockaddr: it does not block,
// and closes on exec. -1 and errno.
int dial_here(const std::string& address);

using Dial = int (*)(const std::string& address);
// dial_here() unless told otherwise; any thread.
void set_nbd_dial(Dial dial);
Dial nbd_dial();

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NBD_DIAL_H_
