#include "vmm/host/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace trapline {
namespace {

std::string failed(const std::string& path, const char* what) {
  return path + ": " + what + ": " + std::strerror(errno);
}

// Where a file would be renamed to: `path` with its symbolic links followed.
std::string target_of(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

// A pipe or device, or a descriptor's name: what stands there is written, not replaced.
bool written_in_place(const std::string& target) {
  struct stat info {};
  if (stat(target.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    return true;
  }
  return target.starts_with("/dev/") || target.starts_with("/proc/");
}

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    content.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// A new file beside `target`, with the mode of the file it will replace. -1: see errno.
int make_beside(const std::string& target, std::string& name) {
  name = target + ".XXXXXX";
  int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat info {};
  mode_t mode;
  if (stat(target.c_str(), &info) == 0) {
    mode = info.st_mode & 07777;
  } else {
    const mode_t mask = umask(0);
    umask(mask);
    mode = 0666 & ~mask;
  }
  fchmod(fd, mode);
  return fd;
}

}  // namespace

std::string check_output(const std::string& path) {
  const std::string target = target_of(path);
  struct stat info {};
  if (stat(target.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return path + ": is a directory";
  if (written_in_place(target)) {
    if (access(path.c_str(), W_OK) == 0) return {};
    return failed(path, "cannot write");
  }
  std::string name;
  int fd = make_beside(target, name);
  if (fd < 0) return failed(path, "cannot make a file there");
  close(fd);
  unlink(name.c_str());
  return {};
}

std::string write_output(const std::string& path, std::string_view content) {
  const std::string target = target_of(path);
  if (written_in_place(target)) {
    int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    std::string error;
    if (fd < 0 || !write_all(fd, content)) error = failed(path, "cannot write");
    if (fd >= 0) close(fd);
    return error;
  }
  std::string name;
  int fd = make_beside(target, name);
  if (fd < 0) return failed(path, "cannot make a file there");
  bool good = write_all(fd, content) && fsync(fd) == 0;
  int reason = errno;
  if (close(fd) != 0 && good) {
    good = false;
    reason = errno;
  }
  if (good && rename(name.c_str(), target.c_str()) != 0) {
    good = false;
    reason = errno;
  }
  if (good) return {};
  unlink(name.c_str());
  errno = reason;
  return failed(path, "cannot write");
}

}  // namespace trapline
