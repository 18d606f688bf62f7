// A descriptor, or two, that bytes go out to and come in from, whole or not at all: a file, a
// socket, a command's pipes. Somebody else may cut it off.
#ifndef TRAPLINE_VMM_STATE_CHANNEL_H_
#define TRAPLINE_VMM_STATE_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trapline::state {

class Channel {
 public:
  // Owns the descriptor. Of a socket: it does not block from here on. `cancel_fd`: readable when
  // everybody who waits here shall give up; not ours, -1: none.
  explicit Channel(int fd, int cancel_fd = -1);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Kept until flush(), or until there is much of it.
  bool write(const void* data, size_t size);
  bool flush();
  // Bytes of all that was given to write() that the host took.
  uint64_t sent() const { return sent_; }
  // All of it. The other side sends nothing for `timeout_ms`: false; -1: waits for ever.
  bool read(void* out, size_t size, int timeout_ms = -1);

  // It is too late to give up.
  void ignore_cancel() { cancel_fd_ = -1; }

  // Why the last of these was false: errno, or one of the following.
  static constexpr int kEnded = -1, kCancelled = -2, kSilent = -3;
  int error() const { return error_; }
  std::string why() const;

 private:
  bool push(const uint8_t* data, size_t size);
  bool wait(short events, int timeout_ms);

  static constexpr size_t kMostKept = 256 * 1024;
  const int fd_;
  int cancel_fd_;
  bool waits_ = false;  // for poll(): no regular file
  int error_ = 0;
  uint64_t sent_ = 0;
  std::vector<uint8_t> out_;
  std::vector<uint8_t> in_;
  size_t in_at_ = 0, in_end_ = 0;
};

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_CHANNEL_H_
