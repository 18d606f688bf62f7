#include "vmm/debug/gdb_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "vmm/host/messages.h"

namespace trapline {
namespace {

constexpr size_t kEnoughOutput = 64 * 1024;

// One line about a client, as long as there are not many of them: anybody can connect.
void tell(const std::string& text) {
  using Clock = std::chrono::steady_clock;
  constexpr int kBurst = 16;
  static int left = kBurst;  // on the server's thread
  static Clock::time_point since = Clock::now();
  const auto now = Clock::now();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
  if (seconds > 0) {
    left = static_cast<int>(std::min<int64_t>(kBurst, left + seconds));
    since = now;
  }
  if (left == 0) return;
  --left;
  message("trapline: gdb: " + text + "\n");
}

// What was sent is not lost: closing a socket with unread input resets the connection.
void close_gently(int fd) {
  shutdown(fd, SHUT_WR);
  char bytes[4096];
  for (int i = 0; i < 64 && recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0; ++i) continue;
  close(fd);
}

// The client has closed its end, whether or not all that it sent has been read.
bool hung_up(int fd) {
  pollfd end{fd, POLLRDHUP, 0};
  return poll(&end, 1, 0) > 0;
}

}  // namespace

std::string GdbServer::listen(unsigned port, int& result) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  constexpr int kBacklog = 8;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, kBacklog) != 0) {
    std::string error = fmt::format("--gdb {}: {}", port, std::strerror(errno));
    if (fd >= 0) close(fd);
    return error;
  }
  result = fd;
  return {};
}

GdbServer::GdbServer(int socket, Debuggee& debuggee)
    : listener_(socket), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), session_(debuggee) {
  if (wake_ < 0) {
    const int error = errno;
    close(listener_);
    throw std::system_error(error, std::generic_category(), "--gdb");
  }
  thread_ = std::thread([this] { serve(); });
}

GdbServer::~GdbServer() {
  ending_ = true;
  wake();
  thread_.join();
  close(listener_);
  close(wake_);
}

void GdbServer::wake() {
  const uint64_t one = 1;
  // It fails when the counter is full: then a wake-up is due already.
  if (write(wake_, &one, sizeof one) < 0) return;
}

void GdbServer::stopped(unsigned cpu, const DebugStop& stop) {
  session_.note(cpu, stop);
  wake();
}

void GdbServer::serve() {
  constexpr int kRestMs = 1000;
  while (!ending_) {
    const short wanted = static_cast<short>((output_.size() < kEnoughOutput ? POLLIN : 0) |
                                            (output_.empty() ? 0 : POLLOUT));
    pollfd fds[3] = {
        {wake_, POLLIN, 0}, {listener_rests_ ? -1 : listener_, POLLIN, 0}, {client_, wanted, 0}};
    const int ready = poll(fds, 3, listener_rests_ ? kRestMs : -1);
    if (ready == 0) listener_rests_ = false;
    if (ready <= 0) continue;
    if (fds[0].revents != 0) {
      uint64_t count;
      if (read(wake_, &count, sizeof count) < 0) continue;
      if (ending_) break;
      queue(session_.stopped());
    }
    if (fds[1].revents != 0) accept_client();
    if (client_ < 0 || fds[2].fd != client_) continue;
    if ((fds[2].revents & POLLOUT) != 0) flush();
    if (client_ >= 0 && (fds[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
    if (client_ >= 0) take_items();
  }
  if (client_ < 0) return;
  queue(session_.ended(status_));
  flush();
  if (client_ >= 0) close_gently(client_);
}

void GdbServer::accept_client() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    listener_rests_ = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
    return;
  }
  if (client_ >= 0 && session_.open() && !hung_up(client_)) {
    tell("a second client was refused: one is connected already");
    close_gently(fd);
    return;
  }
  if (client_ >= 0) close_client();  // gone, or it said nothing: it must not keep a debugger out
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  client_ = fd;
  framing_ = GdbFraming();
  output_.clear();
  last_packet_.clear();
}

void GdbServer::receive() {
  if (output_.size() >= kEnoughOutput) {
    // Only that the client hung up is of interest; POLLHUP comes whether asked for or not.
    return close_client();
  }
  char bytes[4096];
  const ssize_t n = recv(client_, bytes, sizeof bytes, 0);
  if (n > 0) return framing_.feed({bytes, static_cast<size_t>(n)});
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  close_client();
}

void GdbServer::take_items() {
  while (client_ >= 0) {
    if (output_.size() >= kEnoughOutput) {
      flush();
      if (client_ < 0 || output_.size() >= kEnoughOutput) return;
    }
    GdbFraming::Item item = framing_.next();
    switch (item.kind) {
      case GdbFraming::Kind::kMore:
        return flush();
      case GdbFraming::Kind::kPacket: {
        const bool acknowledges = !session_.open() || session_.acknowledges();
        if (acknowledges) output_ += '+';
        attached_ = true;
        queue(session_.handle(item.body));
        if (!session_.acknowledges()) framing_.no_acknowledgements();
        break;
      }
      case GdbFraming::Kind::kInterrupt:
        queue(session_.interrupt());
        break;
      case GdbFraming::Kind::kNack:
        output_ += last_packet_;
        break;
      case GdbFraming::Kind::kCorrupt:
        output_ += '-';
        break;
      case GdbFraming::Kind::kRefused:
        tell("connection closed: not GDB's remote protocol: " + item.body);
        return close_client();
    }
    if (session_.closing()) {
      flush();
      if (client_ >= 0) close_client();
      return;
    }
  }
}

void GdbServer::queue(const GdbSession::Packets& packets) {
  if (client_ < 0) return;
  for (const std::string& body : packets) {
    last_packet_ = gdb_frame(body);
    output_ += last_packet_;
  }
}

// As much as the client takes now.
void GdbServer::flush() {
  size_t sent = 0;
  while (sent < output_.size()) {
    const ssize_t n = send(client_, output_.data() + sent, output_.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return close_client();
    if (n < 0) break;
    sent += static_cast<size_t>(n);
  }
  output_.erase(0, sent);
}

// A debugger that goes away leaves the guest running, without its breakpoints.
void GdbServer::close_client() {
  close_gently(std::exchange(client_, -1));
  output_.clear();
  attached_ = false;
  session_.end();
}

}  // namespace trapline
