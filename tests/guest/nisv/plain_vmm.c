// A VMM of one vCPU, as kvmtool: it knows a few exits, and ends with what it does not know.
//
//   plain_vmm IMAGE [finish] [registers] [dups] [fork] [unshare] [foreign] [reset] [flip]
//             [coalesced] [two] [leave] [rounds=N]
//
// finish: every other KVM_EXIT_MMIO is completed by a KVM_RUN with immediate_exit. registers: at
// each one the PC is read, and written back. dups: descriptors are duplicated, and the first ones
// closed. fork: a child runs a VM of its own, then the parent its own. unshare: as sandboxes do,
// first. foreign: a vCPU of another process. reset: the vCPU is reset between the elements of an
// access. flip: at each one the flash slot goes and comes back elsewhere. coalesced: KVM keeps
// stores to the device in its ring, which is looked at before each exit's own access. two: a second
// VM, on a thread of its own, with other memory at the same addresses. leave: as unshare, but by
// unshare and setns in the middle of an access, after which as many threads are there as before.
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "small_vmm.h"

static int has(int argc, char **argv, const char *word) {
  for (int i = 2; i < argc; ++i) {
    if (strcmp(argv[i], word) == 0) return 1;
  }
  return 0;
}

static void duplicate(struct vm *vm) {
  const int vcpu = vm->vcpu[0], machine = vm->vm;
  vm->vcpu[0] = need(fcntl(vcpu, F_DUPFD_CLOEXEC, 100), "F_DUPFD");
  vm->vm = need(dup2(machine, 90), "dup2");
  close(vcpu);
  close(machine);
  // The numbers are others' now.
  if (open("/dev/null", O_RDONLY) < 0) fail("/dev/null");
}

static void send_descriptor(int socket, int fd) {
  char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  need((int)sendmsg(socket, &message, 0), "sendmsg");
}

static int receive_descriptor(int socket) {
  char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  int fd;
  need((int)recvmsg(socket, &message, 0), "recvmsg");
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
  return fd;
}

static void foreign(const char *image) {
  static struct vm vm;
  int pair[2];
  need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  const pid_t child = fork();
  close(pair[child == 0 ? 0 : 1]);
  if (child == 0) {
    make_vm(&vm, image, 1, 0);
    send_descriptor(pair[1], vm.vcpu[0]);
    char byte;
    if (read(pair[1], &byte, 1) < 0) _exit(1);
    _exit(0);
  }
  const int vcpu = receive_descriptor(pair[0]);
  for (int i = 0; i < 2; ++i) {
    const int result = ioctl(vcpu, KVM_RUN, 0);
    printf("KVM_RUN of another process's vCPU: %s\n", result < 0 ? strerror(errno) : "done");
  }
  close(pair[0]);
  int status;
  waitpid(child, &status, 0);
}

static struct kvm_coalesced_mmio_ring *coalesce(struct vm *vm) {
  const int page = need(ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO), "ring");
  struct kvm_coalesced_mmio_zone zone = {.addr = DEVICE, .size = 0x1000};
  need(ioctl(vm->vm, KVM_REGISTER_COALESCED_MMIO, &zone), "KVM_REGISTER_COALESCED_MMIO");
  return (void *)((char *)vm->run[0] + page * getpagesize());
}

static unsigned take_stores(struct vm *vm, struct kvm_coalesced_mmio_ring *ring) {
  const size_t room = ((size_t)getpagesize() - sizeof(*ring)) / sizeof(struct kvm_coalesced_mmio);
  unsigned taken = 0;
  for (; ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE); ++taken) {
    struct kvm_coalesced_mmio *store = &ring->coalesced_mmio[ring->first];
    access_device(vm, store->phys_addr, store->len, 1, store->data);
    __atomic_store_n(&ring->first, (ring->first + 1) % (uint32_t)room, __ATOMIC_RELEASE);
  }
  return taken;
}

static unsigned threads(void) {
  DIR *all = opendir("/proc/self/task");
  unsigned n = 0;
  if (all == NULL) fail("/proc/self/task");
  while (readdir(all) != NULL) ++n;
  closedir(all);
  return n - 2;
}

// Each of these fails in a process with threads.
static void leave(void) {
  const unsigned before = threads();
  const int same = need(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), "namespace");
  need(setns(same, CLONE_NEWNS), "setns");
  close(same);
  printf("threads %u, after setns %u", before, threads());
  need(unshare(CLONE_NEWUSER), "unshare");
  printf(", after unshare %u\n", threads());
}

static int run(struct vm *vm, int argc, char **argv) {
  const int finish = has(argc, argv, "finish"), registers = has(argc, argv, "registers");
  const int flip = has(argc, argv, "flip"), reset = has(argc, argv, "reset");
  struct kvm_run *run = vm->run[0];
  struct kvm_coalesced_mmio_ring *ring = has(argc, argv, "coalesced") ? coalesce(vm) : NULL;
  unsigned long exits = 0, coalesced = 0;
  int was_reset = 0;

  for (;;) {
    if (ioctl(vm->vcpu[0], KVM_RUN, 0) < 0 && errno != EINTR && errno != EAGAIN) {
      printf("VMM: KVM_RUN: %s\n", strerror(errno));
      return 1;
    }
    if (ring != NULL) coalesced += take_stores(vm, ring);
    if (run->exit_reason == KVM_EXIT_INTR) continue;
    if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT) {
      if (ring != NULL) printf("coalesced %lu\n", coalesced);
      return 0;
    }
    if (run->exit_reason != KVM_EXIT_MMIO) {
      printf("VMM: unknown exit reason %u\n", run->exit_reason);
      return 1;
    }
    mmio(vm, run);
    ++exits;
    if (exits == 3 && has(argc, argv, "leave")) leave();
    if (registers) {
      const uint64_t pc = get_register(vm->vcpu[0], CORE(regs.pc));
      set_register(vm->vcpu[0], CORE(regs.pc), pc);
    }
    if (flip && exits % 8 == 0) {
      set_slot(vm, 1, KVM_MEM_READONLY, 0, 0, vm->flash);
      set_slot(vm, 1, KVM_MEM_READONLY, 0, FLASH_SIZE, vm->flash);
    }
    // The guest begins anew, once, in the middle of a pair.
    if (reset && !was_reset && run->mmio.phys_addr == DEVICE + 64 && run->mmio.is_write &&
        run->mmio.len == 8) {
      was_reset = 1;
      init_vcpu(vm, 0);
      set_register(vm->vcpu[0], CORE(regs.pc), ENTRY);
      printf("reset\n");
      continue;
    }
    if (finish && exits % 2 == 0) {
      // KVM_RUN with immediate_exit until the access is done: then the PC is behind it.
      const uint64_t pc = get_register(vm->vcpu[0], CORE(regs.pc));
      run->immediate_exit = 1;
      int more = 0;
      while (ioctl(vm->vcpu[0], KVM_RUN, 0) == 0 && run->exit_reason == KVM_EXIT_MMIO) {
        if (get_register(vm->vcpu[0], CORE(regs.pc)) != pc)
          fail("the PC has moved within an access");
        mmio(vm, run);
        ++more;
      }
      if (errno != EINTR) fail("after the last element: %s", strerror(errno));
      run->immediate_exit = 0;
      if (get_register(vm->vcpu[0], CORE(regs.pc)) == pc)
        fail("the PC has not moved after an access");
      if (more > 40) fail("%d elements", more);
    }
  }
}

struct second {
  struct vm vm;
  int argc, result;
  char **argv;
};
static void *run_second(void *argument) {
  struct second *second = argument;
  second->result = run(&second->vm, second->argc, second->argv);
  return NULL;
}

int main(int argc, char **argv) {
  static struct vm vm;
  uint32_t rounds = 1000;
  int status = 0;

  if (argc < 2) fail("no image");
  for (int i = 2; i < argc; ++i) sscanf(argv[i], "rounds=%u", &rounds);
  if (has(argc, argv, "unshare")) need(unshare(CLONE_NEWUSER), "unshare");
  if (has(argc, argv, "foreign")) {
    foreign(argv[1]);
    return 0;
  }
  make_vm(&vm, argv[1], 1, rounds);
  if (has(argc, argv, "dups")) duplicate(&vm);
  if (has(argc, argv, "fork")) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      static struct vm own;
      make_vm(&own, argv[1], 1, rounds);
      const int result = run(&own, argc, argv);
      fflush(stdout);
      _exit(result);
    }
    waitpid(child, &status, 0);
    printf("the child ended with %d\n", WEXITSTATUS(status));
  }
  static struct second second;
  pthread_t thread;
  const int two = has(argc, argv, "two");
  if (two) {
    make_vm(&second.vm, argv[1], 1, rounds + 1);
    second.argc = argc;
    second.argv = argv;
    pthread_create(&thread, NULL, run_second, &second);
  }
  const int result = run(&vm, argc, argv);
  if (two) {
    pthread_join(thread, NULL);
    status = second.result << 8;
    // Each guest's stores are in its own memory and device.
    uint32_t last[2];
    memcpy(&last[0], vm.device + 512, sizeof(last[0]));
    memcpy(&last[1], second.vm.device + 512, sizeof(last[1]));
    printf("the last rounds are %u and %u\n", last[0], last[1]);
  }
  return result != 0 ? result : WEXITSTATUS(status);
}
