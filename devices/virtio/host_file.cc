#include "devices/virtio/host_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <utility>

namespace trapline {
namespace {

// 1 s in all.
constexpr int kLockTries = 50;
constexpr unsigned kLockPauseUs = 20'000;

std::string describe(const std::string& path, const char* what, int error) {
  return path + ": " + what + ": " + std::strerror(error);
}

// What this process has open: its own locks do not tell it from another virtual machine, and a
// file has many names (links, and device nodes).
struct Claim {
  const void* owner;
  HostFile::Identity identity;
  bool writes;
  std::string path;
};
std::mutex claims_mutex;
std::list<Claim>& claims() {
  static auto* list = new std::list<Claim>;  // outlives every HostFile
  return *list;
}

// The name of what excludes a new claim; empty if nothing does.
std::string claimed_as(const HostFile::Identity& identity, bool writes) {
  std::lock_guard lock(claims_mutex);
  for (const Claim& claim : claims()) {
    if (claim.identity == identity && (claim.writes || writes)) return claim.path;
  }
  return {};
}

void add_claim(Claim claim) {
  std::lock_guard lock(claims_mutex);
  claims().push_back(std::move(claim));
}

void move_claim(const void* from, const void* to) {
  std::lock_guard lock(claims_mutex);
  for (Claim& claim : claims()) {
    if (claim.owner == from) claim.owner = to;
  }
}

void drop_claim(const void* owner) {
  std::lock_guard lock(claims_mutex);
  claims().remove_if([owner](const Claim& claim) { return claim.owner == owner; });
}

}  // namespace

HostFile::~HostFile() { reset(); }

HostFile::Identity HostFile::identity_of(const struct stat& st) {
  // A block device is what its number says, whichever node it was opened by.
  if (S_ISBLK(st.st_mode)) return {kBlockDevices, st.st_rdev};
  return {st.st_dev, st.st_ino};
}

void HostFile::reset() {
  if (fd_ < 0) return;
  drop_claim(this);
  close(std::exchange(fd_, -1));
}

HostFile::HostFile(HostFile&& other) noexcept { *this = std::move(other); }

HostFile& HostFile::operator=(HostFile&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
    size_ = other.size_;
    identity_ = other.identity_;
    read_only_ = other.read_only_;
    path_ = std::move(other.path_);
    move_claim(&other, this);
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

  file.identity_ = identity_of(st);
  if (const std::string other = claimed_as(file.identity_, !options.read_only); !other.empty()) {
    const std::string as = other == path ? "" : " as " + other;
    return path + ": given twice: this virtual machine has it already" + as +
           "; only files that are all read-only may be shared";
  }
  file.read_only_ = options.read_only;
  if (std::string error = file.lock(); !error.empty()) return error;
  add_claim({&file, file.identity_, !options.read_only, path});
  *this = std::move(file);
  return {};
}

int HostFile::set_lock(short type) const {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return fcntl(fd_, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

std::string HostFile::lock() {
  const short type = read_only_ ? F_RDLCK : F_WRLCK;
  int error = set_lock(type);
  // A VM that was just killed may hold its lock a little longer: the kernel ends the operations of
  // its io_uring after the process is gone.
  for (int i = 0; i < kLockTries && error == EAGAIN; ++i) {
    usleep(kLockPauseUs);
    error = set_lock(type);
  }
  if (error == 0) return {};
  if (error == EAGAIN || error == EACCES) {
    return path_ + ": locked: another virtual machine has it open" +
           (read_only_ ? " for writing" : "");
  }
  return describe(path_, "cannot lock", error);
}

std::string HostFile::unlock() {
  const int error = set_lock(F_UNLCK);
  return error == 0 ? std::string() : describe(path_, "cannot unlock", error);
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
