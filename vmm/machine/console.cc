#include "vmm/machine/console.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <string_view>
#include <utility>

#include "vmm/host/messages.h"

namespace trapline {
namespace {

using std::chrono::milliseconds;

constexpr uint8_t kEscape = 0x01;  // Ctrl-A
constexpr size_t kBatch = 4096;
constexpr milliseconds kFlushInterval{5};
constexpr milliseconds kLook{50};              // at standard input, while output is written out
constexpr int kForegroundLookMs = 250;         // whether a shell has given us the terminal
constexpr milliseconds kReaderLeftAfter{200};  // in a read() that does not return

constexpr char kHelp[] =
    "\r\ntrapline: Ctrl-A x  leave   Ctrl-A a  send Ctrl-A   Ctrl-A h  this help\r\n";

std::string_view text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace

struct Console::Reading {
  Reading(Console* c, int in) : console(c), fd(in), wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Reading() {
    if (wake >= 0) close(wake);
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  // Held by the thread for all but poll() and read(); null once it is left behind.
  std::mutex mutex;
  Console* console;
  std::condition_variable changed;
  bool stop = false, ended = false;
  bool in_read = false;  // touches nothing of the console's
  const int fd;
  const int wake;
};

Console::Console(int in, int out)
    : in_(in),
      terminal_(in),
      output_(out, kOutputCapacity, kFlushInterval),
      reading_(std::make_shared<Reading>(this, in)) {
  if (reading_->wake < 0) message(fmt::format("trapline: eventfd: {}\n", std::strerror(errno)));
}

Console::~Console() { stop(); }

void Console::start(Hooks hooks, bool polled) {
  hooks_ = std::move(hooks);
  polled_ = polled;
  started_ = true;
  terminal_.watch_signals(reading_->wake);
  interactive_ = terminal_.take();
  output_.start([this] {
    if (hooks_.output_room) hooks_.output_room();
    if (polled_) wake();  // wait_while_held() sleeps there
  });
  if (!polled) reader_ = std::thread(read_loop, reading_);
}

void Console::abandon() {
  output_.abandon();
  abandon_messages();
  wake();
}

void Console::stop() {
  if (!started_ || std::exchange(stopped_, true)) return;
  closing_ = true;
  // Keys are still heard: a reader that never comes must not take Ctrl-A x away.
  output_.close();
  while (!output_.ended(polled_ ? milliseconds{0} : kLook)) {
    if (polled_) read_input(static_cast<int>(kLook.count()), false);
  }
  stop_reading();
  terminal_.release();
  if (dropped() == 0) return;
  const int error = output_.error();
  message(fmt::format("trapline: {} bytes of the guest's output were dropped: {}\n", dropped(),
                      error != 0 ? std::string("standard output: ") + std::strerror(error)
                                 : "standard output did not take them before the stop"));
}

// --- output ---

size_t Console::put(const uint8_t* data, size_t size) {
  if (!polled_) {
    const size_t taken = output_.put(text(data, size));
    if (hooks_.output && taken != 0) hooks_.output(text(data, taken));
    return taken;
  }
  force(data, size);
  return size;
}

void Console::force(const uint8_t* data, size_t size) {
  output_.force(text(data, size));
  if (hooks_.output) hooks_.output(text(data, size));
  if (output_.over() && hooks_.hold) hooks_.hold();
}

void Console::wait_while_held(int timeout_ms) {
  if (polled_) {
    if (held()) read_input(timeout_ms, false);
  } else {
    output_.wait_until_below(milliseconds{timeout_ms});
  }
}

// --- input ---

void Console::input_wanted() {
  input_due_.store(true, std::memory_order_relaxed);
  wake();
}

void Console::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(reading_->wake, &one, sizeof one);
}

// Keeps bytes for the guest, less the escape sequences of a terminal. True: leave.
bool Console::feed(const uint8_t* data, size_t size) {
  if (!terminal_.present()) {
    std::lock_guard lock(input_mutex_);
    pending_.insert(pending_.end(), data, data + size);
    return false;
  }
  bool leave = false;
  std::lock_guard lock(input_mutex_);
  for (size_t i = 0; i < size; ++i) {
    uint8_t byte = data[i];
    if (!escape_) {
      escape_ = byte == kEscape;
      if (escape_) continue;
    } else {
      escape_ = false;
      if (byte == 'x' || byte == 'X') {
        leave = true;
        continue;
      }
      if (byte != 'a' && byte != kEscape) {
        message(kHelp);
        continue;
      }
      byte = kEscape;
    }
    if (pending_.size() < kMaxTyped) {
      pending_.push_back(byte);
    } else if (!std::exchange(typed_too_much_, true)) {
      message("trapline: the guest does not read its input: further keys are dropped\r\n");
    }
  }
  return leave;
}

void Console::deliver() {
  if (closing_) return;
  std::lock_guard lock(input_mutex_);
  size_t done = 0;
  // Until the device is full: only then does it say when it has space again.
  while (done < pending_.size()) {
    const size_t n = std::min(pending_.size() - done, hooks_.input_space());
    if (n == 0) break;
    hooks_.input(pending_.data() + done, n);
    done += n;
  }
  if (done == 0) return;
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(done));
  typed_too_much_ = false;
}

// True: `in_` is to be read. Without `all` only a terminal is, for Ctrl-A.
bool Console::wait_for_input(int timeout_ms, bool all) {
  bool listen = !at_end_ && (all || terminal_.present());
  if (terminal_.present()) {
    const bool ours = terminal_.take();
    interactive_ = ours;
    if (!ours) {
      listen = false;
      timeout_ms = timeout_ms < 0 ? kForegroundLookMs : std::min(timeout_ms, kForegroundLookMs);
    }
  } else {
    std::lock_guard lock(input_mutex_);
    if (pending_.size() >= kBatch) listen = false;
  }
  pollfd fds[2] = {{reading_->wake, POLLIN, 0}, {listen ? in_ : -1, POLLIN, 0}};
  if (::poll(fds, 2, timeout_ms) <= 0) return false;
  if (fds[0].revents != 0) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(reading_->wake, &count, sizeof count);
  }
  // Between poll() and now the terminal may have changed hands.
  return fds[1].revents != 0 && (!terminal_.present() || in_foreground(in_));
}

void Console::end_of_input(int error) {
  if (error == EINTR || error == EAGAIN) return;
  // In the background a read that SIGTTIN does not stop fails so.
  if (error == EIO && terminal_.present() && !in_foreground(in_)) return;
  at_end_ = true;
}

void Console::read_input(int timeout_ms, bool all) {
  if (!wait_for_input(timeout_ms, all)) return;
  uint8_t bytes[kBatch];
  const ssize_t n = read(in_, bytes, sizeof bytes);
  if (n <= 0) return end_of_input(n == 0 ? 0 : errno);
  if (feed(bytes, static_cast<size_t>(n))) hooks_.quit();
}

void Console::poll(int timeout_ms) {
  input_due_.store(false, std::memory_order_relaxed);
  read_input(timeout_ms, true);
  deliver();
}

void Console::read_loop(const std::shared_ptr<Reading>& reading) {
  Reading& r = *reading;
  std::unique_lock lock(r.mutex);
  Console* const console = r.console;
  while (!r.stop) {
    console->deliver();
    lock.unlock();
    const bool readable = console->wait_for_input(-1, true);
    lock.lock();
    if (!readable || r.stop) continue;
    r.in_read = true;
    lock.unlock();
    uint8_t bytes[kBatch];
    const ssize_t n = read(r.fd, bytes, sizeof bytes);
    const int error = n < 0 ? errno : 0;
    lock.lock();
    r.in_read = false;
    if (r.console == nullptr) break;
    if (n <= 0) {
      console->end_of_input(error);
    } else if (console->feed(bytes, static_cast<size_t>(n))) {
      console->hooks_.quit();
    }
  }
  r.ended = true;
  r.changed.notify_all();
}

void Console::stop_reading() {
  if (!reader_.joinable()) return;
  std::unique_lock lock(reading_->mutex);
  reading_->stop = true;
  wake();
  do {
    reading_->changed.wait_for(lock, kReaderLeftAfter, [&] { return reading_->ended; });
  } while (!reading_->ended && !reading_->in_read);
  if (reading_->ended) {
    lock.unlock();
    reader_.join();
  } else {
    reading_->console = nullptr;
    lock.unlock();
    reader_.detach();
  }
}

}  // namespace trapline
