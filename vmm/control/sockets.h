// Sockets that we listen on, and those of others that we connect to.
#ifndef TRAPLINE_VMM_CONTROL_SOCKETS_H_
#define TRAPLINE_VMM_CONTROL_SOCKETS_H_

#include <sys/types.h>

#include <string>

#include "vmm/config/result.h"

namespace trapline {

// A listening socket, and its file if it has one, which goes with it if it is still that file.
class ListeningSocket {
 public:
  ListeningSocket() = default;
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&& other) noexcept;
  ~ListeningSocket();

  // A unix socket at any path, mode 0600. A socket there that nobody listens on is replaced; one
  // that is alive, or another file, is refused with `busy`.
  static Result<ListeningSocket> at_path(const std::string& path, const std::string& busy);
  // The loopback interface only.
  static Result<ListeningSocket> at_port(unsigned port);

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }  // absolute; empty: a port, or none
  // A new connection, not blocking; -1: see errno.
  int accept() const;

 private:
  int fd_ = -1;
  std::string path_;  // absolute
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// The control socket of the VM with that name; the folder is made if need be.
Result<ListeningSocket> listen_as(const std::string& name);
// "unix:PATH" or "tcp:PORT", as --metrics takes it.
Result<ListeningSocket> listen_for_metrics(const std::string& where);
// What is wrong with the text of it; empty if nothing.
std::string check_metrics_address(const std::string& where);

// A connected descriptor, or -1 and errno. Reading and writing time out after `timeout_s`.
int connect_to_path(const std::string& path, int timeout_s);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_SOCKETS_H_
