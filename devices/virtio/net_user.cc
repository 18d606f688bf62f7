// A network in user space: libslirp turns the guest's frames into sockets of this process. The
// guest gets 10.0.2.15 by DHCP; 10.0.2.2 is the host, 10.0.2.3 forwards DNS. What the guest may
// reach is decided before libslirp sees a frame (net_filter.h).
#include <arpa/inet.h>
#include <slirp/libslirp.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "devices/loaded_library.h"
#include "devices/virtio/host_routes.h"
#include "devices/virtio/ip_reassembly.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_features.h"
#include "devices/virtio/net_filter.h"
#include "devices/virtio/net_flows.h"
#include "devices/virtio/report.h"

namespace trapline::virtio {
namespace {

// Loaded when a network is made: with GLib behind it, it would cost every start.
struct Libslirp {
  Libslirp() {
    const LoadedLibrary library(TRAPLINE_SLIRP_SONAME, missing);
    library.find("slirp_new", create);
    library.find("slirp_cleanup", cleanup);
    library.find("slirp_input", input);
    library.find("slirp_add_hostfwd", add_hostfwd);
    library.find("slirp_pollfds_fill", pollfds_fill);
    library.find("slirp_pollfds_poll", pollfds_poll);
  }

  decltype(&slirp_new) create = nullptr;
  decltype(&slirp_cleanup) cleanup = nullptr;
  decltype(&slirp_input) input = nullptr;
  decltype(&slirp_add_hostfwd) add_hostfwd = nullptr;
  decltype(&slirp_pollfds_fill) pollfds_fill = nullptr;
  decltype(&slirp_pollfds_poll) pollfds_poll = nullptr;
  std::string missing;  // empty: all is there
};
const Libslirp& libslirp() {
  static const Libslirp library;
  return library;
}

in_addr address(uint32_t host_order) { return {.s_addr = htonl(host_order)}; }

// While the host cannot accept a forwarded connection (out of descriptors) there is no point in
// asking again at once.
constexpr int kAcceptPauseMs = 100;

// Sockets live in the host's time, whatever the guest's clock does.
int64_t host_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * int64_t{1'000'000'000} + t.tv_nsec;
}

int64_t now_ms() { return host_ns() / 1'000'000; }

// Completes the checksum that the driver left to the device (5.1.6.2): the field holds the pseudo
// header's sum. A TCP packet for segmentation stays whole; libslirp takes up to 64 KiB at once.
bool complete_checksum(const NetHeader& header, uint8_t* frame, size_t size) {
  const size_t start = header.csum_start;
  const size_t field = start + header.csum_offset;
  if (field + 2 > size) return false;
  // In the host's byte order, four bytes at once: the sum is the same but for its own bytes' order
  // (RFC 1071, 2(B)).
  uint64_t sum = 0;
  size_t at = start;
  for (; at + 4 <= size; at += 4) {
    uint32_t word;
    std::memcpy(&word, frame + at, 4);
    sum += word;
  }
  uint32_t rest = 0;
  if (at < size) std::memcpy(&rest, frame + at, size - at);
  sum += rest;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  uint16_t check = static_cast<uint16_t>(~htons(static_cast<uint16_t>(sum)));
  if (check == 0) check = 0xffff;  // UDP's 0 means "none"; for TCP both are the same
  frame[field] = static_cast<uint8_t>(check >> 8);
  frame[field + 1] = static_cast<uint8_t>(check);
  return true;
}

std::string text_of(uint32_t host_order) {
  char text[INET_ADDRSTRLEN] = {};
  const in_addr a = address(host_order);
  inet_ntop(AF_INET, &a, text, sizeof text);
  return text;
}

class UserBackend final : public NetBackend {
 public:
  explicit UserBackend(const NetOptions& options)
      : opening_(options.restricted    ? Opening::kNothing
                 : options.host_access ? Opening::kEverything
                                       : Opening::kOutside),
        flows_(options.flows),
        closed_(options.name),
        full_(options.name) {
    for (const HostForward& f : options.forwards) {
      if (f.udp) forwarded_udp_.push_back(f.guest_port);
    }
  }
  ~UserBackend() override {
    if (slirp_ != nullptr) libslirp().cleanup(slirp_);
  }

  std::string open(const NetOptions& options);

  uint64_t offloads() const override { return net::kUserOffloads; }
  uint16_t mtu() const override { return kLargestMtu; }
  void set_offloads(uint64_t features) override { features_ = features; }

  void send(const NetHeader& header, uint8_t* frame, size_t size) override {
    if ((header.flags & net::kNeedsCsum) != 0 && !complete_checksum(header, frame, size)) return;
    GuestPacket packet = parse_guest_frame(frame, size);
    if (packet.fragment && packet.kind == GuestPacket::Kind::kIpv4) {
      const std::span<uint8_t> whole = reassembly_.add(frame, packet.ip_at, now_ms());
      if (whole.empty()) return;
      frame = whole.data();
      size = whole.size();
      packet = parse_guest_frame(frame, size);
    }
    switch (admit(packet)) {
      case Reach::kPass:
        return libslirp().input(slirp_, frame, static_cast<int>(size));
      case Reach::kNew:
        flows_.begin(packet);
        libslirp().input(slirp_, frame, static_cast<int>(size));
        return flows_.end();
      case Reach::kIgnore:
        return;
      default:
        return refuse(frame, size, packet);
    }
  }
  void counters(CounterVisitor visit, void* context) const override;

  void fill(std::vector<pollfd>& fds, int& timeout_ms) override;
  void dispatch(const std::vector<pollfd>& fds, size_t first) override;

 private:
  struct Timer {
    SlirpTimerCb callback;
    void* opaque;
    int64_t deadline_ms = -1;  // -1: not set
  };

  static UserBackend& self(void* opaque) { return *static_cast<UserBackend*>(opaque); }
  static ssize_t on_packet(const void* frame, size_t size, void* opaque);
  static void* new_timer(SlirpTimerCb callback, void* cb_opaque, void* opaque);
  static void free_timer(void* timer, void* opaque);
  static void set_timer(void* timer, int64_t deadline_ms, void*) {
    static_cast<Timer*>(timer)->deadline_ms = deadline_ms;
  }
  void run_timers();
  Reach admit(const GuestPacket& packet);
  void refuse(const uint8_t* frame, size_t size, const GuestPacket& packet);
  void note_answerable(const uint8_t* frame, size_t size);
  void find_listeners();
  bool accepts(int fd) const;

  const Opening opening_;
  NetFlows flows_;
  IpReassembly reassembly_;
  HostRoutes routes_;
  Report closed_, full_;  // packets refused
  std::vector<uint16_t> forwarded_udp_;
  std::vector<int> listeners_;  // TCP sockets of `hostfwd`
  std::vector<int> forwards_;   // all sockets of `hostfwd`: not the guest's doing
  int64_t accept_after_ms_ = 0;

  Slirp* slirp_ = nullptr;
  uint64_t features_ = 0;
  std::vector<std::unique_ptr<Timer>> timers_;
};

// kPass and kNew go on; kNew may open a socket.
Reach UserBackend::admit(const GuestPacket& packet) {
  Reach reach = judge(packet, opening_);
  if (reach == Reach::kNew && opening_ == Opening::kOutside &&
      packet.destination != user_net::kNameServer &&
      routes_.is_own_lately(packet.destination, now_ms())) {
    reach = Reach::kHost;
  }
  if (reach == Reach::kHost || reach == Reach::kOutside) {
    if (flows_.answers_datagram(packet, now_ms())) return Reach::kPass;
    closed_.add("the guest may not reach " + text_of(packet.destination) +
                (reach == Reach::kOutside ? ": `restrict`"
                                          : ", the host's own: `--net user,host-access` opens it"));
    return reach;
  }
  if (reach != Reach::kNew || flows_.knows(packet)) {
    return reach == Reach::kNew ? Reach::kPass : reach;
  }
  if (!flows_.full()) return reach;
  full_.add("the guest has " + std::to_string(flows_.limit()) +
            " flows open, and opens no more: `--net user,flows=N` allows N");
  return Reach::kOutside;
}

void UserBackend::refuse(const uint8_t* frame, size_t size, const GuestPacket& packet) {
  uint8_t answer[kMaxRefusal];
  const size_t bytes = make_refusal(frame, size, packet, answer);
  if (bytes > 0) on_packet(answer, bytes, this);
}

void UserBackend::note_answerable(const uint8_t* frame, size_t size) {
  const GuestPacket packet = parse_guest_frame(frame, size);
  if (packet.kind != GuestPacket::Kind::kIpv4 || packet.protocol != IpProtocol::kUdp ||
      packet.fragment) {
    return;
  }
  if (std::find(forwarded_udp_.begin(), forwarded_udp_.end(), packet.destination_port) !=
      forwarded_udp_.end()) {
    flows_.note_datagram_to_guest(packet, now_ms());
  }
}

void UserBackend::counters(CounterVisitor visit, void* context) const {
  visit(context, "flows", flows_.total());
  visit(context, "flows_most", flows_.most());
  visit(context, "flows_refused", full_.count());
  visit(context, "closed_refused", closed_.count());
}

// Every socket there is before the guest has sent anything.
void UserBackend::find_listeners() {
  uint32_t timeout = 0;
  const auto add = [](int fd, int, void* opaque) {
    auto& backend = self(opaque);
    int type = 0;
    socklen_t length = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    if (type == SOCK_STREAM) backend.listeners_.push_back(fd);
    backend.forwards_.push_back(fd);
    return -1;
  };
  libslirp().pollfds_fill(slirp_, &timeout, add, this);
}

bool UserBackend::accepts(int fd) const {
  return std::find(listeners_.begin(), listeners_.end(), fd) != listeners_.end();
}

ssize_t UserBackend::on_packet(const void* frame, size_t size, void* opaque) {
  UserBackend& backend = self(opaque);
  if (!backend.forwarded_udp_.empty()) {
    backend.note_answerable(static_cast<const uint8_t*>(frame), size);
  }
  NetHeader header;
  // libslirp computed the checksums itself: the guest need not.
  if ((backend.features_ & net::kGuestCsum) != 0) header.flags = net::kDataValid;
  // A refused frame is lost, and TCP slows down.
  if (backend.receive_) backend.receive_(header, static_cast<const uint8_t*>(frame), size);
  return static_cast<ssize_t>(size);
}

void* UserBackend::new_timer(SlirpTimerCb callback, void* cb_opaque, void* opaque) {
  auto& timers = self(opaque).timers_;
  timers.push_back(std::make_unique<Timer>(Timer{callback, cb_opaque}));
  return timers.back().get();
}

void UserBackend::free_timer(void* timer, void* opaque) {
  std::erase_if(self(opaque).timers_, [&](auto& t) { return t.get() == timer; });
}

void UserBackend::run_timers() {
  const int64_t now = now_ms();
  // By index: a callback may add timers.
  for (size_t i = 0; i < timers_.size(); ++i) {
    Timer& t = *timers_[i];
    if (t.deadline_ms < 0 || t.deadline_ms > now) continue;
    t.deadline_ms = -1;
    t.callback(t.opaque);
  }
}

std::string UserBackend::open(const NetOptions& options) {
  static const SlirpCb callbacks = {
      .send_packet = on_packet,
      .guest_error = [](const char*, void*) {},
      .clock_get_ns = [](void*) { return host_ns(); },
      .timer_new = new_timer,
      .timer_free = free_timer,
      .timer_mod = set_timer,
      .register_poll_fd = [](int fd, void* opaque) { self(opaque).flows_.opened(fd); },
      .unregister_poll_fd = [](int fd, void* opaque) { self(opaque).flows_.closed(fd); },
      .notify = [](void*) {},
      .init_completed = nullptr,
      .timer_new_opaque = nullptr,
  };
  if (!libslirp().missing.empty()) {
    return "--net user: " + libslirp().missing + " (Debian: libslirp0)";
  }
  if (opening_ == Opening::kOutside) {
    if (const int error = routes_.open(); error != 0) {
      return std::string("--net: cannot ask for the host's routes: ") + std::strerror(-error);
    }
  }
  SlirpConfig config = {};
  config.version = 3;
  config.in_enabled = true;
  config.vnetwork = address(user_net::kNetwork);
  config.vnetmask = address(user_net::kMask);
  config.vhost = address(user_net::kHost);
  config.vnameserver = address(user_net::kNameServer);
  config.vdhcp_start = address(user_net::kGuest);
  config.vhostname = "trapline";
  config.if_mtu = config.if_mru = options.mtu();
  slirp_ = libslirp().create(&config, &callbacks, this);
  if (slirp_ == nullptr) return "--net: cannot start the user-mode network";
  for (const HostForward& f : options.forwards) {
    const uint32_t guest = f.guest_address != 0 ? f.guest_address : user_net::kGuest;
    if (libslirp().add_hostfwd(slirp_, f.udp ? 1 : 0, address(f.host_address), f.host_port,
                               address(guest), f.guest_port) != 0) {
      return "--net: cannot forward host port " + std::to_string(f.host_port) + ": " +
             std::strerror(errno);
    }
  }
  find_listeners();
  return {};
}

void UserBackend::fill(std::vector<pollfd>& fds, int& timeout_ms) {
  uint32_t timeout = timeout_ms < 0 ? UINT32_MAX : static_cast<uint32_t>(timeout_ms);
  struct Context {
    UserBackend& backend;
    std::vector<pollfd>& fds;
    bool accept;
  };
  const int64_t now = now_ms();
  const bool pausing = now < accept_after_ms_;
  // A full table lets connections from the host wait where they are.
  Context context{*this, fds, !pausing && !flows_.full()};
  const auto add = [](int fd, int events, void* opaque) {
    auto& [backend, list, accept] = *static_cast<Context*>(opaque);
    if (backend.accepts(fd)) {
      if (!accept) return -1;
    } else if (std::find(backend.forwards_.begin(), backend.forwards_.end(), fd) ==
               backend.forwards_.end()) {
      backend.flows_.polled(fd);
    }
    short wanted = 0;
    if ((events & SLIRP_POLL_IN) != 0) wanted |= POLLIN;
    if ((events & SLIRP_POLL_OUT) != 0) wanted |= POLLOUT;
    if ((events & SLIRP_POLL_PRI) != 0) wanted |= POLLPRI;
    list.push_back({.fd = fd, .events = wanted, .revents = 0});
    return static_cast<int>(list.size()) - 1;
  };
  libslirp().pollfds_fill(slirp_, &timeout, add, &context);
  flows_.all_seen();
  if (pausing) timeout = std::min<int64_t>(timeout, accept_after_ms_ - now);
  for (const auto& t : timers_) {
    if (t->deadline_ms < 0) continue;
    timeout = std::min<int64_t>(timeout, std::max<int64_t>(t->deadline_ms - now, 0));
  }
  timeout_ms = timeout > INT32_MAX ? -1 : static_cast<int>(timeout);
}

void UserBackend::dispatch(const std::vector<pollfd>& fds, size_t first) {
  const auto events = [](int index, void* opaque) {
    const auto& list = *static_cast<const std::vector<pollfd>*>(opaque);
    const short got = list[static_cast<size_t>(index)].revents;
    int result = 0;
    if ((got & POLLIN) != 0) result |= SLIRP_POLL_IN;
    if ((got & POLLOUT) != 0) result |= SLIRP_POLL_OUT;
    if ((got & POLLPRI) != 0) result |= SLIRP_POLL_PRI;
    if ((got & POLLERR) != 0) result |= SLIRP_POLL_ERR;
    if ((got & POLLHUP) != 0) result |= SLIRP_POLL_HUP;
    return result;
  };
  const bool calls =
      std::any_of(fds.begin() + static_cast<ptrdiff_t>(first), fds.end(),
                  [this](const pollfd& f) { return f.revents != 0 && accepts(f.fd); });
  const uint64_t before = flows_.total();
  libslirp().pollfds_poll(slirp_, 0, events, const_cast<std::vector<pollfd>*>(&fds));
  if (calls && flows_.total() == before) accept_after_ms_ = now_ms() + kAcceptPauseMs;
  run_timers();
}

}  // namespace

NetBackendResult make_user_backend(const NetOptions& options) {
  auto backend = std::make_unique<UserBackend>(options);
  std::string error = backend->open(options);
  return opened(std::move(backend), std::move(error));
}

}  // namespace trapline::virtio
