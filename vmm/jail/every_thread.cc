#include "vmm/jail/every_thread.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <set>

#include "vmm/host/every_thread_signal.h"

namespace trapline::jail {
namespace {

constexpr unsigned kMostThreads = 4096;

// For the handler, hence no members.
int (*work_to_do)(int);
int argument_of_it;
std::atomic<int> first_error;
std::atomic<unsigned> answers;
std::atomic<pid_t> answered[kMostThreads];

pid_t this_thread() { return static_cast<pid_t>(syscall(SYS_gettid)); }

void do_work(int /*signal*/) {
  const int kept = errno;
  if (const int error = work_to_do(argument_of_it); error != 0) first_error = error;
  if (const unsigned n = answers.fetch_add(1); n < kMostThreads) answered[n] = this_thread();
  errno = kept;
}

bool has_answered(pid_t thread) {
  const unsigned count = std::min(answers.load(), kMostThreads);
  return std::any_of(answered, answered + count, [=](const auto& one) { return one == thread; });
}

// Other threads than this one. False: the kernel does not say.
bool other_threads(std::set<pid_t>& out) {
  DIR* const folder = opendir("/proc/self/task");
  if (folder == nullptr) return false;
  while (const dirent* entry = readdir(folder)) {
    const auto thread = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (thread > 0 && thread != this_thread()) out.insert(thread);
  }
  closedir(folder);
  return true;
}

// Until all that are there have answered; 0 or an errno.
int reach_others() {
  std::set<pid_t> asked;
  for (;;) {
    std::set<pid_t> threads;
    if (!other_threads(threads)) return ENOENT;
    if (threads.size() > kMostThreads) return EAGAIN;
    bool waits = false;
    for (const pid_t thread : threads) {
      if (has_answered(thread)) continue;
      waits = true;
      if (!asked.insert(thread).second) continue;
      if (syscall(SYS_tgkill, getpid(), thread, every_thread_signal()) != 0 && errno != ESRCH) {
        return errno;
      }
    }
    if (!waits) return 0;
    constexpr timespec kMoment{0, 50'000};
    nanosleep(&kMoment, nullptr);
  }
}

}  // namespace

int on_every_thread(int (*work)(int), int argument) {
  work_to_do = work;
  argument_of_it = argument;
  first_error = 0;
  answers = 0;
  struct sigaction action {
  }, before{};
  action.sa_handler = do_work;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  if (sigaction(every_thread_signal(), &action, &before) != 0) return errno;
  const int error = reach_others();
  if (error == 0) sigaction(every_thread_signal(), &before, nullptr);
  if (error != 0 || first_error != 0) return error != 0 ? error : first_error.load();
  return work(argument);  // after which this thread may not be able to look for others
}

}  // namespace trapline::jail
