#include "vmm/host/later_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/nbd_dial.h"

namespace trapline {
namespace {

LaterFiles* installed = nullptr;

}  // namespace

void set_later_files(LaterFiles* files) { installed = files; }
LaterFiles* later_files() { return installed; }

int open_input(const std::string& path) {
  if (installed != nullptr) return installed->open(path);
  return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int open_connection(const std::string& address) {
  return installed != nullptr ? installed->connect(address) : virtio::dial_here(address);
}

void remove_if_same(const std::string& path, dev_t device, ino_t inode) {
  if (installed != nullptr) return installed->remove(path, device, inode);
  const size_t slash = path.rfind('/');
  const std::string folder_path = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  const int folder = open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  struct stat info {};
  if (flock(folder, LOCK_EX) == 0 &&
      fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_dev == device &&
      info.st_ino == inode) {
    unlinkat(folder, name.c_str(), 0);
  }
  close(folder);
}

}  // namespace trapline
