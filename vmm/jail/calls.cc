#include "vmm/jail/calls.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

#include <cerrno>

namespace trapline::jail {
namespace {

// What pthread_create() asks for, and nothing else.
constexpr uint64_t kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                  CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                                  CLONE_CHILD_CLEARTID;
// What glibc asks terminals from 2.42 on (asm-generic/ioctls.h, whose types termios.h has, too).
constexpr uint64_t kTcgets2 = _IOR('T', 0x2a, uint32_t[11]);
constexpr uint64_t kTcsets2 = _IOW('T', 0x2b, uint32_t[11]);
// KVM's for arm64 only, which an x86-64 header does not have.
constexpr uint64_t kKvmIrqLine = _IOW(KVMIO, 0x61, uint64_t);
constexpr uint64_t kKvmArmVcpuInit = _IOW(KVMIO, 0xae, uint32_t[8]);
constexpr uint64_t kKvmGetVcpuEvents = _IOR(KVMIO, 0x9f, uint8_t[64]);
constexpr uint64_t kKvmSetVcpuEvents = _IOW(KVMIO, 0xa0, uint8_t[64]);
constexpr uint64_t kKvmSetGuestDebug = _IOW(KVMIO, 0x9b, uint8_t[520]);

constexpr Call any(const char* name, const char* why, Need need = Need::kAlways) {
  return {name, "", Test::kNone, 0, 0, need, why};
}
constexpr Call equals(const char* name, unsigned argument, uint64_t value, const char* only,
                      const char* why, Need need = Need::kAlways) {
  return {name, only, Test::kEquals, argument, value, need, why};
}
constexpr Call without(const char* name, unsigned argument, uint64_t bits, const char* only,
                       const char* why) {
  return {name, only, Test::kHasNone, argument, bits, Need::kAlways, why};
}
constexpr Call own(const char* name, const char* why) {
  return {name, "this process", Test::kIsThisProcess, 0, 0, Need::kAlways, why};
}

constexpr Call kAllowed[] = {
    // --- memory ---
    any("brk", "the heap"),
    without("mmap", 2, PROT_EXEC, "not PROT_EXEC", "the heap; stacks of new threads"),
    without("mprotect", 2, PROT_EXEC, "not PROT_EXEC", "guard pages; the heap of a thread"),
    any("munmap", "the heap; stacks of threads that ended"),
    equals("mremap", 3, MREMAP_MAYMOVE, "MREMAP_MAYMOVE", "realloc() of large blocks"),
    any("madvise", "stacks of threads that ended; the heap given back"),
    // --- threads ---
    equals("clone", 0, kThreadFlags, "a thread's flags",
           "vCPUs, console, gdb, control, saves, deadlines"),
    any("set_robust_list", "a new thread's first call"),
    any("rseq", "a new thread's second call"),
    any("futex", "locks, condition variables, joining, vCPUs that wait"),
    any("membarrier", "the software CPU's broadcast of TLB and code maintenance"),
    any("sched_yield", "a lock that is held for a moment"),
    any("sched_getaffinity", "glibc counts processors for its heaps"),
    any("gettid", "abort(); a KVM vCPU's kick"),
    any("getpid", "abort(); `status`; Ctrl-Z"),
    any("exit", "a thread's end"),
    any("exit_group", "the end"),
    equals("prctl", 0, PR_SET_NAME, "PR_SET_NAME", "names of threads"),
    // --- signals ---
    any("rt_sigaction", "abort(), SIGPIPE, the terminal's signals"),
    any("rt_sigprocmask", "new threads; abort()"),
    any("rt_sigreturn", "the end of a handler"),
    any("sigaltstack", "a thread's end, where a library gave it one"),
    any("restart_syscall", "the kernel's own: a wait goes on after SIGSTOP"),
    own("tgkill", "abort(); a KVM vCPU's kick"),
    own("kill", "Ctrl-Z stops the process once the terminal is its own again"),
    // --- time, randomness ---
    any("clock_gettime", "where the vDSO cannot: the guest's clock"),
    any("clock_getres", "likewise"),
    any("gettimeofday", "likewise"),
    any("time", "likewise"),
    any("clock_nanosleep", "waits"),
    any("nanosleep", "waits"),
    any("timerfd_settime", "the clock's next deadline"),
    any("getrandom", "the entropy device, generation IDs, hash seeds"),
    // --- what is open ---
    any("read", "disks, console, eventfds, sockets"),
    any("write", "disks, console, messages, eventfds"),
    any("readv", "tap"),
    any("writev", "tap"),
    any("pread64", "disks, kernel images, saved RAM"),
    any("pwrite64", "disks, saves"),
    any("preadv", "disks"),
    any("pwritev", "disks"),
    any("preadv2", "disks: what is in the page cache"),
    any("pwritev2", "disks: durable writes"),
    any("lseek", "saves, holes of saved RAM"),
    any("close", "clients that went, files that are done"),
    any("dup", "a save's file"),
    any("fsync", "disks, saves, statistics"),
    any("fdatasync", "disks"),
    any("fallocate", "a disk's discard and write-zeroes"),
    any("ftruncate", "a save's size"),
    any("fstat", "size and time of disks; what a descriptor is"),
    equals("newfstatat", 3, AT_EMPTY_PATH, "AT_EMPTY_PATH",
           "glibc's fstat(); it can ask for the status of a path, too"),
    any("getcwd", "relative names of files, in a state that is saved"),
    any("poll", "everybody who waits for input"),
    any("ppoll", "poll() where the processor has no other"),
    any("eventfd2", "new threads of console, gdb and saves"),
    equals("fcntl", 1, F_GETFL, "F_GETFL", "a migration's link is made non-blocking"),
    equals("fcntl", 1, F_SETFL, "F_SETFL", "likewise"),
    equals("fcntl", 1, F_OFD_SETLK, "F_OFD_SETLK", "disks change hands in a migration"),
    any("io_uring_enter", "disks, by a ring that can do nothing else"),
    // --- sockets that are there ---
    any("accept4", "clients of control, console, metrics and gdb"),
    any("recvfrom", "their requests"),
    any("sendto", "their replies; a migration"),
    any("recvmsg", "requests of control with descriptors; the broker's answers"),
    any("sendmsg", "the broker's requests"),
    any("shutdown", "a client that is to read to the end"),
    any("setsockopt", "gdb: TCP_NODELAY"),
    // --- the terminal ---
    equals("ioctl", 1, TCGETS, "TCGETS", "the terminal's settings; what buffers output"),
    equals("ioctl", 1, TCSETS, "TCSETS", "the terminal is made raw, and as it was"),
    equals("ioctl", 1, kTcgets2, "TCGETS2", "likewise, by newer glibcs"),
    equals("ioctl", 1, kTcsets2, "TCSETS2", "likewise, by newer glibcs"),
    equals("ioctl", 1, TIOCGPGRP, "TIOCGPGRP", "is it ours now?"),
    any("getpgrp", "is the terminal ours now?"),
    equals("getpgid", 0, 0, "0", "getpgrp() where the processor has no other"),
    equals("wait4", 3, 0, "no usage", "the broker's end"),
    // --- --net tap ---
    equals("ioctl", 1, TUNSETOFFLOAD, "TUNSETOFFLOAD", "what the guest's driver can take",
           Need::kTap),
    // --- --disk nbd:// ---
    equals("fcntl", 1, F_GETFD, "F_GETFD", "libnbd takes a new connection", Need::kNbd),
    equals("fcntl", 1, F_SETFD, "F_SETFD", "likewise", Need::kNbd),
    // --- KVM ---
    equals("ioctl", 1, KVM_RUN, "KVM_RUN", "the guest", Need::kKvm),
    equals("ioctl", 1, KVM_GET_ONE_REG, "KVM_GET_ONE_REG", "an exit's registers", Need::kKvm),
    equals("ioctl", 1, KVM_SET_ONE_REG, "KVM_SET_ONE_REG", "an exit's registers", Need::kKvm),
    equals("ioctl", 1, KVM_GET_REG_LIST, "KVM_GET_REG_LIST", "register dumps", Need::kKvm),
    equals("ioctl", 1, kKvmIrqLine, "KVM_IRQ_LINE", "interrupts of devices", Need::kKvm),
    equals("ioctl", 1, KVM_SIGNAL_MSI, "KVM_SIGNAL_MSI", "interrupts of PCI devices", Need::kKvm),
    equals("ioctl", 1, kKvmArmVcpuInit, "KVM_ARM_VCPU_INIT", "reset, CPU_ON", Need::kKvm),
    equals("ioctl", 1, KVM_GET_MP_STATE, "KVM_GET_MP_STATE", "power states", Need::kKvm),
    equals("ioctl", 1, KVM_SET_MP_STATE, "KVM_SET_MP_STATE", "power states", Need::kKvm),
    equals("ioctl", 1, kKvmGetVcpuEvents, "KVM_GET_VCPU_EVENTS", "external aborts", Need::kKvm),
    equals("ioctl", 1, kKvmSetVcpuEvents, "KVM_SET_VCPU_EVENTS", "external aborts", Need::kKvm),
    equals("ioctl", 1, kKvmSetGuestDebug, "KVM_SET_GUEST_DEBUG", "gdb", Need::kKvm),
    equals("ioctl", 1, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION",
           "flash changes between memory and device", Need::kKvm),
    equals("ioctl", 1, KVM_GET_DEVICE_ATTR, "KVM_GET_DEVICE_ATTR", "registers of the vGIC",
           Need::kKvm),
    equals("ioctl", 1, KVM_SET_DEVICE_ATTR, "KVM_SET_DEVICE_ATTR", "registers of the vGIC",
           Need::kKvm),
    equals("ioctl", 1, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", "breakpoints of gdb",
           Need::kKvm),
};

// The process of `--net user`: libslirp and its sockets.
constexpr Call kNetwork[] = {
    any("brk", "the heap"),
    without("mmap", 2, PROT_EXEC, "not PROT_EXEC", "the heap"),
    any("munmap", "the heap"),
    equals("mremap", 3, MREMAP_MAYMOVE, "MREMAP_MAYMOVE", "realloc() of large blocks"),
    any("madvise", "the heap given back"),
    any("futex", "locks of libraries"),
    any("getrandom", "hash seeds"),
    any("clock_gettime", "where the vDSO cannot: timers"),
    any("gettimeofday", "likewise"),
    any("time", "likewise"),
    any("exit_group", "the end"),
    any("rt_sigaction", "abort()"),
    any("rt_sigprocmask", "abort()"),
    any("rt_sigreturn", "the end of a handler"),
    any("restart_syscall", "the kernel's own: a wait goes on after SIGSTOP"),
    any("gettid", "abort()"),
    any("getpid", "abort()"),
    own("tgkill", "abort()"),
    any("poll", "sockets, and frames of the guest"),
    any("ppoll", "poll() where the processor has no other"),
    equals("socket", 0, AF_INET, "AF_INET", "the guest's connections"),
    equals("socket", 0, AF_INET6, "AF_INET6", "the guest's connections"),
    any("bind", "the guest's sockets"),
    any("connect", "the guest's connections"),
    any("listen", "helpers of libslirp's for protocols with a second connection"),
    any("accept", "forwarded ports"),
    any("accept4", "forwarded ports"),
    any("shutdown", "half-closed connections"),
    any("getsockname", "the guest's sockets"),
    any("getpeername", "the guest's sockets"),
    any("setsockopt", "the guest's sockets"),
    any("getsockopt", "what became of a connection"),
    any("sendto", "the guest's data; the host's routes; wakes the VM"),
    any("recvfrom", "likewise"),
    any("sendmsg", "the guest's data"),
    any("recvmsg", "the guest's data"),
    any("read", "resolv.conf"),
    any("write", "messages"),
    any("readv", "the guest's data"),
    any("writev", "messages"),
    any("close", "sockets"),
    any("lseek", "resolv.conf"),
    without("openat", 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, "for reading",
            "resolv.conf: landlock leaves only its folder"),
    any("stat", "has resolv.conf changed?"),
    any("newfstatat", "likewise"),
    any("fstat", "likewise"),
    equals("fcntl", 1, F_GETFL, "F_GETFL", "sockets that do not block"),
    equals("fcntl", 1, F_SETFL, "F_SETFL", "sockets that do not block"),
    equals("fcntl", 1, F_GETFD, "F_GETFD", "sockets that close on exec"),
    equals("fcntl", 1, F_SETFD, "F_SETFD", "sockets that close on exec"),
    equals("ioctl", 1, FIONREAD, "FIONREAD", "the size of a datagram"),
    equals("ioctl", 1, FIONBIO, "FIONBIO", "sockets that do not block"),
};

// The process of `--display vnc:`: libvncserver and its clients.
constexpr Call kViewers[] = {
    any("brk", "the heap"),
    without("mmap", 2, PROT_EXEC, "not PROT_EXEC", "the heap"),
    any("munmap", "the heap"),
    equals("mremap", 3, MREMAP_MAYMOVE, "MREMAP_MAYMOVE", "realloc() of large blocks"),
    any("madvise", "the heap given back"),
    any("futex", "locks of libraries"),
    any("getrandom", "hash seeds"),
    any("clock_gettime", "where the vDSO cannot: how long a client takes"),
    any("gettimeofday", "likewise"),
    any("exit_group", "the end"),
    any("rt_sigaction", "abort()"),
    any("rt_sigprocmask", "abort()"),
    any("rt_sigreturn", "the end of a handler"),
    any("restart_syscall", "the kernel's own: a wait goes on after SIGSTOP"),
    any("gettid", "abort()"),
    any("getpid", "abort()"),
    own("tgkill", "abort()"),
    any("poll", "the VM and the clients"),
    any("ppoll", "poll() where the processor has no other"),
    any("select", "a client that is to be read or written"),
    any("pselect6", "likewise"),
    any("accept4", "clients"),
    any("getpeername", "who they are, as text"),
    any("getsockname", "likewise"),
    any("getsockopt", "what became of a connection"),
    any("setsockopt", "TCP_NODELAY"),
    any("shutdown", "clients that go"),
    any("recvfrom", "the VM's messages, a client's bytes"),
    any("sendto", "messages to the VM, a client's picture"),
    any("recvmsg", "likewise"),
    any("sendmsg", "likewise"),
    any("read", "a client's bytes"),
    any("write", "a client's picture, messages"),
    any("writev", "messages"),
    any("close", "clients that went"),
    any("uname", "the name of a client at a unix socket"),
    equals("fcntl", 1, F_GETFL, "F_GETFL", "sockets that do not block"),
    equals("fcntl", 1, F_SETFL, "F_SETFL", "sockets that do not block"),
    equals("ioctl", 1, FIONREAD, "FIONREAD", "how much has come"),
};

constexpr Refused kRefused[] = {
    {"clone3", ENOSYS,
     "its flags lie in memory, where no filter sees them; glibc then calls clone"},
    {"open", EACCES, "a library that looks for a file of its own finds none"},
    {"openat", EACCES, "likewise"},
    {"access", EACCES, "likewise"},
    {"faccessat", EACCES, "likewise"},
    {"readlink", EACCES, "likewise"},
    {"readlinkat", EACCES, "likewise"},
    {"stat", EACCES, "likewise"},
    {"lstat", EACCES, "likewise"},
    {"statx", EACCES, "likewise"},
    {"sysinfo", EACCES, "glibc's guess at the memory there is"},
    {"io_uring_setup", EACCES, "a new ring would know no restriction"},
    {"io_uring_register", EACCES, "likewise"},
};

}  // namespace

std::span<const Call> allowed_calls() { return kAllowed; }
std::span<const Call> network_calls() { return kNetwork; }
std::span<const Call> viewers_calls() { return kViewers; }
std::span<const Refused> refused_calls() { return kRefused; }

}  // namespace trapline::jail
