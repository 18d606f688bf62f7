#include "vmm/nisv/helper.h"

#include <csignal>
#include <new>

namespace trapline::nisv {

bool make_thread(pthread_t& thread, void* (*main)(void*), void* argument) {
  // The thread-local data of a program is on its threads' stacks, too.
  constexpr size_t kStack = 512 * 1024;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(&thread, &attributes, main, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return failed == 0;
}

bool Helper::start() {
  const std::lock_guard lock(one_caller_);
  if (running_) return true;
  turn_.set(kIdle);
  const auto main = [](void* self) -> void* {
    static_cast<Helper*>(self)->loop();
    return nullptr;
  };
  return running_ = make_thread(thread_, main, this);
}

void Helper::stop() {
  const std::lock_guard lock(one_caller_);
  if (!running_) return;
  turn_.set(kEnd);
  pthread_join(thread_, nullptr);
  running_ = false;
}

void Helper::forget() {
  new (&one_caller_) std::mutex;
  running_ = false;
}

void Helper::do_call(void (*work)(void*), void* argument) {
  const std::lock_guard lock(one_caller_);
  if (!running_ || pthread_equal(thread_, pthread_self()) != 0) {
    work(argument);
    return;
  }
  work_ = work;
  of_work_ = argument;
  turn_.set(kWork);
  while (turn_.wait_while(kWork) != kDone) {
  }
  turn_.set(kIdle);
}

void Helper::loop() {
  for (;;) {
    const uint32_t now = turn_.get();
    if (now == kEnd) return;
    if (now == kWork) {
      work_(of_work_);
      turn_.set(kDone);
      continue;
    }
    if (turn_.wait_while(now, nullptr, 1) == now) tick_(argument_);
  }
}

}  // namespace trapline::nisv
