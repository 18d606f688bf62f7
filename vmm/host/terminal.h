// Standard input as a terminal, and job control: what belongs to the process group in the
// foreground is left alone while that is not ours.
#ifndef TRAPLINE_VMM_HOST_TERMINAL_H_
#define TRAPLINE_VMM_HOST_TERMINAL_H_

namespace trapline {

// False: `fd` is our controlling terminal, and another process group is in its foreground.
bool in_foreground(int fd);
// True: writing to `fd` now would have stopped us (SIGTTOU: `stty tostop`, in the background).
bool background_output_barred(int fd);

// Puts back the settings that a Terminal changed, unless another process group has the terminal
// now: then whoever gave it away has set it. Async-signal-safe.
void restore_terminal();

// One at a time in a process.
class Terminal {
 public:
  explicit Terminal(int fd);

  // False: `fd` is something else.
  bool present() const { return present_; }
  // From now on SIGTSTP puts the settings back before it stops us, SIGCONT makes `wake_fd` (an
  // eventfd) readable, and a read or write that came too late does not stop us. Until release().
  void watch_signals(int wake_fd);
  void release();
  // In the foreground: raw, unless it is already. True: it may be read.
  bool take();

 private:
  const int fd_;
  const bool present_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_TERMINAL_H_
