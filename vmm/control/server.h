// Serves a machine's control socket and its metrics, on one thread. Nothing that a client does or
// leaves undone makes a vCPU wait: docs/control.md says what is bounded.
#ifndef TRAPLINE_VMM_CONTROL_SERVER_H_
#define TRAPLINE_VMM_CONTROL_SERVER_H_

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "vmm/control/connection.h"
#include "vmm/control/controlled.h"
#include "vmm/control/events.h"
#include "vmm/control/openmetrics.h"
#include "vmm/control/sockets.h"
#include "vmm/control/verbs.h"

namespace trapline {

class ControlServer final : public EventSink {
 public:
  static constexpr size_t kMaxClients = 128;               // of each socket
  static constexpr size_t kMaxUnreadEvents = 64 * 1024;    // bytes; then a subscriber goes
  static constexpr size_t kMaxUnread = size_t{256} << 20;  // bytes of all replies

  struct Sockets {
    std::optional<ListeningSocket> control, metrics;
  };
  // Listens from now on; serves from start() to stop().
  ControlServer(Sockets sockets, std::string name, std::string version);
  ~ControlServer() override;
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // `keeper`, `console`: as Verbs has them.
  void start(Controlled& machine, StateKeeper* keeper = nullptr, const std::string& console = {});
  // The machine is not called any more when this returns; events that are due have been sent, to
  // those who take them soon. The sockets' files are gone. Again is harmless.
  void stop();

  // EventSink
  void happened(const MachineEvent& event) override;

 private:
  using Time = Connection::Time;
  struct Listener {
    std::optional<ListeningSocket> socket;
    Connection::Kind kind;
    bool rests = false;  // no descriptor for a client: not asked again at once
  };

  void serve();
  int timeout_ms(Time now) const;
  void accept(Listener& listener, Time now);
  // False: it is to be closed.
  bool advance(Connection& client, short ready, Time now);
  bool answer(Connection& client, Time now);
  bool answer_control(Connection& client, Time now);
  bool answer_metrics(Connection& client, Time now);
  bool send_events(Connection& client, Time now);
  void last_words();
  void wake();

  Listener listeners_[2];
  int wake_;
  EventLog events_;
  std::string name_, version_;
  std::optional<Verbs> verbs_;
  OpenMetrics metrics_;
  Controlled* machine_ = nullptr;
  std::vector<Connection> clients_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_SERVER_H_
