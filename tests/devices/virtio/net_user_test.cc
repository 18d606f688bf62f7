// The user-mode networks, libslirp's and passt's, and what they may reach.
#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>

#include "devices/virtio/host_routes.h"
#include "devices/virtio/report.h"
#include "tests/devices/virtio/net_peer.h"

namespace trapline::virtio::test {
namespace {

// By DHCP: 10.x.x.15 of the network.
void expect_our_address(Peer& peer) {
  std::vector<uint8_t> discover(300);
  discover[0] = 1, discover[1] = 1, discover[2] = 6;
  discover[4] = 0x12, discover[7] = 0x34;
  std::memcpy(&discover[28], kMac.data(), 6);
  const uint8_t magic[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
  std::memcpy(&discover[236], magic, sizeof magic);
  peer.send(Peer::udp(0, 68, 0xffffffff, 67, discover), Peer::kPartial);
  const auto offer = peer.wait([](const auto& f) { return is_udp_to(f, 68); });
  ASSERT_GE(offer.size(), 42u + 240);
  EXPECT_EQ(offer[42 + 16], 10);
  EXPECT_EQ(offer[42 + 19], 15);
}

TEST(UserNet, HandsOutAnAddressByDhcp) {
  NetOptions options;
  auto made = make_user_backend(options);
  ASSERT_NE(made.backend, nullptr) << made.error;
  Peer peer(*made.backend);
  expect_our_address(peer);
}

TEST(UserNet, ForwardsUdpBothWays) {
  const sockaddr_in address = free_udp_port();
  NetOptions options;
  ASSERT_EQ(
      parse_net("user,hostfwd=udp::" + std::to_string(ntohs(address.sin_port)) + "-:7", options),
      "");
  auto made = make_user_backend(options);
  ASSERT_NE(made.backend, nullptr) << made.error;
  EXPECT_NE(make_user_backend(options).error.find("cannot forward host port"), std::string::npos);

  Peer peer(*made.backend);
  // libslirp learns our address from any frame.
  peer.send(Peer::udp(0x0a00020f, 9, 0x0a000202, 9, {0}), Peer::kPartial);
  const int client = socket(AF_INET, SOCK_DGRAM, 0);
  timeval patience = {.tv_sec = 3, .tv_usec = 0};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sendto(client, "hello", 5, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const auto frame = peer.wait([](const auto& f) { return is_udp_to(f, 7); });
  ASSERT_EQ(frame.size(), 47u);
  EXPECT_EQ(std::memcmp(&frame[42], "hello", 5), 0);
  // The answer goes back to where it came from.
  const auto port = static_cast<uint16_t>(frame[34] << 8 | frame[35]);
  const uint32_t from = uint32_t{frame[26]} << 24 | frame[27] << 16 | frame[28] << 8 | frame[29];
  peer.send(Peer::udp(0x0a00020f, 7, from, port, {'w', 'o', 'r', 'l', 'd', '!'}), Peer::kPartial);
  peer.wait([](const auto&) { return true; });
  char buffer[16];
  EXPECT_EQ(recv(client, buffer, sizeof buffer, 0), 6);
  EXPECT_EQ(std::memcmp(buffer, "world!", 6), 0);
  close(client);
}

TEST(UserNet, ChecksumBeyondTheFrameIsDropped) {
  auto made = make_user_backend({});
  Peer peer(*made.backend);
  for (uint16_t start : {uint16_t{0}, uint16_t{60}, uint16_t{0xffff}}) {
    peer.send(std::vector<uint8_t>(60), {.flags = 1, .csum_start = start, .csum_offset = 0xfffe});
  }
  SUCCEED();
}

// --- what the guest may reach
// ---------------------------------------------------------------------

constexpr uint32_t kGuest = 0x0a00020f, kGateway = 0x0a000202, kNameServer = 0x0a000203;
constexpr uint32_t kLoopback = 0x7f000001;
constexpr uint8_t kSyn = 2, kAck = 16;

std::unique_ptr<NetBackend> make(const std::string& options) {
  NetOptions o;
  EXPECT_EQ(parse_net(options, o), "");
  o.mac = kMac;
  auto made = make_net_backend(o);
  EXPECT_NE(made.backend, nullptr) << made.error;
  return std::move(made.backend);
}

std::map<std::string, uint64_t> counters(const NetBackend& backend) {
  std::map<std::string, uint64_t> all;
  backend.counters(
      [](void* map, std::string_view name, uint64_t value) {
        (*static_cast<std::map<std::string, uint64_t>*>(map))[std::string(name)] = value;
      },
      &all);
  return all;
}

// Services on all addresses of the host.
class Servers {
 public:
  Servers() {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    socklen_t length = sizeof address;
    tcp_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_EQ(bind(tcp_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(tcp_, 16), 0);
    getsockname(tcp_, reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
    udp_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    EXPECT_EQ(bind(udp_, reinterpret_cast<sockaddr*>(&address), length), 0);
  }
  ~Servers() {
    close(tcp_);
    close(udp_);
  }
  unsigned calls() {
    unsigned n = 0;
    for (int fd; (fd = accept(tcp_, nullptr, nullptr)) >= 0; ++n) close(fd);
    return n;
  }
  unsigned datagrams() {
    unsigned n = 0;
    char byte;
    while (recv(udp_, &byte, 1, 0) >= 0) ++n;
    return n;
  }
  uint16_t port = 0;

 private:
  int tcp_, udp_;
};

bool is_reset(const std::vector<uint8_t>& f) {
  return f.size() == 54 && f[12] == 8 && f[13] == 0 && f[23] == 6 && (f[47] & 4) != 0;
}
bool is_prohibited(const std::vector<uint8_t>& f) {
  return f.size() >= 42 && f[12] == 8 && f[13] == 0 && f[23] == 1 && f[34] == 3 && f[35] == 13;
}

std::vector<uint32_t> own_addresses() {
  std::vector<uint32_t> all;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return all;
  for (ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET) continue;
    all.push_back(ntohl(reinterpret_cast<sockaddr_in*>(i->ifa_addr)->sin_addr.s_addr));
  }
  freeifaddrs(list);
  return all;
}

// All names of the host, and what is nobody's.
std::vector<uint32_t> closed_addresses() {
  std::vector<uint32_t> all = {kLoopback,  0x7f0a0b0c, kGateway,   kNameServer, 0x0a000200,
                               0x0a000209, kGuest,     0xa9fea9fe, 0x00000000,  0x00000001};
  for (uint32_t own : own_addresses()) all.push_back(own);
  return all;
}

class UserNetReach : public testing::Test {
 protected:
  void SetUp() override {
    Report::set_sink([this](std::string_view line) { lines.emplace_back(line); });
  }
  void TearDown() override {
    Report::set_sink([](std::string_view line) {
      fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    });
  }
  std::vector<std::string> lines;
};

TEST_F(UserNetReach, TheHostIsClosed) {
  auto backend = make("user");
  Peer peer(*backend);
  Servers servers;
  const auto closed = closed_addresses();
  uint16_t from = 2000;
  for (uint32_t to : closed) {
    peer.send(Peer::tcp(kGuest, ++from, to, servers.port, kSyn));
    const auto reset = peer.wait(is_reset);
    ASSERT_FALSE(reset.empty()) << std::hex << to;
    EXPECT_EQ(reset[36] << 8 | reset[37], from);
    EXPECT_EQ(reset[45], (1000 + 1) & 0xff);  // acknowledges the SYN
    EXPECT_EQ(Peer::checksum(&reset[14], 20), 0xffff);
    EXPECT_EQ(Peer::checksum(&reset[26], 28, 6 + 20), 0xffff);
    peer.send(Peer::udp(kGuest, from, to, servers.port, {'x'}), Peer::kPartial);
    const auto answer = peer.wait(is_prohibited);
    ASSERT_FALSE(answer.empty()) << std::hex << to;
    EXPECT_EQ(Peer::checksum(&answer[34], answer.size() - 34), 0xffff);
    EXPECT_EQ(std::memcmp(&answer[42 + 16], &reset[26], 4), 0);  // quotes where it was to go
  }
  EXPECT_EQ(servers.calls(), 0u);
  EXPECT_EQ(servers.datagrams(), 0u);
  EXPECT_EQ(counters(*backend)["closed_refused"], 2 * closed.size());
  EXPECT_EQ(counters(*backend)["flows"], 0u);
  ASSERT_FALSE(lines.empty());
  EXPECT_LE(lines.size(), 3u);  // the 1st, 10th, 100th
  EXPECT_NE(lines[0].find("host-access"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("127.0.0.1"), std::string::npos) << lines[0];
}

TEST_F(UserNetReach, AFlowThatIsOpenDoesNotOpenTheHost) {
  // libslirp has one socket for all that a UDP port of the guest sends.
  auto backend = make("user");
  Peer peer(*backend);
  Servers servers;
  peer.send(Peer::udp(kGuest, 1234, 0xc0000201, 9, {'x'}), Peer::kPartial);  // 192.0.2.1
  EXPECT_EQ(counters(*backend)["flows"], 1u);
  peer.send(Peer::udp(kGuest, 1234, kLoopback, servers.port, {'x'}), Peer::kPartial);
  EXPECT_FALSE(peer.wait(is_prohibited).empty());
  EXPECT_EQ(servers.datagrams(), 0u);
}

TEST_F(UserNetReach, FragmentsDoNotOpenTheHost) {
  auto backend = make("user");
  Peer peer(*backend);
  Servers servers;
  for (uint32_t to : {kLoopback, kGateway}) {
    for (bool last_first : {false, true}) {
      const auto tcp = Peer::tcp(kGuest, 3000, to, servers.port, kSyn);
      auto udp = Peer::udp(kGuest, 3000, to, servers.port, std::vector<uint8_t>(16));
      udp[40] = udp[41] = 0;  // no checksum
      for (const auto& whole : {tcp, udp}) {
        const std::vector<uint8_t> head(whole.begin() + 34, whole.begin() + 42);
        const std::vector<uint8_t> rest(whole.begin() + 42, whole.end());
        if (last_first) peer.send(Peer::ip(whole[23], kGuest, to, rest, 1));
        peer.send(Peer::ip(whole[23], kGuest, to, head, 0x2000));
        if (!last_first) peer.send(Peer::ip(whole[23], kGuest, to, rest, 1));
      }
      EXPECT_FALSE(peer.wait(is_prohibited).empty());
    }
  }
  EXPECT_EQ(servers.calls(), 0u);
  EXPECT_EQ(servers.datagrams(), 0u);
}

TEST_F(UserNetReach, FragmentsArriveWhole) {
  // With the last one first, libslirp 4.7 itself crashes.
  auto backend = make("user,host-access");
  Peer peer(*backend);
  Servers servers;
  auto udp = Peer::udp(kGuest, 3000, kLoopback, servers.port, std::vector<uint8_t>(3000));
  udp[40] = udp[41] = 0;
  const auto piece = [&](size_t at, size_t n) {
    return std::vector<uint8_t>(udp.begin() + 34 + static_cast<ptrdiff_t>(at),
                                udp.begin() + 34 + static_cast<ptrdiff_t>(at + n));
  };
  peer.send(Peer::ip(17, kGuest, kLoopback, piece(2960, 48), 370));
  peer.send(Peer::ip(17, kGuest, kLoopback, piece(0, 1480), 0x2000));
  peer.send(Peer::ip(17, kGuest, kLoopback, piece(1480, 1480), 0x2000 | 185));
  EXPECT_EQ(servers.datagrams(), 1u);
}

TEST_F(UserNetReach, HostAccessOpensIt) {
  auto backend = make("user,host-access");
  Peer peer(*backend);
  Servers servers;
  unsigned expected = 0;
  for (uint32_t to : {kGateway, kLoopback}) {
    peer.send(Peer::tcp(kGuest, static_cast<uint16_t>(2000 + expected), to, servers.port, kSyn));
    peer.send(Peer::udp(kGuest, 3000, to, servers.port, {'x'}), Peer::kPartial);
    ++expected;
  }
  for (int i = 0; i < 5; ++i) peer.wait([](const auto&) { return true; });
  EXPECT_EQ(servers.calls(), expected);
  EXPECT_EQ(servers.datagrams(), expected);
  EXPECT_EQ(counters(*backend)["closed_refused"], 0u);
}

TEST_F(UserNetReach, TheNameServerIsOpenAtItsPort) {
  // Wherever the host's resolver listens: to us it is 10.0.2.3.
  auto backend = make("user");
  Peer peer(*backend);
  peer.send(Peer::udp(kGuest, 1500, kNameServer, 53, std::vector<uint8_t>(12)), Peer::kPartial);
  peer.send(Peer::tcp(kGuest, 1501, kNameServer, 53, kSyn));
  EXPECT_EQ(counters(*backend)["flows"], 2u);
  EXPECT_EQ(counters(*backend)["closed_refused"], 0u);
}

TEST_F(UserNetReach, RestrictClosesAllButForwards) {
  auto backend = make("user,restrict");
  Peer peer(*backend);
  for (uint32_t to : {0xc0000201u, kLoopback, kGateway}) {
    peer.send(Peer::tcp(kGuest, 2000, to, 80, kSyn));
    EXPECT_FALSE(peer.wait(is_reset).empty());
    peer.send(Peer::udp(kGuest, 2000, to, 80, {'x'}), Peer::kPartial);
    EXPECT_FALSE(peer.wait(is_prohibited).empty());
  }
  peer.send(Peer::udp(kGuest, 2000, kNameServer, 53, {'x'}), Peer::kPartial);
  EXPECT_FALSE(peer.wait(is_prohibited).empty());
  peer.send(Peer::ping(kGuest, 0xc0000201, 1));
  EXPECT_FALSE(peer.wait(is_prohibited).empty());
  EXPECT_EQ(counters(*backend)["flows"], 0u);
  peer.send(Peer::ping(kGuest, kGateway, 1));
  EXPECT_FALSE(
      peer.wait([](const auto& f) { return f.size() > 34 && f[23] == 1 && f[34] == 0; }).empty());
}

TEST_F(UserNetReach, ForwardedConnectionsReachAClosedGuest) {
  for (const char* options : {"user", "user,restrict"}) {
    uint16_t port = 0;
    {
      Servers free_port;
      port = free_port.port;
    }
    auto backend = make(std::string(options) + ",hostfwd=tcp::" + std::to_string(port) + "-:22");
    Peer peer(*backend);
    // libslirp asks for the guest's hardware address before it sends.
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const auto is_tcp = [](const std::vector<uint8_t>& f) {
      return f.size() >= 54 && f[12] == 8 && f[13] == 0 && f[23] == 6;
    };
    const auto syn = peer.wait(is_tcp);
    ASSERT_FALSE(syn.empty()) << options;
    EXPECT_EQ(syn[47] & (kSyn | kAck), kSyn);
    const auto get32 = [&](size_t at) {
      return uint32_t{syn[at]} << 24 | syn[at + 1] << 16 | syn[at + 2] << 8 | syn[at + 3];
    };
    peer.send(Peer::tcp(kGuest, 22, get32(26), static_cast<uint16_t>(syn[34] << 8 | syn[35]),
                        kSyn | kAck, 5000, get32(38) + 1));
    ASSERT_EQ(send(client, "hello", 5, 0), 5);
    const auto data = peer.wait([&](const auto& f) { return is_tcp(f) && f.size() == 59; });
    ASSERT_FALSE(data.empty()) << options;
    EXPECT_EQ(std::memcmp(&data[54], "hello", 5), 0);
    EXPECT_EQ(counters(*backend)["closed_refused"], 0u);
    close(client);
  }
}

unsigned open_descriptors() {
  unsigned n = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++n;
  closedir(directory);
  return n;
}

TEST_F(UserNetReach, FlowsAreBounded) {
  constexpr unsigned kLimit = 20;
  auto backend = make("user,host-access,flows=" + std::to_string(kLimit));
  Peer peer(*backend);
  Servers servers;
  const unsigned before = open_descriptors();
  for (uint16_t i = 0; i < 300; ++i) {
    peer.send(Peer::udp(kGuest, static_cast<uint16_t>(1000 + i), kLoopback, servers.port, {'x'}),
              Peer::kPartial);
    peer.send(Peer::tcp(kGuest, static_cast<uint16_t>(1000 + i), kLoopback, servers.port, kSyn));
    peer.send(Peer::ping(kGuest, 0xc0000201, i));
    if (i % 50 == 49) peer.wait([](const auto&) { return true; });
    ASSERT_LE(open_descriptors(), before + kLimit + 1);
  }
  auto counted = counters(*backend);
  EXPECT_EQ(counted["flows_most"], kLimit);
  EXPECT_GE(counted["flows_refused"], 900u - 3 * kLimit);
  // What is open goes on.
  servers.datagrams();
  peer.send(Peer::udp(kGuest, 1000, kLoopback, servers.port, {'y'}), Peer::kPartial);
  EXPECT_EQ(servers.datagrams(), 1u);
  ASSERT_FALSE(lines.empty());
  EXPECT_NE(lines[0].find("flows=N"), std::string::npos) << lines[0];
}

TEST_F(UserNetReach, OutOfDescriptorsIsNoEnd) {
  auto backend = make("user,host-access");
  Peer peer(*backend);
  Servers servers;
  std::vector<int> all;
  for (int fd; (fd = dup(0)) >= 0;) all.push_back(fd);
  ASSERT_EQ(errno, EMFILE);
  peer.send(Peer::udp(kGuest, 1000, kLoopback, servers.port, {'x'}), Peer::kPartial);
  peer.send(Peer::tcp(kGuest, 1000, kLoopback, servers.port, kSyn));
  peer.send(Peer::ping(kGuest, 0xc0000201, 1));
  for (int i = 0; i < 3; ++i) peer.wait([](const auto&) { return true; });
  for (int fd : all) close(fd);
  peer.send(Peer::udp(kGuest, 1001, kLoopback, servers.port, {'x'}), Peer::kPartial);
  EXPECT_EQ(servers.datagrams(), 1u);
}

// --- passt
// -------------------------------------------------------------------------------------------------

class PasstNet : public UserNetReach {
 protected:
  void SetUp() override {
    if (system("command -v passt >/dev/null") != 0) GTEST_SKIP() << "no passt on this machine";
    UserNetReach::SetUp();
  }
  // It works while we wait.
  template <typename Done>
  static void until(Peer& peer, Done done) {
    for (int i = 0; i < 300 && !done(); ++i) {
      peer.wait([n = 0](const auto&) mutable { return ++n == 1; });
    }
  }
};

TEST_F(PasstNet, TheHostIsClosed) {
  auto backend = make("passt");
  Peer peer(*backend);
  Servers servers;
  const auto closed = closed_addresses();
  uint16_t from = 2000;
  for (uint32_t to : closed) {
    peer.send(Peer::tcp(kGuest, ++from, to, servers.port, kSyn));
    EXPECT_FALSE(peer.wait(is_reset).empty()) << std::hex << to;
    peer.send(Peer::udp(kGuest, from, to, servers.port, {'x'}), Peer::kPartial);
    EXPECT_FALSE(peer.wait(is_prohibited).empty()) << std::hex << to;
  }
  EXPECT_EQ(servers.calls(), 0u);
  EXPECT_EQ(servers.datagrams(), 0u);
  EXPECT_EQ(counters(*backend)["closed_refused"], 2 * closed.size());
}

TEST_F(PasstNet, HostAccessOpensIt) {
  auto backend = make("passt,host-access");
  Peer peer(*backend);
  Servers servers;
  unsigned calls = 0, datagrams = 0;
  peer.send(Peer::tcp(kGuest, 2000, kGateway, servers.port, kSyn));
  peer.send(Peer::udp(kGuest, 3000, kGateway, servers.port, {'x'}), Peer::kPartial);
  until(peer,
        [&] { return (calls += servers.calls()) != 0 && (datagrams += servers.datagrams()) != 0; });
  EXPECT_EQ(calls, 1u);
  EXPECT_EQ(datagrams, 1u);
}

TEST_F(PasstNet, HandsOutTheSameAddress) {
  auto backend = make("passt,restrict");
  Peer peer(*backend);
  expect_our_address(peer);
}

TEST_F(PasstNet, ForwardsAndSaysWhyNot) {
  Servers taken;
  NetOptions o;
  ASSERT_EQ(parse_net("passt,hostfwd=tcp::" + std::to_string(taken.port) + "-:22", o), "");
  const std::string error = make_net_backend(o).error;
  EXPECT_NE(error.find("Failed to bind"), std::string::npos) << error;
  ASSERT_EQ(parse_net("passt,hostfwd=tcp::1-10.0.2.99:22", o), "");
  EXPECT_NE(make_net_backend(o).error.find("the guest's own address only"), std::string::npos);
  EXPECT_NE(parse_net("passt,flows=3", o).find("unknown option"), std::string::npos);

  uint16_t port = 0;
  {
    Servers free_port;
    port = free_port.port;
  }
  auto backend = make("passt,restrict,hostfwd=tcp::" + std::to_string(port) + "-:22");
  Peer peer(*backend);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const auto syn = peer.wait([](const std::vector<uint8_t>& f) {
    return f.size() >= 54 && f[12] == 8 && f[13] == 0 && f[23] == 6;
  });
  ASSERT_FALSE(syn.empty());
  EXPECT_EQ(syn[36] << 8 | syn[37], 22);
  close(client);
}

TEST_F(PasstNet, ANetworkWithoutPasst) {
  const std::string path = getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  NetOptions o;
  ASSERT_EQ(parse_net("passt", o), "");
  const std::string error = make_net_backend(o).error;
  setenv("PATH", path.c_str(), 1);
  // An emulator says that the program ended, not that there is none.
  EXPECT_TRUE(error.find("cannot start passt") != std::string::npos ||
              error.find("passt does not start") != std::string::npos)
      << error;
}

// Frames of 64 KiB, many at once: what the socket has no room for waits.
TEST_F(PasstNet, TakesAFlood) {
  auto backend = make("passt");
  Peer peer(*backend);
  for (int i = 0; i < 200; ++i) {
    peer.send(Peer::ip(17, kGuest, 0xc0000201, std::vector<uint8_t>(60'000)));
  }
  peer.wait([](const auto&) { return false; });
  peer.send(Peer::tcp(kGuest, 2000, kLoopback, 80, kSyn));
  EXPECT_FALSE(peer.wait(is_reset).empty());
  const auto counted = counters(*backend);
  EXPECT_LT(counted.at("frames_lost"), 200u);
}

TEST(HostRoutes, KnowsTheHost) {
  HostRoutes routes;
  ASSERT_EQ(routes.open(), 0);
  for (uint32_t own : own_addresses()) EXPECT_TRUE(routes.is_own(own)) << std::hex << own;
  for (uint32_t own : {kLoopback, 0x7f010203u, 0xffffffffu}) EXPECT_TRUE(routes.is_own(own));
  EXPECT_FALSE(routes.is_own(0xc0000201));
  HostRoutes closed;
  EXPECT_TRUE(closed.is_own(0xc0000201));  // nobody answers
}

}  // namespace
}  // namespace trapline::virtio::test
