// A thread that is made when the library is loaded, before a seccomp filter can be there, and does
// what the VMM's own threads may not be allowed to do.
#ifndef TRAPLINE_VMM_NISV_HELPER_H_
#define TRAPLINE_VMM_NISV_HELPER_H_

#include <pthread.h>

#include <mutex>

#include "vmm/nisv/turn.h"

namespace trapline::nisv {

// A thread of ours: small, and no signal of the VMM's is handled on it.
bool make_thread(pthread_t& thread, void* (*main)(void*), void* argument);

class Helper {
 public:
  // `tick(argument)` is called on it every second or so.
  Helper(void (*tick)(void*), void* argument) : tick_(tick), argument_(argument) {}

  // Makes the thread if there is none. False: the system gives none.
  bool start();
  // Until start() there is none: of what calls meanwhile the thread of the caller's does the work.
  void stop();
  // Around a fork; in the child, where no thread but the caller's is, forget().
  void before_fork() { one_caller_.lock(); }
  void after_fork_in_parent() { one_caller_.unlock(); }
  void forget();

  // Calls `work()` on the thread, and waits for its end.
  template <typename Work>
  void call(Work&& work) {
    do_call([](void* it) { (*static_cast<Work*>(it))(); }, &work);
  }

 private:
  enum : uint32_t { kIdle, kWork, kDone, kEnd };
  void do_call(void (*work)(void*), void* argument);
  void loop();

  void (*tick_)(void*);
  void* argument_;
  std::mutex one_caller_;
  Turn turn_{kIdle};
  void (*work_)(void*) = nullptr;
  void* of_work_ = nullptr;
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_HELPER_H_
