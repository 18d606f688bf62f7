// Children that go to jail and then try something.
#ifndef TRAPLINE_TESTS_VMM_JAIL_ATTEMPTS_H_
#define TRAPLINE_TESTS_VMM_JAIL_ATTEMPTS_H_

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

namespace trapline::jail::test {

// Who tries: the thread that closed the jail, one from before, or one from after.
enum class Who { kCloser, kOlder, kYounger };
inline constexpr Who kAll[] = {Who::kCloser, Who::kOlder, Who::kYounger};

inline constexpr int kKilled = 1000, kNoJail = 99;

// What becomes of a process that does `close` (a line is its failure) and then `attempt`, whose
// value, below 99, is the answer; kKilled if it was killed for a system call.
inline int fate_of(const std::function<std::string()>& close, const std::function<int()>& attempt,
                   Who who = Who::kCloser) {
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<bool> closed{false};
    std::thread older([&] {
      while (!closed) continue;  // without a system call: few jails have one to spare
      if (who == Who::kOlder) _exit(attempt());
    });
    if (const std::string error = close(); !error.empty()) {
      [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, error.data(), error.size());
      _exit(kNoJail);
    }
    closed = true;
    if (who == Who::kCloser) _exit(attempt());
    if (who == Who::kYounger) std::thread([&] { _exit(attempt()); }).join();
    for (std::atomic<bool> waits{true}; waits;) continue;
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGSYS ? kKilled : -WTERMSIG(status);
  return WEXITSTATUS(status);
}

}  // namespace trapline::jail::test

#endif  // TRAPLINE_TESTS_VMM_JAIL_ATTEMPTS_H_
