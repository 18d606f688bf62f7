#include "devices/virtio/net_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "devices/virtio/ip_reassembly.h"
#include "tests/devices/virtio/net_peer.h"

namespace trapline::virtio::test {
namespace {

constexpr uint32_t kGuest = 0x0a00020f, kGateway = 0x0a000202, kNameServer = 0x0a000203;
constexpr uint32_t kOutside = 0xc0000201;
constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;

using Frame = std::vector<uint8_t>;

Frame udp(uint32_t to, uint16_t port, uint32_t from = kGuest) {
  return Peer::udp(from, 1000, to, port, {1, 2, 3, 4});
}
Frame tcp(uint32_t to, uint16_t port, uint8_t flags) {
  return Peer::tcp(kGuest, 1000, to, port, flags);
}
Frame changed(Frame f, const std::function<void(Frame&)>& change) {
  change(f);
  return f;
}

TEST(NetFilter, WhatAFrameReachesFor) {
  struct Row {
    const char* what;
    Frame frame;
    Reach outside, everything, nothing;
  };
  constexpr Reach kPass = Reach::kPass, kNew = Reach::kNew, kHost = Reach::kHost,
                  kRefused = Reach::kOutside, kIgnore = Reach::kIgnore;
  const Row rows[] = {
      {"nothing", {}, kIgnore, kIgnore, kIgnore},
      {"ARP", changed(Frame(42), [](Frame& f) { f[12] = 8, f[13] = 6; }), kPass, kPass, kPass},
      {"IPv6", changed(Frame(60), [](Frame& f) { f[12] = 0x86, f[13] = 0xdd; }), kIgnore, kIgnore,
       kIgnore},
      {"a VLAN tag", changed(Frame(60), [](Frame& f) { f[12] = 0x81; }), kIgnore, kIgnore, kIgnore},
      {"NC-SI", changed(Frame(60), [](Frame& f) { f[12] = 0x88, f[13] = 0xf8; }), kIgnore, kIgnore,
       kIgnore},
      {"DHCP discover", udp(0xffffffff, 67, 0), kPass, kPass, kPass},
      {"DHCP renewal", udp(kGateway, 67), kPass, kPass, kPass},
      {"DHCP elsewhere", udp(kOutside, 67), kNew, kNew, kRefused},
      {"DHCP at the loopback", udp(0x7f000001, 67), kHost, kNew, kHost},
      {"ping of the gateway", Peer::ping(kGuest, kGateway, 1), kPass, kPass, kPass},
      {"ping of the name server", Peer::ping(kGuest, kNameServer, 1), kPass, kPass, kPass},
      {"ping outside", Peer::ping(kGuest, kOutside, 1), kNew, kNew, kRefused},
      {"ping of the loopback", Peer::ping(kGuest, 0x7f000001, 1), kHost, kNew, kHost},
      {"an ICMP error", changed(Peer::ping(kGuest, kOutside, 1), [](Frame& f) { f[34] = 3; }),
       kIgnore, kIgnore, kIgnore},
      {"DNS", udp(kNameServer, 53), kNew, kNew, kRefused},
      {"DNS by TCP", tcp(kNameServer, 53, kSyn), kNew, kNew, kRefused},
      {"another port there", udp(kNameServer, 54), kHost, kNew, kHost},
      {"another port by TCP", tcp(kNameServer, 22, kSyn), kHost, kNew, kHost},
      {"DNS of the gateway", udp(kGateway, 53), kHost, kNew, kHost},
      {"TFTP", udp(kGateway, 69), kHost, kNew, kHost},
      {"the gateway", tcp(kGateway, 80, kSyn), kHost, kNew, kHost},
      {"an alias", tcp(0x0a0002fe, 80, kSyn), kHost, kNew, kHost},
      {"the network", tcp(0x0a000200, 80, kSyn), kHost, kNew, kHost},
      {"itself", tcp(kGuest, 80, kSyn), kHost, kNew, kHost},
      {"beside the network", tcp(0x0a000301, 80, kSyn), kNew, kNew, kRefused},
      {"the loopback", tcp(0x7f000001, 80, kSyn), kHost, kNew, kHost},
      {"the loopback's end", tcp(0x7fffffff, 80, kSyn), kHost, kNew, kHost},
      {"before the loopback", tcp(0x7effffff, 80, kSyn), kNew, kNew, kRefused},
      {"link-local", tcp(0xa9fea9fe, 80, kSyn), kHost, kNew, kHost},
      {"beside link-local", tcp(0xa9ff0001, 80, kSyn), kNew, kNew, kRefused},
      {"nobody", tcp(0, 80, kSyn), kHost, kNew, kHost},
      {"this network", tcp(0x00ffffff, 80, kSyn), kHost, kNew, kHost},
      {"reserved", tcp(0xf0000001, 80, kSyn), kHost, kNew, kHost},
      {"mDNS", udp(0xe00000fb, 5353), kIgnore, kNew, kIgnore},
      {"broadcast", udp(0xffffffff, 137), kIgnore, kNew, kIgnore},
      {"the network's broadcast", udp(0x0a0002ff, 137), kIgnore, kNew, kIgnore},
      {"outside", tcp(kOutside, 80, kSyn), kNew, kNew, kRefused},
      {"SYN and PSH", tcp(0x7f000001, 80, kSyn | kPsh), kHost, kNew, kHost},
      {"SYN, FIN, RST, URG", tcp(0x7f000001, 80, kSyn | kFin | kRst | kUrg), kHost, kNew, kHost},
      {"SYN and ACK", tcp(kGateway, 80, kSyn | kAck), kPass, kPass, kPass},
      {"a segment", tcp(kGateway, 80, kAck), kPass, kPass, kPass},
      {"a reset", tcp(kGateway, 80, kRst), kPass, kPass, kPass},
      {"a fragment of TCP", Peer::ip(6, kGuest, kOutside, Frame(24), 0x2000), kIgnore, kIgnore,
       kIgnore},
      {"a later fragment of TCP", Peer::ip(6, kGuest, kOutside, Frame(24), 1), kIgnore, kIgnore,
       kIgnore},
      {"a short TCP header", Peer::ip(6, kGuest, kOutside, Frame(19)), kIgnore, kIgnore, kIgnore},
      {"a fragment", Peer::ip(17, kGuest, kOutside, Frame(16), 0x2000), kIgnore, kIgnore, kIgnore},
      {"a last fragment", Peer::ip(17, kGuest, kOutside, Frame(16), 1), kIgnore, kIgnore, kIgnore},
      {"a short UDP header", Peer::ip(17, kGuest, kOutside, Frame(7)), kIgnore, kIgnore, kIgnore},
      {"another protocol", Peer::ip(47, kGuest, kOutside, Frame(24)), kIgnore, kIgnore, kIgnore},
      {"IP version 5", changed(udp(kOutside, 9), [](Frame& f) { f[14] = 0x55; }), kIgnore, kIgnore,
       kIgnore},
      {"a header of 16 bytes", changed(udp(kOutside, 9), [](Frame& f) { f[14] = 0x44; }), kIgnore,
       kIgnore, kIgnore},
      {"options beyond the packet", changed(udp(kOutside, 9), [](Frame& f) { f[14] = 0x4f; }),
       kIgnore, kIgnore, kIgnore},
      {"longer than the frame", changed(udp(kOutside, 9), [](Frame& f) { ++f[17]; }), kIgnore,
       kIgnore, kIgnore},
      {"padded", changed(udp(0x7f000001, 9), [](Frame& f) { f.resize(200); }), kHost, kNew, kHost},
  };
  for (const Row& r : rows) {
    const GuestPacket p = parse_guest_frame(r.frame.data(), r.frame.size());
    EXPECT_EQ(judge(p, Opening::kOutside), r.outside) << r.what;
    EXPECT_EQ(judge(p, Opening::kEverything), r.everything) << r.what;
    EXPECT_EQ(judge(p, Opening::kNothing), r.nothing) << r.what;
  }
}

TEST(NetFilter, FindsThePortsBehindOptions) {
  Frame f = udp(0x7f000001, 4660);
  f.insert(f.begin() + 34, 8, 1);  // NOPs
  f[14] = 0x47;
  f[17] = static_cast<uint8_t>(f[17] + 8);
  const GuestPacket p = parse_guest_frame(f.data(), f.size());
  EXPECT_EQ(p.kind, GuestPacket::Kind::kIpv4);
  EXPECT_EQ(p.destination_port, 4660);
  EXPECT_EQ(p.header_at, 42u);
  uint8_t out[kMaxRefusal];
  EXPECT_EQ(make_refusal(f.data(), f.size(), p, out), 14u + 20 + 8 + 28 + 8);
}

TEST(NetFilter, WhatGetsNoAnswer) {
  uint8_t out[kMaxRefusal];
  const auto answer = [&](const Frame& f) {
    return make_refusal(f.data(), f.size(), parse_guest_frame(f.data(), f.size()), out);
  };
  EXPECT_GT(answer(changed(udp(0x7f000001, 9), [](Frame& f) { f[0] = 0x52; })), 0u);
  EXPECT_EQ(answer(changed(udp(0x7f000001, 9), [](Frame& f) { f[0] = 0xff; })), 0u);
  EXPECT_EQ(answer(udp(0xe0000001, 9)), 0u);
  EXPECT_EQ(answer(udp(0xffffffff, 9)), 0u);
  EXPECT_EQ(answer(udp(0x7f000001, 9, 0)), 0u);
  EXPECT_EQ(answer(Peer::ip(17, kGuest, 0x7f000001, Frame(16), 1)), 0u);
  EXPECT_EQ(answer(Frame(60)), 0u);
}

// --- fragments -----------------------------------------------------------------------------------

class Fragments : public testing::Test {
 protected:
  // The payload's bytes [at, at + n).
  std::span<uint8_t> add(size_t at, size_t n, bool more, uint8_t id = 1, int64_t now = 0) {
    Frame payload(n);
    for (size_t i = 0; i < n; ++i) payload[i] = static_cast<uint8_t>((at + i) * 7 + id);
    Frame f = Peer::ip(17, kGuest, kOutside, payload,
                       static_cast<uint16_t>(at / 8 | (more ? 0x2000 : 0)));
    f[19] = id;
    Peer::put16(f, 24, 0);
    Peer::put16(f, 24, static_cast<uint16_t>(~Peer::checksum(&f[14], 20)));
    const GuestPacket p = parse_guest_frame(f.data(), f.size());
    EXPECT_TRUE(p.fragment);
    return reassembly.add(f.data(), p.ip_at, now);
  }
  void expect_whole(std::span<uint8_t> whole, size_t n, uint8_t id = 1) {
    ASSERT_EQ(whole.size(), 34 + n);
    EXPECT_EQ(Peer::checksum(&whole[14], 20), 0xffff);
    for (size_t i = 0; i < n; ++i) {
      ASSERT_EQ(whole[34 + i], static_cast<uint8_t>(i * 7 + id)) << i;
    }
    const GuestPacket p = parse_guest_frame(whole.data(), whole.size());
    EXPECT_EQ(p.kind, GuestPacket::Kind::kIpv4);
    EXPECT_FALSE(p.fragment);
  }
  IpReassembly reassembly;
};

TEST_F(Fragments, InAnyOrder) {
  struct Piece {
    size_t at, n;
    bool more;
  };
  std::vector<Piece> pieces = {
      {0, 1480, true}, {1480, 1480, true}, {2960, 8, true}, {2968, 33, false}};
  std::vector<int> order = {0, 1, 2, 3};
  do {
    for (int i = 0; i < 3; ++i) {
      const Piece& p = pieces[static_cast<size_t>(order[static_cast<size_t>(i)])];
      EXPECT_TRUE(add(p.at, p.n, p.more).empty());
    }
    const Piece& p = pieces[static_cast<size_t>(order[3])];
    expect_whole(add(p.at, p.n, p.more), 3001);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(Fragments, OverlapsAndNonsenseDropTheDatagram) {
  EXPECT_TRUE(add(0, 16, true).empty());
  EXPECT_TRUE(add(8, 16, true).empty());  // overlaps
  EXPECT_TRUE(add(16, 8, false).empty());
  EXPECT_TRUE(add(0, 8, true).empty());
  expect_whole(add(8, 8, true), 24);         // what came after it is a datagram of its own
  EXPECT_TRUE(add(0, 12, true, 2).empty());  // no multiple of 8
  EXPECT_TRUE(add(8, 8, false, 2).empty());
  EXPECT_TRUE(add(16, 8, true, 3).empty());
  EXPECT_TRUE(add(8, 4, false, 3).empty());  // ends before what is there
  EXPECT_TRUE(add(8, 8, false, 4).empty());
  EXPECT_TRUE(add(16, 8, false, 4).empty());     // ends twice
  EXPECT_TRUE(add(65528, 8, false, 5).empty());  // beyond the longest packet
  EXPECT_TRUE(add(0, 0, true, 6).empty());
}

TEST_F(Fragments, ManyAndOldOnesAreForgotten) {
  for (unsigned id = 0; id < 200; ++id)
    EXPECT_TRUE(add(0, 8, true, static_cast<uint8_t>(id)).empty());
  EXPECT_TRUE(add(8, 8, false, 10).empty());  // evicted
  expect_whole(add(8, 8, false, 199), 16, 199);
  EXPECT_TRUE(add(0, 8, true, 1, 1000).empty());
  EXPECT_TRUE(add(8, 8, false, 1, 40'000).empty());
}

}  // namespace
}  // namespace trapline::virtio::test
