// The profile of one vCPU's exits (--profile): an observer of every exit.
#ifndef TRAPLINE_VMM_STATS_EXIT_PROFILE_H_
#define TRAPLINE_VMM_STATS_EXIT_PROFILE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/exit/observer.h"
#include "vmm/stats/attribution.h"
#include "vmm/stats/histogram.h"
#include "vmm/stats/irq_probe.h"
#include "vmm/stats/stack_samples.h"
#include "vmm/stats/timeline.h"

namespace trapline {

// What a vCPU's profile had counted at some moment.
struct ProfileReading {
  unsigned vcpu = 0;
  std::vector<Attribution::Row> rows;
  Attribution::Row other;  // of what did not fit
  Timeline timeline;
  std::optional<StackSamples> stacks;
  Histogram irq_to_iar, kick_to_exit;
  // Host cycles: in run() without its exits, in exits, asleep.
  uint64_t guest = 0, exits = 0, idle = 0;
};

class ExitProfile final : public ExitObserver {
 public:
  // `start`: host cycles, the same for all vCPUs. `stacks`: one exit in so many; 0: none.
  ExitProfile(unsigned vcpu, uint64_t start, RowBudget& budget, IrqProbe& irqs, unsigned stacks);

  void exited(const ExitRecord& record) override;
  // What the machine sees of the vCPU, in host cycles: it was in run(), its exits included; it has
  // slept in what exited last, a WFI say; a kick has brought it out of run().
  void ran(uint64_t cycles) { run_ += cycles; }
  void slept(uint64_t cycles);
  void kicked(uint64_t cycles) { kick_to_exit_.record(cycles); }

  // While the vCPU does not run; a copy, so that it can go on while a report is made.
  ProfileReading read() const;

  const Attribution& rows() const { return rows_; }
  const Timeline& timeline() const { return timeline_; }
  const StackSamples* stacks() const { return stacks_ ? &*stacks_ : nullptr; }
  const Histogram& irq_to_iar() const { return irq_to_iar_; }
  const Histogram& kick_to_exit() const { return kick_to_exit_; }
  // Host cycles: in run() without its exits, in exits, asleep.
  uint64_t guest() const { return run_ > exits_ ? run_ - exits_ : 0; }
  uint64_t exits() const { return exits_; }
  uint64_t idle() const { return idle_; }

 private:
  void begin_row(Attribution::Row& row, const ExitRecord& record);

  unsigned vcpu_;
  uint64_t start_;
  IrqProbe& irqs_;
  Attribution rows_;
  Timeline timeline_;
  std::optional<StackSamples> stacks_;
  Attribution::Row* last_ = nullptr;  // a sleep is the last exit's: WFI, WFE, or PSCI's suspend
  Histogram irq_to_iar_, kick_to_exit_;
  uint64_t run_ = 0, exits_ = 0, idle_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_EXIT_PROFILE_H_
