#include "vmm/jail/broker.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "vmm/host/descriptor.h"
#include "vmm/host/output_file.h"

namespace trapline::jail {
namespace {

// What is asked: the first byte. Of one that is named, the second is its place in the list.
constexpr char kName = 'n';    // then its kind and its path
constexpr char kSeal = 's';    // no more names
constexpr char kOpen = 'o';    // a descriptor for reading
constexpr char kMake = 'm';    // a descriptor of a new file, or of the pipe that stands there
constexpr char kPlace = 'p';   // it is whole
constexpr char kDrop = 'd';    // it will not be
constexpr char kRemove = 'r';  // a socket's name
constexpr char kDial = 'c';    // a descriptor of a socket that connects
constexpr char kRead = 'R', kWrite = 'W', kSocket = 'S', kServer = 'C';  // kinds
constexpr size_t kMostNames = 255, kMostBytes = PATH_MAX + 2;

struct File {
  char kind;
  std::string path;
  std::unique_ptr<FileAside> aside;  // kWrite, between kMake and its end
  dev_t device = 0;                  // kSocket
  ino_t inode = 0;
  Descriptor held = Descriptor();  // so that no other file gets that number
};

// Sends an errno and perhaps a descriptor. False: nobody is there.
bool answer(int socket, int32_t error, int fd) {
  alignas(cmsghdr) char beside[CMSG_SPACE(sizeof fd)] = {};
  iovec iov{&error, sizeof error};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = beside;
    message.msg_controllen = sizeof beside;
    cmsghdr* const c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof error);
}

// The process outside. It reads two bytes from whoever is in the jail, and believes neither.
class Outside {
 public:
  explicit Outside(int socket) : socket_(socket) {}

  [[noreturn]] void serve() {
    char bytes[kMostBytes];
    for (;;) {
      const ssize_t n = recv(socket_, bytes, sizeof bytes, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      Descriptor fd;
      const int error = act({bytes, static_cast<size_t>(n)}, fd);
      if (!answer(socket_, error, fd.get())) break;
    }
    for (File& file : files_) {
      file.aside.reset();
      if (file.kind == kSocket) remove_if_same(file.path, file.device, file.inode);
    }
    _exit(0);
  }

 private:
  int act(std::string_view request, Descriptor& fd) {
    if (request == std::string_view(&kSeal, 1)) {
      sealed_ = true;
      return 0;
    }
    if (request.size() < 2) return EINVAL;
    if (request[0] == kName) return name(request[1], std::string(request.substr(2)));
    const auto place = static_cast<unsigned char>(request[1]);
    if (request.size() != 2 || place >= files_.size()) return EINVAL;
    File& file = files_[place];
    switch (request[0]) {
      case kOpen:
        if (file.kind != kRead) return EACCES;
        fd = Descriptor(open_input(file.path));
        return fd.get() < 0 ? errno : 0;
      case kDial:
        if (file.kind != kServer) return EACCES;
        fd = Descriptor(open_connection(file.path));
        return fd.get() < 0 ? errno : 0;
      case kMake:
        return file.kind == kWrite ? make(file, fd) : EACCES;
      case kPlace: {
        if (file.aside == nullptr) return file.kind == kWrite ? 0 : EACCES;
        errno = 0;
        const bool good = file.aside->put_in_place().empty();
        const int error = good ? 0 : errno != 0 ? errno : EIO;
        file.aside.reset();
        return error;
      }
      case kDrop:
        file.aside.reset();
        return 0;
      case kRemove:
        if (file.kind != kSocket) return EACCES;
        remove_if_same(file.path, file.device, file.inode);
        return 0;
      default:
        return EINVAL;
    }
  }

  int name(char kind, std::string path) {
    if (sealed_) return EPERM;
    if (files_.size() >= kMostNames) return ENOSPC;
    File file{kind, std::move(path), nullptr};
    struct stat info {};
    if (kind == kSocket) {
      if (lstat(file.path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return ENOENT;
      file.held = Descriptor(::open(file.path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (fstat(file.held.get(), &info) != 0) return errno;
      file.device = info.st_dev;
      file.inode = info.st_ino;
    }
    files_.push_back(std::move(file));
    return 0;
  }

  static int make(File& file, Descriptor& fd) {
    file.aside.reset();
    if (written_in_place(file.path)) {
      fd = Descriptor(open_in_place(file.path));
      return fd.get() < 0 ? errno : 0;
    }
    auto aside = std::make_unique<FileAside>();
    errno = 0;
    if (!aside->make(file.path, FileAside::Mode::kAsReplaced).empty()) {
      return errno != 0 ? errno : EISDIR;
    }
    fd = Descriptor(dup(aside->fd()));
    if (fd.get() < 0) return errno;
    file.aside = std::move(aside);
    return 0;
  }

  const int socket_;
  std::vector<File> files_;
  bool sealed_ = false;
};

// It ends when the VM does, and by nothing else: not by the keys that are meant for the VM, nor by
// a signal to their group.
[[noreturn]] void be_outside(int socket) {
  prctl(PR_SET_NAME, "trapline-broker");
  for (const int number :
       {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU}) {
    std::signal(number, SIG_IGN);
  }
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE}) std::signal(number, SIG_DFL);
  Outside(socket).serve();
}

}  // namespace

std::unique_ptr<Broker> Broker::start() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return nullptr;
  const pid_t process = fork();
  if (process == 0) {
    ::close(ends[0]);
    be_outside(ends[1]);
  }
  const int error = errno;
  ::close(ends[1]);
  if (process > 0) return std::unique_ptr<Broker>(new Broker(ends[0], process));
  ::close(ends[0]);
  errno = error;
  return nullptr;
}

Broker::~Broker() {
  if (later_files() == this) set_later_files(nullptr);
  ::close(socket_);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Broker::may_read(const std::string& path) {
  if (!path.empty()) name(kRead, path);
}
void Broker::may_write(const std::string& path) {
  if (!path.empty()) name(kWrite, path);
}
void Broker::may_remove(const std::string& path) { name(kSocket, path); }

void Broker::may_connect(const std::string& address) { name(kServer, address); }

void Broker::name(char kind, const std::string& path) {
  const std::string request = std::string{kName, kind} + path;
  int32_t error = EIO;
  if (send(socket_, request.data(), request.size(), MSG_NOSIGNAL) < 0 ||
      recv(socket_, &error, sizeof error, 0) != static_cast<ssize_t>(sizeof error)) {
    error = EIO;
  }
  if (error != 0) {
    error_ = error;
  } else {
    named_.push_back({kind, path});
  }
}

std::string Broker::seal() {
  int32_t error = EIO;
  if (send(socket_, &kSeal, 1, MSG_NOSIGNAL) == 1) recv(socket_, &error, sizeof error, 0);
  if (error_ != 0) error = error_;
  return error == 0 ? std::string() : std::string("the broker: ") + std::strerror(error);
}

int Broker::ask(char what, char kind, const std::string& path, int* fd) {
  const auto named = std::find_if(named_.begin(), named_.end(), [&](const Named& one) {
    return one.kind == kind && one.path == path;
  });
  if (named == named_.end()) return EACCES;
  std::lock_guard lock(mutex_);
  const char request[2] = {what, static_cast<char>(named - named_.begin())};
  if (send(socket_, request, sizeof request, MSG_NOSIGNAL) < 0) return errno;
  int32_t error = EIO;
  alignas(cmsghdr) char beside[CMSG_SPACE(sizeof(int))];
  iovec iov{&error, sizeof error};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = beside;
  message.msg_controllen = sizeof beside;
  ssize_t n;
  do {
    n = recvmsg(socket_, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n != static_cast<ssize_t>(sizeof error)) return EIO;
  if (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr && fd != nullptr) {
    std::memcpy(fd, CMSG_DATA(c), sizeof *fd);
  }
  return error;
}

int Broker::open(const std::string& path) {
  int fd = -1;
  errno = ask(kOpen, kRead, path, &fd);
  return fd;
}

int Broker::connect(const std::string& address) {
  int fd = -1;
  errno = ask(kDial, kServer, address, &fd);
  return fd;
}

std::string Broker::write(const std::string& path, std::string_view content) {
  int made = -1;
  int error = ask(kMake, kWrite, path, &made);
  if (error != 0) return path + ": cannot make a file there: " + std::strerror(error);
  const Descriptor fd(made);
  if (!write_all(fd.get(), content)) {
    error = errno;
    ask(kDrop, kWrite, path, nullptr);
  } else {
    error = ask(kPlace, kWrite, path, nullptr);
  }
  return error == 0 ? std::string() : path + ": cannot write: " + std::strerror(error);
}

void Broker::remove(const std::string& path, dev_t /*device*/, ino_t /*inode*/) {
  ask(kRemove, kSocket, path, nullptr);
}

}  // namespace trapline::jail
