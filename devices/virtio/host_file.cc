#include "devices/virtio/host_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace trapline {
namespace {

// 1 s in all.
constexpr int kLockTries = 50;
constexpr unsigned kLockPauseUs = 20'000;

std::string describe(const std::string& path, const char* what, int error) {
  return path + ": " + what + ": " + std::strerror(error);
}

}  // namespace

HostFile::~HostFile() {
  if (fd_ >= 0) close(fd_);
}

HostFile::HostFile(HostFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(other.size_), path_(std::move(other.path_)) {}

HostFile& HostFile::operator=(HostFile&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = std::exchange(other.fd_, -1);
    size_ = other.size_;
    path_ = std::move(other.path_);
  }
  return *this;
}

std::string HostFile::open(const std::string& path, const Options& options) {
  const int access = options.read_only ? O_RDONLY : O_RDWR;
  // O_NONBLOCK: a FIFO must not hang us before fstat() tells what it is.
  int flags = access | O_CLOEXEC | O_NONBLOCK | (options.create ? O_CREAT : 0);
  const int fd = ::open(path.c_str(), flags, 0666);
  if (fd < 0) {
    if (errno == EISDIR) return path + ": is a directory";
    if (errno == EACCES || errno == EROFS || errno == EPERM) {
      return describe(
          path, options.read_only ? "cannot open for reading" : "cannot open for writing", errno);
    }
    return describe(path, "cannot open", errno);
  }
  HostFile file;
  file.fd_ = fd;
  file.path_ = path;

  struct stat st;
  if (fstat(fd, &st) != 0) return describe(path, "cannot stat", errno);
  if (S_ISDIR(st.st_mode)) return path + ": is a directory";
  if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
    return path + ": is neither a regular file nor a block device";
  }
  // io_uring would hand EAGAIN to us instead of waiting for the disk.
  fcntl(fd, F_SETFL, access);
  const off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0) return describe(path, "cannot find the size", errno);
  file.size_ = static_cast<uint64_t>(end);

  struct flock lock = {};
  lock.l_type = options.read_only ? F_RDLCK : F_WRLCK;
  lock.l_whence = SEEK_SET;
  int locked = fcntl(fd, F_OFD_SETLK, &lock);
  // A VM that was just killed may hold its lock a little longer: the kernel ends the operations of
  // its io_uring after the process is gone.
  for (int i = 0; i < kLockTries && locked != 0 && errno == EAGAIN; ++i) {
    usleep(kLockPauseUs);
    locked = fcntl(fd, F_OFD_SETLK, &lock);
  }
  if (locked != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      return path + ": locked: another virtual machine has it open" +
             (options.read_only ? " for writing" : "");
    }
    return describe(path, "cannot lock", errno);
  }
  *this = std::move(file);
  return {};
}

int HostFile::read(uint64_t offset, void* out, size_t size) const {
  auto* p = static_cast<uint8_t*>(out);
  while (size > 0) {
    const ssize_t n = pread(fd_, p, size, static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (n == 0) {
      std::memset(p, 0, size);
      return 0;
    }
    p += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return 0;
}

int HostFile::write(uint64_t offset, const void* data, size_t size) const {
  const auto* p = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const ssize_t n = pwrite(fd_, p, size, static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (n == 0) return -EIO;
    p += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return 0;
}

int HostFile::sync() const { return fdatasync(fd_) == 0 ? 0 : -errno; }

}  // namespace trapline
