// Who opens files for a VM in its jail: a process outside, with nothing between them but a socket.
// Each file is named before the jail closes; afterwards the VM can but say which of them it means.
#ifndef TRAPLINE_VMM_JAIL_BROKER_H_
#define TRAPLINE_VMM_JAIL_BROKER_H_

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/host/later_files.h"

namespace trapline::jail {

class Broker final : public LaterFiles {
 public:
  // Forks: while the process has one thread. Null where that fails: see errno.
  static std::unique_ptr<Broker> start();
  // The process is gone when this returns.
  ~Broker() override;
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  // Before seal(). Of what was not named nothing can be asked.
  void may_read(const std::string& path);
  void may_write(const std::string& path);
  // A socket's name, which is removed at the latest when this process ends, however it does.
  void may_remove(const std::string& path);
  // An NBD server's address, the bytes of a sockaddr.
  void may_connect(const std::string& address);
  // One line if the broker has not all of it.
  std::string seal();

  int open(const std::string& path) override;
  std::string write(const std::string& path, std::string_view content) override;
  void remove(const std::string& path, dev_t device, ino_t inode) override;
  int connect(const std::string& address) override;

 private:
  Broker(int socket, pid_t process) : socket_(socket), process_(process) {}
  void name(char kind, const std::string& path);
  // The broker's answer: 0 or an errno, and perhaps a descriptor.
  int ask(char what, char kind, const std::string& path, int* fd);

  struct Named {
    char kind;
    std::string path;
  };
  const int socket_;
  const pid_t process_;
  std::vector<Named> named_;
  std::mutex mutex_;  // a question and its answer
  int error_ = 0;
};

}  // namespace trapline::jail

#endif  // TRAPLINE_VMM_JAIL_BROKER_H_
