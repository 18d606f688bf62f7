// TRAPLINE_NISV_STATS=F: the figures, in the shape of `trapline run --stats` (docs/statistics.md).
#ifndef TRAPLINE_VMM_NISV_STATISTICS_H_
#define TRAPLINE_VMM_NISV_STATISTICS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace trapline::nisv {

// One writer each; others read them at any time.
class Counter {
 public:
  void operator++() { *this += 1; }
  void operator+=(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  operator uint64_t() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Of a vCPU.
struct Counts {
  // By its thread.
  Counter runs, interrupted;  // KVM_RUN of the kernel's; of those: ended by a signal
  Counter mmio, other;        // KVM_EXIT_MMIO of the kernel's, and all but that and NISV
  Counter elements;           // KVM_EXIT_MMIO of ours
  Counter finished_early;     // accesses that were finished by a KVM_RUN with immediate_exit
  Counter seen_between;       // accesses between whose elements registers were read
  // By its emulator's.
  Counter nisv[2];         // KVM_EXIT_ARM_NISV: of what the cache knew, and what was walked for
  Counter nisv_ioctls[2];  // register calls that they made
  Counter performed;       // exits behind whose access the guest went on
  Counter retries, busy;   // nothing was done: what was found is not what trapped; an exclusive
                           // access of another vCPU is under way
  Counter stuck;           // retries that took too long
  Counter unsupported;     // accesses that are not emulated
  Counter aborts, exceptions;
  Counter stepped, beyond;   // load-exclusives, and those whose store was out of reach
  Counter dropped;           // accesses that a reset ended, or memory that went away
  Counter events;            // ioeventfds that were signalled
  Counter reads, writes;     // elements for the VMM
  Counter gicd[2], gicr[2];  // reads and writes of the kernel's interrupt controller
  Counter cache_hits, cache_misses, cache_invalidations;
};

class Statistics {
 public:
  // At load: opens, makes and maps F; it is written to once there is a VM. False: it cannot be.
  bool open(const char* path);
  // From now on nothing is written.
  void close() { map_ = nullptr; }
  void begin();
  // Sums of `cpus` vCPUs. Not twice at a time.
  void write(const Counts* const* counts, unsigned cpus);

  static constexpr size_t kBytes = 16 * 1024;

 private:
  char* map_ = nullptr;
  timespec began_{};
};

// At most `size` bytes; how many it is.
size_t statistics_text(const Counts* const* counts, unsigned cpus, double seconds, char* text,
                       size_t size);

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_STATISTICS_H_
