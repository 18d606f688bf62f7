// A pipe, and a peer that reads it at the test's pace.
#ifndef TRAPLINE_TESTS_VMM_HOST_PIPE_H_
#define TRAPLINE_TESTS_VMM_HOST_PIPE_H_

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace trapline {

struct Pipe {
  Pipe() {
    std::signal(SIGPIPE, SIG_IGN);  // as the program does
    if (pipe(end) != 0) std::abort();
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(int which) {
    if (const int fd = std::exchange(end[which], -1); fd >= 0) close(fd);
  }
  // Fills it; returns with how many bytes.
  size_t fill(char with) {
    const int flags = fcntl(end[1], F_GETFL);
    fcntl(end[1], F_SETFL, flags | O_NONBLOCK);
    const std::string block(4096, with);
    size_t total = 0;
    for (ssize_t n; (n = write(end[1], block.data(), block.size())) > 0;) {
      total += static_cast<size_t>(n);
    }
    fcntl(end[1], F_SETFL, flags);
    return total;
  }
  // Reads until there are so many bytes, or the end.
  std::string read_bytes(size_t size) {
    std::string out;
    char block[4096];
    while (out.size() < size) {
      const ssize_t n = read(end[0], block, std::min(sizeof block, size - out.size()));
      if (n <= 0) break;
      out.append(block, static_cast<size_t>(n));
    }
    return out;
  }
  void write_all(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = write(end[1], text.data(), text.size());
      if (n <= 0) std::abort();
      text.remove_prefix(static_cast<size_t>(n));
    }
  }

  int end[2];
};

// Bytes of which no two stretches look alike.
inline std::string pattern(size_t size) {
  std::string out;
  out.reserve(size + 8);
  for (unsigned n = 0; out.size() < size; ++n) out += std::to_string(n) + "\n";
  out.resize(size);
  return out;
}

}  // namespace trapline

#endif  // TRAPLINE_TESTS_VMM_HOST_PIPE_H_
