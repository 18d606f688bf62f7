// Bytes on their way to a descriptor of the host's that may not take them: a pipe that nobody
// reads, a stopped terminal. A thread of its own writes; whoever has something to write never
// waits, and the end waits no longer than it wants to.
//
// The descriptor is shared with whoever started us, so it stays as it is (no O_NONBLOCK). poll()
// says when at least PIPE_BUF bytes fit, which is what is written at once; should write() wait all
// the same (another writer came first), only this thread does, and it can be left behind.
#ifndef TRAPLINE_VMM_HOST_HOST_WRITER_H_
#define TRAPLINE_VMM_HOST_HOST_WRITER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>

namespace trapline {

class HostWriter {
 public:
  // Holds up to `capacity` bytes. What comes within `gather` is written together.
  HostWriter(int fd, size_t capacity, std::chrono::milliseconds gather);
  // Waits for nothing; finish() comes first if what is left matters.
  ~HostWriter();
  HostWriter(const HostWriter&) = delete;
  HostWriter& operator=(const HostWriter&) = delete;

  // Starts writing. `on_room` (may be null) is called on the writer's thread, without locks, when
  // there is room again after a put() that took less than it was given, or after a force().
  void start(std::function<void()> on_room);

  // --- any thread, never waiting ---
  // Takes as much as there is room for; returns how much. After abandon() everything is taken, and
  // what does not fit is dropped.
  size_t put(std::string_view bytes);
  // Takes everything, up to a last bound of 16 MiB beyond which it is dropped.
  void force(std::string_view bytes);
  // More than `capacity` bytes are held.
  bool over() const;
  // From now on nothing waits for the descriptor: what it does not take at once is dropped.
  void abandon();
  bool abandoned() const;
  // Bytes that were taken and never written.
  uint64_t dropped() const;
  // errno of the first write that failed; 0: none did.
  int error() const;

  // --- the owner ---
  // Waits until over() is false or abandon() was called, at most so long.
  void wait_until_below(std::chrono::milliseconds most);
  // Nothing more will come: the thread ends when all is written.
  void close();
  // After close(): waits, at most so long, until the thread has ended. After abandon() it is soon
  // left behind if it does not end. True: on_room is not called any more.
  bool ended(std::chrono::milliseconds most);
  // close(), and until ended().
  void finish();

 private:
  struct State;
  static void run(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_HOST_WRITER_H_
