// Notices a guest that has stopped for good: every CPU that is on waits in WFI or WFE, time after
// time at the same place, and no interrupt can reach it. A kernel that needs EL2, or one that ends
// in a wait loop, does this without a word.
#ifndef TRAPLINE_VMM_MACHINE_IDLE_WATCH_H_
#define TRAPLINE_VMM_MACHINE_IDLE_WATCH_H_

#include <atomic>
#include <cstdint>
#include <vector>

namespace trapline {

class IdleWatch {
 public:
  explicit IdleWatch(unsigned cpus) : cpus_(cpus) {}

  // The CPU begins to wait at `pc`, having retired that many instructions in all; on its own
  // thread. `now_ns()` is asked only while it does nothing else. True: it has done nothing but wait
  // there for kLong.
  template <typename Now>
  bool waits(unsigned index, uint64_t pc, uint64_t retired, Now&& now_ns) {
    Cpu& cpu = cpus_[index];
    const bool same = place(index) == pc && retired - cpu.retired <= kLoop;
    if (!same) cpu.pc.store(pc, std::memory_order_relaxed);
    cpu.retired = retired;
    if (!same) {
      cpu.since_ns = 0;
      if (cpu.stuck.load(std::memory_order_relaxed)) cpu.stuck.store(false);
      return false;
    }
    const uint64_t now = now_ns();
    if (cpu.since_ns == 0) cpu.since_ns = now;
    const bool stuck = now - cpu.since_ns >= kLongNs;
    if (stuck) cpu.stuck.store(true);
    return stuck;
  }
  // Its wait ends by an interrupt alone, and nothing that runs will cause one.
  void waits_for_ever(unsigned index) { cpus_[index].stuck.store(true); }
  // By what it last waited for; any thread.
  bool stuck(unsigned index) const { return cpus_[index].stuck.load(); }
  uint64_t place(unsigned index) const { return cpus_[index].pc.load(std::memory_order_relaxed); }
  // True once: whoever gets it tells the user.
  bool first_to_tell() { return !told_.exchange(true); }

 private:
  static constexpr uint64_t kLoop = 16;  // instructions from one wait to the next of a wait loop
  static constexpr uint64_t kLongNs = 2'000'000'000;

  struct Cpu {
    std::atomic<uint64_t> pc{~uint64_t{0}};
    uint64_t retired = 0;
    uint64_t since_ns = 0;  // of the first wait that found nothing done since the one before
    std::atomic<bool> stuck{false};
  };
  std::vector<Cpu> cpus_;
  std::atomic<bool> told_{false};
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_IDLE_WATCH_H_
