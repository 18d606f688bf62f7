// virtio-scsi (virtio 1.2, 5.6): one controller, a target for each disk or CD, of one logical unit.
#ifndef TRAPLINE_DEVICES_VIRTIO_SCSI_H_
#define TRAPLINE_DEVICES_VIRTIO_SCSI_H_

#include <memory>
#include <string>
#include <vector>

#include "devices/scsi/logical_unit.h"
#include "devices/virtio/function.h"
#include "devices/virtio/image.h"

namespace trapline::virtio {

// `drives`: each a target of that number, below 256. `name`: "virtio-scsi0"; the disks' serial
// numbers begin with it. `queues`: for requests, 1 to 8.
std::unique_ptr<Function> make_scsi(std::vector<scsi::Drive> drives, const std::string& name,
                                    unsigned queues);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_SCSI_H_
