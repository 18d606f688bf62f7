// One client's socket, with bounds on what it may send, leave unread and how long it may take.
#ifndef TRAPLINE_VMM_CONTROL_CONNECTION_H_
#define TRAPLINE_VMM_CONTROL_CONNECTION_H_

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/host/descriptor.h"

namespace trapline {

class Connection {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Kind { kControl, kMetrics };

  // Owns `fd`, which does not block.
  Connection(int fd, Kind kind, Time now);
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;
  ~Connection();

  int fd() const { return fd_; }
  Kind kind() const { return kind_; }

  // Takes what there is, up to `most` bytes in all; false: the connection is broken.
  bool receive(size_t most, Time now);
  // The client sends nothing more; it may still read.
  bool ended() const { return ended_; }
  std::string_view input() const { return input_; }
  void consume(size_t bytes, Time now);
  // Those that came beside what was received (unix(7), SCM_RIGHTS), at most kMostPassed.
  static constexpr size_t kMostPassed = 2;
  std::vector<Descriptor> take_passed() { return std::exchange(passed_, {}); }

  void send(std::string_view bytes, Time now);
  // As much as the client takes now; false: it hung up.
  bool flush(Time now);
  size_t unsent() const { return output_.size() - sent_; }

  // Nothing more will be read, and it closes once all is sent.
  void finish() { finishing_ = true; }
  bool finishing() const { return finishing_; }

  // Events follow from that number on.
  void subscribe() { subscribed_ = true; }
  bool subscribed() const { return subscribed_; }
  uint64_t next_event = 0;

  // When it will have been silent, or unread, for too long.
  Time deadline() const;

 private:
  void keep_passed(msghdr& message);

  int fd_;
  Kind kind_;
  std::string input_, output_;
  std::vector<Descriptor> passed_;
  size_t sent_ = 0;
  bool ended_ = false, finishing_ = false, subscribed_ = false;
  Time progress_;  // the last of a request that was answered, or bytes that were taken
  Time request_began_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_CONNECTION_H_
