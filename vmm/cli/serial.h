// `--serial`: where the guest's serial line goes. What is neither standard input and output nor a
// file has clients, which come and go: each gets what the guest writes, the last of it that came
// before, and may type.
#ifndef TRAPLINE_VMM_CLI_SERIAL_H_
#define TRAPLINE_VMM_CLI_SERIAL_H_

#include <poll.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "vmm/config/result.h"
#include "vmm/control/sockets.h"

namespace trapline {

class SerialLine {
 public:
  static constexpr size_t kKept = 16 * 1024;     // bytes, for who comes later
  static constexpr size_t kMaxUnread = 1 << 20;  // then a client goes
  static constexpr size_t kMaxClients = 16;

  // `name`: the VM's, may be empty; with it a line that has clients has `trapline ctl NAME console`
  // for one.
  static Result<std::unique_ptr<SerialLine>> open(const std::string& where,
                                                  const std::string& name);
  // What is wrong with the text; empty if nothing.
  static std::string check(const std::string& where);

  ~SerialLine();
  SerialLine(const SerialLine&) = delete;
  SerialLine& operator=(const SerialLine&) = delete;

  // For a Console.
  int in() const { return in_; }
  int out() const { return out_; }
  // The socket for `ctl NAME console`; empty: there is none.
  const std::string& console_socket() const { return console_socket_; }
  const std::vector<ListeningSocket>& listeners() const { return listeners_; }

 private:
  struct Client {
    int fd;
    std::string unsent;
    bool ended = false;
  };

  SerialLine() = default;
  std::string open_clients(const std::string& where, const std::string& name);
  void serve();
  bool serve_once(std::vector<pollfd>& fds);
  void accept(const ListeningSocket& socket);
  bool take_output();
  void take_input(Client& client);
  static void flush(Client& client);

  int in_ = 0, out_ = 1;
  bool owns_in_ = false, owns_out_ = false;
  std::string console_socket_;
  // With clients: our end of the pair that the Console has the other one of.
  int ours_ = -1;
  std::vector<ListeningSocket> listeners_;
  std::vector<Client> clients_;
  std::string kept_;
  std::string typed_;  // that the Console has not taken yet
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_SERIAL_H_
