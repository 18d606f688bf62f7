#include "vmm/control/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace trapline {
namespace {

constexpr std::string_view kEnding = ".sock";

bool allowed(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

}  // namespace

std::string check_vm_name(const std::string& name) {
  if (name.empty()) return "a VM's name must not be empty";
  // Nothing of a name that is refused for its characters is shown: it may be a terminal's codes.
  if (!std::all_of(name.begin(), name.end(), allowed)) {
    return "a VM's name has letters, digits, '-', '_' and '.' only";
  }
  if (name.size() > kMaxVmName)
    return fmt::format("a VM's name has at most {} letters", kMaxVmName);
  if (name[0] == '.') return fmt::format("{}: a VM's name does not begin with '.'", name);
  return {};
}

std::string runtime_folder() {
  const char* base = std::getenv("XDG_RUNTIME_DIR");
  if (base != nullptr && base[0] == '/') return std::string(base) + "/trapline";
  return fmt::format("/tmp/trapline-{}", geteuid());
}

std::string vm_socket_path(const std::string& name) {
  return runtime_folder() + "/" + name + std::string(kEnding);
}

Result<int> open_runtime_folder(bool make) {
  const std::string path = runtime_folder();
  if (make && mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error{
        fmt::format("cannot make {}: {} (XDG_RUNTIME_DIR says where)", path, std::strerror(errno))};
  }
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info {};
  std::string error;
  if (fd < 0 && (errno == ELOOP || errno == ENOTDIR)) {
    error = fmt::format("{}: no folder, or a symbolic link to one: remove it", path);
  } else if (fd < 0 || fstat(fd, &info) != 0) {
    error = fmt::format("{}: {}", path, std::strerror(errno));
  } else if (info.st_uid != geteuid()) {
    error = fmt::format("{}: belongs to user {}: set XDG_RUNTIME_DIR to a folder of yours", path,
                        info.st_uid);
  } else if ((info.st_mode & 077) != 0) {
    error = fmt::format("{}: is open to others: chmod 700 it", path);
  }
  if (error.empty()) return fd;
  if (fd >= 0) close(fd);
  return Error{error};
}

std::vector<std::string> vm_names() {
  std::vector<std::string> names;
  auto folder = open_runtime_folder(false);
  if (!folder) return names;
  DIR* const entries = fdopendir(*folder);
  if (entries == nullptr) {
    close(*folder);
    return names;
  }
  while (const dirent* entry = readdir(entries)) {
    std::string_view file = entry->d_name;
    if (!file.ends_with(kEnding)) continue;
    std::string name(file.substr(0, file.size() - kEnding.size()));
    if (check_vm_name(name).empty()) names.push_back(std::move(name));
  }
  closedir(entries);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace trapline
