// Whether an IPv4 address is the host's own, as its routing tables have it at the moment.
#ifndef TRAPLINE_DEVICES_VIRTIO_HOST_ROUTES_H_
#define TRAPLINE_DEVICES_VIRTIO_HOST_ROUTES_H_

#include <cstdint>

namespace trapline::virtio {

// One thread at a time.
class HostRoutes {
 public:
  HostRoutes() = default;
  ~HostRoutes();
  HostRoutes(const HostRoutes&) = delete;
  HostRoutes& operator=(const HostRoutes&) = delete;

  // 0 or a negative errno.
  int open();
  // True for what a packet would not leave the host for, or reach more than one machine by: the
  // addresses of its interfaces and any other local route, broadcast, multicast. False for what is
  // unreachable. True when the kernel does not answer. Host byte order.
  bool is_own(uint32_t address);
  // As it was at some time of the last second: most packets go where the one before went.
  bool is_own_lately(uint32_t address, int64_t now_ms);

 private:
  struct Known {
    uint32_t address = 0;
    bool own = true;
    int64_t until_ms = 0;
  };
  Known known_[64];
  int fd_ = -1;
  uint32_t sequence_ = 0;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_HOST_ROUTES_H_
