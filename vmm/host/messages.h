// Our own lines on standard error, which may be the same stalled pipe as standard output: they wait
// for it on a thread of their own, so that neither a vCPU nor a stop does.
#ifndef TRAPLINE_VMM_HOST_MESSAGES_H_
#define TRAPLINE_VMM_HOST_MESSAGES_H_

#include <string_view>

namespace trapline {

// Writes `text` as it stands (line ends included) on standard error. Any thread. While a Messages
// lives it never waits, and what exceeds a bound is dropped and counted; else it is a plain write.
void message(std::string_view text);

// One at a time in a process.
class Messages {
 public:
  Messages();
  // Writes what is left, as long as abandon_messages() allows.
  ~Messages();
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;
};

// From now on nobody waits for standard error: what it does not take is dropped. Any thread.
void abandon_messages();

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_MESSAGES_H_
