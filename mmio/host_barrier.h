// What host atomics lack beside the guest's.
#ifndef TRAPLINE_MMIO_HOST_BARRIER_H_
#define TRAPLINE_MMIO_HOST_BARRIER_H_

#include <atomic>

namespace trapline {

// The order of a plain load or store of guest memory: none, the guest's barriers are the host's.
// ThreadSanitizer knows no fences, so for it each access orders, as the guest meant some of them
// to: the guest's own races are not its business, those with a device's plain accesses are.
#if defined(__SANITIZE_THREAD__)
inline constexpr int kRamLoad = __ATOMIC_ACQUIRE, kRamStore = __ATOMIC_RELEASE;
#else
inline constexpr int kRamLoad = __ATOMIC_RELAXED, kRamStore = __ATOMIC_RELAXED;
#endif

// After an atomic read-modify-write of guest memory. One of the guest's with acquire and release
// (LDADDAL, CASAL, SWPAL) orders everything before it with everything after it (B2.3.3, "barrier-
// ordered-before"), a later load with an earlier store too; Linux relies on it. A seq_cst operation
// of C++ does not, where the others are relaxed: an Armv8.0 host does it by LDAXR and STLXR, and a
// later load may pass the STLXR.
inline void barrier_after_rmw() {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_seq_cst);  // a locked instruction is a full barrier
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// SB: nothing after it is speculated on (B2.3.6).
inline void speculation_barrier() {
#if defined(__x86_64__)
  __builtin_ia32_lfence();
#elif defined(__aarch64__)
  __asm__ volatile("dsb nsh\n\tisb" ::: "memory");
#endif
}

}  // namespace trapline

#endif  // TRAPLINE_MMIO_HOST_BARRIER_H_
