#include "vmm/host/sound_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "devices/virtio/helper_process.h"
#include "vmm/host/alsa.h"

namespace trapline {
namespace {

constexpr int kSocket = 3;                               // a descriptor of that process
constexpr int kWaiting = kAudioRate * kAudioFrameBytes;  // bytes between the two: a second
constexpr int kRestMs = 50, kLastMs = 3000;

// Nothing of the VM's stays but messages and the socket.
void keep_little(int socket) {
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  dup2(socket, kSocket);
  syscall(SYS_close_range, kSocket + 1, ~0u, 0);
}

// Until the VM is gone.
void serve() {
  std::array<uint8_t, 16384> bytes;
  size_t left = 0;  // of a frame that is not whole
  bool good = true, heard = true;
  for (;;) {
    pollfd fd{.fd = kSocket, .events = POLLIN, .revents = 0};
    const int ready = poll(&fd, 1, heard ? -1 : kRestMs);
    if (ready == 0) alsa_rest();
    heard = ready == 0;
    if (ready <= 0) continue;
    const ssize_t n = recv(kSocket, bytes.data() + left, bytes.size() - left, 0);
    if (n == 0) return alsa_close();
    if (n < 0) continue;
    const size_t all = left + static_cast<size_t>(n);
    left = all % kAudioFrameBytes;
    good = good && alsa_play(bytes.data(), all / kAudioFrameBytes);
    std::memmove(bytes.data(), bytes.data() + all - left, left);
  }
}

[[noreturn]] void be_apart(int socket, const std::string& device, SoundProcess::EnterJail enter) {
  virtio::be_helper("trapline-audio");
  keep_little(socket);
  std::string error = alsa_open(device);
  if (error.empty() && enter != nullptr) error = enter();
  virtio::answer_starter(kSocket, error);
  if (error.empty()) serve();
  _exit(0);
}

SoundProcess::EnterJail jail = nullptr;

}  // namespace

std::string SoundProcess::start(const std::string& device, EnterJail enter) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return std::strerror(errno);
  socket_ = Descriptor(ends[0]);
  setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &kWaiting, sizeof kWaiting);
  process_ = fork();
  if (process_ == 0) be_apart(ends[1], device, enter);
  const int error = errno;
  close(ends[1]);
  if (process_ < 0) return std::string("no process of its own: ") + std::strerror(error);
  return virtio::answer_of_helper(ends[0], "its process ended before it began");
}

SoundProcess::~SoundProcess() {
  if (process_ <= 0) return;
  shutdown(socket_.get(), SHUT_WR);  // it plays what it has, and ends
  pollfd fd{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  // A sound server that has stopped keeps nobody.
  if (poll(&fd, 1, kLastMs) <= 0) kill(process_, SIGKILL);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void SoundProcess::put(const uint8_t* frames, size_t bytes) {
  // After a loss in the middle of a frame the next begins where one would.
  const size_t skip = std::min<uint64_t>((sent_ - offered_) % kAudioFrameBytes, bytes);
  offered_ += bytes;
  bytes -= skip;
  const ssize_t n = send(socket_.get(), frames + skip, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) sent_ += static_cast<uint64_t>(n);
  if (n >= 0 && static_cast<size_t>(n) == bytes) return;
  report_.add(n >= 0 || errno == EAGAIN
                  ? "the host's device is behind: sound is lost"
                  : "the process that plays has ended: the guest is not heard");
}

void keep_sound_apart(SoundProcess::EnterJail enter) { jail = enter; }
SoundProcess::EnterJail sound_jail() { return jail; }

}  // namespace trapline
