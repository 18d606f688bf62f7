#include "devices/virtio/net.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "devices/virtio/net_features.h"
#include "tests/devices/virtio/harness.h"
#include "tests/devices/virtio/net_peer.h"

namespace trapline::virtio::test {
namespace {

// --- the option ----------------------------------------------------------------------------------

TEST(NetOptions, Parses) {
  NetOptions o;
  EXPECT_EQ(parse_net("user", o), "");
  EXPECT_EQ(o.kind, NetOptions::Kind::kUser);
  EXPECT_EQ(parse_net("user,hostfwd=tcp:127.0.0.2:2222-10.0.2.15:22,hostfwd=udp::53-:5353,"
                      "mac=52:54:00:aa:Bb:0c",
                      o),
            "");
  ASSERT_EQ(o.forwards.size(), 2u);
  EXPECT_FALSE(o.forwards[0].udp);
  EXPECT_EQ(o.forwards[0].host_address, 0x7f000002u);
  EXPECT_EQ(o.forwards[0].host_port, 2222);
  EXPECT_EQ(o.forwards[0].guest_address, 0x0a00020fu);
  EXPECT_EQ(o.forwards[0].guest_port, 22);
  EXPECT_TRUE(o.forwards[1].udp);
  EXPECT_EQ(o.forwards[1].host_address, 0x7f000001u);
  EXPECT_EQ(o.forwards[1].guest_address, 0u);
  EXPECT_EQ(o.mac, (MacAddress{0x52, 0x54, 0, 0xaa, 0xbb, 0x0c}));
  EXPECT_FALSE(o.host_access || o.restricted);
  EXPECT_EQ(o.flows, 512u);
  EXPECT_EQ(parse_net("user,host-access,flows=65536", o), "");
  EXPECT_TRUE(o.host_access);
  EXPECT_EQ(o.flows, 65536u);
  EXPECT_EQ(parse_net("user,restrict,flows=1", o), "");
  EXPECT_TRUE(o.restricted && !o.host_access);
  EXPECT_EQ(o.flows, 1u);
  EXPECT_EQ(parse_net("tap,ifname=tap0", o), "");
  EXPECT_EQ(o.kind, NetOptions::Kind::kTap);
  EXPECT_EQ(o.interface, "tap0");
  EXPECT_TRUE(o.forwards.empty());
}

TEST(NetOptions, RefusesInOneLine) {
  for (const char* text : {"",
                           "users",
                           "user,",
                           "user,,mac=52:54:00:00:00:01",
                           "user,ifname=tap0",
                           "user,hostfwd",
                           "user,hostfwd=",
                           "user,hostfwd=tcp",
                           "user,hostfwd=tcp:1:2",
                           "user,hostfwd=icmp::1-:1",
                           "user,hostfwd=tcp::0-:22",
                           "user,hostfwd=tcp::65536-:22",
                           "user,hostfwd=tcp::22-:0",
                           "user,hostfwd=tcp::22-:22x",
                           "user,hostfwd=tcp::-1-:22",
                           "user,hostfwd=tcp:localhost:22-:22",
                           "user,hostfwd=tcp::22",
                           "user,host-access=yes",
                           "user,host-access,restrict",
                           "user,restrict,host-access",
                           "user,flows",
                           "user,flows=",
                           "user,flows=0",
                           "user,flows=-1",
                           "user,flows=65537",
                           "user,flows=10x",
                           "user,flows=99999999999999999999",
                           "tap,ifname=t,host-access",
                           "user,mac=52:54:00:00:00",
                           "user,mac=52-54-00-00-00-01",
                           "user,mac=53:54:00:00:00:01",
                           "user,mac=5g:54:00:00:00:01",
                           "tap",
                           "tap,ifname=",
                           "tap,ifname=a-name-that-is-too-long",
                           "tap,hostfwd=tcp::1-:1"}) {
    NetOptions o;
    const std::string error = parse_net(text, o);
    EXPECT_EQ(error.find("--net: "), 0u) << text;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

// --- the device ----------------------------------------------------------------------------------

// Keeps what is sent; what it receives comes from the test.
class FakeBackend final : public NetBackend {
 public:
  uint64_t offloads() const override { return net::kCsum | net::kGuestCsum; }
  void set_offloads(uint64_t features) override { taken = features; }
  void send(const NetHeader& header, uint8_t* frame, size_t size) override {
    headers.push_back(header);
    sent.emplace_back(frame, frame + size);
  }
  void fill(std::vector<pollfd>&, int&) override {}
  void dispatch(const std::vector<pollfd>&, size_t) override {}
  void ready() override { ++readies; }
  bool inject(size_t size, uint8_t seed) {
    std::vector<uint8_t> frame(size);
    for (size_t i = 0; i < size; ++i) frame[i] = static_cast<uint8_t>(seed + i);
    return receive_({}, frame.data(), size);
  }
  uint64_t taken = 0;
  unsigned readies = 0;
  std::vector<NetHeader> headers;
  std::vector<std::vector<uint8_t>> sent;
};

constexpr uint64_t kMergeable = net::kMergeableBuffers;
constexpr uint64_t kBase = kVersion1 | net::kMac;

struct NetBench : Bench {
  explicit NetBench(bool legacy = false) : NetBench(std::make_unique<FakeBackend>(), legacy) {}
  NetBench(std::unique_ptr<FakeBackend> fake, bool legacy)
      : Bench(nullptr_guard(fake), false, legacy) {}
  std::unique_ptr<Function> nullptr_guard(std::unique_ptr<FakeBackend>& fake) {
    backend = fake.get();
    return make_net(std::move(fake), kMac);
  }
  void give(uint16_t first, uint64_t ipa, uint32_t size) {
    queue[0].add(first, {{ipa, size, true}});
    notify(0);
    settle();
  }
  FakeBackend* backend;
};

TEST(Net, ConfigurationSpace) {
  NetBench b;
  EXPECT_EQ(b.device.read(0x100, 4, 0).value, 0x01005452u);
  EXPECT_EQ(b.device.read(0x104, 2, 0).value, 0x0302u);
  EXPECT_EQ(b.device.read(0x106, 2, 0).value, 1u);  // link up
  const uint64_t usual = net::kMac | net::kStatus | kMergeable | net::kControlQueue;
  EXPECT_EQ(b.offered() & usual, usual);
}

TEST(Net, TransmitsWithoutTheHeader) {
  NetBench b;
  b.start(kBase, 3, 16);
  for (int i = 0; i < 100; ++i) b.dma.put(kData + 12 + i, static_cast<uint8_t>(i));
  const auto used = b.run(1, 0, {{kData, 12, false}, {kData + 12, 60, false}});
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 0u);
  ASSERT_TRUE(b.run(1, 0, {{kData, 5, false}, {kData + 5, 67, false}}));
  ASSERT_EQ(b.backend->sent.size(), 2u);
  for (const auto& frame : b.backend->sent) {
    ASSERT_EQ(frame.size(), 60u);
    for (int i = 0; i < 60; ++i) EXPECT_EQ(frame[i], i);
  }
}

TEST(Net, OffloadFieldsCountOnlyWhenNegotiated) {
  for (bool csum : {false, true}) {
    NetBench b;
    b.start(kBase | (csum ? net::kCsum : 0), 3, 16);
    b.dma.put(kData, NetHeader{.flags = 1, .gso_type = 1, .csum_start = 20, .csum_offset = 4});
    ASSERT_TRUE(b.run(1, 0, {{kData, 12 + 60, false}}));
    EXPECT_EQ(b.backend->headers[0].flags, csum ? 1 : 0);
    EXPECT_EQ(b.backend->headers[0].gso_type, 0);
  }
}

TEST(Net, ImpossibleFramesAreDropped) {
  NetBench b(false);
  b.start(kBase, 3, 16);
  for (uint32_t size : {1u, 11u, 12u, 25u, 70'000u}) {
    EXPECT_TRUE(b.run(1, 0, {{kData, size, false}})) << size;
  }
  EXPECT_TRUE(b.run(1, 0, {{kData, 64, true}}));
  EXPECT_TRUE(b.backend->sent.empty());
  EXPECT_EQ(b.device.errors(), 6u);
  EXPECT_EQ(b.status() & kNeedsReset, 0u);
}

TEST(Net, ReceivesIntoOneBuffer) {
  NetBench b;
  b.start(kBase, 3, 16);
  b.give(0, kData, 2000);
  EXPECT_TRUE(b.backend->inject(100, 7));
  // Published with the next turn of the thread; here, of the clock.
  b.notify(0);
  const auto used = b.complete(0);
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 112u);
  EXPECT_EQ(b.dma.get<NetHeader>(kData).num_buffers, 1);
  EXPECT_EQ(b.dma.get<uint8_t>(kData + 12), 7);
  EXPECT_EQ(b.dma.get<uint8_t>(kData + 111), 7 + 99);
  EXPECT_TRUE(b.dma.told(kData, 112));
}

TEST(Net, MergesBuffers) {
  NetBench b;
  b.start(kBase | kMergeable, 3, 16);
  for (uint16_t i = 0; i < 4; ++i) b.give(i, kData + 0x1000ull * i, 64);
  EXPECT_TRUE(b.backend->inject(150, 0));  // 162 bytes: three buffers
  b.notify(0);
  for (uint32_t length : {64u, 64u, 34u}) {
    const auto used = b.complete(0);
    ASSERT_TRUE(used);
    EXPECT_EQ(used->length, length);
  }
  EXPECT_FALSE(b.queue[0].take_used());
  EXPECT_EQ(b.dma.get<NetHeader>(kData).num_buffers, 3);
  EXPECT_EQ(b.dma.get<uint8_t>(kData + 0x1000), 52);
  EXPECT_EQ(b.dma.get<uint8_t>(kData + 0x2000 + 33), 149);
}

TEST(Net, FramesWaitForBuffers) {
  NetBench b;
  b.start(kBase | kMergeable, 3, 16);
  b.give(0, kData, 64);  // not enough
  EXPECT_TRUE(b.backend->inject(100, 1));
  EXPECT_TRUE(b.backend->inject(10, 2));
  b.give(1, kData + 0x1000, 64);
  b.give(2, kData + 0x2000, 64);
  EXPECT_EQ(b.complete(0)->length, 64u);
  EXPECT_EQ(b.complete(0)->length, 48u);
  EXPECT_EQ(b.complete(0)->length, 22u);
  unsigned taken = 0;
  while (b.backend->inject(20, 3)) ASSERT_LT(++taken, 10'000u);
  EXPECT_EQ(taken, 256u);
  EXPECT_EQ(b.backend->readies, 0u);
  for (int i = 0; i < 300; ++i) {
    b.give(static_cast<uint16_t>(i % 16), kData, 64);
    while (b.queue[0].take_used()) {
    }
  }
  EXPECT_EQ(b.backend->readies, 1u);
}

TEST(Net, BuffersTooSmall) {
  {
    NetBench b;  // without merging: the frame is dropped, the buffer stays
    b.start(kBase, 3, 16);
    b.give(0, kData, 64);
    EXPECT_TRUE(b.backend->inject(100, 1));
    EXPECT_EQ(b.device.errors(), 1u);
    EXPECT_TRUE(b.backend->inject(50, 1));
    b.notify(0);
    EXPECT_EQ(b.complete(0)->length, 62u);
  }
  NetBench b;  // not even the header fits
  b.start(kBase | kMergeable, 3, 16);
  b.give(0, kData, 11);
  EXPECT_TRUE(b.backend->inject(100, 1));
  EXPECT_EQ(b.status() & kNeedsReset, kNeedsReset);
}

TEST(Net, ControlCommands) {
  struct Row {
    const char* what;
    std::vector<uint8_t> bytes;
    uint8_t ack;
  };
  const Row rows[] = {
      {"promiscuous", {0, 0, 1}, 0},
      {"no broadcast", {0, 5, 1}, 0},
      {"unknown rx mode", {0, 6, 1}, 1},
      {"rx mode without a value", {0, 0}, 1},
      {"empty tables", {1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0},
      {"a table of one", {1, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0}, 0},
      {"a table cut short", {1, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0}, 1},
      {"a table of 4 G", {1, 0, 255, 255, 255, 255}, 1},
      {"set the address", {1, 1, 0x52, 9, 8, 7, 6, 5}, 0},
      {"an address cut short", {1, 1, 0x52, 9, 8, 7, 6}, 1},
      {"vlan was not offered", {2, 0, 1, 0}, 1},
      {"unknown class", {77, 0, 0}, 1},
      {"nothing", {0}, 1},
  };
  NetBench b;
  b.start(kBase | net::kControlQueue | net::kControlMacAddress, 3, 16);
  for (const Row& r : rows) {
    std::memcpy(b.dma.host(kData, 64), r.bytes.data(), r.bytes.size());
    const auto used =
        b.run(2, 0, {{kData, static_cast<uint32_t>(r.bytes.size()), false}, {kData + 64, 1, true}});
    ASSERT_TRUE(used) << r.what;
    EXPECT_EQ(used->length, 1u);
    EXPECT_EQ(b.dma.get<uint8_t>(kData + 64), r.ack) << r.what;
  }
  EXPECT_EQ(b.device.read(0x100, 4, 0).value, 0x07080952u);
  b.write(reg::kStatus, 0);
  EXPECT_EQ(b.device.read(0x100, 4, 0).value, 0x01005452u);
}

TEST(UserNet, UnderTheDevice) {
  auto made = make_user_backend({});
  ASSERT_NE(made.backend, nullptr);
  Bench b(make_net(std::move(made.backend), kMac), true);
  b.start(kBase | kMergeable | net::kCsum, 3, 16);
  for (uint16_t i = 0; i < 8; ++i) b.queue[0].add(i, {{kData + 0x1000ull * i, 2048, true}});
  b.notify(0);
  // An ARP request for the gateway.
  std::vector<uint8_t> arp(42);
  std::fill_n(arp.begin(), 6, 0xff);
  std::memcpy(&arp[6], kMac.data(), 6);
  const uint8_t body[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  std::memcpy(&arp[12], body, sizeof body);
  std::memcpy(&arp[22], kMac.data(), 6);
  const uint8_t ips[] = {10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2};
  std::memcpy(&arp[28], ips, sizeof ips);
  std::memcpy(b.dma.host(kData + 0x20000, 64) + 12, arp.data(), arp.size());
  ASSERT_TRUE(b.run(1, 0, {{kData + 0x20000, 12 + 42, false}}));
  const auto used = b.complete(0);
  ASSERT_TRUE(used);
  const uint8_t* reply = b.dma.host(kData + 0x1000ull * used->id, 64) + 12;
  EXPECT_EQ(reply[21], 2);  // ARP reply
  EXPECT_EQ(reply[31], 2);  // from 10.0.2.2
  for (int i = 0; i < 20; ++i) {
    b.device.quiesce();
    b.device.resume();
  }
}

TEST(TapNet, MissingInterfaceIsOneLine) {
  NetOptions options;
  ASSERT_EQ(parse_net("tap,ifname=../x", options).empty(), false);
  options.kind = NetOptions::Kind::kTap;
  options.interface = "lo";  // exists, and is no tap
  const auto made = make_net_backend(options);
  EXPECT_EQ(made.backend, nullptr);
  EXPECT_EQ(made.error.find("--net: tap interface lo: "), 0u) << made.error;
}

TEST(TapNet, CarriesFrames) {
  NetOptions options;
  options.kind = NetOptions::Kind::kTap;
  options.interface = "tltest0";
  auto made = make_net_backend(options);
  if (made.backend == nullptr) GTEST_SKIP() << made.error;
  made.backend->set_offloads(net::kCsum | net::kGuestCsum | net::kGuestTso4);
  Peer peer(*made.backend);
  // Down, so the kernel drops it; the point is that nothing else happens.
  peer.send(std::vector<uint8_t>(60));
  EXPECT_TRUE(peer.wait([](const auto&) { return true; }).size() < 2000);
}

}  // namespace
}  // namespace trapline::virtio::test
