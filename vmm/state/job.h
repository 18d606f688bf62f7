// A save or a migration under way.
#ifndef TRAPLINE_VMM_STATE_JOB_H_
#define TRAPLINE_VMM_STATE_JOB_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace trapline::state {

struct Job {
  Job() : cancel_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Job() {
    if (cancel_fd >= 0) close(cancel_fd);
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Any thread. `why`, static text, is what the job then says of itself.
  void cancel(const char* why) {
    reason = why;
    cancelled = true;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(cancel_fd, &one, sizeof one);
  }

  std::atomic<bool> cancelled{false};
  std::atomic<const char*> reason{""};
  const int cancel_fd;                               // readable once it is
  std::function<void(const std::string&)> progress;  // one line each
};

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_JOB_H_
