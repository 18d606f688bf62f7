// A compromised VM, played by threads that call the kernel themselves: what they try and what
// becomes of them.
#include "vmm/jail/jail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "tests/vmm/jail/attempts.h"
#include "vmm/jail/every_thread.h"
#include "vmm/jail/landlock.h"

namespace trapline::jail::test {
namespace {

// An errno, or 0.
int call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  return syscall(number, a, b, c, d, e) < 0 ? errno : 0;
}
long of(const void* p) { return reinterpret_cast<long>(p); }

std::string close_vm() {
  std::string note;
  return close({}, note);
}

struct Attempt {
  const char* what;
  int (*attempt)();
  int fate;  // of the VM
};

const Attempt kAttempts[] = {
    {"openat", [] { return call(SYS_openat, AT_FDCWD, of("/etc/passwd"), O_RDONLY); }, EACCES},
    {"openat, to write",
     [] { return call(SYS_openat, AT_FDCWD, of("/tmp/x"), O_RDWR | O_CREAT, 0600); }, EACCES},
    {"openat2",
     [] {
       const uint64_t how[3] = {};
       return call(SYS_openat2, AT_FDCWD, of("/etc/passwd"), of(how), sizeof how);
     },
     kKilled},
    {"open_by_handle_at", [] { return call(SYS_open_by_handle_at, AT_FDCWD, 0, 0); }, kKilled},
    {"unlinkat", [] { return call(SYS_unlinkat, AT_FDCWD, of("/tmp/none"), 0); }, kKilled},
    {"renameat2",
     [] { return call(SYS_renameat2, AT_FDCWD, of("/tmp/a"), AT_FDCWD, of("/tmp/b")); }, kKilled},
    {"mkdirat", [] { return call(SYS_mkdirat, AT_FDCWD, of("/tmp/none/x"), 0700); }, kKilled},
    {"truncate", [] { return call(SYS_truncate, of("/tmp/none"), 0); }, kKilled},
    {"memfd_create", [] { return call(SYS_memfd_create, of("x"), 0); }, kKilled},
    {"socket, inet", [] { return call(SYS_socket, AF_INET, SOCK_STREAM, 0); }, kKilled},
    {"socket, unix", [] { return call(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }, kKilled},
    {"socket, netlink", [] { return call(SYS_socket, AF_NETLINK, SOCK_RAW, 0); }, kKilled},
    {"socketpair",
     [] {
       int ends[2];
       return call(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, of(ends));
     },
     kKilled},
    {"connect", [] { return call(SYS_connect, 0, 0, 0); }, kKilled},
    {"bind", [] { return call(SYS_bind, 0, 0, 0); }, kKilled},
    {"fork", [] { return call(SYS_clone, SIGCHLD, 0, 0, 0, 0); }, kKilled},
    {"vfork", [] { return call(SYS_clone, SIGCHLD | CLONE_VM | CLONE_VFORK, 0, 0, 0, 0); },
     kKilled},
    {"a thread in a new namespace",
     [] {
       return call(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                  CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                                  CLONE_CHILD_CLEARTID | CLONE_NEWNET);
     },
     kKilled},
    {"clone3",
     [] {
       clone_args args{};
       args.exit_signal = SIGCHLD;
       return call(SYS_clone3, of(&args), sizeof args);
     },
     ENOSYS},
    {"execve",
     [] {
       const char* const words[] = {"/bin/true", nullptr};
       return call(SYS_execve, of("/bin/true"), of(words), 0);
     },
     kKilled},
    {"execveat", [] { return call(SYS_execveat, 0, of(""), 0, 0, AT_EMPTY_PATH); }, kKilled},
    {"mmap, to run",
     [] {
       return mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                      MAP_FAILED
                  ? errno
                  : 0;
     },
     kKilled},
    {"mprotect, to run",
     [] {
       void* at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       return call(SYS_mprotect, of(at), 4096, PROT_READ | PROT_EXEC);
     },
     kKilled},
    {"pkey_mprotect", [] { return call(SYS_pkey_mprotect, 0, 0, PROT_EXEC, -1); }, kKilled},
    {"mremap to a place",
     [] { return call(SYS_mremap, 0, 4096, 4096, MREMAP_FIXED | MREMAP_MAYMOVE); }, kKilled},
    {"ptrace", [] { return call(SYS_ptrace, 0, 0, 0, 0); }, kKilled},
    {"process_vm_writev", [] { return call(SYS_process_vm_writev, getpid(), 0, 0, 0, 0); },
     kKilled},
    {"kill another", [] { return call(SYS_kill, getppid(), 0); }, kKilled},
    {"tgkill another", [] { return call(SYS_tgkill, 1, 1, 0); }, kKilled},
    {"ioctl TIOCSTI", [] { return call(SYS_ioctl, 0, TIOCSTI, of("x")); }, kKilled},
    {"fcntl F_SETOWN", [] { return call(SYS_fcntl, 0, F_SETOWN, 1); }, kKilled},
    {"prctl PR_SET_MM", [] { return call(SYS_prctl, PR_SET_MM, 0, 0, 0, 0); }, kKilled},
    {"setuid", [] { return call(SYS_setuid, 0); }, kKilled},
    {"unshare", [] { return call(SYS_unshare, CLONE_NEWUSER); }, kKilled},
    {"mount", [] { return call(SYS_mount, 0, 0, 0, 0, 0); }, kKilled},
    {"bpf", [] { return call(SYS_bpf, 0, 0, 0); }, kKilled},
    {"perf_event_open", [] { return call(SYS_perf_event_open, 0, 0, -1, -1, 0); }, kKilled},
    {"userfaultfd", [] { return call(SYS_userfaultfd, 0); }, kKilled},
    {"pidfd_getfd", [] { return call(SYS_pidfd_getfd, 0, 0, 0); }, kKilled},
    {"keyctl", [] { return call(SYS_keyctl, 0, 0, 0); }, kKilled},
    {"setrlimit", [] { return call(SYS_prlimit64, 0, 7, 0, 0); }, kKilled},
    {"a number that is none", [] { return call(100'000); }, kKilled},
    {"io_uring_setup",
     [] {
       char parameters[120] = {};
       return call(SYS_io_uring_setup, 8, of(parameters));
     },
     EACCES},
    {"io_uring_register", [] { return call(SYS_io_uring_register, 0, 0, 0, 0); }, EACCES},
};

TEST(Jail, OfAThreadThatTriesNothingComesThrough) {
  for (const Attempt& row : kAttempts) {
    for (const Who who : kAll) {
      EXPECT_EQ(fate_of(close_vm, row.attempt, who), row.fate)
          << row.what << ", thread " << static_cast<int>(who);
    }
  }
}

// The network's process can make sockets for the guest, read below /etc, and do nothing else.
TEST(Jail, OfTheNetworkIsAsTightButForSockets) {
  for (const Attempt& row : kAttempts) {
    const std::string what = row.what;
    if (what == "socket, inet" || what == "bind" || what == "connect" || what == "openat") continue;
    const int fate = fate_of(close_network, row.attempt);
    EXPECT_EQ(fate, what == "openat, to write" ? kKilled : row.fate) << what;
  }
  const auto opens = [](const char* path) {
    return fate_of(close_network, [=] { return call(SYS_openat, AT_FDCWD, of(path), O_RDONLY); });
  };
  EXPECT_EQ(opens("/etc/passwd"), 0);
  if (geteuid() == 0) {
    EXPECT_EQ(opens("/etc/shadow"), EACCES);
  }
  if (Landlock({}).what_is_left_open().empty()) {
    EXPECT_EQ(opens("/proc/version"), EACCES);
  }
}

// What a VM does all day.
TEST(Jail, LeavesThreadsMemoryAndOpenFiles) {
  for (const Who who : kAll) {
    const int fate = fate_of(
        close_vm,
        [] {
          for (int i = 0; i < 8; ++i) {
            std::thread([] { free(std::memset(malloc(1 << 20), 1, 1 << 20)); }).join();
          }
          std::vector<uint8_t> grows;
          for (int i = 0; i < 1 << 22; ++i) grows.push_back(static_cast<uint8_t>(i));
          char byte;
          if (write(STDERR_FILENO, "", 0) != 0 || getentropy(&byte, 1) != 0) return 1;
          struct timespec now {};
          return clock_gettime(CLOCK_MONOTONIC_RAW, &now) == 0 ? 0 : 2;
        },
        who);
    EXPECT_EQ(fate, 0);
  }
}

TEST(Jail, LeavesAbortItsMessage) {
  EXPECT_EQ(fate_of(close_vm, []() -> int { std::abort(); }), -SIGABRT);
}

// By itself, as it is behind the filter: on threads from before as well.
TEST(Jail, LandlockIsOnEveryThread) {
  if (!Landlock({}).what_is_left_open().empty()) GTEST_SKIP() << "no landlock here";
  for (const Who who : kAll) {
    EXPECT_EQ(fate_of(
                  [] {
                    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                    const Landlock landlock({});
                    const auto enter = [](int ruleset) {
                      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                      return restrict_to(ruleset);
                    };
                    return std::string(on_every_thread(enter, landlock.ruleset()) == 0 ? "" : "!");
                  },
                  [] { return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0; }, who),
              EACCES);
  }
}

}  // namespace
}  // namespace trapline::jail::test
