#include "vmm/console.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

namespace trapline {
namespace {

constexpr uint8_t kEscape = 0x01;  // Ctrl-A
constexpr size_t kBatch = 4096;
constexpr auto kFlushInterval = std::chrono::milliseconds(5);

termios saved_terminal;
std::atomic<bool> terminal_changed{false};

void write_all(int fd, const char* data, size_t size) {
  while (size != 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        pollfd p{fd, POLLOUT, 0};
        ::poll(&p, 1, 100);
        continue;
      }
      return;  // nobody listens any more: the guest goes on
    }
    data += n;
    size -= static_cast<size_t>(n);
  }
}

constexpr char kHelp[] =
    "\r\ntrapline: Ctrl-A x  leave   Ctrl-A a  send Ctrl-A   Ctrl-A h  this help\r\n";

}  // namespace

void restore_terminal() {
  if (terminal_changed.exchange(false)) tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
}

Console::Console() {
  if (pipe(wake_) != 0) std::perror("trapline: pipe");
}

void Console::stop() {
  stop_ = true;
  input_wanted();
  if (reader_.joinable()) reader_.join();
  {
    std::lock_guard lock(output_mutex_);
    output_ready_.notify_one();
  }
  if (flusher_.joinable()) flusher_.join();
  flush();
  restore_terminal();
}

Console::~Console() {
  stop();
  close(wake_[0]);
  close(wake_[1]);
}

void Console::start(Hooks hooks, bool polled) {
  hooks_ = std::move(hooks);
  terminal_ = isatty(STDIN_FILENO) != 0;
  if (terminal_ && tcgetattr(STDIN_FILENO, &saved_terminal) == 0) {
    termios raw = saved_terminal;
    cfmakeraw(&raw);
    raw.c_oflag = saved_terminal.c_oflag;  // our own messages keep their line ends
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0) terminal_changed = true;
  }
  flusher_ = std::thread([this] { flush_loop(); });
  if (!polled) reader_ = std::thread([this] { read_loop(); });
}

void Console::input_wanted() {
  char byte = 0;
  if (write(wake_[1], &byte, 1) < 0) return;  // a full pipe wakes as well
}

// Passes bytes on, less the escape sequences of a terminal.
void Console::feed(const uint8_t* data, size_t size) {
  std::lock_guard lock(input_mutex_);
  for (size_t i = 0; i < size; ++i) {
    uint8_t byte = data[i];
    if (!terminal_) {
      pending_.push_back(byte);
    } else if (!escape_) {
      if (byte == kEscape) {
        escape_ = true;
      } else {
        pending_.push_back(byte);
      }
    } else {
      escape_ = false;
      switch (byte) {
        case 'x':
        case 'X':
          hooks_.quit();
          break;
        case 'a':
        case kEscape:
          pending_.push_back(kEscape);
          break;
        default:
          write_all(STDERR_FILENO, kHelp, sizeof kHelp - 1);
          break;
      }
    }
  }
}

void Console::deliver() {
  std::lock_guard lock(input_mutex_);
  size_t n = std::min(pending_.size(), hooks_.input_space());
  if (n == 0) return;
  hooks_.input(pending_.data(), n);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(n));
}

void Console::poll(int timeout_ms) {
  bool full;
  {
    std::lock_guard lock(input_mutex_);
    full = pending_.size() >= kBatch;
  }
  pollfd fds[2] = {{wake_[0], POLLIN, 0}, {at_end_ || full ? -1 : STDIN_FILENO, POLLIN, 0}};
  if (::poll(fds, 2, timeout_ms) > 0) {
    uint8_t bytes[kBatch];
    if ((fds[0].revents & POLLIN) != 0 && read(wake_[0], bytes, sizeof bytes) < 0) return;
    if ((fds[1].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) {
      ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
      if (n > 0) {
        feed(bytes, static_cast<size_t>(n));
      } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        at_end_ = true;
      }
    }
  }
  deliver();
}

void Console::read_loop() {
  while (!stop_) poll(1000);
}

// Sleeps while there is nothing to write; gathers what comes in an interval into one write.
void Console::flush_loop() {
  std::unique_lock lock(output_mutex_);
  while (!stop_) {
    output_ready_.wait(lock, [this] { return stop_ || !buffer_.empty(); });
    lock.unlock();
    std::this_thread::sleep_for(kFlushInterval);
    lock.lock();
    flush_locked();
  }
}

void Console::output(uint8_t byte) {
  std::lock_guard lock(output_mutex_);
  if (buffer_.empty()) output_ready_.notify_one();
  buffer_.push_back(static_cast<char>(byte));
  if (buffer_.size() >= kBatch) flush_locked();
}

void Console::flush() {
  std::lock_guard lock(output_mutex_);
  flush_locked();
}

void Console::flush_locked() {
  if (buffer_.empty()) return;
  write_all(STDOUT_FILENO, buffer_.data(), buffer_.size());
  buffer_.clear();
}

}  // namespace trapline
