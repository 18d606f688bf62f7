// A machine's life: its states, and which change each may be asked for. The table in lifecycle.cc
// is the whole of it. A stop is sticky: once asked for, nothing but the end follows, and the first
// reason's status is the program's.
#ifndef TRAPLINE_VMM_MACHINE_LIFECYCLE_H_
#define TRAPLINE_VMM_MACHINE_LIFECYCLE_H_

#include <atomic>
#include <cstdint>

namespace trapline {

enum class LifeState : uint8_t {
  kCreated,    // assembled, nothing has run
  kRunning,    // vCPUs run (or are halted by a debugger)
  kResetting,  // a reset was asked for: vCPU threads end, memory is loaded anew
  kStopping,   // a stop was asked for: everything winds up
  kEnded,      // no thread of the machine is left
  kCount
};

// From kStopping on, the answer to whoever asks for more.
inline constexpr char kAtItsEnd[] = "the VM is at its end";

class Lifecycle {
 public:
  // True if the table allows `from` -> `to`.
  static bool allows(LifeState from, LifeState to);

  // Changes to `to` if the table allows it from the present state; any thread. `status` is kept by
  // the change to kStopping, and means nothing otherwise. False: nothing changed.
  bool change(LifeState to, int status = 0);

  LifeState state() const { return unpack(word_.load(std::memory_order_acquire)); }
  bool running() const {
    return unpack(word_.load(std::memory_order_relaxed)) == LifeState::kRunning;
  }
  bool stopping() const { return state() >= LifeState::kStopping; }
  // What the first stop gave; 0 before.
  int status() const { return static_cast<int>(word_.load(std::memory_order_acquire) >> 8); }

 private:
  // State and status in one word: two stops at once cannot mix theirs.
  static LifeState unpack(uint32_t word) { return static_cast<LifeState>(word & 0xff); }
  std::atomic<uint32_t> word_{static_cast<uint32_t>(LifeState::kCreated)};
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_LIFECYCLE_H_
