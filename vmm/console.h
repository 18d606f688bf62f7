// The guest's serial line on our standard input and output. On a terminal the line is raw: Ctrl-A x
// leaves, Ctrl-A h helps, Ctrl-A a sends Ctrl-A; the terminal's settings come back however we end.
#ifndef TRAPLINE_VMM_CONSOLE_H_
#define TRAPLINE_VMM_CONSOLE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace trapline {

// Puts standard input's terminal settings back, if Console changed them. Async-signal-safe.
void restore_terminal();

class Console {
 public:
  struct Hooks {
    std::function<size_t()> input_space;                // bytes the UART takes now
    std::function<void(const uint8_t*, size_t)> input;  // at most input_space() bytes
    std::function<void()> quit;                         // Ctrl-A x
  };

  Console();
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Starts reading. With `polled`, no thread: poll() reads (icount, where input must come between
  // two instructions).
  void start(Hooks hooks, bool polled);
  // Ends reading and writes what is left: the hooks are not called any more.
  void stop();
  // The UART has space again: any thread.
  void input_wanted();
  // Takes what input there is, without waiting longer than `timeout_ms`.
  void poll(int timeout_ms);
  // Nothing more will come from standard input.
  bool at_end() const { return at_end_; }
  bool interactive() const { return terminal_; }

  // A byte from the UART: any thread. Written in batches, soon.
  void output(uint8_t byte);
  void flush();

 private:
  void read_loop();
  void flush_loop();
  void feed(const uint8_t* data, size_t size);
  void deliver();
  void flush_locked();

  Hooks hooks_;
  bool terminal_ = false;
  bool escape_ = false;
  std::atomic<bool> at_end_{false};
  std::atomic<bool> stop_{false};
  int wake_[2] = {-1, -1};
  std::mutex input_mutex_;
  std::vector<uint8_t> pending_;
  std::mutex output_mutex_;
  std::condition_variable output_ready_;
  std::string buffer_;
  std::thread reader_, flusher_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONSOLE_H_
