// The stages of one exit on the clock: each lap() gives the time since the last one to a stage.
#ifndef TRAPLINE_VMM_EXIT_STAGE_CLOCK_H_
#define TRAPLINE_VMM_EXIT_STAGE_CLOCK_H_

#include <cstdint>

#include "mmio/side_work.h"
#include "vmm/exit/observer.h"

namespace trapline {

class StageClock final : private SideWork::Timer {
 public:
  static constexpr bool kObserved = true;

  explicit StageClock(ExitRecord& record) : record_(record), last_(record.start) {
    SideWork::timer = this;
  }
  ~StageClock() override { SideWork::timer = nullptr; }
  StageClock(const StageClock&) = delete;
  StageClock& operator=(const StageClock&) = delete;

  void lap(Stage stage) {
    const uint64_t now = host_cycles();
    add(stage, cycles_between(last_, now));
    last_ = now;
  }

 private:
  void add(Stage stage, uint64_t cycles) {
    record_.stages[static_cast<size_t>(stage)] += cycles;
    record_.stages_passed |= static_cast<uint8_t>(1u << static_cast<unsigned>(stage));
  }
  uint64_t side_work_begins() override { return host_cycles(); }
  // No part of the stage around it: that one's start moves by as much.
  void side_work_ends(SideWork::Kind kind, uint64_t began) override {
    const uint64_t took = cycles_between(began, host_cycles());
    add(kind == SideWork::Kind::kWake ? Stage::kWake : Stage::kArm, took);
    last_ += took;
  }

  ExitRecord& record_;
  uint64_t last_;
};
static_assert(static_cast<unsigned>(Stage::kCount) <= 8, "ExitRecord::stages_passed");

// Watched, and not in the sample.
struct NoStages {
  static constexpr bool kObserved = true;
  void lap(Stage) {}
};

// Nobody watches.
struct NoClock {
  static constexpr bool kObserved = false;
  void lap(Stage) {}
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_STAGE_CLOCK_H_
