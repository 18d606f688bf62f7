// A small host behind a network backend: builds frames, answers ARP.
#ifndef TRAPLINE_TESTS_DEVICES_VIRTIO_NET_PEER_H_
#define TRAPLINE_TESTS_DEVICES_VIRTIO_NET_PEER_H_

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "devices/virtio/net_backend.h"

namespace trapline::virtio::test {

// A UDP port of the loopback that is free: briefly ours to find its number.
inline sockaddr_in free_udp_port() {
  const int probe = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(bind(probe, reinterpret_cast<sockaddr*>(&address), length), 0);
  getsockname(probe, reinterpret_cast<sockaddr*>(&address), &length);
  close(probe);
  return address;
}

inline constexpr MacAddress kMac = {0x52, 0x54, 0x00, 1, 2, 3};

class Peer {
 public:
  explicit Peer(NetBackend& backend) : backend_(backend) {
    backend.set_receive([this](const NetHeader&, const uint8_t* frame, size_t size) {
      frames.emplace_back(frame, frame + size);
      return true;
    });
  }
  // Lets the backend work until `wanted` finds a frame, 3 s at most.
  template <typename Wanted>
  std::vector<uint8_t> wait(Wanted wanted) {
    for (int i = 0; i < 300; ++i) {
      while (!frames.empty()) {
        auto frame = std::move(frames.front());
        frames.pop_front();
        if (wanted(frame)) return frame;
        answer_arp(frame);
      }
      std::vector<pollfd> fds;
      int timeout = 10;
      backend_.fill(fds, timeout);
      poll(fds.data(), fds.size(), std::min(timeout, 10));
      backend_.dispatch(fds, 0);
    }
    return {};
  }
  void send(std::vector<uint8_t> frame, const NetHeader& header = {}) {
    backend_.send(header, frame.data(), frame.size());
  }
  void answer_arp(const std::vector<uint8_t>& f) {
    if (f.size() < 42 || f[12] != 8 || f[13] != 6 || f[21] != 1) return;
    std::vector<uint8_t> reply(42);
    std::memcpy(&reply[0], &f[6], 6);
    std::memcpy(&reply[6], kMac.data(), 6);
    std::memcpy(&reply[12], &f[12], 8);
    reply[21] = 2;
    std::memcpy(&reply[22], kMac.data(), 6);
    std::memcpy(&reply[28], &f[38], 4);
    std::memcpy(&reply[32], &f[22], 10);
    send(reply);
  }
  static uint16_t checksum(const uint8_t* p, size_t n, uint32_t sum = 0) {
    for (size_t i = 0; i + 1 < n; i += 2) sum += p[i] << 8 | p[i + 1];
    if (n % 2 != 0) sum += p[n - 1] << 8;
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(sum);
  }
  // Ethernet and IPv4 around a payload of the protocol.
  static std::vector<uint8_t> ip(uint8_t protocol, uint32_t from, uint32_t to,
                                 const std::vector<uint8_t>& payload, uint16_t fragment = 0) {
    std::vector<uint8_t> f(34 + payload.size());
    const uint8_t gateway[] = {0x52, 0x55, 10, 0, 2, 2};
    std::memcpy(&f[0], gateway, 6);
    std::memcpy(&f[6], kMac.data(), 6);
    f[12] = 8;
    f[14] = 0x45;
    put16(f, 16, 20 + payload.size());
    put16(f, 18, 0x77);
    put16(f, 20, fragment);
    f[22] = 64;
    f[23] = protocol;
    put32(f, 26, from);
    put32(f, 30, to);
    put16(f, 24, static_cast<uint16_t>(~checksum(&f[14], 20)));
    std::copy(payload.begin(), payload.end(), f.begin() + 34);
    return f;
  }
  // A TCP segment, its checksum included; flags: SYN 2, ACK 16.
  static std::vector<uint8_t> tcp(uint32_t from, uint16_t from_port, uint32_t to, uint16_t to_port,
                                  uint8_t flags, uint32_t sequence = 1000, uint32_t ack = 0) {
    std::vector<uint8_t> segment(20);
    put16(segment, 0, from_port);
    put16(segment, 2, to_port);
    put32(segment, 4, sequence);
    put32(segment, 8, ack);
    segment[12] = 0x50;
    segment[13] = flags;
    put16(segment, 14, 0xffff);
    auto f = ip(6, from, to, segment);
    put16(f, 50, static_cast<uint16_t>(~checksum(&f[26], 8 + 20, 6 + 20)));
    return f;
  }
  static std::vector<uint8_t> ping(uint32_t from, uint32_t to, uint16_t id) {
    std::vector<uint8_t> echo(16);
    echo[0] = 8;
    put16(echo, 4, id);
    put16(echo, 2, static_cast<uint16_t>(~checksum(echo.data(), echo.size())));
    return ip(1, from, to, echo);
  }
  static void put16(std::vector<uint8_t>& f, size_t at, size_t v) {
    f[at] = static_cast<uint8_t>(v >> 8);
    f[at + 1] = static_cast<uint8_t>(v);
  }
  static void put32(std::vector<uint8_t>& f, size_t at, uint32_t v) {
    put16(f, at, v >> 16);
    put16(f, at + 2, v);
  }
  // Ethernet, IPv4 and UDP around a payload; the UDP checksum is left to the device.
  static std::vector<uint8_t> udp(uint32_t from, uint16_t from_port, uint32_t to, uint16_t to_port,
                                  const std::vector<uint8_t>& payload) {
    std::vector<uint8_t> f(42 + payload.size());
    std::fill_n(f.begin(), 6, 0xff);
    if (to != 0xffffffff) f[0] = 0x52, f[1] = 0x55, f[2] = 10, f[3] = 0, f[4] = 2, f[5] = 2;
    std::memcpy(&f[6], kMac.data(), 6);
    f[12] = 8;
    const auto put16 = [&](size_t at, size_t v) {
      f[at] = static_cast<uint8_t>(v >> 8);
      f[at + 1] = static_cast<uint8_t>(v);
    };
    f[14] = 0x45;
    put16(16, 28 + payload.size());
    f[22] = 64;
    f[23] = 17;
    put16(26, from >> 16), put16(28, from), put16(30, to >> 16), put16(32, to);
    put16(24, static_cast<uint16_t>(~checksum(&f[14], 20)));
    put16(34, from_port), put16(36, to_port), put16(38, 8 + payload.size());
    put16(40, checksum(&f[26], 8, static_cast<uint32_t>(17 + 8 + payload.size())));
    std::copy(payload.begin(), payload.end(), f.begin() + 42);
    return f;
  }
  static constexpr NetHeader kPartial = {.flags = 1, .csum_start = 34, .csum_offset = 6};
  std::deque<std::vector<uint8_t>> frames;

 private:
  NetBackend& backend_;
};

inline bool is_udp_to(const std::vector<uint8_t>& f, uint16_t port) {
  return f.size() >= 42 && f[12] == 8 && f[13] == 0 && f[23] == 17 && (f[36] << 8 | f[37]) == port;
}

}  // namespace trapline::virtio::test

#endif  // TRAPLINE_TESTS_DEVICES_VIRTIO_NET_PEER_H_
