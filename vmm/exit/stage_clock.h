// The stages of one exit on the clock: each lap() gives the time since the last one to a stage.
#ifndef TRAPLINE_VMM_EXIT_STAGE_CLOCK_H_
#define TRAPLINE_VMM_EXIT_STAGE_CLOCK_H_

#include <cstdint>

#include "vmm/exit/observer.h"

namespace trapline {

class StageClock final {
 public:
  explicit StageClock(ExitRecord& record) : record_(record), last_(record.start) {}
  StageClock(const StageClock&) = delete;
  StageClock& operator=(const StageClock&) = delete;

  void lap(Stage stage) {
    const uint64_t now = host_cycles();
    record_.stages[static_cast<size_t>(stage)] += now - last_;
    record_.stages_passed |= static_cast<uint8_t>(1u << static_cast<unsigned>(stage));
    last_ = now;
  }

 private:
  ExitRecord& record_;
  uint64_t last_;
};

// Nobody watches.
struct NoClock {
  void lap(Stage) {}
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_STAGE_CLOCK_H_
