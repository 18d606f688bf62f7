#include "vmm/host/terminal.h"

#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace trapline {
namespace {

// For signal handlers, hence no members.
termios saved_settings;
termios raw_settings;
std::atomic<int> changed_fd{-1};  // the terminal that is raw; -1: none
std::atomic<int> continued_fd{-1};
std::atomic<bool> continued{false};

static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_stop(int) {
  const int error = errno;
  restore_terminal();
  kill(getpid(), SIGSTOP);
  errno = error;
}

void on_continue(int) {
  const int error = errno;
  continued = true;
  const uint64_t one = 1;
  if (const int fd = continued_fd; fd >= 0) {
    [[maybe_unused]] const ssize_t n = write(fd, &one, sizeof one);
  }
  errno = error;
}

// Not over a disposition that somebody chose: `nohup`, or a shell without job control.
void set_unless_ignored(int number, void (*handler)(int)) {
  struct sigaction action = {};
  if (sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) return;
  action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, nullptr);
}

bool same(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

}  // namespace

bool in_foreground(int fd) {
  const pid_t group = tcgetpgrp(fd);
  return group < 0 || group == getpgrp();  // < 0: no job control on this descriptor
}

bool background_output_barred(int fd) {
  termios settings;
  return !in_foreground(fd) && tcgetattr(fd, &settings) == 0 && (settings.c_lflag & TOSTOP) != 0;
}

void restore_terminal() {
  const int error = errno;
  if (const int fd = changed_fd.exchange(-1); fd >= 0 && in_foreground(fd)) {
    tcsetattr(fd, TCSANOW, &saved_settings);
  }
  errno = error;
}

Terminal::Terminal(int fd) : fd_(fd), present_(isatty(fd) != 0) {}

void Terminal::watch_signals(int wake_fd) {
  // We ask before we touch the terminal; if it changed hands just then, the call fails instead of
  // stopping the machine.
  std::signal(SIGTTOU, SIG_IGN);
  std::signal(SIGTTIN, SIG_IGN);
  if (!present_) return;
  continued_fd = wake_fd;
  set_unless_ignored(SIGTSTP, on_stop);
  set_unless_ignored(SIGCONT, on_continue);
}

void Terminal::release() {
  continued_fd = -1;
  restore_terminal();
}

bool Terminal::take() {
  if (!present_ || !in_foreground(fd_)) return false;
  const bool was_stopped = continued.exchange(false);
  if (changed_fd == fd_ && !was_stopped) return true;
  termios now;
  if (tcgetattr(fd_, &now) != 0) return true;  // read() will say what is wrong
  if (changed_fd == fd_ && same(now, raw_settings)) return true;
  // Stopped by SIGSTOP, which nobody hears, the settings may be ours still: not worth keeping.
  const bool ours = was_stopped && same(now, raw_settings);
  changed_fd = -1;
  if (!ours) {
    saved_settings = now;
    raw_settings = now;
    cfmakeraw(&raw_settings);
    raw_settings.c_oflag = now.c_oflag;  // our own messages keep their line ends
  }
  if (tcsetattr(fd_, TCSANOW, &raw_settings) == 0) changed_fd = fd_;
  return true;
}

}  // namespace trapline
