// A network in user space by passt(1): a process of its own, which gives up its rights and turns
// the guest's frames into its sockets. The guest sees the network of `--net user`: 10.0.2.15 by
// DHCP; 10.0.2.2 is the host, 10.0.2.3 forwards DNS; and what it may reach is decided here as there
// (net_filter.h), before passt sees a frame.
//
// On the socket each frame comes behind its length, 32 bits, big-endian (passt(1), "--socket").
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "devices/virtio/helper_process.h"
#include "devices/virtio/host_routes.h"
#include "devices/virtio/ip_reassembly.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_features.h"
#include "devices/virtio/net_filter.h"
#include "devices/virtio/net_flows.h"
#include "devices/virtio/report.h"

namespace trapline::virtio {
namespace {

constexpr size_t kLengthBytes = 4;
constexpr size_t kBufferBytes = 1 << 20;  // of frames from passt
constexpr size_t kMostUnsent = 4 << 20;   // of frames that the socket had no room for
constexpr int kStartMs = 10'000;          // passt answers within
constexpr int kSocketBytes = 4 << 20;     // asked for; the host may give less
constexpr unsigned kReadsPerTurn = 4;
constexpr int kChildFd = 3;

int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * int64_t{1000} + t.tv_nsec / 1'000'000;
}

std::string text_of(uint32_t host_order) {
  char text[INET_ADDRSTRLEN] = {};
  const in_addr a = {.s_addr = htonl(host_order)};
  inet_ntop(AF_INET, &a, text, sizeof text);
  return text;
}

class PasstBackend final : public NetBackend {
 public:
  explicit PasstBackend(const NetOptions& options)
      : opening_(options.restricted    ? Opening::kNothing
                 : options.host_access ? Opening::kEverything
                                       : Opening::kOutside),
        mac_(options.mac),
        answers_(options.flows),
        closed_(options.name),
        lost_(options.name) {
    for (const HostForward& f : options.forwards) {
      if (f.udp) forwarded_udp_.push_back(f.guest_port);
    }
  }
  ~PasstBackend() override;

  std::string open(const NetOptions& options);

  // passt takes what TCP and UDP carry to sockets: it looks at no checksum, and a packet that was
  // left to be cut into segments is none too long for it.
  uint64_t offloads() const override {
    return net::kCsum | net::kGuestCsum | net::kHostTso4 | net::kHostTso6;
  }
  uint16_t mtu() const override { return kLargestMtu; }
  void set_offloads(uint64_t features) override { features_ = features; }
  void send(const NetHeader& header, uint8_t* frame, size_t size) override;
  void counters(CounterVisitor visit, void* context) const override {
    visit(context, "closed_refused", closed_.count());
    visit(context, "frames_lost", lost_.count());
  }
  void fill(std::vector<pollfd>& fds, int& timeout_ms) override;
  void dispatch(const std::vector<pollfd>& fds, size_t first) override;
  void ready() override {
    waiting_ = false;
    deliver();
  }

 private:
  std::string start(const NetOptions& options);
  bool answers();
  Reach admit(const GuestPacket& packet);
  void put(const uint8_t* frame, size_t size);
  void flush();
  bool receive();
  size_t frame_size() const;
  bool has_frame() const;
  void deliver();
  bool hand_on(const uint8_t* frame, size_t size);
  void gone();

  const Opening opening_;
  const MacAddress mac_;
  NetFlows answers_;  // of datagrams to the guest
  IpReassembly reassembly_;
  HostRoutes routes_;
  Report closed_, lost_;
  std::vector<uint16_t> forwarded_udp_;

  pid_t child_ = -1;
  int socket_ = -1, messages_ = -1;
  uint64_t features_ = 0;
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(kBufferBytes);
  size_t begin_ = 0, end_ = 0;  // of what is in it
  bool waiting_ = false;        // the guest has no room
  std::vector<uint8_t> unsent_;
  size_t unsent_at_ = 0;
};

PasstBackend::~PasstBackend() {
  if (socket_ >= 0) close(socket_);  // which it ends with
  if (messages_ >= 0) close(messages_);
  constexpr int kPatienceMs = 500;
  for (int i = 0; child_ > 0 && i < kPatienceMs && waitpid(child_, nullptr, WNOHANG) == 0; ++i) {
    poll(nullptr, 0, 1);
  }
}

// --- start ---------------------------------------------------------------------------------------

std::string PasstBackend::start(const NetOptions& options) {
  const auto failed = [](const char* what) {
    return std::string("--net passt: ") + what + ": " + std::strerror(errno);
  };
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return failed("no socket");
  socket_ = pair[0];
  for (const int fd : pair) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBytes, sizeof kSocketBytes);
  }
  messages_ = memfd_create("trapline-passt", MFD_CLOEXEC);

  std::vector<std::string> words = {"passt",
                                    "-f",
                                    "-q",
                                    "-4",
                                    "-F",
                                    std::to_string(kChildFd),
                                    "-a",
                                    text_of(user_net::kGuest),
                                    "-n",
                                    text_of(user_net::kMask),
                                    "-g",
                                    text_of(user_net::kHost),
                                    "-M",
                                    "52:55:0a:00:02:02",
                                    "-m",
                                    std::to_string(options.mtu()),
                                    "-D",
                                    text_of(user_net::kNameServer),
                                    "--dns-forward",
                                    text_of(user_net::kNameServer),
                                    "-S",
                                    "none"};
  for (const HostForward& f : options.forwards) {
    words.emplace_back(f.udp ? "-u" : "-t");
    words.push_back(text_of(f.host_address) + "/" + std::to_string(f.host_port) + ":" +
                    std::to_string(f.guest_port));
  }
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, messages_, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, pair[1], kChildFd);
  // A terminal's signals are for the guest's machine to answer, and it started with them blocked.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, usual;
  sigemptyset(&none);
  sigfillset(&usual);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int error = posix_spawnp(&child_, "passt", &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(pair[1]);
  if (error != 0) {
    child_ = -1;
    return std::string("--net passt: cannot start passt: ") + std::strerror(error) +
           " (Debian: package passt; --net user needs none)";
  }
  return {};
}

// Asks who has 10.0.2.2: the answer says that all it was asked for is there.
bool PasstBackend::answers() {
  constexpr uint8_t kHead[] = {0, 1, 8, 0, 6, 4, 0, 1};
  uint8_t request[42] = {};
  std::fill_n(request, 6, 0xff);
  std::memcpy(request + 6, mac_.data(), 6);
  request[12] = 8, request[13] = 6;
  std::memcpy(request + 14, kHead, sizeof kHead);
  std::memcpy(request + 22, mac_.data(), 6);
  const uint32_t from = htonl(user_net::kGuest), to = htonl(user_net::kHost);
  std::memcpy(request + 28, &from, 4);
  std::memcpy(request + 38, &to, 4);
  put(request, sizeof request);
  const int64_t until = now_ms() + kStartMs;
  while (!has_frame()) {  // its length comes before it, by itself
    pollfd fd = {.fd = socket_, .events = POLLIN, .revents = 0};
    const int64_t left = until - now_ms();
    if (left <= 0) return false;
    if (poll(&fd, 1, static_cast<int>(left)) < 0 && errno != EINTR) return false;
    if (fd.revents != 0 && !receive()) return false;
  }
  begin_ = end_ = 0;  // nobody but us asked for it
  return true;
}

std::string PasstBackend::open(const NetOptions& options) {
  for (const HostForward& f : options.forwards) {
    if (f.guest_address != 0 && f.guest_address != user_net::kGuest) {
      return "--net passt: hostfwd leads to the guest's own address only, " +
             text_of(user_net::kGuest) + "; --net user knows others";
    }
  }
  if (opening_ == Opening::kOutside) {
    if (const int error = routes_.open(); error != 0) {
      return std::string("--net passt: cannot ask for the host's routes: ") + std::strerror(-error);
    }
  }
  if (std::string error = start(options); !error.empty()) return error;
  if (answers()) return {};
  const std::string line = last_line(messages_);
  return "--net passt: passt does not start" + (line.empty() ? "" : ": " + line);
}

// --- from the guest ------------------------------------------------------------------------------

Reach PasstBackend::admit(const GuestPacket& packet) {
  Reach reach = judge(packet, opening_);
  if (reach == Reach::kNew && opening_ == Opening::kOutside &&
      packet.destination != user_net::kNameServer &&
      routes_.is_own_lately(packet.destination, now_ms())) {
    reach = Reach::kHost;
  }
  if (reach != Reach::kHost && reach != Reach::kOutside) return reach;
  if (answers_.answers_datagram(packet, now_ms())) return Reach::kPass;
  closed_.add("the guest may not reach " + text_of(packet.destination) +
              (reach == Reach::kOutside ? ": `restrict`"
                                        : ", the host's own: `--net passt,host-access` opens it"));
  return reach;
}

void PasstBackend::send(const NetHeader& header, uint8_t* frame, size_t size) {
  GuestPacket packet = parse_guest_frame(frame, size);
  if (packet.fragment && packet.kind == GuestPacket::Kind::kIpv4) {
    if ((header.flags & net::kNeedsCsum) != 0) return;
    const std::span<uint8_t> whole = reassembly_.add(frame, packet.ip_at, now_ms());
    if (whole.empty()) return;
    frame = whole.data();
    size = whole.size();
    packet = parse_guest_frame(frame, size);
  }
  switch (admit(packet)) {
    case Reach::kPass:
    case Reach::kNew:
      return put(frame, size);
    case Reach::kIgnore:
      return;
    default: {
      uint8_t answer[kMaxRefusal];
      const size_t bytes = make_refusal(frame, size, packet, answer);
      if (bytes > 0) hand_on(answer, bytes);  // lost if there is no room
    }
  }
}

// A stream: what has begun must go on, and waits if need be.
void PasstBackend::put(const uint8_t* frame, size_t size) {
  if (socket_ < 0) return;
  const uint32_t length = htonl(static_cast<uint32_t>(size));
  size_t sent = 0;
  if (unsent_.empty()) {
    iovec iov[2] = {{const_cast<uint32_t*>(&length), kLengthBytes},
                    {const_cast<uint8_t*>(frame), size}};
    msghdr message = {};
    message.msg_iov = iov;
    message.msg_iovlen = 2;
    const ssize_t n = sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return gone();
    sent = n < 0 ? 0 : static_cast<size_t>(n);
    if (sent == kLengthBytes + size) return;
  } else if (unsent_.size() - unsent_at_ > kMostUnsent) {
    return lost_.add("passt takes no more frames");
  }
  if (sent < kLengthBytes) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&length);
    unsent_.insert(unsent_.end(), bytes + sent, bytes + kLengthBytes);
    sent = kLengthBytes;
  }
  unsent_.insert(unsent_.end(), frame + (sent - kLengthBytes), frame + size);
}

void PasstBackend::flush() {
  while (unsent_at_ < unsent_.size()) {
    const ssize_t n = ::send(socket_, unsent_.data() + unsent_at_, unsent_.size() - unsent_at_,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return gone();
    if (n <= 0) return;
    unsent_at_ += static_cast<size_t>(n);
  }
  unsent_.clear();
  unsent_at_ = 0;
}

// --- to the guest --------------------------------------------------------------------------------

bool PasstBackend::hand_on(const uint8_t* frame, size_t size) {
  NetHeader header;
  // Between two processes of one host nothing is damaged.
  if ((features_ & net::kGuestCsum) != 0) header.flags = net::kDataValid;
  return !receive_ || receive_(header, frame, size);
}

size_t PasstBackend::frame_size() const {
  uint32_t length;
  std::memcpy(&length, &buffer_[begin_], kLengthBytes);
  return ntohl(length);
}

bool PasstBackend::has_frame() const {
  const size_t have = end_ - begin_;
  return have >= kLengthBytes && have - kLengthBytes >= frame_size();
}

// The frames that are whole, as far as the guest has room.
void PasstBackend::deliver() {
  while (!waiting_ && end_ - begin_ >= kLengthBytes) {
    const size_t size = frame_size();
    if (size > kMaxFrame) return gone();
    if (!has_frame()) break;
    const uint8_t* frame = &buffer_[begin_ + kLengthBytes];
    if (!forwarded_udp_.empty()) {
      const GuestPacket packet = parse_guest_frame(frame, size);
      if (packet.kind == GuestPacket::Kind::kIpv4 && packet.protocol == IpProtocol::kUdp &&
          !packet.fragment &&
          std::find(forwarded_udp_.begin(), forwarded_udp_.end(), packet.destination_port) !=
              forwarded_udp_.end()) {
        answers_.note_datagram_to_guest(packet, now_ms());
      }
    }
    if (size >= 14) waiting_ = !hand_on(frame, size);
    if (waiting_) return;  // this one once more
    begin_ += kLengthBytes + size;
  }
}

// False: there is no more to come.
bool PasstBackend::receive() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - end_ < kMaxFrame + kLengthBytes) {
    std::memmove(buffer_.data(), &buffer_[begin_], end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const ssize_t n = recv(socket_, &buffer_[end_], buffer_.size() - end_, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) {
    gone();
    return false;
  }
  end_ += static_cast<size_t>(n);
  return true;
}

// The guest's cable is out.
void PasstBackend::gone() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  begin_ = end_ = 0;
  unsent_.clear();
  unsent_at_ = 0;
  const std::string line = last_line(messages_);
  lost_.add("passt has ended; the guest has no network any more" +
            (line.empty() ? "" : ": " + line));
}

void PasstBackend::fill(std::vector<pollfd>& fds, int&) {
  if (socket_ < 0) return;
  short events = waiting_ ? 0 : POLLIN;
  if (!unsent_.empty()) events |= POLLOUT;
  if (events != 0) fds.push_back({.fd = socket_, .events = events, .revents = 0});
}

void PasstBackend::dispatch(const std::vector<pollfd>& fds, size_t first) {
  if (first >= fds.size() || socket_ < 0) return;
  if ((fds[first].revents & POLLOUT) != 0) flush();
  if ((fds[first].revents & (POLLIN | POLLHUP | POLLERR)) == 0) return;
  for (unsigned i = 0; i < kReadsPerTurn && socket_ >= 0 && !waiting_; ++i) {
    const size_t before = end_ - begin_;
    if (!receive() || end_ - begin_ == before) return;
    deliver();
  }
}

}  // namespace

NetBackendResult make_passt_backend(const NetOptions& options) {
  auto backend = std::make_unique<PasstBackend>(options);
  std::string error = backend->open(options);
  return opened(std::move(backend), std::move(error));
}

}  // namespace trapline::virtio
