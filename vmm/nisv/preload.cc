// libtrapline-nisv.so: the C library's names that a VMM calls, with the Interposer in between.
//
// Which names, and why no others: a VM is known by the answer to KVM_CREATE_VM, so that open(2)
// need not be watched; kvm_run we map ourselves, so that mmap(2) need not be. A descriptor can be
// duplicated or closed by these here; what happens behind our back (an inline system call, a
// descriptor that comes back through a socket) is found out at its next use (adopt()). vfork(2) and
// clone(2) are not watched: their child is known by its process number.
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <ctime>
#include <new>

#include "vmm/nisv/interposer.h"

namespace trapline::nisv {
namespace {

// The next library's function of that name.
template <typename F>
class Next {
 public:
  explicit constexpr Next(const char* name) : name_(name) {}
  F* get() {
    F* found = function_.load(std::memory_order_relaxed);
    if (found == nullptr) {
      found = reinterpret_cast<F*>(dlsym(RTLD_NEXT, name_));
      function_.store(found, std::memory_order_relaxed);
    }
    return found;
  }

 private:
  const char* name_;
  std::atomic<F*> function_{nullptr};
};

constinit Next<int(int, unsigned long, ...)> next_ioctl{"ioctl"};
constinit Next<int(int)> next_close{"close"};
constinit Next<int(unsigned, unsigned, int)> next_close_range{"close_range"};
constinit Next<int(int)> next_dup{"dup"};
constinit Next<int(int, int)> next_dup2{"dup2"};
constinit Next<int(int, int, int)> next_dup3{"dup3"};
constinit Next<int(int, int, ...)> next_fcntl{"fcntl"};
constinit Next<int(int, int, ...)> next_fcntl64{"fcntl64"};
constinit Next<int(void*, size_t)> next_munmap{"munmap"};
constinit Next<int(int)> next_unshare{"unshare"};
constinit Next<int(int, int)> next_setns{"setns"};
constinit Next<int(int, const struct sigaction*, struct sigaction*)> next_sigaction{"sigaction"};
constinit Next<int(int, const sigset_t*, sigset_t*)> next_sigmask{"pthread_sigmask"};

class Linux final : public System {
 public:
  long ioctl(int fd, unsigned long request, void* argument) override {
    const int result = next_ioctl.get()(fd, request, argument);
    return result < 0 ? -long{errno} : result;
  }
  void* map_run(int vcpu, size_t bytes) override {
    void* run = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) return nullptr;
    madvise(run, bytes, MADV_DONTFORK);  // else a child would keep the VM alive
    return run;
  }
  void unmap_run(void* run, size_t bytes) override { syscall(SYS_munmap, run, bytes); }
  int duplicate(int fd) override {
    constexpr int kOutOfTheWay = 256;
    const long made = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kOutOfTheWay);
    return static_cast<int>(made >= 0 ? made : syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3));
  }
  void close(int fd) override { syscall(SYS_close, fd); }
  void signal_event(int fd) override {
    const uint64_t one = 1;
    [[maybe_unused]] const long written = syscall(SYS_write, fd, &one, sizeof one);
  }
  bool read_memory(uint64_t address, void* to, size_t bytes) override {
    const iovec here{to, bytes}, there{reinterpret_cast<void*>(address), bytes};
    return syscall(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0) ==
           static_cast<long>(bytes);
  }
  void kick(pthread_t thread) override { pthread_kill(thread, kick_signal()); }
  bool same_file(int fd, int other) override {
    constexpr int kKcmpFile = 0;
    const pid_t self = getpid();
    return syscall(SYS_kcmp, self, self, kKcmpFile, fd, other) == 0;
  }
  std::string name_of(int fd) override {
    char name[PATH_MAX];
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t n = readlink(path.c_str(), name, sizeof name);
    return {name, n > 0 ? static_cast<size_t>(n) : 0};
  }
  void message(const std::string& text) override {
    const std::string line = "trapline: " + text + "\n";
    [[maybe_unused]] const long written =
        syscall(SYS_write, STDERR_FILENO, line.data(), line.size());
  }
  unsigned zero_block_log2() override {
#ifdef __aarch64__
    uint64_t dczid;
    asm("mrs %0, dczid_el0" : "=r"(dczid));
    return static_cast<unsigned>(dczid & 15) + 2;
#else
    return 6;
#endif
  }
};

// Null until the library is loaded: other libraries' constructors call us, too.
std::atomic<Interposer*> the_interposer{nullptr};
std::atomic<pid_t> owner{0};

Interposer* interposer() { return the_interposer.load(std::memory_order_acquire); }

// The child of a vfork, or of a clone that shares memory, must leave our tables alone: its
// descriptors are others.
bool is_owner() { return syscall(SYS_getpid) == owner.load(std::memory_order_relaxed); }

// Null if `fd` is nothing of KVM's.
Interposer* of(int fd) {
  Interposer* it = interposer();
  return it != nullptr && it->known(fd) && is_owner() ? it : nullptr;
}

bool is_ours(int fd) {
  Interposer* it = interposer();
  return it != nullptr && it->is_ours(fd) && is_owner();
}

int answer(long result) {
  if (result >= 0) return static_cast<int>(result);
  errno = static_cast<int>(-result);
  return -1;
}

int refuse() {
  errno = EBADF;
  return -1;
}

// After a call that has made `to` a duplicate of `from`.
int duplicated(int from, int to) {
  if (to >= 0 && (of(from) != nullptr || of(to) != nullptr)) interposer()->duplicated(from, to);
  return to;
}

// Before a call that makes `fd` something else.
void make_room(int fd) {
  if (is_ours(fd)) interposer()->vacate(fd);
  if (Interposer* it = of(fd)) it->closing(fd);
}

// Without our signal: else no vCPU could be got out of KVM_RUN.
const sigset_t* without_ours(int how, const sigset_t* set, sigset_t& copy) {
  if (set == nullptr || how == SIG_UNBLOCK) return set;
  copy = *set;
  sigdelset(&copy, kick_signal());
  return &copy;
}

void on_kick(int /*signal*/) {}

[[gnu::constructor]] void load() {
  alignas(Linux) static unsigned char linux_memory[sizeof(Linux)];
  alignas(Interposer) static unsigned char memory[sizeof(Interposer)];
  struct sigaction action {};
  action.sa_handler = on_kick;
  action.sa_flags = SA_RESTART;
  next_sigaction.get()(kick_signal(), &action, nullptr);
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, kick_signal());
  next_sigmask.get()(SIG_UNBLOCK, &ours, nullptr);
  for (void* found :
       {reinterpret_cast<void*>(next_ioctl.get()), reinterpret_cast<void*>(next_close.get()),
        reinterpret_cast<void*>(next_dup2.get()), reinterpret_cast<void*>(next_fcntl.get())}) {
    if (found == nullptr) return;
  }
  auto* it = new (memory)
      Interposer(*new (linux_memory) Linux, static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  owner = static_cast<pid_t>(syscall(SYS_getpid));
  the_interposer.store(it, std::memory_order_release);
  it->load(getenv("TRAPLINE_NISV_STATS"));
  pthread_atfork([] { interposer()->before_fork(); }, [] { interposer()->after_fork_in_parent(); },
                 [] {
                   interposer()->forget_everything();
                   owner = static_cast<pid_t>(syscall(SYS_getpid));
                 });
}

[[gnu::destructor]] void unload() {
  if (interposer() != nullptr && is_owner()) interposer()->write_last_statistics();
}

// A thread that was joined is in the kernel's list of the process a moment longer, and these fail
// with EINVAL as long as one is.
template <typename Call>
int without_threads(bool wanted, Call call) {
  Interposer* it = interposer();
  const bool away = wanted && it != nullptr && is_owner() && it->threads_away();
  constexpr unsigned kTries = 50;
  constexpr timespec kMoment{0, 1'000'000};
  int result = call();
  for (unsigned i = 0; away && result != 0 && errno == EINVAL && i < kTries; ++i) {
    nanosleep(&kMoment, nullptr);
    result = call();
  }
  const int why = errno;
  if (away) it->threads_back();
  errno = why;
  return result;
}

}  // namespace
}  // namespace trapline::nisv

using namespace trapline::nisv;

extern "C" {

#define PUBLIC [[gnu::visibility("default")]]

PUBLIC int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  Interposer* it = interposer();
  if (it == nullptr || _IOC_TYPE(request) != KVMIO) {
    return next_ioctl.get()(fd, request, argument);
  }
  if (request == KVM_CREATE_VM && !is_owner()) {
    it->forget_everything();
    owner = static_cast<pid_t>(syscall(SYS_getpid));
  }
  return answer(it->ioctl(fd, request, argument));
}

PUBLIC int close(int fd) {
  if (is_ours(fd)) return refuse();
  if (Interposer* it = of(fd)) it->closing(fd);
  return next_close.get()(fd);
}

PUBLIC int close_range(unsigned first, unsigned last, int flags) noexcept {
  Interposer* it = interposer();
  if (next_close_range.get() == nullptr) {
    errno = ENOSYS;
    return -1;
  }
  const bool closes = (static_cast<unsigned>(flags) & CLOSE_RANGE_CLOEXEC) == 0;
  if (it == nullptr || !closes || first > last || !is_owner()) {
    return next_close_range.get()(first, last, flags);
  }
  it->closing_range(first, last);
  // Ours stay; there are few, or none.
  for (unsigned from = first; from <= last;) {
    unsigned to = from;
    while (to < last && to < Interposer::kOurs && !it->is_ours(static_cast<int>(to))) ++to;
    const bool at_ours = it->is_ours(static_cast<int>(to));
    const unsigned end = to >= Interposer::kOurs ? last : to;
    if (!at_ours || end > from) {
      const int result = next_close_range.get()(from, at_ours ? end - 1 : end, flags);
      if (result != 0) return result;
    }
    if (end == last) break;
    from = end + 1;
  }
  return 0;
}

PUBLIC void closefrom(int first) noexcept {
  close_range(first < 0 ? 0 : static_cast<unsigned>(first), ~0u, 0);
}

PUBLIC int dup(int fd) noexcept { return duplicated(fd, next_dup.get()(fd)); }

PUBLIC int dup2(int from, int to) noexcept {
  if (from == to) return next_dup2.get()(from, to);
  make_room(to);
  return duplicated(from, next_dup2.get()(from, to));
}

PUBLIC int dup3(int from, int to, int flags) noexcept {
  if (from != to) make_room(to);
  return duplicated(from, next_dup3.get()(from, to, flags));
}

static int any_fcntl(Next<int(int, int, ...)>& next, int fd, int command, void* argument) {
  const int result = (next.get() != nullptr ? next : next_fcntl).get()(fd, command, argument);
  const bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  return duplicates ? duplicated(fd, result) : result;
}

PUBLIC int fcntl(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  void* argument = va_arg(list, void*);
  va_end(list);
  return any_fcntl(next_fcntl, fd, command, argument);
}

PUBLIC int fcntl64(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  void* argument = va_arg(list, void*);
  va_end(list);
  return any_fcntl(next_fcntl64, fd, command, argument);
}

PUBLIC int munmap(void* address, size_t size) noexcept {
  if (Interposer* it = interposer()) it->unmapping(reinterpret_cast<uint64_t>(address), size);
  return next_munmap.get()(address, size);
}

// These fail in a process with threads, but for ours would not.
PUBLIC int unshare(int flags) noexcept {
  constexpr int kAlone = CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  return without_threads((flags & kAlone) != 0, [flags] { return next_unshare.get()(flags); });
}

PUBLIC int setns(int fd, int type) noexcept {
  return without_threads(true, [fd, type] { return next_setns.get()(fd, type); });
}

PUBLIC int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  sigset_t copy;
  return next_sigmask.get()(how, without_ours(how, set, copy), old);
}

// Who resets all signals does not mean ours.
PUBLIC int sigaction(int number, const struct sigaction* action, struct sigaction* old) noexcept {
  return next_sigaction.get()(number, number == kick_signal() ? nullptr : action, old);
}

PUBLIC int sigprocmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  sigset_t copy;
  const int error = next_sigmask.get()(how, without_ours(how, set, copy), old);
  return error == 0 ? 0 : answer(-error);
}

// Destructors do not run; what is told to these is a VMM's last word.
PUBLIC __attribute__((noreturn)) void _exit(int status) {
  unload();
  for (;;) syscall(SYS_exit_group, status);
}

PUBLIC __attribute__((noreturn)) void _Exit(int status) noexcept { _exit(status); }

}  // extern "C"
