#include "vmm/cli/serial.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "vmm/config/size.h"
#include "vmm/control/names.h"

namespace trapline {
namespace {

constexpr std::string_view kUnix = "unix:", kTcp = "tcp:", kFile = "file:";
constexpr size_t kBatch = 4096;
constexpr size_t kMostTyped = 64 * 1024;  // then clients are not read
constexpr int kLastWordsMs = 200;

}  // namespace

std::string SerialLine::check(const std::string& where) {
  uint64_t port = 0;
  if (where == "stdio" || where == "none") return {};
  if (where.starts_with(kTcp)) return parse_number(where.substr(kTcp.size()), 1, 65535, port);
  for (const std::string_view kind : {kUnix, kFile}) {
    if (!where.starts_with(kind)) continue;
    return where.size() > kind.size() ? std::string()
                                      : fmt::format("{} needs a path behind it", kind);
  }
  return "give stdio, none, unix:PATH, tcp:PORT or file:PATH";
}

Result<std::unique_ptr<SerialLine>> SerialLine::open(const std::string& where,
                                                     const std::string& name) {
  std::unique_ptr<SerialLine> line(new SerialLine);
  if (where == "stdio") return line;
  const auto failed = [&where] { return Error{"--serial " + where + ": " + std::strerror(errno)}; };
  if (where.starts_with(kFile) || (where == "none" && name.empty())) {
    line->in_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    line->owns_in_ = true;
    const std::string path = where == "none" ? "/dev/null" : where.substr(kFile.size());
    line->out_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    line->owns_out_ = true;
    if (line->in_ < 0 || line->out_ < 0) return failed();
    return line;
  }
  if (std::string error = line->open_clients(where, name); !error.empty()) {
    return Error{"--serial " + where + ": " + error};
  }
  return line;
}

std::string SerialLine::open_clients(const std::string& where, const std::string& name) {
  const auto add = [this](Result<ListeningSocket> socket) {
    if (!socket) return socket.error();
    listeners_.push_back(std::move(*socket));
    return std::string();
  };
  std::string error;
  uint64_t port = 0;
  if (where.starts_with(kUnix)) {
    const std::string path = where.substr(kUnix.size());
    error = add(ListeningSocket::at_path(path, path + ": somebody listens there already"));
  } else if (where.starts_with(kTcp)) {
    error = parse_number(where.substr(kTcp.size()), 1, 65535, port);
    if (error.empty()) error = add(ListeningSocket::at_port(static_cast<unsigned>(port)));
  }
  if (error.empty() && !name.empty()) {
    console_socket_ = runtime_folder() + "/" + name + ".console";
    error = add(ListeningSocket::at_path(console_socket_, "a VM named " + name + " is running"));
  }
  if (!error.empty()) return error;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return std::strerror(errno);
  in_ = out_ = ends[0];
  owns_in_ = true;
  ours_ = ends[1];
  fcntl(ours_, F_SETFL, O_NONBLOCK);
  thread_ = std::thread([this] { serve(); });
  return {};
}

SerialLine::~SerialLine() {
  if (owns_in_ && in_ >= 0) close(in_);  // the thread reads to the end, and ends
  if (owns_out_ && out_ >= 0) close(out_);
  if (thread_.joinable()) thread_.join();
  for (const Client& client : clients_) close(client.fd);
  if (ours_ >= 0) close(ours_);
}

void SerialLine::serve() {
  std::vector<pollfd> fds;
  while (serve_once(fds)) continue;
  // What the guest wrote last, to those who read.
  for (Client& client : clients_) {
    pollfd fd{client.fd, POLLOUT, 0};
    while (!client.unsent.empty() && !client.ended && poll(&fd, 1, kLastWordsMs) > 0) flush(client);
  }
}

// False: the guest's end is closed.
bool SerialLine::serve_once(std::vector<pollfd>& fds) {
  fds.clear();
  fds.push_back({ours_, static_cast<short>(POLLIN | (typed_.empty() ? 0 : POLLOUT)), 0});
  for (const ListeningSocket& socket : listeners_) {
    fds.push_back({clients_.size() < kMaxClients ? socket.fd() : -1, POLLIN, 0});
  }
  const size_t first = fds.size();
  for (const Client& client : clients_) {
    fds.push_back({client.fd,
                   static_cast<short>((typed_.size() < kMostTyped ? POLLIN : 0) |
                                      (client.unsent.empty() ? 0 : POLLOUT)),
                   0});
  }
  if (poll(fds.data(), fds.size(), -1) < 0) return true;
  const size_t count = clients_.size();
  for (size_t i = 0; i < count; ++i) {
    if ((fds[first + i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) take_input(clients_[i]);
    if ((fds[first + i].revents & POLLOUT) != 0) flush(clients_[i]);
  }
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (fds[1 + i].revents != 0) accept(listeners_[i]);
  }
  if (!typed_.empty()) {
    const ssize_t n = send(ours_, typed_.data(), typed_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) typed_.erase(0, static_cast<size_t>(n));
  }
  const bool goes_on = fds[0].revents == 0 || take_output();
  const auto gone = [](const Client& client) {
    if (client.ended) close(client.fd);
    return client.ended;
  };
  clients_.erase(std::remove_if(clients_.begin(), clients_.end(), gone), clients_.end());
  return goes_on;
}

void SerialLine::accept(const ListeningSocket& socket) {
  const int fd = socket.accept();
  if (fd < 0) return;
  clients_.push_back({fd, kept_});
  flush(clients_.back());
}

bool SerialLine::take_output() {
  char bytes[kBatch];
  const ssize_t n = read(ours_, bytes, sizeof bytes);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  const std::string_view text(bytes, static_cast<size_t>(n));
  kept_ += text;
  if (kept_.size() > 2 * kKept) kept_.erase(0, kept_.size() - kKept);
  for (Client& client : clients_) {
    client.unsent += text;
    flush(client);
    if (client.unsent.size() > kMaxUnread) client.ended = true;
  }
  return true;
}

void SerialLine::take_input(Client& client) {
  char bytes[kBatch];
  const ssize_t n = recv(client.fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    client.ended = true;
  } else {
    typed_.append(bytes, static_cast<size_t>(n));
  }
}

void SerialLine::flush(Client& client) {
  if (client.ended || client.unsent.empty()) return;
  const ssize_t n =
      send(client.fd, client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n > 0) {
    client.unsent.erase(0, static_cast<size_t>(n));
  } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
    client.ended = true;
  }
}

}  // namespace trapline
