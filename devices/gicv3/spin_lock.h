// The lock of a GIC. What it guards takes some tens of nanoseconds, so who waits spins; releasing
// it is a plain store, which makes a pair of lock and unlock half as dear as std::mutex's.
#ifndef TRAPLINE_DEVICES_GICV3_SPIN_LOCK_H_
#define TRAPLINE_DEVICES_GICV3_SPIN_LOCK_H_

#include <atomic>
#include <thread>

namespace trapline::gicv3 {

class SpinLock {
 public:
  void lock() {
    if (!held_.exchange(true, std::memory_order_acquire)) [[likely]] {
      return;
    }
    wait();
  }
  bool try_lock() { return !held_.exchange(true, std::memory_order_acquire); }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  // The holder may have lost its host CPU, or be waking another one: soon let it run.
  [[gnu::noinline]] void wait() {
    constexpr unsigned kSpins = 64;
    do {
      for (unsigned spins = 0; held_.load(std::memory_order_relaxed); ++spins) {
        if (spins < kSpins) {
#if defined(__x86_64__)
          __builtin_ia32_pause();
#endif
        } else {
          std::this_thread::yield();
        }
      }
    } while (held_.exchange(true, std::memory_order_acquire));
  }

  std::atomic<bool> held_{false};
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_SPIN_LOCK_H_
