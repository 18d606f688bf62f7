// Where the guest was when it exited: call stacks by frame pointer, of a sample of exits.
#ifndef TRAPLINE_VMM_STATS_STACK_SAMPLES_H_
#define TRAPLINE_VMM_STATS_STACK_SAMPLES_H_

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "vmm/exit/observer.h"
#include "vmm/stats/attribution.h"

namespace trapline {

class StackSamples {
 public:
  struct Key {
    ExitTarget target;
    uint64_t pc;
    uint64_t link;                  // x30: the caller, if the function has no frame yet
    std::vector<uint64_t> returns;  // from the frame records, the innermost first
    auto operator<=>(const Key&) const = default;
  };
  struct Sum {
    uint64_t count = 0, cycles = 0;
  };
  static constexpr size_t kStacks = 4096;
  static constexpr unsigned kFrames = 64;

  // One exit in `every` on average, at intervals that no periodic guest can match; 1: each.
  explicit StackSamples(unsigned every) : every_(every), left_(next()) {}
  void exited(const ExitRecord& record, ExitTarget target) {
    if (--left_ == 0) take(record, target);
  }
  const std::map<Key, Sum>& stacks() const { return stacks_; }
  uint64_t dropped() const { return dropped_; }  // samples of stacks beyond kStacks

 private:
  void take(const ExitRecord& record, ExitTarget target);

  unsigned next();

  unsigned every_;
  uint32_t random_ = 0x2545f491;
  unsigned left_;
  std::map<Key, Sum> stacks_;
  uint64_t dropped_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_STACK_SAMPLES_H_
