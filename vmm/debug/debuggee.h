// The machine as a debugger sees it.
#ifndef TRAPLINE_VMM_DEBUG_DEBUGGEE_H_
#define TRAPLINE_VMM_DEBUG_DEBUGGEE_H_

#include <cstdint>
#include <string>

#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

// What a vCPU does when the debugger lets go.
enum class DebugGo : uint8_t {
  kStay,  // halted, though others run
  kRun,
  kStep,  // one instruction; its end is a stop
};

// Why a vCPU stopped by itself.
struct DebugStop {
  int signal = 0;         // 5 (SIGTRAP): breakpoint, watchpoint, step; 11 (SIGSEGV): crashed
  bool stepped = false;   // a kStep is over
  bool watched = false;   // a watchpoint, and
  uint64_t address = 0;   // its first byte that the access touches
  bool is_write = false;  // the access writes it
};

class Debuggee {
 public:
  virtual ~Debuggee() = default;
  virtual unsigned cpus() const = 0;
  virtual Vcpu& cpu(unsigned index) = 0;
  virtual GuestMemory& guest_memory() = 0;
  virtual const Stage2& stage2() const = 0;
  // As a guest's read at EL1, without side effects, those that devices answer too; false: unknown.
  virtual bool read_sysreg(unsigned cpu, SysregId id, uint64_t& value) = 0;
  // For people: "off", "waits for an interrupt", ...
  virtual std::string cpu_state(unsigned index) = 0;
  virtual std::string device_at(uint64_t ipa) = 0;  // empty: none
  virtual std::string exit_profile() = 0;

  // True when no vCPU runs: until resume() all of the above may be asked. It waits for a machine
  // that is being reset. False: the machine is at its end, and nothing may be touched.
  virtual bool halt() = 0;
  // `go`: one a vCPU. What the debugger is told from here on are stops of this run.
  virtual void resume(const DebugGo* go) = 0;
  virtual void kill() = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_DEBUG_DEBUGGEE_H_
