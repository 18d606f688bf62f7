#include "devices/virtio/net_process.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <new>
#include <optional>
#include <utility>

#include "devices/virtio/frame_ring.h"
#include "devices/virtio/helper_process.h"
#include "devices/virtio/net_features.h"
#include "devices/virtio/report.h"

namespace trapline::virtio {
namespace {

constexpr unsigned kFramesPerTurn = 64;
constexpr size_t kMostBytes = sizeof(NetHeader) + NetBackend::kMaxFrame;
constexpr const char* kCounters[] = {"flows", "flows_most", "flows_refused", "closed_refused"};

struct Shared {
  FrameRing to_net, to_guest;
  std::atomic<uint64_t> features;  // the VM's
  std::atomic<uint64_t> counters[std::size(kCounters)];
};

std::span<const uint8_t> bytes_of(const NetHeader& header) {
  return {reinterpret_cast<const uint8_t*>(&header), sizeof header};
}

// One byte each: that there is something in a ring. A full socket has such bytes already.
void wake(int socket) {
  const char byte = 0;
  [[maybe_unused]] const ssize_t n = ::send(socket, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// False: the other process is gone.
bool take_wakes(int socket) {
  char bytes[256];
  ssize_t n;
  while ((n = recv(socket, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) continue;
  return n < 0 && (errno == EAGAIN || errno == EINTR);
}

// --- the process with the sockets ---

class Apart {
 public:
  Apart(Shared& shared, int socket, std::unique_ptr<NetBackend> backend)
      : shared_(shared),
        socket_(socket),
        backend_(std::move(backend)),
        in_(shared.to_net),
        out_(shared.to_guest),
        frame_(kMostBytes) {
    backend_->set_receive([this](const NetHeader& header, const uint8_t* frame, size_t size) {
      bool asleep = false;
      const bool good = out_.put(bytes_of(header), {frame, size}, asleep);
      owes_wake_ |= asleep;
      return good;
    });
  }

  [[noreturn]] void run() {
    std::vector<pollfd> fds;
    for (;;) {
      fds.assign(1, {socket_, POLLIN, 0});
      int timeout = -1;
      backend_->fill(fds, timeout);
      if (poll(fds.data(), fds.size(), in_.empty() ? timeout : 0) < 0) continue;
      if (fds[0].revents != 0 && !take_wakes(socket_)) break;
      take_frames();
      if (in_.broken()) break;
      backend_->dispatch(fds, 1);
      // Once for all frames of a turn.
      if (std::exchange(owes_wake_, false)) wake(socket_);
      publish_counters();
    }
    _exit(0);
  }

 private:
  void take_frames() {
    if (const uint64_t features = shared_.features; features != features_) {
      features_ = features;
      backend_->set_offloads(features);
    }
    for (unsigned i = 0; i < kFramesPerTurn; ++i) {
      const size_t size = in_.take(frame_);
      if (size <= sizeof(NetHeader)) return;
      NetHeader header;
      std::memcpy(&header, frame_.data(), sizeof header);
      backend_->send(header, frame_.data() + sizeof header, size - sizeof header);
    }
  }

  void publish_counters() {
    struct Next {
      Shared& shared;
      size_t i;
    } next{shared_, 0};
    backend_->counters(
        [](void* context, std::string_view, uint64_t value) {
          auto& [shared, i] = *static_cast<Next*>(context);
          if (i < std::size(kCounters)) shared.counters[i++] = value;
        },
        &next);
  }

  Shared& shared_;
  const int socket_;
  const std::unique_ptr<NetBackend> backend_;
  FrameReader in_;
  FrameWriter out_;
  std::vector<uint8_t> frame_;
  uint64_t features_ = 0;
  bool owes_wake_ = false;
};

// Nothing of the VM's stays but messages and the socket, which becomes descriptor 3.
int keep_little(int socket) {
  constexpr int kSocket = 3;
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  dup2(socket, kSocket);
  syscall(SYS_close_range, kSocket + 1, ~0u, 0);
  return kSocket;
}

[[noreturn]] void be_apart(Shared& shared, int socket, const NetOptions& options,
                           EnterNetJail enter) {
  be_helper("trapline-net");
  socket = keep_little(socket);
  NetBackendResult made = make_user_backend(options);
  std::string error = made.error;
  if (error.empty()) error = enter();
  answer_starter(socket, error);
  if (!error.empty()) _exit(1);
  Apart(shared, socket, std::move(made.backend)).run();
}

// --- the VM's side ---

class ProcessBackend final : public NetBackend {
 public:
  explicit ProcessBackend(const NetOptions& options) : report_(options.name) {}
  ~ProcessBackend() override {
    if (socket_ >= 0) close(socket_);
    if (process_ > 0) {
      while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
    }
    if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
  }

  std::string start(const NetOptions& options, EnterNetJail enter);

  uint64_t offloads() const override { return net::kUserOffloads; }
  uint16_t mtu() const override { return kLargestMtu; }
  void set_offloads(uint64_t features) override { shared_->features = features; }

  void send(const NetHeader& header, uint8_t* frame, size_t size) override {
    bool asleep = false;
    // Without room the frame is lost, as on a wire.
    out_->put(bytes_of(header), {frame, size}, asleep);
    owes_wake_ |= asleep;
  }

  void fill(std::vector<pollfd>& fds, int& timeout_ms) override {
    if (std::exchange(owes_wake_, false)) wake(socket_);
    if (waiting_ || gone_) return;
    fds.push_back({.fd = socket_, .events = POLLIN, .revents = 0});
    if (!in_->empty()) timeout_ms = 0;
  }

  void dispatch(const std::vector<pollfd>& fds, size_t first) override {
    if (first < fds.size() && fds[first].revents != 0 && !take_wakes(socket_)) lose();
    for (unsigned i = 0; i < kFramesPerTurn && !waiting_ && !gone_; ++i) {
      size_ = in_->take(frame_);
      if (in_->broken()) lose();
      if (size_ == 0) return;
      if (size_ > sizeof(NetHeader)) waiting_ = !hand_over();
    }
  }

  void ready() override {
    if (waiting_) waiting_ = !hand_over();
  }

  void counters(CounterVisitor visit, void* context) const override {
    for (size_t i = 0; i < std::size(kCounters); ++i) {
      visit(context, kCounters[i], shared_->counters[i]);
    }
  }

 private:
  bool hand_over() {
    NetHeader header;
    std::memcpy(&header, frame_.data(), sizeof header);
    return receive_(header, frame_.data() + sizeof header, size_ - sizeof header);
  }
  void lose() {
    if (!gone_) report_.add("the network's process has ended: the guest has no network any more");
    gone_ = true;
  }

  Report report_;
  Shared* shared_ = nullptr;
  int socket_ = -1;
  pid_t process_ = -1;
  std::optional<FrameWriter> out_;
  std::optional<FrameReader> in_;
  std::vector<uint8_t> frame_ = std::vector<uint8_t>(kMostBytes);
  size_t size_ = 0;
  bool waiting_ = false, gone_ = false, owes_wake_ = false;
};

std::string ProcessBackend::start(const NetOptions& options, EnterNetJail enter) {
  const auto failed = [](const char* what) {
    return std::string("--net: ") + what + ": " + std::strerror(errno);
  };
  void* const at = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return failed("no memory between two processes");
  shared_ = new (at) Shared;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return failed("no socket");
  process_ = fork();
  if (process_ == 0) be_apart(*shared_, ends[1], options, enter);
  close(ends[1]);
  socket_ = ends[0];
  if (process_ < 0) return failed("no process of its own");
  out_.emplace(shared_->to_net);
  in_.emplace(shared_->to_guest);
  return answer_of_helper(socket_, "--net: the network's process ended before it began");
}

EnterNetJail net_jail = nullptr;

}  // namespace

void keep_user_net_apart(EnterNetJail enter) { net_jail = enter; }
EnterNetJail user_net_jail() { return net_jail; }

NetBackendResult make_user_process(const NetOptions& options, EnterNetJail enter) {
  auto backend = std::make_unique<ProcessBackend>(options);
  std::string error = backend->start(options, enter);
  return opened(std::move(backend), std::move(error));
}

}  // namespace trapline::virtio
