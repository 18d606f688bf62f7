// GDB's commands on one machine: all-stop, one thread a vCPU. Packets in, packets out; the socket
// is gdb_server's business. Used by one thread, but for note().
#ifndef TRAPLINE_VMM_DEBUG_GDB_SESSION_H_
#define TRAPLINE_VMM_DEBUG_GDB_SESSION_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/debug/debuggee.h"
#include "vmm/debug/gdb_protocol.h"
#include "vmm/debug/gdb_target.h"

namespace trapline {

class GdbSession {
 public:
  using Packets = std::vector<std::string>;  // bodies, in the order in which they are to be sent

  explicit GdbSession(Debuggee& debuggee);

  // Any thread: a vCPU stopped by itself, and stays so until the debuggee is resumed.
  void note(unsigned cpu, const DebugStop& stop);

  // A debugger is here: halts the machine. The answer to its first `?` is a stop that waited for
  // it, else SIGTRAP on the first vCPU that is on.
  void begin();
  // It is gone: no breakpoints, no watchpoints, and the guest runs.
  void end();

  // A packet's body. While the guest runs only a kill and a detach are obeyed, and the rest is
  // refused: nothing touches a vCPU that another thread executes.
  Packets handle(std::string_view packet);
  Packets interrupt();  // 0x03
  // After note(): halts all and says so. Without a session: lets go again what stopped for one.
  Packets stopped();
  // The program ends with this status: the answer that a debugger waits for, if it does.
  Packets ended(int status) const;

  bool open() const { return open_; }
  bool running() const { return running_; }  // a stop reply is due
  bool closing() const { return closing_; }  // nothing more is to be said after a kill or detach
  bool acknowledges() const { return acknowledges_; }

 private:
  struct Pending {
    unsigned cpu;
    DebugStop stop;
    uint64_t pc;
  };
  enum WatchKind : char { kWrite = '2', kRead = '3', kAccess = '4' };
  static constexpr long kAny = 0, kAll = -1;

  bool halt();
  void collect();
  void report(const Pending& pending);
  bool holds(const Pending& pending) const;
  bool is_breakpoint(uint64_t pc) const;
  const char* watch_name(const DebugStop& stop) const;
  void set_points();
  Packets go(const std::vector<DebugGo>& actions);
  std::string stop_reply() const;
  bool thread(GdbCursor& at, long& thread) const;

  Packets resume_legacy(std::string_view packet);
  Packets resume_threads(GdbCursor at);
  std::string select_thread(GdbCursor at);
  std::string set_point(char what, GdbCursor at);
  std::string set_register(GdbCursor at);
  std::string read_memory(GdbCursor at);
  std::string write_memory(GdbCursor at, bool binary);
  std::string query(std::string_view packet);
  Packets monitor(std::string_view hex);
  Packets detach();

  Debuggee& debuggee_;
  GdbTarget target_;
  bool open_ = false, running_ = false, closing_ = false, acknowledges_ = true;
  unsigned current_ = 0;         // Hg
  long continue_thread_ = kAny;  // Hc
  DebugStop last_;               // what `?` tells, of vCPU last_cpu_
  unsigned last_cpu_ = 0;

  // Z0 and Z1 by address: how many of the two; Z2 to Z4 by type, address and length.
  std::map<uint64_t, unsigned> breakpoints_;
  struct Watch {
    char kind;
    Watchpoint what;
  };
  std::vector<Watch> watches_;

  std::vector<DebugGo> went_;  // in the last run
  // Stops of the last run that were not told yet: several vCPUs can stop at once, and one stop
  // reply names one.
  std::vector<Pending> pending_;

  std::mutex mutex_;
  std::vector<std::pair<unsigned, DebugStop>> noted_;  // guarded
};

// What `monitor LINE` answers; gdb_monitor.cc.
std::string gdb_monitor(Debuggee& debuggee, unsigned cpu, std::string_view line);

}  // namespace trapline

#endif  // TRAPLINE_VMM_DEBUG_GDB_SESSION_H_
