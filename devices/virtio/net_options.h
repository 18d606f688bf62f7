// The `--net` argument.
#ifndef TRAPLINE_DEVICES_VIRTIO_NET_OPTIONS_H_
#define TRAPLINE_DEVICES_VIRTIO_NET_OPTIONS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trapline::virtio {

using MacAddress = std::array<uint8_t, 6>;

struct HostForward {
  bool udp = false;
  uint32_t host_address = 0x7f000001;  // host byte order; the host's loopback unless named
  uint16_t host_port = 0;
  uint32_t guest_address = 0;  // 0: the address that DHCP hands out, 10.0.2.15
  uint16_t guest_port = 0;
};

struct NetOptions {
  static constexpr unsigned kMaxFlows = 65536;

  enum class Kind : uint8_t { kUser, kPasst, kTap };
  Kind kind = Kind::kUser;
  enum class Model : uint8_t { kVirtio, kE1000, kNe2000 };
  Model model = Model::kVirtio;
  // The largest packet of a user network, bytes: what the model's driver takes.
  uint16_t mtu() const { return model == Model::kVirtio ? 65520 : 1500; }
  std::string name = "net";  // of the device, for messages
  MacAddress mac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
  std::vector<HostForward> forwards;  // not tap
  bool host_access = false;           // not tap: the host's own addresses are open to the guest
  bool restricted = false;            // not tap: nothing is
  unsigned flows = 512;               // user: sockets at once
  std::string interface;              // tap
};

// `user[,hostfwd=tcp|udp:[HOST]:PORT-[GUEST]:PORT]*[,host-access|,restrict][,flows=N][,mac=M]`,
// `passt` with the same but `flows`, or
// `tap,ifname=NAME[,mac=M]`; each with `model=virtio|e1000|ne2000`. Returns an error text that
// quotes what it did not understand; empty on success.
std::string parse_net(std::string_view text, NetOptions& options);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NET_OPTIONS_H_
