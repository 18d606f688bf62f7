// Whose turn it is, between two threads that work one after the other: a word that one sets and the
// other waits for. Of system calls only futex(2), which every seccomp filter of a vCPU allows.
#ifndef TRAPLINE_VMM_NISV_TURN_H_
#define TRAPLINE_VMM_NISV_TURN_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>

namespace trapline::nisv {

class Turn {
 public:
  explicit Turn(uint32_t value) : word_(value) {}

  uint32_t get() const { return word_.load(std::memory_order_acquire); }
  void set(uint32_t value) {
    word_.store(value, std::memory_order_release);
    syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }

  // Sleeps while the word is `value`, at most `seconds` (0: for ever). `interrupted` (may be null)
  // becomes true if a signal's handler ran meanwhile: a wait that has a time limit ends with EINTR
  // then, whatever SA_RESTART says.
  uint32_t wait_while(uint32_t value, bool* interrupted = nullptr, unsigned seconds = 0) {
    constexpr unsigned kLong = 3600;
    const timespec limit{static_cast<time_t>(seconds == 0 ? kLong : seconds), 0};
    uint32_t now;
    while ((now = get()) == value) {
      const long slept = syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, value, &limit, nullptr, 0);
      if (slept == 0) continue;
      if (errno == EINTR && interrupted != nullptr) *interrupted = true;
      if (errno == ETIMEDOUT && seconds != 0) return get();
    }
    return now;
  }

 private:
  std::atomic<uint32_t> word_;
  static_assert(sizeof(std::atomic<uint32_t>) == 4);
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_TURN_H_
