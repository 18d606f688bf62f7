// The lock of a DeviceGate's slot, and how its holder waits for device code in flight. Internal to
// mmio/. A kernel has neither a mutex of the C++ library nor a scheduler to ask, a C program no C++
// library.
#ifndef TRAPLINE_MMIO_GATE_LOCK_H_
#define TRAPLINE_MMIO_GATE_LOCK_H_

#if __STDC_HOSTED__ && !defined(TRAPLINE_C_LIBRARY)

#include <mutex>
#include <thread>

namespace trapline {
using GateLock = std::mutex;
inline void gate_wait() { std::this_thread::yield(); }
}  // namespace trapline

#else

#include <atomic>

#if __STDC_HOSTED__
#include <sched.h>
#endif

namespace trapline {

inline void gate_wait() {
#if __STDC_HOSTED__
  sched_yield();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#elif defined(__x86_64__)
  __asm__ __volatile__("pause");
#endif
}

class GateLock {
 public:
  void lock() {
    while (held_.exchange(true, std::memory_order_acquire)) {
      while (held_.load(std::memory_order_relaxed)) gate_wait();
    }
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

}  // namespace trapline

#endif

#endif  // TRAPLINE_MMIO_GATE_LOCK_H_
