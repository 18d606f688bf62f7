#include "vmm/cli/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "vmm/host/terminal.h"

namespace trapline {
namespace {

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    struct sigaction now {};
    const bool ignored = sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
    if (!ignored || number == SIGUSR1) sigaddset(&set, number);
  }
  return set;
}

}  // namespace

SignalWatch::SignalWatch() {
  const sigset_t set = watched_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  end_fd_ = eventfd(0, EFD_CLOEXEC);
  if (signal_fd_ < 0 || end_fd_ < 0) {
    const int reason = errno;
    if (signal_fd_ >= 0) close(signal_fd_);
    throw std::system_error(reason, std::generic_category(), "cannot watch for signals");
  }
  thread_ = std::thread([this] { watch(); });
}

SignalWatch::~SignalWatch() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(end_fd_, &one, sizeof one);
  thread_.join();
  close(signal_fd_);
  close(end_fd_);
}

void SignalWatch::set(Actions actions) {
  std::lock_guard lock(mutex_);
  actions_ = std::move(actions);
}

void SignalWatch::watch() {
  for (;;) {
    pollfd fds[2] = {{signal_fd_, POLLIN, 0}, {end_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) continue;
    signalfd_siginfo info;
    while (read(signal_fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      const int number = static_cast<int>(info.ssi_signo);
      std::lock_guard lock(mutex_);
      if (number == SIGUSR1) {
        if (actions_.report) actions_.report();
      } else if (actions_.stop) {
        actions_.stop(kStatus + number);
      } else {
        restore_terminal();
        _exit(kStatus + number);
      }
    }
    if ((fds[1].revents & POLLIN) != 0) return;
  }
}

}  // namespace trapline
