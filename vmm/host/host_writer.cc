#include "vmm/host/host_writer.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "vmm/host/every_thread_signal.h"
#include "vmm/host/terminal.h"

namespace trapline {
namespace {

using std::chrono::milliseconds;
using Time = std::chrono::steady_clock;

constexpr size_t kPiece = PIPE_BUF;
constexpr size_t kLastBound = size_t{16} << 20;
// After abandon(): how long the descriptor may take nothing, and how long all of it may last. A
// descriptor that somebody reads takes what we hold well within either.
constexpr milliseconds kNoProgress{100};
constexpr milliseconds kGrace{400};
constexpr milliseconds kTerminalLook{200};

}  // namespace

// Owned by the thread too, which may outlive the HostWriter in a write() that does not return.
struct HostWriter::State {
  State(int f, size_t c, milliseconds g)
      : fd(f), capacity(c), gather(g), wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~State() {
    if (wake >= 0) ::close(wake);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const int fd;
  const size_t capacity;
  const milliseconds gather;
  const int wake;  // readable from abandon() on

  std::atomic<bool> over{false};
  std::atomic<bool> abandoned{false};
  std::atomic<uint64_t> dropped{0};
  std::atomic<int> error{0};
  std::atomic<size_t> unwritten{0};  // of the piece that the thread is writing

  std::mutex mutex;
  std::condition_variable work;     // bytes, close(), abandon()
  std::condition_variable changed;  // below capacity, ended, a call is over
  std::string bytes;                // from `head` on
  size_t head = 0;
  bool room_wanted = false;
  bool closed = false;
  bool given_up = false;  // the descriptor took nothing after abandon()
  bool ended = false;
  bool left_behind = false;
  bool calling = false;
  Time::time_point abandoned_at, closed_at;
  std::function<void()> on_room;

  size_t held() const { return bytes.size() - head; }
  void append(std::string_view more) {
    const size_t before = held();
    if (before == 0 || head > capacity) {
      bytes.erase(0, head);
      head = 0;
    }
    bytes.append(more);
    if (before == 0 || (before < kPiece && held() >= kPiece)) work.notify_one();
  }
  void drop(size_t n) { dropped.fetch_add(n, std::memory_order_relaxed); }

  bool wait_ready();
  void write_piece(const char* data, size_t size);
  void tell_room(std::unique_lock<std::mutex>& lock);
};

// Waits until the descriptor takes bytes; false: it does not, and nobody waits for it any more.
bool HostWriter::State::wait_ready() {
  for (;;) {
    const bool last = abandoned.load();
    // In the background of a terminal that stops those who write (stty tostop) we hold the bytes.
    const bool barred = background_output_barred(fd);
    pollfd fds[2] = {{barred ? -1 : fd, POLLOUT, 0}, {last ? -1 : wake, POLLIN, 0}};
    const milliseconds timeout = last                 ? kNoProgress
                                 : barred || wake < 0 ? kTerminalLook
                                                      : milliseconds{-1};
    const int n = poll(fds, 2, static_cast<int>(timeout.count()));
    if (n < 0 && errno != EINTR) return true;  // write() will say what is wrong
    if (n > 0 && fds[0].revents != 0) return true;
    if (last && n == 0) return false;
  }
}

void HostWriter::State::write_piece(const char* data, size_t size) {
  while (size != 0) {
    if (!wait_ready()) {
      std::lock_guard lock(mutex);
      given_up = true;
      return;
    }
    const ssize_t n = write(fd, data, size);
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      int none = 0;
      error.compare_exchange_strong(none, errno);
      return;  // nobody listens, or the disk is full: the guest goes on
    }
    data += n;
    size -= static_cast<size_t>(n);
    unwritten = size;
  }
}

void HostWriter::State::tell_room(std::unique_lock<std::mutex>& lock) {
  if (held() <= capacity && over.load(std::memory_order_relaxed)) {
    over = false;
    changed.notify_all();
  }
  if (!room_wanted || held() >= capacity || left_behind || !on_room) return;
  room_wanted = false;
  calling = true;
  lock.unlock();
  on_room();
  lock.lock();
  calling = false;
  changed.notify_all();
}

void HostWriter::run(const std::shared_ptr<State>& state) {
  State& s = *state;
  char piece[kPiece];
  std::unique_lock lock(s.mutex);
  while (!s.left_behind) {
    s.work.wait(lock, [&] { return s.held() != 0 || s.closed; });
    if (s.held() != 0 && s.held() < kPiece && s.gather.count() != 0) {
      s.work.wait_for(lock, s.gather,
                      [&] { return s.held() >= kPiece || s.closed || s.abandoned; });
    }
    const size_t n = std::min(s.held(), kPiece);
    std::memcpy(piece, s.bytes.data() + s.head, n);
    s.head += n;
    if (n != 0) {
      s.unwritten = n;
      lock.unlock();
      s.write_piece(piece, n);
      lock.lock();
      if (s.left_behind) break;  // already counted
      s.drop(s.unwritten);
      s.unwritten = 0;
    }
    if (s.given_up) {
      s.drop(s.held());
      s.head = s.bytes.size();
    }
    s.tell_room(lock);  // a device may put() its last bytes here
    if (s.held() == 0 && s.closed) break;
  }
  s.ended = true;
  s.changed.notify_all();
}

HostWriter::HostWriter(int fd, size_t capacity, milliseconds gather)
    : state_(std::make_shared<State>(fd, capacity, gather)) {}

HostWriter::~HostWriter() {
  if (!thread_.joinable()) return;
  abandon();
  finish();
}

void HostWriter::start(std::function<void()> on_room) {
  state_->on_room = std::move(on_room);
  // Signals are for other threads.
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, every_thread_signal());
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread(run, state_);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

size_t HostWriter::put(std::string_view bytes) {
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  const size_t room = s.held() < s.capacity && !s.given_up ? s.capacity - s.held() : 0;
  const size_t n = std::min(room, bytes.size());
  if (n != 0) s.append(bytes.substr(0, n));
  if (n == bytes.size()) return n;
  if (s.abandoned) {
    s.drop(bytes.size() - n);
    return bytes.size();
  }
  s.room_wanted = true;
  return n;
}

void HostWriter::force(std::string_view bytes) {
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  const size_t bound = s.given_up ? 0 : s.abandoned ? s.capacity : s.capacity + kLastBound;
  const size_t n = std::min(bound - std::min(bound, s.held()), bytes.size());
  if (n != 0) s.append(bytes.substr(0, n));
  s.drop(bytes.size() - n);
  if (s.held() > s.capacity && !s.abandoned) {
    s.room_wanted = true;
    s.over = true;
  }
}

bool HostWriter::over() const { return state_->over.load(std::memory_order_relaxed); }

void HostWriter::abandon() {
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  if (s.abandoned.exchange(true)) return;
  s.abandoned_at = Time::now();
  s.over = false;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(s.wake, &one, sizeof one);
  s.work.notify_all();
  s.changed.notify_all();
}

bool HostWriter::abandoned() const { return state_->abandoned; }
uint64_t HostWriter::dropped() const { return state_->dropped; }
int HostWriter::error() const { return state_->error; }

void HostWriter::wait_until_below(milliseconds most) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  s.changed.wait_for(lock, most, [&] { return !s.over || s.abandoned; });
}

void HostWriter::close() {
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  if (!std::exchange(s.closed, true)) s.closed_at = Time::now();
  s.work.notify_all();
}

bool HostWriter::ended(milliseconds most) {
  if (!thread_.joinable()) return true;
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  const Time::time_point until = Time::now() + most;
  while (!s.ended) {
    const Time::time_point now = Time::now();
    if (s.abandoned && now >= std::max(s.abandoned_at, s.closed_at) + kGrace) break;
    if (now >= until) return false;
    s.changed.wait_until(lock, std::min(until, now + kNoProgress));
  }
  if (!s.ended) {
    // Whatever it is in the middle of, it may take no more than this piece.
    s.left_behind = true;
    s.changed.wait(lock, [&] { return !s.calling; });
    s.drop(s.held() + s.unwritten);
    s.bytes.clear();
    s.head = 0;
    lock.unlock();
    thread_.detach();
    return true;
  }
  lock.unlock();
  thread_.join();
  return true;
}

void HostWriter::finish() {
  close();
  while (!ended(milliseconds{1000})) {
  }
}

}  // namespace trapline
