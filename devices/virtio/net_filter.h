// What a guest's frames may reach through the user-mode network. Pure functions over one frame; the
// stack behind them (libslirp) would open any address of the host to the guest, its loopback
// through 10.0.2.x among them.
#ifndef TRAPLINE_DEVICES_VIRTIO_NET_FILTER_H_
#define TRAPLINE_DEVICES_VIRTIO_NET_FILTER_H_

#include <cstddef>
#include <cstdint>

namespace trapline::virtio {

// The guest's network: addresses in host byte order.
namespace user_net {
inline constexpr uint32_t kNetwork = 0x0a000200, kMask = 0xffffff00;  // 10.0.2.0/24
inline constexpr uint32_t kHost = kNetwork + 2;
inline constexpr uint32_t kNameServer = kNetwork + 3;
inline constexpr uint32_t kGuest = kNetwork + 15;  // what DHCP hands out
}  // namespace user_net

enum class IpProtocol : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17 };

// A frame as far as the filter cares.
struct GuestPacket {
  enum class Kind : uint8_t {
    kArp,
    kIpv4,     // whole, as far as its headers say, and of a protocol above
    kIgnored,  // anything else: the network behind has no use for it
  };
  Kind kind = Kind::kIgnored;
  IpProtocol protocol = IpProtocol::kIcmp;
  bool fragment = false;     // of a larger packet
  bool first = true;         // with the protocol's header; false: the fields below are unset
  uint8_t tcp_flags = 0;     // SYN 2, ACK 16
  uint8_t icmp_type = 0;     // 8: echo request
  uint32_t source = 0;       // host byte order
  uint32_t destination = 0;  // host byte order
  uint16_t source_port = 0;  // TCP and UDP
  uint16_t destination_port = 0;
  size_t ip_at = 0;      // bytes from the frame's start
  size_t header_at = 0;  // the protocol's header
};

// Any bytes. Reads the fields where libslirp reads them.
GuestPacket parse_guest_frame(const uint8_t* frame, size_t size);

enum class Reach : uint8_t {
  kPass,     // needs nothing of the host: a connection that is open, DHCP, a ping of 10.0.2.2
  kNew,      // may open a socket of the host, towards the outside or the name server
  kHost,     // the host's own: passes as an answer to what the host sent
  kOutside,  // the same, with `restrict`
  kIgnore,   // passes nowhere, and nobody needs to know
};

// What the user allows beyond the usual, or not.
enum class Opening : uint8_t {
  kOutside,     // the host's own addresses stay closed
  kEverything,  // `host-access`
  kNothing,     // `restrict`
};

// What the packet reaches for. Whether an address beyond is_closed_address() is one of the host's
// own is for the caller to find out, for each kNew.
Reach judge(const GuestPacket& packet, Opening opening);

// Addresses that are the host's, its links' or nobody's, whatever its interfaces: 0/8, 127/8,
// 169.254/16, 10.0.2/24, and from 224.0.0.0 on.
bool is_closed_address(uint32_t address);

// A TCP segment that asks for a connection.
inline bool opens_connection(const GuestPacket& p) {
  constexpr uint8_t kSyn = 2, kAck = 16;
  return p.protocol == IpProtocol::kTcp && (p.tcp_flags & (kSyn | kAck)) == kSyn;
}

// The frame that tells the guest that `packet`, which came in `frame`, was refused: a reset, or
// ICMP "administratively prohibited" (RFC 1812, 5.2.7.1). Returns its size, at most kMaxRefusal; 0:
// such a packet gets no answer (RFC 1122, 3.2.2).
inline constexpr size_t kMaxRefusal = 14 + 20 + 8 + 60 + 8;
size_t make_refusal(const uint8_t* frame, size_t size, const GuestPacket& packet,
                    uint8_t (&out)[kMaxRefusal]);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NET_FILTER_H_
