#include "vmm/jail/jail.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "vmm/jail/every_thread.h"
#include "vmm/jail/filter.h"
#include "vmm/jail/landlock.h"

namespace trapline::jail {
namespace {

struct Limit {
  __rlimit_resource resource;
  const char* name;
};
// None at all of these.
constexpr Limit kNone[] = {
    {RLIMIT_CORE, "RLIMIT_CORE"},  // a guest's memory is nobody else's
    {RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"},
    {RLIMIT_NICE, "RLIMIT_NICE"},
    {RLIMIT_RTPRIO, "RLIMIT_RTPRIO"},
};
constexpr rlim_t kMostDescriptors = 4096;

std::string set_limits() {
  for (const Limit& limit : kNone) {
    const rlimit none{0, 0};
    if (setrlimit(limit.resource, &none) != 0) {
      return fmt::format("{}: {}", limit.name, std::strerror(errno));
    }
  }
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return std::strerror(errno);
  descriptors.rlim_cur = std::min(descriptors.rlim_cur, kMostDescriptors);
  descriptors.rlim_max = descriptors.rlim_cur;
  if (setrlimit(RLIMIT_NOFILE, &descriptors) != 0) return std::strerror(errno);
  return {};
}

// Where the path leads to, without its last part.
std::string folder_of(const char* path) {
  char resolved[PATH_MAX];
  if (realpath(path, resolved) == nullptr) return "/etc";
  const std::string whole = resolved;
  return whole.substr(0, whole.rfind('/'));
}

// By the calling thread: 0 or an errno.
int give_up_rights_but(uint32_t kept, int ruleset) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct rights[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, rights) != 0) return errno;
  for (__user_cap_data_struct& some : rights) {
    const uint32_t rest = &some == rights ? some.permitted & kept : 0;
    some = {.effective = rest, .permitted = rest, .inheritable = 0};
  }
  if (syscall(SYS_capset, &header, rights) != 0) return errno;
  return ruleset < 0 ? 0 : restrict_to(ruleset);
}

// In a signal's handler, by each thread.
int give_up_rights(int ruleset) { return give_up_rights_but(0, ruleset); }

// Of a process of one thread, which may then read what lies in `folders`.
std::string close_helper(const std::string& whose, std::span<const Opened> folders, bool tcp,
                         std::span<const Call> calls) {
  if (std::string error = set_limits(); !error.empty()) return error;
  const Landlock landlock(folders, tcp);
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 &&
      (setgroups(0, nullptr) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0)) {
    return fmt::format("{} process stays root: {}", whose, std::strerror(errno));
  }
  if (const int error = give_up_rights(landlock.ruleset()); error != 0) {
    return fmt::format("{} process cannot give up its rights: {}", whose, std::strerror(error));
  }
  return install_filter(calls, {});
}

}  // namespace

std::string why_not() { return why_no_filter(); }

std::string close(const Needs& needs, std::string& note) {
  if (std::string error = set_limits(); !error.empty()) return error;
  const Landlock landlock({});
  note = landlock.what_is_left_open();
  if (const int error = on_every_thread(give_up_rights, landlock.ruleset()); error != 0) {
    return fmt::format("a thread cannot give up its rights: {}", std::strerror(error));
  }
  return install_filter(allowed_calls(), needs);
}

std::string close_network() {
  // The folder, not the file: who changes it puts another in its place.
  const Opened folders[] = {{"/etc", Opened::kRead},
                            {folder_of("/etc/resolv.conf"), Opened::kRead}};
  return close_helper("the network's", folders, true, network_calls());
}

std::string close_viewers() { return close_helper("the viewers'", {}, false, viewers_calls()); }

std::string close_sound() {
  if (std::string error = set_limits(); !error.empty()) return error;
  const Landlock landlock({});
  // The threads of a plugin, which may block every signal, are left out.
  if (const int error = give_up_rights(landlock.ruleset()); error != 0) {
    return fmt::format("the sound's process cannot give up its rights: {}", std::strerror(error));
  }
  return {};
}

std::string close_disk(const virtio::ChildFiles& files) {
  if (std::string error = set_limits(); !error.empty()) return error;
  constexpr unsigned kRead = Opened::kRead, kRun = Opened::kRead | Opened::kRun;
  const unsigned image = files.writes ? kRead | Opened::kWrite : kRead;
  std::vector<Opened> opened = {{"/usr", kRun},       {"/lib", kRun},
                                {"/lib64", kRun},     {"/etc/ld.so.cache", kRead},
                                {"/dev/null", kRead}, {files.image, image}};
  if (files.folder) opened.push_back({folder_of(files.image.c_str()), image});
  if (files.backing) opened.push_back({"/", kRead});
  const Landlock landlock(opened);
  // A file that only root's rights open was opened with them before.
  if (const int error = give_up_rights_but(1U << CAP_DAC_OVERRIDE, landlock.ruleset());
      error != 0) {
    return fmt::format("qemu-nbd's process cannot give up its rights: {}", std::strerror(error));
  }
  return {};
}

}  // namespace trapline::jail
