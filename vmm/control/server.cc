#include "vmm/control/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "vmm/control/http.h"

namespace trapline {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kRest{1000};
constexpr milliseconds kLastWords{200};
constexpr size_t kMaxInput = std::max(kMaxRequest + 1, kMaxHttpHead);

Connection::Time now_is() { return std::chrono::steady_clock::now(); }

// Has sent more than was answered at once.
bool has_request(const Connection& client) {
  return client.kind() == Connection::Kind::kControl && client.unsent() == 0 &&
         !client.finishing() && client.input().find('\n') != std::string_view::npos;
}

}  // namespace

ControlServer::ControlServer(Sockets sockets, std::string name, std::string version)
    : listeners_{{std::move(sockets.control), Connection::Kind::kControl},
                 {std::move(sockets.metrics), Connection::Kind::kMetrics}},
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      name_(std::move(name)),
      version_(std::move(version)),
      metrics_(name_) {
  if (wake_ < 0) throw std::system_error(errno, std::generic_category(), "--name");
}

ControlServer::~ControlServer() {
  stop();
  close(wake_);
}

void ControlServer::start(Controlled& machine, StateKeeper* keeper, const std::string& console) {
  machine_ = &machine;
  verbs_.emplace(machine, name_, version_, keeper, console);
  thread_ = std::thread([this] { serve(); });
}

void ControlServer::stop() {
  ending_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
  for (Listener& listener : listeners_) listener.socket.reset();
}

void ControlServer::happened(const MachineEvent& event) {
  events_.add(event);
  wake();
}

void ControlServer::wake() {
  const uint64_t one = 1;
  // It fails when the counter is full: then a wake-up is due already.
  if (write(wake_, &one, sizeof one) < 0) return;
}

void ControlServer::serve() {
  std::vector<pollfd> fds;
  while (!ending_) {
    fds.clear();
    fds.push_back({wake_, POLLIN, 0});
    for (const Listener& listener : listeners_) {
      const bool open = listener.socket && !listener.rests;
      fds.push_back({open ? listener.socket->fd() : -1, POLLIN, 0});
    }
    constexpr size_t kFirst = 3;
    for (const Connection& client : clients_) {
      // A client that does not read what it asked for is not read either.
      const bool reads = client.unsent() == 0 && !client.ended() && !client.finishing();
      fds.push_back(
          {client.fd(),
           static_cast<short>((reads ? POLLIN : 0) | (client.unsent() != 0 ? POLLOUT : 0)), 0});
    }
    if (poll(fds.data(), fds.size(), timeout_ms(now_is())) < 0) continue;
    const Time now = now_is();
    uint64_t count;
    if (fds[0].revents != 0 && read(wake_, &count, sizeof count) < 0) continue;
    if (ending_) break;
    // From the back, since those that go leave a gap.
    for (size_t i = clients_.size(); i-- != 0;) {
      if (advance(clients_[i], fds[kFirst + i].revents, now)) continue;
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(i));
    }
    for (size_t i = 0; i < std::size(listeners_); ++i) {
      Listener& listener = listeners_[i];
      listener.rests = false;
      if (fds[1 + i].revents != 0) accept(listener, now);
    }
  }
  last_words();
}

int ControlServer::timeout_ms(Time now) const {
  Time next = Time::max();
  for (const Listener& listener : listeners_) {
    if (listener.rests) next = std::min(next, now + kRest);
  }
  for (const Connection& client : clients_) {
    if (has_request(client)) return 0;
    next = std::min(next, client.deadline());
  }
  if (next == Time::max()) return -1;
  if (next <= now) return 0;
  return static_cast<int>(std::chrono::duration_cast<milliseconds>(next - now).count()) + 1;
}

void ControlServer::accept(Listener& listener, Time now) {
  const int fd = listener.socket->accept();
  if (fd < 0) {
    listener.rests = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
    return;
  }
  Connection client(fd, listener.kind, now);
  const auto same = std::count_if(clients_.begin(), clients_.end(),
                                  [&](const Connection& c) { return c.kind() == listener.kind; });
  if (static_cast<size_t>(same) >= kMaxClients) {
    client.send(listener.kind == Connection::Kind::kControl
                    ? error_reply("too many clients: try again later")
                    : http_response("503 Service Unavailable", "text/plain", "busy\n", false),
                now);
    client.flush(now);
    return;
  }
  clients_.push_back(std::move(client));
}

bool ControlServer::advance(Connection& client, short ready, Time now) {
  if ((ready & POLLOUT) != 0 && !client.flush(now)) return false;
  if ((ready & POLLIN) != 0 && !client.receive(kMaxInput, now)) return false;
  if ((ready & (POLLHUP | POLLERR)) != 0 && (ready & POLLIN) == 0) return false;
  if (client.unsent() == 0 && !client.finishing() && !answer(client, now)) return false;
  if (client.subscribed() && !send_events(client, now)) return false;
  if (client.ended() && !client.subscribed() && client.unsent() == 0 && !has_request(client)) {
    return false;
  }
  if (client.finishing() && client.unsent() == 0) return false;
  return client.deadline() > now;
}

bool ControlServer::answer(Connection& client, Time now) {
  try {
    return client.kind() == Connection::Kind::kControl ? answer_control(client, now)
                                                       : answer_metrics(client, now);
  } catch (const std::exception&) {  // no memory for a reply
    return false;
  }
}

// As many requests as have been sent, until a reply is not taken at once.
bool ControlServer::answer_control(Connection& client, Time now) {
  constexpr int kMostAtOnce = 4;
  for (int i = 0; i < kMostAtOnce && client.unsent() == 0; ++i) {
    const size_t end = client.input().find('\n');
    if (end == std::string_view::npos) {
      if (client.input().size() <= kMaxRequest) return true;
      client.send(error_reply("a request has at most " + std::to_string(kMaxRequest) + " bytes"),
                  now);
      client.finish();
      return client.flush(now);
    }
    size_t unread = 0;
    for (const Connection& other : clients_) unread += other.unsent();
    Verbs::Reply reply;
    if (unread > kMaxUnread) {
      reply.line = error_reply("busy: others have not read their replies");
    } else {
      reply = verbs_->answer(client.input().substr(0, end), client.take_passed());
    }
    client.consume(end + 1, now_is());
    client.send(reply.line, now_is());
    if (reply.subscribe) client.subscribe();
    if (!client.flush(now_is())) return false;
  }
  return true;
}

bool ControlServer::answer_metrics(Connection& client, Time now) {
  const HttpRequest request = parse_http(client.input());
  if (request.state == HttpRequest::State::kMore) return true;
  constexpr std::string_view kPlain = "text/plain; charset=utf-8";
  const bool head = request.method == "HEAD";
  std::string response;
  if (request.state == HttpRequest::State::kBad) {
    response = http_response("400 Bad Request", kPlain, "bad request\n", false);
  } else if (!head && request.method != "GET") {
    response = http_response("405 Method Not Allowed", kPlain, "GET only\n", false);
  } else if (request.path != "/metrics") {
    response = http_response("404 Not Found", kPlain, "see /metrics\n", head);
  } else {
    response = http_response("200 OK", kOpenMetricsType,
                             metrics_.text(machine_->status(), machine_->live()), head);
  }
  client.consume(client.input().size(), now);
  client.send(response, now_is());
  client.finish();
  return client.flush(now_is());
}

bool ControlServer::send_events(Connection& client, Time now) {
  std::string lines;
  client.next_event = events_.since(client.next_event, lines);
  if (lines.empty()) return true;
  if (client.unsent() + lines.size() > kMaxUnreadEvents) return false;
  client.send(lines, now);
  return client.flush(now);
}

// What happened last, and replies under way, to those who read.
void ControlServer::last_words() {
  const Time end = now_is() + kLastWords;
  for (Connection& client : clients_) {
    if (client.subscribed() && !send_events(client, now_is())) client.finish();
  }
  for (Connection& client : clients_) {
    while (client.unsent() != 0 && now_is() < end) {
      pollfd fd{client.fd(), POLLOUT, 0};
      const auto left = std::chrono::duration_cast<milliseconds>(end - now_is()).count();
      if (poll(&fd, 1, static_cast<int>(left)) <= 0 || !client.flush(now_is())) break;
    }
  }
  clients_.clear();
}

}  // namespace trapline
