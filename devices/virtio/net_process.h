// `--net user` in a process of its own: libslirp has sockets, and neither the guest's memory nor
// its disks; the VM has these, and no sockets. Between them lie two rings of frames in shared
// memory, each of which believes nothing that the other side wrote.
#ifndef TRAPLINE_DEVICES_VIRTIO_NET_PROCESS_H_
#define TRAPLINE_DEVICES_VIRTIO_NET_PROCESS_H_

#include <string>

#include "devices/virtio/net_backend.h"

namespace trapline::virtio {

// What that process calls once its sockets for `hostfwd` are there: gives up what it does not need.
// One line if that cannot be.
using EnterNetJail = std::string (*)();
// From now on make_net_backend() makes such processes; null, as at the start: it does not.
void keep_user_net_apart(EnterNetJail enter);
EnterNetJail user_net_jail();

NetBackendResult make_user_process(const NetOptions& options, EnterNetJail enter);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NET_PROCESS_H_
