// The guest's serial line on our standard input and output. On a terminal the line is raw: Ctrl-A x
// leaves, Ctrl-A h helps, Ctrl-A a sends Ctrl-A; the terminal's settings come back however we end.
//
// Both ways have back-pressure, and no thread of the guest's waits for the host: input stays where
// it is until the device has room for it; output that nobody takes fills a bounded buffer, then the
// device (put() takes less), or, where the guest does not look, holds the guest (force(), held()).
// Only after abandon(), a stop, is output dropped, and said.
#ifndef TRAPLINE_VMM_MACHINE_CONSOLE_H_
#define TRAPLINE_VMM_MACHINE_CONSOLE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "devices/output_sink.h"
#include "vmm/host/host_writer.h"
#include "vmm/host/terminal.h"

namespace trapline {

class Console final : public OutputSink {
 public:
  static constexpr size_t kOutputCapacity = 64 * 1024;
  // Keys that wait for the guest. Beyond it they are dropped, since a terminal is read even then:
  // Ctrl-A x must be heard.
  static constexpr size_t kMaxTyped = size_t{1} << 20;

  struct Hooks {
    std::function<size_t()> input_space;                // bytes the UART takes now
    std::function<void(const uint8_t*, size_t)> input;  // at most input_space() bytes
    std::function<void(std::string_view)> output;       // what was taken; as hold()
    std::function<void()> output_room;  // put() takes bytes again; a thread of ours, no locks held
    std::function<void()> hold;         // held() has become true; the thread that forced, its locks
    std::function<void()> quit;         // Ctrl-A x
  };

  explicit Console(int in = 0, int out = 1);
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Starts. With `polled` (icount) no thread reads: poll() does, so that input comes between two
  // instructions; and put() always takes all, so that the guest never sees how quickly the host
  // takes its output: it is held between two instructions instead.
  void start(Hooks hooks, bool polled);
  // Writes what is left, as long as that takes unless abandon() comes; then ends reading. The hooks
  // are not called any more. Says what was dropped.
  void stop();
  // A stop was asked for: from now on nothing waits for standard output (nor for standard error).
  // Any thread, also before start() and during stop().
  void abandon();

  // The UART has space again: any thread.
  void input_wanted();
  // Since the last poll() the UART has said so. What a guest does makes it true, no thread of the
  // host's: `polled`, a point between two instructions that is the same in each run.
  bool input_due() const { return input_due_.load(std::memory_order_relaxed); }
  // Takes what input there is, without waiting longer than `timeout_ms`. `polled` only.
  void poll(int timeout_ms);
  // Nothing more will come from standard input.
  bool at_end() const { return at_end_; }
  // Standard input is a terminal, and ours now.
  bool interactive() const { return interactive_; }

  // OutputSink
  size_t put(const uint8_t* data, size_t size) override;
  void force(const uint8_t* data, size_t size) override;

  // While it lives the guest gets no input; what waits for it stays what it is.
  std::unique_lock<std::mutex> hold_input() { return std::unique_lock(input_mutex_); }
  const std::vector<uint8_t>& waiting_input() const { return pending_; }  // while held
  // Before start(): what a machine that goes on here had not given to its guest yet.
  void set_waiting_input(std::vector<uint8_t> bytes) { pending_ = std::move(bytes); }

  // The guest was given more room than there is: it shall not run on.
  bool held() const { return output_.over(); }
  // Waits until held() is false or a stop was asked for, at most so long. The thread that polls, or
  // a vCPU's.
  void wait_while_held(int timeout_ms);

  // Bytes of output that nobody took.
  uint64_t dropped() const { return output_.dropped(); }

 private:
  // What the reader's thread and we agree on; it may be left behind in a read() that does not
  // return (another process took the bytes that poll() had promised).
  struct Reading;

  static void read_loop(const std::shared_ptr<Reading>& reading);
  bool wait_for_input(int timeout_ms, bool all);
  void read_input(int timeout_ms, bool all);
  bool feed(const uint8_t* data, size_t size);
  void deliver();
  void end_of_input(int error);
  void wake();
  void stop_reading();

  const int in_;
  Hooks hooks_;
  bool started_ = false, stopped_ = false;
  bool polled_ = false;
  Terminal terminal_;
  HostWriter output_;
  std::atomic<bool> interactive_{false};
  std::atomic<bool> at_end_{false};
  std::atomic<bool> input_due_{false};
  std::atomic<bool> closing_{false};  // nothing more for the guest
  const std::shared_ptr<Reading> reading_;
  std::mutex input_mutex_;
  bool escape_ = false;           // the reading thread's own
  bool typed_too_much_ = false;   // likewise
  std::vector<uint8_t> pending_;  // guarded by input_mutex_
  std::thread reader_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_CONSOLE_H_
