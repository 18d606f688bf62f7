// `--net user` in its own process, and that in its jail.
#include "devices/virtio/net_process.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "devices/virtio/frame_ring.h"
#include "tests/devices/virtio/net_peer.h"
#include "vmm/jail/jail.h"

namespace trapline::virtio::test {
namespace {

constexpr uint32_t kGuest = 0x0a00020f, kGateway = 0x0a000202;

TEST(NetProcess, ForwardsUdpBothWays) {
  const sockaddr_in address = free_udp_port();
  NetOptions options;
  ASSERT_EQ(
      parse_net("user,hostfwd=udp::" + std::to_string(ntohs(address.sin_port)) + "-:7", options),
      "");
  auto made = make_user_process(options, jail::close_network);
  ASSERT_NE(made.backend, nullptr) << made.error;
  EXPECT_NE(make_user_process(options, jail::close_network).error.find("cannot forward host port"),
            std::string::npos);
  Peer peer(*made.backend);
  peer.send(Peer::udp(kGuest, 9, kGateway, 9, {0}), Peer::kPartial);
  const int client = socket(AF_INET, SOCK_DGRAM, 0);
  const timeval patience = {.tv_sec = 30, .tv_usec = 0};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sendto(client, "hello", 5, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const auto frame = peer.wait([](const auto& f) { return is_udp_to(f, 7); });
  ASSERT_EQ(frame.size(), 47u);
  EXPECT_EQ(std::memcmp(&frame[42], "hello", 5), 0);
  const auto from_port = static_cast<uint16_t>(frame[34] << 8 | frame[35]);
  const uint32_t from = uint32_t{frame[26]} << 24 | frame[27] << 16 | frame[28] << 8 | frame[29];
  peer.send(Peer::udp(kGuest, 7, from, from_port, {'w', 'o', 'r', 'l', 'd', '!'}), Peer::kPartial);
  char buffer[16];
  EXPECT_EQ(recv(client, buffer, sizeof buffer, 0), 6);
  close(client);
  made.backend.reset();
  // The port is free again.
  EXPECT_NE(make_user_process(options, jail::close_network).backend, nullptr);
}

TEST(NetProcess, SaysWhyItDoesNotBegin) {
  const auto made = make_user_process({}, [] { return std::string("no jail here"); });
  EXPECT_EQ(made.backend, nullptr);
  EXPECT_EQ(made.error, "no jail here");
}

// --- the ring between them ---

std::unique_ptr<FrameRing> new_ring() { return std::make_unique<FrameRing>(); }

TEST(FrameRing, KeepsFramesInOrderAroundItsEnd) {
  const auto ring = new_ring();
  FrameWriter writer(*ring);
  FrameReader reader(*ring);
  std::vector<uint8_t> got(70'000);
  bool wake = false;
  for (unsigned i = 0; i < 1000; ++i) {
    const std::vector<uint8_t> frame(1 + i * 67 % 65'000, static_cast<uint8_t>(i));
    const uint8_t head[] = {1, 2, 3};
    ASSERT_TRUE(writer.put(head, frame, wake));
    EXPECT_TRUE(wake);  // the reader had taken all
    ASSERT_EQ(reader.take(got), frame.size() + 3);
    EXPECT_EQ(got[2], 3);
    EXPECT_EQ(std::memcmp(&got[3], frame.data(), frame.size()), 0);
  }
  EXPECT_EQ(reader.take(got), 0u);
  EXPECT_FALSE(reader.broken());
}

TEST(FrameRing, RefusesWhatHasNoRoom) {
  const auto ring = new_ring();
  FrameWriter writer(*ring);
  const std::vector<uint8_t> frame(65'000);
  bool wake = false;
  unsigned count = 0;
  while (writer.put({}, frame, wake)) ++count;
  EXPECT_EQ(count, FrameRing::kBytes / (frame.size() + 4));
}

TEST(FrameRing, EndsWhereTheOtherSideLies) {
  const struct {
    uint32_t written, size;
  } kRows[] = {{FrameRing::kBytes + 1, 4}, {2, 0}, {100, 0}, {100, 97}, {100, 0xffffffff},
               {FrameRing::kBytes, 70'001}};
  for (const auto& row : kRows) {
    const auto ring = new_ring();
    ring->written = row.written;
    std::memcpy(ring->bytes, &row.size, sizeof row.size);
    FrameReader reader(*ring);
    std::vector<uint8_t> got(70'000);
    EXPECT_EQ(reader.take(got), 0u);
    EXPECT_TRUE(reader.broken()) << row.written;
  }
  const auto ring = new_ring();
  ring->read = 5;  // more than was ever written
  FrameWriter writer(*ring);
  bool wake = false;
  EXPECT_FALSE(writer.put({}, std::vector<uint8_t>(10), wake));
}

}  // namespace
}  // namespace trapline::virtio::test
