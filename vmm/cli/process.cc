#include "vmm/cli/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "vmm/host/terminal.h"
#include "vmm/machine/machine.h"

namespace trapline {
namespace {

void on_fatal_signal(int number) {
  restore_terminal();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

// Writes to standard error; gives up when nobody reads for long.
void print_message(std::string_view text) {
  constexpr int kPatienceMs = 200;
  while (!text.empty()) {
    pollfd fd{STDERR_FILENO, POLLOUT, 0};
    if (poll(&fd, 1, kPatienceMs) == 0) return;
    // What poll() promises room for: a page of a pipe.
    const ssize_t n = write(STDERR_FILENO, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

[[noreturn]] void on_terminate() {
  restore_terminal();
  std::string text = "internal error";
  if (std::exception_ptr error = std::current_exception()) {
    try {
      std::rethrow_exception(error);
    } catch (const std::bad_alloc&) {
      text = "the host has no memory left";
    } catch (const std::exception& known) {
      text = known.what();
    } catch (...) {
    }
  }
  print_message("trapline: " + text + "\n");
  _exit(kBadInput);
}

void occupy_standard_descriptors() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) _exit(kBadInput);
  }
}

}  // namespace

void prepare_process() {
  // Threads inherit it: without, what sleeps to a deadline is woken up to 50 us after it.
  prctl(PR_SET_TIMERSLACK, 1UL);
  occupy_standard_descriptors();
  std::set_terminate(on_terminate);
  for (int number : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE})
    std::signal(number, on_fatal_signal);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace trapline
