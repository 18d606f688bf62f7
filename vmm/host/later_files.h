// Files that are opened, written or removed once a guest runs: by this process itself or, where it
// may not any more (vmm/jail), by another one for it.
#ifndef TRAPLINE_VMM_HOST_LATER_FILES_H_
#define TRAPLINE_VMM_HOST_LATER_FILES_H_

#include <sys/types.h>

#include <string>
#include <string_view>

namespace trapline {

class LaterFiles {
 public:
  virtual ~LaterFiles() = default;
  // As open_input(), write_output(), remove_if_same() and open_connection(). Any thread.
  virtual int open(const std::string& path) = 0;
  virtual std::string write(const std::string& path, std::string_view content) = 0;
  virtual void remove(const std::string& path, dev_t device, ino_t inode) = 0;
  virtual int connect(const std::string& address) = 0;
};

// Null, as at the start: this process does it itself. Set while one thread runs.
void set_later_files(LaterFiles* files);
LaterFiles* later_files();

// For reading; does not wait for a FIFO's writer. -1 and errno.
int open_input(const std::string& path);

// Removes the socket's name, unless another file has it by now. Whoever binds one holds the
// folder's lock while it looks for an old one.
void remove_if_same(const std::string& path, dev_t device, ino_t inode);

// A stream socket that connects to `address`, the bytes of a sockaddr; as virtio::dial_here().
int open_connection(const std::string& address);

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_LATER_FILES_H_
