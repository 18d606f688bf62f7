// The signals that a user sends: INT, TERM and HUP end the run in order, USR1 asks for the
// statistics. No signal means anything else, and none is used inside the program.
#ifndef TRAPLINE_VMM_CLI_SIGNALS_H_
#define TRAPLINE_VMM_CLI_SIGNALS_H_

#include <functional>
#include <mutex>
#include <thread>

namespace trapline {

class SignalWatch {
 public:
  static constexpr int kStatus = 128;  // + the signal's number

  struct Actions {
    std::function<void(int status)> stop;  // kStatus + n; again for each further signal
    std::function<void()> report;          // USR1
  };

  // Blocks the signals for this thread and all that it makes from now on, and waits for them on a
  // thread of its own. One that was ignored at the start (nohup, a script's `&`) stays ignored.
  // Until actions are set, INT, TERM and HUP end the process at once: nothing has run yet that
  // could lose anything.
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // They are called on the watch's thread, and not any more once this returns with other ones.
  void set(Actions actions);

 private:
  void watch();

  int signal_fd_ = -1, end_fd_ = -1;
  std::mutex mutex_;
  Actions actions_;
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_SIGNALS_H_
