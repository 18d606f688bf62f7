#include "devices/virtio/qemu_nbd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "devices/virtio/helper_process.h"
#include "devices/virtio/nbd.h"

namespace trapline::virtio {
namespace {

constexpr int kListener = 3;  // where systemd's protocol has it (sd_listen_fds(3))
constexpr int kPatienceMs = 10'000, kLookMs = 10;

EnterDiskJail disk_jail = nullptr;

// Its socket is there before the child is, and its name gone: two ends that have found each other.
struct Ends {
  int listener = -1, client = -1;
};

Ends make_ends() {
  Ends ends;
  const char* const folder = getenv("TMPDIR");
  std::string name = std::string(folder != nullptr ? folder : "/tmp") + "/trapline-nbd-XXXXXX";
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (mkdtemp(name.data()) == nullptr) return ends;
  const std::string path = name + "/s";
  ends.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ends.client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto* const to = reinterpret_cast<const sockaddr*>(&at);
  int error = ENAMETOOLONG;
  if (path.size() < sizeof at.sun_path) {
    std::memcpy(at.sun_path, path.c_str(), path.size() + 1);
    const bool good = ends.client >= 0 && bind(ends.listener, to, sizeof at) == 0 &&
                      listen(ends.listener, 1) == 0 && connect(ends.client, to, sizeof at) == 0;
    error = good ? 0 : errno;
  }
  unlink(path.c_str());
  rmdir(name.c_str());
  if (error != 0) {
    close(ends.listener);
    close(ends.client);
    ends = {};
    errno = error;
  }
  return ends;
}

class Child {
 public:
  Child() : messages_(memfd_create("trapline-qemu-nbd", MFD_CLOEXEC)) {}
  // It ends with its last connection, and has then written all that it was told.
  ~Child() {
    for (int i = 0; process_ > 0 && i < kPatienceMs / kLookMs; ++i) {
      if (waitpid(process_, nullptr, WNOHANG) != 0) break;
      poll(nullptr, 0, kLookMs);
    }
    close(messages_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // One line if it does not start.
  std::string start(const ChildFiles& files, ImageFormat format, int listener);
  // The last line of what it has printed.
  std::string said() const { return last_line(messages_); }

 private:
  [[noreturn]] void become(const ChildFiles& files, char* const* argv, int listener,
                           int trouble) const;

  const int messages_;
  pid_t process_ = -1;
};

// In the new process. Whatever goes wrong is written to `trouble`, which closes if nothing does.
void Child::become(const ChildFiles& files, char* const* argv, int listener, int trouble) const {
  const auto give_up = [trouble](const std::string& text) {
    [[maybe_unused]] const ssize_t n = ::write(trouble, text.data(), text.size());
    _exit(1);
  };
  // A terminal's signals are for the guest's machine to answer.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) std::signal(number, SIG_DFL);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  dup2(messages_, STDERR_FILENO);
  const int kept = fcntl(trouble, F_DUPFD_CLOEXEC, kListener + 1);
  listener = fcntl(listener, F_DUPFD_CLOEXEC, kListener + 1);
  if (dup2(listener, kListener) < 0 || dup3(kept, kListener + 1, O_CLOEXEC) < 0) _exit(1);
  trouble = kListener + 1;
  syscall(SYS_close_range, kListener + 2, ~0u, 0);
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  if (disk_jail != nullptr) {
    if (const std::string error = disk_jail(files); !error.empty()) give_up(error);
  }
  execvp(argv[0], argv);
  give_up(errno == ENOENT ? "needs qemu-nbd (Debian: package qemu-utils)"
                          : std::string("cannot start qemu-nbd: ") + std::strerror(errno));
  _exit(1);
}

std::string Child::start(const ChildFiles& files, ImageFormat format, int listener) {
  std::vector<std::string> words = {"qemu-nbd", std::string("--format=") + format_name(format),
                                    "--discard=unmap", "--detect-zeroes=off"};
  if (!files.writes) words.emplace_back("--read-only");
  words.push_back(files.image);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int trouble[2];
  if (pipe2(trouble, O_CLOEXEC) != 0) return std::strerror(errno);
  process_ = fork();
  if (process_ == 0) become(files, argv.data(), listener, trouble[1]);
  const int error = errno;
  close(trouble[1]);
  char text[512];
  ssize_t n = 0;
  do {
    n = process_ < 0 ? 0 : read(trouble[0], text, sizeof text);
  } while (n < 0 && errno == EINTR);
  close(trouble[0]);
  if (process_ < 0) return std::string("no process of its own: ") + std::strerror(error);
  return {text, static_cast<size_t>(std::max<ssize_t>(n, 0))};
}

}  // namespace

void keep_qemu_nbd_apart(EnterDiskJail enter) { disk_jail = enter; }

const char* format_name(ImageFormat format) {
  static constexpr const char* kNames[] = {"", "raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi"};
  return kNames[static_cast<unsigned>(format)];
}

ImageResult open_by_qemu_nbd(const std::string& path, const ImageOptions& options) {
  ImageResult result;
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) {
    result.error = path + ": " + std::strerror(errno);
    return result;
  }
  const ChildFiles files{.image = resolved,
                         .writes = !options.read_only,
                         .folder = options.format == ImageFormat::kVmdk,
                         .backing = options.backing};
  const Ends ends = make_ends();
  if (ends.listener < 0) {
    result.error = path + ": no socket for qemu-nbd: " + std::strerror(errno);
    return result;
  }
  const auto child = std::make_shared<Child>();
  const std::string error = child->start(files, options.format, ends.listener);
  close(ends.listener);
  if (!error.empty()) {
    close(ends.client);
    result.error = path + ": format=" + format_name(options.format) + " " + error;
    return result;
  }
  result = open_nbd_socket(ends.client, path, options, child);
  if (const std::string line = child->said(); result.image == nullptr && !line.empty()) {
    result.error = path + ": " + line;
  }
  return result;
}

}  // namespace trapline::virtio
