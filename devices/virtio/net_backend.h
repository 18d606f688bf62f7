// Where a network device's frames go: the host's sockets (libslirp) or a tap interface.
#ifndef TRAPLINE_DEVICES_VIRTIO_NET_BACKEND_H_
#define TRAPLINE_DEVICES_VIRTIO_NET_BACKEND_H_

#include <poll.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/net_options.h"
#include "mmio/device.h"

namespace trapline::virtio {

// struct virtio_net_hdr, 5.1.6; the legacy form without mergeable buffers lacks num_buffers.
struct NetHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t hdr_len = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
  uint16_t num_buffers = 0;
};
static_assert(sizeof(NetHeader) == 12, "as on the wire");

// Used by the network device's thread only.
class NetBackend {
 public:
  // Takes a frame for the guest; false: no room now, ready() is the sign to try again.
  using Receive = std::function<bool(const NetHeader& header, const uint8_t* frame, size_t size)>;

  virtual ~NetBackend() = default;
  void set_receive(Receive receive) { receive_ = std::move(receive); }

  // Virtio feature bits of checksum and segmentation offload that send() and receive can honour.
  virtual uint64_t offloads() const = 0;
  // The bits that the driver took.
  virtual void set_offloads(uint64_t /*features*/) {}
  // The largest packet that travels whole, bytes from the IP header on: offered to the driver where
  // it is not the usual one.
  virtual uint16_t mtu() const { return kUsualMtu; }
  // A frame from the guest, at most kMaxFrame bytes; may modify it. Dropped if the host will not.
  virtual void send(const NetHeader& header, uint8_t* frame, size_t size) = 0;
  // Adds what to wait for; lowers timeout_ms (-1: for ever) if a timer is due earlier.
  virtual void fill(std::vector<pollfd>& fds, int& timeout_ms) = 0;
  // After poll(): fds[first..] are the ones fill() added.
  virtual void dispatch(const std::vector<pollfd>& fds, size_t first) = 0;
  // The guest has room again after a refused receive.
  virtual void ready() {}
  // For statistics; any thread.
  virtual void counters(CounterVisitor /*visit*/, void* /*context*/) const {}

  static constexpr uint16_t kUsualMtu = 1500;
  static constexpr uint16_t kLargestMtu = 65520;       // of libslirp and passt
  static constexpr size_t kMaxFrame = 65550 + 14 + 4;  // a 64 KiB TSO packet, Ethernet, VLAN

 protected:
  Receive receive_;
};

struct NetBackendResult {
  std::unique_ptr<NetBackend> backend;  // null: `error` is one line
  std::string error;
};
// Of a backend and what was said when it was opened; empty: nothing is wrong.
inline NetBackendResult opened(std::unique_ptr<NetBackend> backend, std::string error) {
  if (!error.empty()) backend.reset();
  return {std::move(backend), std::move(error)};
}

NetBackendResult make_user_backend(const NetOptions& options);
NetBackendResult make_passt_backend(const NetOptions& options);
NetBackendResult make_tap_backend(const NetOptions& options);
NetBackendResult make_net_backend(const NetOptions& options);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NET_BACKEND_H_
