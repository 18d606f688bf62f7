// Whoever watches exits: told of each after the fact, with what it was and what its stages took.
#ifndef TRAPLINE_VMM_EXIT_OBSERVER_H_
#define TRAPLINE_VMM_EXIT_OBSERVER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "decode/access.h"
#include "mmio/bus.h"
#include "vmm/exit/counters.h"
#include "vmm/vcpu/host_clock.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

// The stages of an exit, as design.md names them; the last two are a device's doing, and no part of
// kEmulate: waking a thread that sleeps, arming the host's timer.
enum class Stage : uint8_t { kTranslate, kFetch, kDecode, kLookup, kEmulate, kWake, kArm, kCount };
const char* stage_name(Stage s);

// One exit. Valid during the call.
struct ExitRecord {
  const Exit* exit = nullptr;
  ExitClass exit_class = ExitClass::kOther;
  Answer answer{};
  const GuestFault* fault = nullptr;  // that the guest gets, if the answer is kFault
  const Access* access = nullptr;     // of a data abort that was understood
  // The last element that reached a device, or a system register's value.
  const Bus::Region* region = nullptr;
  uint64_t offset = 0, value = 0;
  uint8_t size = 0;
  bool write = false, abort = false;
  // Host cycles.
  uint64_t start = 0, total = 0;
  // Taken of a sample only. A stage that was not passed has none; one passed twice has both.
  bool staged = false;
  uint8_t stages_passed = 0;  // a bit a stage
  std::array<uint64_t, static_cast<size_t>(Stage::kCount)> stages{};

  // On the vCPU's thread, during the call: its registers as the exit left them, and itself.
  CpuView* view = nullptr;
  Vcpu* vcpu = nullptr;
};

class ExitObserver {
 public:
  virtual ~ExitObserver() = default;
  // With kEveryAccess: before an exit is handled; the view through which it is.
  virtual CpuView& begins(const Exit& /*exit*/, CpuView& view) { return view; }
  // And each element that reaches a device meanwhile, but the last, of which exited() tells:
  // `record` has region to abort.
  virtual void accessed(const ExitRecord& /*record*/) {}
  // On the vCPU's thread, before it goes on.
  virtual void exited(const ExitRecord& record) = 0;
};

// What an observer is told of: one exit in ExitHandler::sample_every(), which are also those whose
// stages are timed; all exits; all, and what happens meanwhile.
enum class Attention : uint8_t { kSample, kEveryExit, kEveryAccess };

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_OBSERVER_H_
