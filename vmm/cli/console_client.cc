// `trapline ctl NAME console`: the guest's serial line on our standard input and output.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "vmm/cli/live.h"
#include "vmm/cli/run.h"
#include "vmm/control/sockets.h"
#include "vmm/host/messages.h"
#include "vmm/host/terminal.h"

namespace trapline {
namespace {

constexpr char kEscape = 0x01;  // Ctrl-A, as `run` has it
constexpr int kLookMs = 250;    // whether the terminal is ours again
constexpr int kTimeoutS = 5;

bool write_all(int fd, const char* data, size_t size) {
  while (size != 0) {
    const ssize_t n = write(fd, data, size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// What was typed, less the escapes of a terminal. False: leave.
bool type(int to, const char* data, size_t size, bool terminal, bool& escape) {
  std::string out;
  for (size_t i = 0; i < size; ++i) {
    if (terminal && !escape && data[i] == kEscape) {
      escape = true;
      continue;
    }
    if (escape) {
      escape = false;
      if (data[i] == 'x' || data[i] == 'X') return false;
      if (data[i] != 'a' && data[i] != kEscape) {
        message("\r\ntrapline: Ctrl-A x  leave the console   Ctrl-A a  send Ctrl-A\r\n");
        continue;
      }
      out += kEscape;
      continue;
    }
    out += data[i];
  }
  return write_all(to, out.data(), out.size());
}

}  // namespace

int attach_console(const std::string& socket) {
  const int fd = connect_to_path(socket, kTimeoutS);
  if (fd < 0) return fail(fmt::format("{}: {}", socket, std::strerror(errno)));
  Terminal terminal(STDIN_FILENO);
  bool escape = false, input = true;
  int status = 0;
  char bytes[4096];
  for (;;) {
    const bool reads = input && (!terminal.present() || terminal.take());
    pollfd fds[2] = {{fd, POLLIN, 0}, {reads ? STDIN_FILENO : -1, POLLIN, 0}};
    if (poll(fds, 2, terminal.present() && !reads ? kLookMs : -1) < 0) continue;
    if (fds[1].revents != 0) {
      const ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
      if (n <= 0) {
        input = n < 0 && (errno == EINTR || errno == EAGAIN || errno == EIO);
      } else if (!type(fd, bytes, static_cast<size_t>(n), terminal.present(), escape)) {
        break;
      }
    }
    if (fds[0].revents != 0) {
      const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) break;  // the VM's end
      if (!write_all(STDOUT_FILENO, bytes, static_cast<size_t>(n))) {
        status = fail("cannot write to standard output");
        break;
      }
    }
  }
  restore_terminal();
  close(fd);
  return status;
}

}  // namespace trapline
