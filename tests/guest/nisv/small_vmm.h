// What the small VMMs of these tests have in common: memory, a vGIC, vCPUs, and the devices of
// guest.c. They know nothing of accesses without a syndrome.
#ifndef TRAPLINE_TESTS_GUEST_NISV_SMALL_VMM_H_
#define TRAPLINE_TESTS_GUEST_NISV_SMALL_VMM_H_

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BASE UINT64_C(0x40000000)
#define RAM_SIZE (UINT64_C(16) << 20)
#define ENTRY (RAM_BASE + 0x80000)
#define FLASH_SIZE 0x10000
#define UART UINT64_C(0x09000000)
#define DEVICE UINT64_C(0x0a000000)
#define COUNTS 0x800  // in DEVICE
#define DOORBELL UINT64_C(0x0b000000)
#define MAX_CPUS 4

struct vm {
  int kvm, vm, gic, vcpu[MAX_CPUS];
  struct kvm_run *run[MAX_CPUS];
  size_t run_size;
  char *ram, *flash;
  unsigned cpus;
  uint32_t rounds;
  int event[2];  // of any store to DOORBELL, and of a store of 2 to DOORBELL + 16
  uint32_t rung[2], others, flash_stores;
  uint8_t device[0x1000], beyond[0x1000];
  char line[160];  // of the console: whole, so that several VMs can share it
  unsigned column;
  pthread_mutex_t mutex;
};

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  printf("VMM: ");
  vprintf(format, list);
  printf("\n");
  fflush(stdout);
  _exit(1);
}

static inline int need(int result, const char *what) {
  if (result < 0) fail("%s: %s", what, strerror(errno));
  return result;
}

static inline void device_attribute(struct vm *vm, uint32_t group, uint64_t attribute,
                                    void *value) {
  struct kvm_device_attr attr = {.group = group, .attr = attribute, .addr = (uintptr_t)value};
  need(ioctl(vm->gic, KVM_SET_DEVICE_ATTR, &attr), "KVM_SET_DEVICE_ATTR");
}

static inline void set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t ipa,
                            uint64_t size, void *host) {
  struct kvm_userspace_memory_region region = {.slot = slot,
                                               .flags = flags,
                                               .guest_phys_addr = ipa,
                                               .memory_size = size,
                                               .userspace_addr = (uintptr_t)host};
  need(ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static inline void set_register(int vcpu, uint64_t id, uint64_t value) {
  struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};
  need(ioctl(vcpu, KVM_SET_ONE_REG, &reg), "KVM_SET_ONE_REG");
}

#define CORE(member) \
  (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(member))

static inline uint64_t get_register(int vcpu, uint64_t id) {
  uint64_t value = 0;
  struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};
  need(ioctl(vcpu, KVM_GET_ONE_REG, &reg), "KVM_GET_ONE_REG");
  return value;
}

static inline void ioeventfd(struct vm *vm, int event, uint64_t address, uint32_t flags,
                             uint64_t match) {
  struct kvm_ioeventfd io = {
      .datamatch = match, .addr = address, .len = 4, .fd = event, .flags = flags};
  need(ioctl(vm->vm, KVM_IOEVENTFD, &io), "KVM_IOEVENTFD");
}

static inline void init_vcpu(struct vm *vm, unsigned i) {
  struct kvm_vcpu_init init;
  need(ioctl(vm->vm, KVM_ARM_PREFERRED_TARGET, &init), "KVM_ARM_PREFERRED_TARGET");
  init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
  if (i != 0) init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
  need(ioctl(vm->vcpu[i], KVM_ARM_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
}

// A VM with the image loaded, and its vCPUs.
static inline void make_vm(struct vm *vm, const char *image, unsigned cpus, uint32_t rounds) {
  FILE *file = fopen(image, "rb");
  uint64_t distributor = 0x08000000, redistributors = 0x080a0000;

  memset(vm, 0, sizeof(*vm));
  pthread_mutex_init(&vm->mutex, NULL);
  vm->cpus = cpus;
  vm->rounds = rounds;
  vm->kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  vm->vm = need(ioctl(vm->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  vm->run_size = (size_t)need(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  vm->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  vm->flash = mmap(NULL, FLASH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (file == NULL || vm->ram == MAP_FAILED || vm->flash == MAP_FAILED)
    fail("%s: %s", image, strerror(errno));
  if (fread(vm->ram + (ENTRY - RAM_BASE), 1, RAM_SIZE / 2, file) == 0) fail("%s is empty", image);
  fclose(file);
  memset(vm->flash, 0x11, FLASH_SIZE);
  set_slot(vm, 0, 0, RAM_BASE, RAM_SIZE, vm->ram);
  set_slot(vm, 1, KVM_MEM_READONLY, 0, FLASH_SIZE, vm->flash);
  for (unsigned i = 0; i < cpus; ++i) {
    vm->vcpu[i] = need(ioctl(vm->vm, KVM_CREATE_VCPU, (unsigned long)i), "KVM_CREATE_VCPU");
    vm->run[i] = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu[i], 0);
    if (vm->run[i] == MAP_FAILED) fail("kvm_run: %s", strerror(errno));
    init_vcpu(vm, i);
  }
  struct kvm_create_device gic = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
  need(ioctl(vm->vm, KVM_CREATE_DEVICE, &gic), "KVM_CREATE_DEVICE");
  vm->gic = (int)gic.fd;
  device_attribute(vm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &distributor);
  device_attribute(vm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redistributors);
  device_attribute(vm, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
  for (unsigned i = 0; i < 2; ++i)
    vm->event[i] = need(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  ioeventfd(vm, vm->event[0], DOORBELL, 0, 0);
  ioeventfd(vm, vm->event[1], DOORBELL + 16, KVM_IOEVENTFD_FLAG_DATAMATCH, 2);
  set_register(vm->vcpu[0], CORE(regs.pc), ENTRY);
}

static inline void count_events(struct vm *vm) {
  for (unsigned i = 0; i < 2; ++i) {
    uint64_t n = 0;
    if (read(vm->event[i], &n, sizeof(n)) == sizeof(n)) vm->rung[i] += (uint32_t)n;
  }
  const uint32_t words[8] = {vm->rung[0],      vm->rung[1], vm->others, 0,
                             vm->flash_stores, vm->cpus,    vm->rounds, 0};
  memcpy(vm->device + COUNTS, words, sizeof(words));
}

static inline void put_character(struct vm *vm, char c) {
  vm->line[vm->column++] = c;
  if (c != '\n' && vm->column < sizeof(vm->line)) return;
  fwrite(vm->line, 1, vm->column, stdout);
  fflush(stdout);
  vm->column = 0;
}

// What a vCPU stores or loads.
static inline void access_device(struct vm *vm, uint64_t address, uint32_t size, int is_write,
                                 uint8_t *data) {
  uint8_t *at = NULL;

  pthread_mutex_lock(&vm->mutex);
  if (address >= DEVICE && address + size <= DEVICE + sizeof(vm->device)) {
    at = vm->device + (address - DEVICE);
    if (!is_write && address - DEVICE >= COUNTS && address - DEVICE < COUNTS + 32) count_events(vm);
  } else if (address >= RAM_BASE + RAM_SIZE &&
             address + size <= RAM_BASE + RAM_SIZE + sizeof(vm->beyond)) {
    at = vm->beyond + (address - RAM_BASE - RAM_SIZE);
  }
  if (at != NULL) {
    memcpy(is_write ? at : data, is_write ? data : at, size);
  } else if (!is_write) {
    memset(data, 0, size);
  } else if (address == UART) {
    put_character(vm, (char)data[0]);
  } else if (address < FLASH_SIZE) {
    ++vm->flash_stores;
  } else if (address >= DOORBELL && address < DOORBELL + 0x1000) {
    ++vm->others;
  }
  pthread_mutex_unlock(&vm->mutex);
}

// The access of a KVM_EXIT_MMIO.
static inline void mmio(struct vm *vm, struct kvm_run *run) {
  access_device(vm, run->mmio.phys_addr, run->mmio.len, run->mmio.is_write, run->mmio.data);
}

#endif
