// PSCI 1.1 and SMCCC over HVC (Arm DEN 0022 and DEN 0028): CPU power and system off/reset.
#ifndef TRAPLINE_VMM_EXIT_PSCI_H_
#define TRAPLINE_VMM_EXIT_PSCI_H_

#include <cstdint>

namespace trapline {

// What the machine does for PSCI. Called on the calling vCPU's thread.
class PowerControl {
 public:
  enum class Power : uint8_t { kOn = 0, kOff = 1, kOnPending = 2 };  // AFFINITY_INFO's values
  virtual ~PowerControl() = default;
  virtual unsigned cpu_count() const = 0;
  virtual Power power(unsigned cpu) = 0;
  // Only for a CPU that is off. False if it is not.
  virtual bool cpu_on(unsigned cpu, uint64_t entry, uint64_t context) = 0;
  virtual bool is_guest_memory(uint64_t ipa) const = 0;
};

struct PsciResult {
  enum class Action : uint8_t {
    kReturn,        // x0 = value
    kCpuOff,        // the calling CPU turns off; nothing returns
    kSuspend,       // wait for an interrupt, then x0 = value
    kSuspendEntry,  // the same with power-down: restart at `entry` with x0 = `context`
    kSystemOff,
    kSystemReset,
  };
  Action action = Action::kReturn;
  uint64_t value = 0;
  uint64_t entry = 0, context = 0;
};

// The answer to an HVC #0 that neither asks anything of the machine nor changes it; false if it
// does. `function` and `argument` are x0 and x1.
bool psci_answer(uint64_t function, uint64_t argument, uint64_t& value);
// One HVC #0 with its arguments x0-x3.
PsciResult psci_call(PowerControl& machine, const uint64_t args[4]);

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_PSCI_H_
