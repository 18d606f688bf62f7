// Counters that one thread raises and any thread may read, at the price of plain ones: no locked
// instruction, no fence. They stay plain numbers, so that what is merged of them is, too.
#ifndef TRAPLINE_VMM_EXIT_SHARED_COUNT_H_
#define TRAPLINE_VMM_EXIT_SHARED_COUNT_H_

#include <cstdint>

namespace trapline {

// Any thread.
[[gnu::always_inline]] inline uint64_t peek(const uint64_t& count) {
  return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

// Its own thread.
[[gnu::always_inline]] inline void assign(uint64_t& count, uint64_t value) {
  __atomic_store_n(&count, value, __ATOMIC_RELAXED);
}
[[gnu::always_inline]] inline void bump(uint64_t& count, uint64_t by = 1) {
  assign(count, peek(count) + by);
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_SHARED_COUNT_H_
