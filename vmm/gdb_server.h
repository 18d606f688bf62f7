// The GDB remote serial protocol over TCP on the loopback interface: registers, memory by virtual
// address, breakpoints, stepping, one thread a vCPU, all stopped or all running.
#ifndef TRAPLINE_VMM_GDB_SERVER_H_
#define TRAPLINE_VMM_GDB_SERVER_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "vmm/guest_memory.h"
#include "vmm/vcpu.h"

namespace trapline {

// The machine as a debugger sees it.
class Debuggee {
 public:
  virtual ~Debuggee() = default;
  virtual unsigned cpus() const = 0;
  virtual Vcpu& cpu(unsigned index) = 0;
  virtual GuestMemory& guest_memory() = 0;
  // Returns when no vCPU runs. Between halt() and resume() vCPUs may be touched by the caller.
  virtual void halt() = 0;
  virtual void resume() = 0;
  // One instruction of one halted vCPU.
  virtual void step_halted(unsigned index) = 0;
  virtual void kill() = 0;
};

class GdbServer {
 public:
  // Listens; the error says why not. The debuggee must be halted.
  static std::string listen(unsigned port, int& socket);

  GdbServer(int socket, Debuggee& debuggee);
  ~GdbServer();
  GdbServer(const GdbServer&) = delete;
  GdbServer& operator=(const GdbServer&) = delete;

  // Any thread: a vCPU met a breakpoint (SIGTRAP, 5) or crashed (SIGSEGV, 11) and all are to halt.
  // Returns at once; the server's thread does the rest.
  void stopped(unsigned cpu, int signal);

 private:
  void serve();
  void session();
  bool receive_packet(std::string& packet);
  bool send_packet(const std::string& body);
  std::string handle(const std::string& packet);
  std::string handle_query(const std::string& packet);
  std::string read_registers();
  bool write_registers(const std::string& hex);
  std::string read_register(unsigned number);
  bool write_register(unsigned number, const std::string& hex);
  std::string read_memory(uint64_t va, uint64_t size);
  bool write_memory(uint64_t va, const std::string& hex);
  // The host bytes of the page part that starts at `va`; null if it does not translate to memory.
  uint8_t* memory_at(uint64_t va, uint64_t& ipa);
  void set_breakpoints();
  void go();
  std::string stop_reply() const;

  const int listener_;
  int wake_[2] = {-1, -1};
  int client_ = -1;
  Debuggee& debuggee_;
  std::set<uint64_t> breakpoints_;
  unsigned current_ = 0;
  bool running_ = false;
  bool no_ack_ = false;
  bool detached_ = false;
  int signal_ = 5;
  std::string input_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  unsigned event_cpu_ = 0;
  int event_signal_ = 0;
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_GDB_SERVER_H_
