// What host atomics lack beside the guest's.
#ifndef TRAPLINE_MMIO_HOST_BARRIER_H_
#define TRAPLINE_MMIO_HOST_BARRIER_H_

#include <atomic>

namespace trapline {

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

}  // namespace trapline

#endif  // TRAPLINE_MMIO_HOST_BARRIER_H_
