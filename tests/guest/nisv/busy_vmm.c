// A VMM of several vCPU threads under a seccomp filter that allows what cloud-hypervisor's vCPU
// threads may call, while signals interrupt them all the time.
//
//   busy_vmm IMAGE CPUS ROUNDS [nofilter]
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "small_vmm.h"

static struct vm vm;
static int filtered = 1;
static volatile int ended;
static pthread_t threads[MAX_CPUS];
static volatile int running[MAX_CPUS];
static __thread struct kvm_run *own;
static unsigned long interrupts[MAX_CPUS], exits[MAX_CPUS];

// As many VMMs: so that no signal before KVM_RUN is lost.
static void on_signal(int number) {
  (void)number;
  if (own != NULL) own->immediate_exit = 1;
}

static const unsigned allowed[] = {SYS_brk,
                                   SYS_clock_gettime,
                                   SYS_clock_nanosleep,
                                   SYS_close,
                                   SYS_dup,
                                   SYS_exit,
                                   SYS_epoll_ctl,
                                   SYS_fstat,
                                   SYS_futex,
                                   SYS_getrandom,
                                   SYS_getpid,
                                   SYS_lseek,
                                   SYS_madvise,
                                   SYS_mmap,
                                   SYS_mprotect,
                                   SYS_mremap,
                                   SYS_munmap,
                                   SYS_nanosleep,
                                   SYS_newfstatat,
                                   SYS_openat,
                                   SYS_pread64,
                                   SYS_pwrite64,
                                   SYS_read,
                                   SYS_recvfrom,
                                   SYS_recvmsg,
                                   SYS_rt_sigaction,
                                   SYS_rt_sigprocmask,
                                   SYS_rt_sigreturn,
                                   SYS_sched_yield,
                                   SYS_sendmsg,
                                   SYS_shutdown,
                                   SYS_exit_group /* ours: fail() */,
                                   SYS_sigaltstack,
                                   SYS_tgkill,
                                   SYS_tkill,
                                   SYS_unlinkat,
                                   SYS_write,
                                   SYS_writev};
static const unsigned long allowed_ioctls[] = {
    KVM_CHECK_EXTENSION,        KVM_IOEVENTFD, KVM_IRQFD, KVM_SET_DEVICE_ATTR, KVM_SET_GSI_ROUTING,
    KVM_SET_USER_MEMORY_REGION, KVM_RUN};

static void lock_down(void) {
  struct sock_filter code[160];
  unsigned n = 0;
  const unsigned number = offsetof(struct seccomp_data, nr),
                 second = offsetof(struct seccomp_data, args[1]);
#define STEP(...) code[n++] = (struct sock_filter)__VA_ARGS__
  STEP(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number));
  for (unsigned i = 0; i < sizeof(allowed) / sizeof(*allowed); ++i) {
    STEP(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1));
    STEP(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  STEP(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0));
  STEP(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  STEP(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, second));
  for (unsigned i = 0; i < sizeof(allowed_ioctls) / sizeof(*allowed_ioctls); ++i) {
    STEP(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed_ioctls[i], 0, 1));
    STEP(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  STEP(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  struct sock_fprog program = {(unsigned short)n, code};
  need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}

static void *vcpu_thread(void *argument) {
  const unsigned cpu = (unsigned)(uintptr_t)argument;
  struct kvm_run *run = vm.run[cpu];
  if (filtered) lock_down();
  own = run;
  running[cpu] = 1;
  while (!ended) {
    const int result = ioctl(vm.vcpu[cpu], KVM_RUN, 0);
    if (result < 0 && errno == EINTR) {
      ++interrupts[cpu];
      run->immediate_exit = 0;
      continue;
    }
    if (result < 0) fail("vCPU %u: KVM_RUN: %s", cpu, strerror(errno));
    ++exits[cpu];
    if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT) {
      ended = 1;
    } else if (run->exit_reason == KVM_EXIT_MMIO) {
      mmio(&vm, run);
    } else {
      fail("vCPU %u: unknown exit reason %u", cpu, run->exit_reason);
    }
  }
  running[cpu] = 0;
  own = NULL;
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 4) fail("usage");
  const unsigned cpus = (unsigned)atoi(argv[2]);
  // Else stdio asks with an ioctl what it writes to.
  static char buffer[4096];
  setvbuf(stdout, buffer, _IOLBF, sizeof(buffer));
  filtered = !(argc > 4 && strcmp(argv[4], "nofilter") == 0);
  if (cpus < 1 || cpus > MAX_CPUS) fail("1 to %d CPUs", MAX_CPUS);
  make_vm(&vm, argv[1], cpus, (uint32_t)atoi(argv[3]));
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGRTMIN, &action, NULL);
  for (uintptr_t i = 0; i < cpus; ++i) pthread_create(&threads[i], NULL, vcpu_thread, (void *)i);
  unsigned long signals = 0, pause = 1;
  while (!ended) {
    for (unsigned i = 0; i < cpus; ++i) {
      if (running[i] && pthread_kill(threads[i], SIGRTMIN) == 0) ++signals;
    }
    pause = pause * 1103515245 + 12345;
    const struct timespec wait = {0, (long)(pause >> 8 & 0x3ff) * 2000 + 100000};
    nanosleep(&wait, NULL);
  }
  for (unsigned i = 0; i < cpus; ++i) {
    while (running[i]) {
      pthread_kill(threads[i], SIGRTMIN);
      usleep(1000);
    }
    pthread_join(threads[i], NULL);
  }
  unsigned long all_interrupts = 0, all_exits = 0;
  for (unsigned i = 0; i < cpus; ++i) {
    all_interrupts += interrupts[i];
    all_exits += exits[i];
  }
  printf("VMM: %lu exits, %lu signals, %lu interrupted\n", all_exits, signals, all_interrupts);
  return 0;
}
