#include "vmm/display/viewers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "devices/ramfb.h"
#include "devices/virtio/helper_process.h"
#include "vmm/display/vnc.h"

namespace trapline {
namespace {

constexpr size_t kBytes = size_t{Ramfb::kMostWidth} * Ramfb::kMostHeight * sizeof(uint32_t);

// Nothing of the VM's stays but messages, the socket and the listener: descriptors 3 and 4.
void keep_little(int socket, int listener) {
  constexpr int kOutOfTheWay = 16;
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  socket = fcntl(socket, F_DUPFD, kOutOfTheWay);
  listener = fcntl(listener, F_DUPFD, kOutOfTheWay);
  dup2(socket, kVncSocket);
  dup2(listener, kVncListener);
  syscall(SYS_close_range, kVncListener + 1, ~0u, 0);
}

[[noreturn]] void be_apart(int socket, int listener, uint32_t* pixels, Viewers::EnterJail enter) {
  virtio::be_helper("trapline-vnc");
  keep_little(socket, listener);
  VncServer server;
  std::string error = server.open(pixels);
  if (error.empty() && enter != nullptr) error = enter();
  virtio::answer_starter(kVncSocket, error);
  if (error.empty()) server.serve();
  _exit(0);
}

}  // namespace

Result<std::unique_ptr<Viewers>> Viewers::start(int listener, EnterJail enter) {
  std::unique_ptr<Viewers> viewers(new Viewers);
  if (std::string error = viewers->begin(listener, enter); !error.empty()) return Error{error};
  return viewers;
}

std::string Viewers::begin(int listener, EnterJail enter) {
  void* const at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return std::string("no memory for its picture: ") + std::strerror(errno);
  pixels_ = static_cast<uint32_t*>(at);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return std::strerror(errno);
  }
  process_ = fork();
  if (process_ == 0) be_apart(ends[1], listener, pixels_, enter);
  const int error = errno;
  close(ends[1]);
  socket_ = ends[0];
  if (process_ < 0) return std::string("no process of its own: ") + std::strerror(error);
  return virtio::answer_of_helper(socket_, "its process ended before it began");
}

Viewers::~Viewers() {
  if (socket_ >= 0) close(socket_);
  if (process_ > 0) {
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  if (pixels_ != nullptr) munmap(pixels_, kBytes);
}

bool Viewers::send(const ViewerMessage& message) {
  return ::send(socket_, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(sizeof message);
}

std::optional<ViewerMessage> Viewers::receive(bool& ended) {
  ViewerMessage message;
  const ssize_t n = recv(socket_, &message, sizeof message, MSG_DONTWAIT);
  if (n == static_cast<ssize_t>(sizeof message)) return message;
  ended = n >= 0 || (errno != EAGAIN && errno != EINTR);
  return std::nullopt;
}

}  // namespace trapline
