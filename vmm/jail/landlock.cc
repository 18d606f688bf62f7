#include "vmm/jail/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

namespace trapline::jail {
namespace {

// linux/landlock.h of 6.12; the build's own may be older (landlock(7), "Kernel interface").
struct Attributes {
  uint64_t handled_files, handled_net, scoped;
};
struct [[gnu::packed]] Beneath {
  uint64_t allowed;
  int32_t folder;
};
constexpr int kPathBeneath = 1;
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadFolder = 1 << 3,
                   kTruncate = 1 << 14, kDeviceIoctl = 1 << 15;
constexpr uint32_t kAskVersion = 1 << 0;
constexpr uint64_t kTcp = 1 << 0 | 1 << 1;  // bind, connect
constexpr uint64_t kAbstractSockets = 1 << 0;

// What each version added to the rights over files: 1: thirteen; 2: between folders; 3: truncation;
// 5: ioctl() of devices.
constexpr struct {
  int version;
  uint64_t files;
} kFiles[] = {{1, 0x1fff}, {2, 0x3fff}, {3, 0x7fff}, {5, 0xffff}};
constexpr int kNetVersion = 4, kScopeVersion = 6;

}  // namespace

Landlock::Landlock(std::span<const Opened> opened, bool tcp) {
  version_ = std::max<int>(
      static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskVersion)), 0);
  if (version_ == 0) return;
  Attributes attributes{};
  for (const auto& row : kFiles) {
    if (version_ >= row.version) attributes.handled_files = row.files;
  }
  size_t size = sizeof attributes.handled_files;
  if (version_ >= kNetVersion) {
    attributes.handled_net = tcp ? 0 : kTcp;
    size += sizeof attributes.handled_net;
  }
  if (version_ >= kScopeVersion) {
    attributes.scoped = kAbstractSockets;
    size += sizeof attributes.scoped;
  }
  ruleset_ = static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, size, 0));
  for (const Opened& one : opened) {
    Beneath rule{0, ::open(one.path.c_str(), O_PATH | O_CLOEXEC)};
    struct stat info {};
    if (rule.folder < 0 || fstat(rule.folder, &info) != 0) continue;
    if ((one.rights & Opened::kRead) != 0) rule.allowed |= kReadFile;
    if ((one.rights & Opened::kRead) != 0 && S_ISDIR(info.st_mode)) rule.allowed |= kReadFolder;
    if ((one.rights & Opened::kWrite) != 0) rule.allowed |= kWriteFile | kTruncate | kDeviceIoctl;
    if ((one.rights & Opened::kRun) != 0) rule.allowed |= kExecute;
    rule.allowed &= attributes.handled_files;
    syscall(SYS_landlock_add_rule, ruleset_, kPathBeneath, &rule, 0);
    ::close(rule.folder);
  }
}

Landlock::~Landlock() {
  if (ruleset_ >= 0) ::close(ruleset_);
}

std::string Landlock::what_is_left_open() const {
  if (ruleset_ >= 0) return {};
  return "this kernel has no landlock: the filter of system calls alone keeps the guest from files";
}

int restrict_to(int ruleset) {
  return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : errno;
}

}  // namespace trapline::jail
