// GDB over TCP on the loopback interface: one client at a time, on a thread of its own. Nothing
// that a client does or leaves undone makes another thread wait.
#ifndef TRAPLINE_VMM_DEBUG_GDB_SERVER_H_
#define TRAPLINE_VMM_DEBUG_GDB_SERVER_H_

#include <atomic>
#include <string>
#include <string_view>
#include <thread>

#include "vmm/debug/debuggee.h"
#include "vmm/debug/gdb_protocol.h"
#include "vmm/debug/gdb_session.h"

namespace trapline {

class GdbServer {
 public:
  // Listens; the error says why not.
  static std::string listen(unsigned port, int& socket);

  // The debuggee is halted, or runs.
  GdbServer(int socket, Debuggee& debuggee);
  // The debuggee is at its end: a debugger that waits is told the exit status, without waiting for
  // it to listen.
  ~GdbServer();
  GdbServer(const GdbServer&) = delete;
  GdbServer& operator=(const GdbServer&) = delete;

  // Any thread: a vCPU stopped by itself and all are to halt. Returns at once; the server's thread
  // does the rest.
  void stopped(unsigned cpu, const DebugStop& stop);
  // Any thread: somebody is there to be told of stops.
  bool attached() const { return attached_; }
  // Before the end: the status that is told. Without it, 0.
  void ended(int status) { status_ = status; }

 private:
  void serve();
  void accept_client();
  void receive();
  void take_items();
  void queue(const GdbSession::Packets& packets);
  void flush();
  void close_client();
  void wake();

  int listener_, wake_;
  int client_ = -1;
  bool listener_rests_ = false;  // no descriptor for a client: not asked again at once
  GdbFraming framing_;
  // Not sent yet. While there is much, nothing is read: what a client does not fetch it does not
  // get more of.
  std::string output_;
  std::string last_packet_;
  GdbSession session_;
  std::atomic<bool> attached_{false}, ending_{false};
  std::atomic<int> status_{0};
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_DEBUG_GDB_SERVER_H_
