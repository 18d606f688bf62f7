#include "devices/virtio/helper_process.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace trapline::virtio {

void be_helper(const char* name) {
  prctl(PR_SET_NAME, name);
  for (const int number :
       {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU}) {
    std::signal(number, SIG_IGN);
  }
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE}) std::signal(number, SIG_DFL);
}

void answer_starter(int socket, const std::string& error) {
  const std::string answer = error.empty() ? "+" : "-" + error;
  ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL);
}

std::string answer_of_helper(int socket, const char* ended) {
  char answer[512];
  ssize_t n;
  do {
    n = recv(socket, answer, sizeof answer, 0);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return ended;
  return answer[0] == '+' ? std::string() : std::string(answer + 1, static_cast<size_t>(n) - 1);
}

std::string last_line(int file) {
  char text[4096];
  const off_t end = lseek(file, 0, SEEK_END);
  const off_t from = std::max<off_t>(0, end - static_cast<off_t>(sizeof text));
  const ssize_t n = pread(file, text, sizeof text, from);
  std::string all(text, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  while (!all.empty() && all.back() == '\n') all.pop_back();
  std::string line = all.substr(all.rfind('\n') + 1);
  for (char& c : line) {
    if (c < ' ' || c > '~') c = '?';
  }
  return line;
}

}  // namespace trapline::virtio
