#include "devices/virtio/net_filter.h"

#include <algorithm>
#include <cstring>

namespace trapline::virtio {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr uint16_t kTypeIpv4 = 0x0800, kTypeArp = 0x0806;
constexpr size_t kIpBytes = 20, kTcpBytes = 20, kUdpBytes = 8, kIcmpBytes = 8;
constexpr uint16_t kFragmentFields = 0x3fff;  // "more fragments", and the offset
constexpr uint8_t kEchoRequest = 8, kUnreachable = 3, kAdminProhibited = 13;
constexpr uint8_t kRstAck = 0x14;
constexpr uint16_t kDns = 53, kDhcpServer = 67;
constexpr uint32_t kBroadcast = 0xffffffff;

uint16_t get16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
uint32_t get32(const uint8_t* p) { return uint32_t{get16(p)} << 16 | get16(p + 2); }
void put16(uint8_t* p, size_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}
void put32(uint8_t* p, uint32_t v) {
  put16(p, v >> 16);
  put16(p + 2, v);
}

uint16_t checksum(const uint8_t* p, size_t size, uint32_t sum = 0) {
  for (size_t i = 0; i + 1 < size; i += 2) sum += get16(p + i);
  if (size % 2 != 0) sum += uint32_t{p[size - 1]} << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

bool is_multicast_or_broadcast(uint32_t address) {
  return address >> 28 == 0xe || address == kBroadcast ||
         address == (user_net::kNetwork | ~user_net::kMask);
}

// Ethernet and IPv4 headers of an answer; the payload is in place.
void put_headers(const uint8_t* frame, uint32_t source, uint32_t destination, IpProtocol protocol,
                 size_t payload, uint8_t* out) {
  std::memcpy(out, frame + 6, 6);  // back to where it came from
  std::memcpy(out + 6, frame, 6);
  put16(out + 12, kTypeIpv4);
  uint8_t* ip = out + kEthernetBytes;
  std::memset(ip, 0, kIpBytes);
  ip[0] = 0x45;
  put16(ip + 2, kIpBytes + payload);
  ip[8] = 64;
  ip[9] = static_cast<uint8_t>(protocol);
  put32(ip + 12, source);
  put32(ip + 16, destination);
  put16(ip + 10, checksum(ip, kIpBytes));
}

}  // namespace

GuestPacket parse_guest_frame(const uint8_t* frame, size_t size) {
  GuestPacket p;
  if (size < kEthernetBytes) return p;
  // A VLAN tag is a type of its own, which nothing behind knows.
  const uint16_t type = get16(frame + 12);
  if (type == kTypeArp) p.kind = GuestPacket::Kind::kArp;
  if (type != kTypeIpv4) return p;
  const uint8_t* ip = frame + kEthernetBytes;
  if (size < kEthernetBytes + kIpBytes || ip[0] >> 4 != 4) return p;
  const size_t header = (ip[0] & 15u) * 4u, total = get16(ip + 2);
  if (header < kIpBytes || total < header || total > size - kEthernetBytes) return p;
  const uint16_t offset = get16(ip + 6);
  p.fragment = (offset & kFragmentFields) != 0;
  p.source = get32(ip + 12);
  p.destination = get32(ip + 16);
  p.ip_at = kEthernetBytes;
  p.header_at = kEthernetBytes + header;
  const uint8_t* l4 = ip + header;
  const size_t payload = total - header;
  size_t least = 0;
  switch (ip[9]) {
    case static_cast<uint8_t>(IpProtocol::kIcmp):
      least = kIcmpBytes;
      break;
    case static_cast<uint8_t>(IpProtocol::kTcp):
      // No guest fragments TCP.
      if (p.fragment) return p;
      least = kTcpBytes;
      break;
    case static_cast<uint8_t>(IpProtocol::kUdp):
      least = kUdpBytes;
      break;
    default:
      return p;
  }
  p.protocol = static_cast<IpProtocol>(ip[9]);
  if (!p.fragment) {
    if (payload < least) return p;
    if (p.protocol == IpProtocol::kIcmp) {
      p.icmp_type = l4[0];
    } else {
      p.source_port = get16(l4);
      p.destination_port = get16(l4 + 2);
    }
    if (p.protocol == IpProtocol::kTcp) p.tcp_flags = l4[13];
  }
  p.kind = GuestPacket::Kind::kIpv4;
  return p;
}

bool is_closed_address(uint32_t address) {
  const uint32_t top = address >> 24;
  return top == 0 || top == 127 || top >= 224 || address >> 16 == 0xa9fe ||
         (address & user_net::kMask) == user_net::kNetwork;
}

Reach judge(const GuestPacket& p, Opening opening) {
  if (p.kind == GuestPacket::Kind::kArp) return Reach::kPass;
  if (p.kind != GuestPacket::Kind::kIpv4 || p.fragment) return Reach::kIgnore;
  const bool name_server = p.destination == user_net::kNameServer;
  switch (p.protocol) {
    case IpProtocol::kTcp:
      // All else belongs to a connection, or gets a reset.
      if (!opens_connection(p)) return Reach::kPass;
      break;
    case IpProtocol::kUdp:
      if (p.destination_port == kDhcpServer &&
          (p.destination == kBroadcast || p.destination == user_net::kHost)) {
        return Reach::kPass;
      }
      break;
    case IpProtocol::kIcmp:
      if (p.icmp_type != kEchoRequest) return Reach::kIgnore;
      if (p.destination == user_net::kHost || name_server) return Reach::kPass;
      break;
  }
  if (opening == Opening::kEverything) return Reach::kNew;
  // Chatter such as mDNS.
  if (is_multicast_or_broadcast(p.destination)) return Reach::kIgnore;
  // No other port: the host's resolver may listen on its loopback, beside anything else.
  if (!(name_server && p.destination_port == kDns) && is_closed_address(p.destination)) {
    return Reach::kHost;
  }
  return opening == Opening::kNothing ? Reach::kOutside : Reach::kNew;
}

size_t make_refusal(const uint8_t* frame, size_t size, const GuestPacket& p,
                    uint8_t (&out)[kMaxRefusal]) {
  if (p.kind != GuestPacket::Kind::kIpv4 || p.fragment || (frame[0] & 1) != 0 ||
      is_multicast_or_broadcast(p.destination) || p.source == 0) {
    return 0;
  }
  const uint8_t* ip = frame + p.ip_at;
  const uint8_t* l4 = frame + p.header_at;
  uint8_t* payload = out + kEthernetBytes + kIpBytes;
  if (p.protocol == IpProtocol::kTcp) {
    std::memset(payload, 0, kTcpBytes);
    put16(payload, p.destination_port);
    put16(payload + 2, p.source_port);
    put32(payload + 8, get32(l4 + 4) + 1);  // acknowledges the SYN
    payload[12] = kTcpBytes / 4 << 4;
    payload[13] = kRstAck;
    put_headers(frame, p.destination, p.source, p.protocol, kTcpBytes, out);
    const uint32_t pseudo = static_cast<uint32_t>(p.protocol) + kTcpBytes;
    put16(payload + 16, checksum(out + kEthernetBytes + 12, 8 + kTcpBytes, pseudo));
    return kEthernetBytes + kIpBytes + kTcpBytes;
  }
  // The packet's header and the first 8 bytes behind it.
  const size_t quoted = std::min(p.header_at - p.ip_at + 8, size - p.ip_at);
  std::memset(payload, 0, kIcmpBytes);
  payload[0] = kUnreachable;
  payload[1] = kAdminProhibited;
  std::memcpy(payload + kIcmpBytes, ip, quoted);
  put16(payload + 2, checksum(payload, kIcmpBytes + quoted));
  put_headers(frame, user_net::kHost, p.source, IpProtocol::kIcmp, kIcmpBytes + quoted, out);
  return kEthernetBytes + kIpBytes + kIcmpBytes + quoted;
}

}  // namespace trapline::virtio
