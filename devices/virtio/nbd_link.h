// One connection to an NBD server, by libnbd's asynchronous calls: it is dialled, greets, and then
// carries commands.
#ifndef TRAPLINE_DEVICES_VIRTIO_NBD_LINK_H_
#define TRAPLINE_DEVICES_VIRTIO_NBD_LINK_H_

#include <libnbd.h>
#include <poll.h>

#include <cstdint>
#include <string>

namespace trapline::virtio {

// Where a server is and which of its exports is meant.
struct NbdTarget {
  std::string uri;           // as the user wrote it
  std::string export_name;   // once connected
  std::string address;       // the bytes of a sockaddr, once connected; empty: nowhere to dial
  bool by_uri_only = false;  // TLS: a certificate is checked against the URI's host
};

// What a server said of its export.
struct NbdExport {
  uint64_t bytes = 0;
  uint64_t least = 1, most = 0;  // bytes of a read or write
  bool read_only = false, flush = false, fua = false, trim = false, zero = false;
  bool multi = false;  // a flush on one connection covers all
};

class NbdLink {
 public:
  enum class State : uint8_t { kDown, kDialing, kGreeting, kUp };

  NbdLink() = default;
  ~NbdLink() { drop(); }
  NbdLink(const NbdLink&) = delete;
  NbdLink& operator=(const NbdLink&) = delete;

  // These begin; error() says why if they return false.
  bool begin_uri(const NbdTarget& target);
  bool begin_dial(const NbdTarget& target);
  // Takes the socket, which is connected.
  bool begin_socket(const NbdTarget& target, int socket);

  State state() const { return state_; }
  // What to wait for.
  pollfd wanted() const;
  // After poll(); may call the completions of commands. The state is kDown if the connection ended.
  void dispatch(short events);
  // Sends the end, if it can be sent at once, and closes.
  void drop();

  nbd_handle* handle() const { return handle_; }
  NbdExport about() const;                   // kUp
  NbdTarget reached(std::string uri) const;  // kUp
  const std::string& error() const { return error_; }

  unsigned in_flight = 0;  // its user's

 private:
  bool make(const NbdTarget& target);
  bool fail(const char* what);
  void look();

  nbd_handle* handle_ = nullptr;
  int socket_ = -1;  // kDialing
  State state_ = State::kDown;
  std::string error_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NBD_LINK_H_
