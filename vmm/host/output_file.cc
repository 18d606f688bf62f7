#include "vmm/host/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "vmm/host/later_files.h"

namespace trapline {
namespace {

std::string failed_at(const std::string& path, const char* what) {
  return path + ": " + what + ": " + std::strerror(errno);
}

// Where a file would be renamed to: `path` with its symbolic links followed.
std::string target_of(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

bool is_directory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

mode_t mode_of_new_files() {
  const mode_t mask = umask(0);
  umask(mask);
  return 0666 & ~mask;
}

}  // namespace

FileAside::~FileAside() {
  if (fd_ >= 0) close(fd_);
  if (!name_.empty()) unlink(name_.c_str());
}

std::string FileAside::make(const std::string& path, Mode mode) {
  path_ = path;
  target_ = target_of(path);
  struct stat info {};
  const bool replaces = stat(target_.c_str(), &info) == 0;
  if (replaces && !S_ISREG(info.st_mode)) return path + ": is no regular file";
  std::string name = target_ + ".XXXXXX";
  fd_ = mkostemp(name.data(), O_CLOEXEC);  // mode 0600
  if (fd_ < 0) return failed("cannot make a file there");
  name_ = name;
  if (mode == Mode::kAsReplaced) {
    fchmod(fd_, replaces ? info.st_mode & 07777 : mode_of_new_files());
  }
  return {};
}

std::string FileAside::put_in_place() {
  if (fsync(fd_) != 0) return failed("cannot write");
  if (rename(name_.c_str(), target_.c_str()) != 0) return failed("cannot rename to it");
  name_.clear();
  const size_t slash = target_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : target_.substr(0, slash + 1);
  const int dir = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool good = dir >= 0 && fsync(dir) == 0;
  std::string error = good ? std::string() : failed("cannot make its folder durable");
  if (dir >= 0) close(dir);
  return error;
}

std::string FileAside::failed(const char* what) const { return failed_at(path_, what); }

bool written_in_place(const std::string& path) {
  const std::string target = target_of(path);
  struct stat info {};
  if (stat(target.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    return true;
  }
  return target.starts_with("/dev/") || target.starts_with("/proc/");
}

int open_in_place(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
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

std::string check_output(const std::string& path) {
  if (is_directory(path)) return path + ": is a directory";
  if (written_in_place(path)) {
    if (access(path.c_str(), W_OK) == 0) return {};
    return failed_at(path, "cannot write");
  }
  FileAside file;
  return file.make(path, FileAside::Mode::kAsReplaced);
}

std::string write_output(const std::string& path, std::string_view content) {
  if (LaterFiles* const later = later_files()) return later->write(path, content);
  if (written_in_place(path)) {
    const int fd = open_in_place(path);
    std::string error;
    if (fd < 0 || !write_all(fd, content)) error = failed_at(path, "cannot write");
    if (fd >= 0) close(fd);
    return error;
  }
  FileAside file;
  if (std::string error = file.make(path, FileAside::Mode::kAsReplaced); !error.empty()) {
    return error;
  }
  if (!write_all(file.fd(), content)) return failed_at(path, "cannot write");
  return file.put_in_place();
}

}  // namespace trapline
