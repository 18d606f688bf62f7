#include "vmm/state/endpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "vmm/control/sockets.h"

namespace trapline::state {
namespace {

constexpr std::string_view kUnix = "unix:", kExec = "exec:";
constexpr int kTimeoutS = 10;

// The child is nobody's to wait for: it ends when its pipes do, and its parent is init then.
Result<int> run_command(const std::string& command) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error{fmt::format("exec: {}", std::strerror(errno))};
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Our threads block signals that a command expects to get.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  // In the background of a shell that is gone at once; `<&0`, for it would get no input there.
  const char* const words[] = {"sh",   "-c", "eval \"$1\" <&0 & exit 0", "sh", command.c_str(),
                               nullptr};
  pid_t child = 0;
  const int error = posix_spawn(&child, "/bin/sh", &actions, &attributes,
                                const_cast<char* const*>(words), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(ends[1]);
  if (error == 0) {
    waitpid(child, nullptr, 0);
    return ends[0];
  }
  close(ends[0]);
  return Error{fmt::format("exec: {}", std::strerror(error))};
}

}  // namespace

std::string check_endpoint(const std::string& where) {
  for (const std::string_view kind : {kUnix, kExec}) {
    if (where.starts_with(kind)) {
      return where.size() > kind.size() ? std::string()
                                        : fmt::format("{} needs something behind it", kind);
    }
  }
  return "give unix:PATH or exec:COMMAND";
}

Result<int> connect_to(const std::string& where) {
  if (where.starts_with(kExec)) return run_command(where.substr(kExec.size()));
  const std::string path = where.substr(kUnix.size());
  const int fd = connect_to_path(path, kTimeoutS);
  if (fd >= 0) return fd;
  return Error{fmt::format("{}: {}", path, std::strerror(errno))};
}

Result<int> wait_for(const std::string& where) {
  if (where.starts_with(kExec)) return run_command(where.substr(kExec.size()));
  const std::string path = where.substr(kUnix.size());
  auto socket = ListeningSocket::at_path(path, path + ": somebody listens there already");
  if (!socket) return Error{socket.error()};
  for (;;) {
    pollfd fd{socket->fd(), POLLIN, 0};
    if (poll(&fd, 1, -1) < 0 && errno != EINTR) {
      return Error{fmt::format("{}: {}", path, std::strerror(errno))};
    }
    const int made = socket->accept();
    if (made >= 0) return made;
    if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
      return Error{fmt::format("{}: {}", path, std::strerror(errno))};
    }
  }
}

}  // namespace trapline::state
