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

// The stages of an exit, as design.md names them.
enum class Stage : uint8_t { kTranslate, kFetch, kDecode, kLookup, kEmulate, kCount };
const char* stage_name(Stage s);

// One exit. Valid during the call.
struct ExitRecord {
  const Exit* exit = nullptr;
  ExitClass exit_class = ExitClass::kOther;
  Answer answer{};
  const Access* access = nullptr;  // of a data abort that was understood
  // The last element that reached a device, or a system register's value.
  const Bus::Region* region = nullptr;
  uint64_t offset = 0, value = 0;
  uint8_t size = 0;
  bool write = false, abort = false;
  // Host cycles. A stage that was not passed has none; one that was passed twice has both.
  uint64_t start = 0, total = 0;
  std::array<uint64_t, static_cast<size_t>(Stage::kCount)> stages{};
  uint8_t stages_passed = 0;  // a bit a stage
};

class ExitObserver {
 public:
  virtual ~ExitObserver() = default;
  // On the vCPU's thread, before it goes on.
  virtual void exited(const ExitRecord& record) = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_OBSERVER_H_
