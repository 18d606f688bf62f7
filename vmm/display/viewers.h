// Who looks at the guest's screen by VNC: clients of a process of its own, which reads what
// strangers send (libvncserver) and has neither the guest's memory nor a file. Between it and the
// VM lie a copy of the pixels and a socket, whose other end the VM does not believe.
#ifndef TRAPLINE_VMM_DISPLAY_VIEWERS_H_
#define TRAPLINE_VMM_DISPLAY_VIEWERS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "vmm/config/result.h"

namespace trapline {

// Between the two processes, either way.
struct ViewerMessage {
  enum Kind : uint32_t {
    kSize,     // to the viewers: a = width, b = height
    kChanged,  // to the viewers: a = x, b = y, c = width, d = height
    kViewers,  // from them: a = how many there are
    kKey,      // from them: a = X11 keysym, b = 1: down, 0: up
    kPointer,  // from them: a = x, b = y, c = buttons, a bit each
  };
  uint32_t kind = kSize, a = 0, b = 0, c = 0, d = 0;
};

class Viewers {
 public:
  static constexpr unsigned kMost = 8;  // at once
  // What they see, black, until the first kSize.
  static constexpr uint32_t kFirstWidth = 640, kFirstHeight = 480;

  // What that process calls once its socket is there: gives up what it does not need. One line if
  // that cannot be.
  using EnterJail = std::string (*)();
  // Forks: `listener` is a listening socket, of which the process gets a copy; `enter` may be null.
  // One line if the process cannot begin.
  static Result<std::unique_ptr<Viewers>> start(int listener, EnterJail enter);
  // The process is gone when this returns.
  ~Viewers();
  Viewers(const Viewers&) = delete;
  Viewers& operator=(const Viewers&) = delete;

  // 0xXXRRGGBB, row by row, as many as the last kSize said; at most Ramfb's.
  uint32_t* pixels() { return pixels_; }
  int fd() const { return socket_; }  // readable: there are messages, or the process has ended
  // False: it does not take it now.
  bool send(const ViewerMessage& message);
  // None: there is none now. `ended`: nor will there ever be.
  std::optional<ViewerMessage> receive(bool& ended);

 private:
  Viewers() = default;
  std::string begin(int listener, EnterJail enter);

  uint32_t* pixels_ = nullptr;
  int socket_ = -1;
  pid_t process_ = -1;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_DISPLAY_VIEWERS_H_
