// The host's clocks.
#ifndef TRAPLINE_VMM_VCPU_HOST_CLOCK_H_
#define TRAPLINE_VMM_VCPU_HOST_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace trapline {

inline uint64_t steady_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// The cycle counter: the cheapest clock there is; calibrated against steady_ns() when printed.
inline uint64_t host_cycles() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t v;
  asm volatile("mrs %0, cntvct_el0" : "=r"(v));
  return v;
#endif
}

// From a count of host_cycles() to another. A thread may have come to a CPU whose counter is
// behind.
inline uint64_t cycles_between(uint64_t start, uint64_t end) {
  return end > start ? end - start : 0;
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_HOST_CLOCK_H_
