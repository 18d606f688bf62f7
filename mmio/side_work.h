// Work that an access sets off beside itself: waking a thread, arming a timer. Whoever times an
// exit wants to see it by its name, and no device knows who times.
#ifndef TRAPLINE_MMIO_SIDE_WORK_H_
#define TRAPLINE_MMIO_SIDE_WORK_H_

#include <cstdint>

namespace trapline {

class SideWork final {
 public:
  enum class Kind : uint8_t {
    kWake,  // another thread: a vCPU that sleeps, one that does I/O
    kArm,   // the host's timer
  };
  // A stopwatch that runs while this thread performs an exit.
  class Timer {
   public:
    virtual ~Timer() = default;
    virtual uint64_t side_work_begins() = 0;
    virtual void side_work_ends(Kind kind, uint64_t began) = 0;
  };
  static inline thread_local Timer* timer = nullptr;  // null: nobody times this thread now

  explicit SideWork(Kind kind)
      : kind_(kind), began_(timer != nullptr ? timer->side_work_begins() : 0) {}
  ~SideWork() {
    if (timer != nullptr) [[unlikely]] {
      timer->side_work_ends(kind_, began_);
    }
  }
  SideWork(const SideWork&) = delete;
  SideWork& operator=(const SideWork&) = delete;

 private:
  Kind kind_;
  uint64_t began_;
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_SIDE_WORK_H_
