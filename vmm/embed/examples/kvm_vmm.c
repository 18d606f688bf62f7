/*
 * A VMM on KVM, arm64, for one guest image: memory at 0x40000000, one device at 0x09000000 that is
 * a UART's data register (a byte written is printed) and 4 KiB that remember what is written to
 * them. What KVM cannot describe (KVM_EXIT_ARM_NISV) libtrapline does, by the callbacks in the
 * middle.
 *
 *   cc -std=gnu11 kvm_vmm.c $(pkg-config --cflags --libs trapline) -o kvm_vmm && ./kvm_vmm IMAGE
 *
 * Ends with 0 when the guest powers off (PSCI), 1 if the host lacks something.
 */
#include <asm/ptrace.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <trapline-hosted.h>
#include <unistd.h>

#define RAM_BASE UINT64_C(0x40000000)
#define RAM_SIZE (UINT64_C(16) << 20)
#define UART UINT64_C(0x09000000)

static struct {
  int vcpu;
  struct kvm_run *run;
  char *ram;
  uint8_t device[0x1000];
  struct tl_cpu cpu; /* of the exit that is dealt with */
  uint64_t stuck_at; /* the PC of the last TL_RETRY, and since when */
  time_t stuck_since;
  unsigned long register_calls, beyond, stuck;
  unsigned long nisv[2], calls[2]; /* hits and misses of the cache, and their register calls */
} vm;

static int need(int result, const char *what) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
  return result;
}

/* --- registers, one ioctl each ------------------------------------------------------------------
 */

#define CORE(member) \
  (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(member))
#define SYS(op0, op1, crn, crm, op2) ARM64_SYS_REG(op0, op1, crn, crm, op2)

static int one_reg(unsigned long request, uint64_t id, void *value) {
  struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};
  vm.register_calls++;
  return ioctl(vm.vcpu, request, &reg);
}

static uint64_t get(uint64_t id) {
  uint64_t value = 0;
  need(one_reg(KVM_GET_ONE_REG, id, &value), "KVM_GET_ONE_REG");
  return value;
}

static void set(uint64_t id, uint64_t value) {
  need(one_reg(KVM_SET_ONE_REG, id, &value), "KVM_SET_ONE_REG");
}

/* SP is the one that PSTATE's EL and SPSel select: SP_EL1 at EL1h alone; regs.sp is SP_EL0. */
static uint64_t gpr_id(unsigned reg) {
  if (reg != TL_REG_SP) return CORE(regs.regs[0]) + 2 * reg;
  return (vm.cpu.pstate & 0xf) == PSR_MODE_EL1h ? CORE(sp_el1) : CORE(regs.sp);
}

static int read_gpr(void *arg, unsigned reg, uint64_t *value) {
  (void)arg;
  return one_reg(KVM_GET_ONE_REG, gpr_id(reg), value);
}

static int write_gpr(void *arg, unsigned reg, uint64_t value) {
  (void)arg;
  return one_reg(KVM_SET_ONE_REG, gpr_id(reg), &value);
}

static uint64_t vreg_id(unsigned reg) {
  return ((CORE(fp_regs.vregs[0]) & ~KVM_REG_SIZE_MASK) | KVM_REG_SIZE_U128) + 4 * reg;
}

static int read_vreg(void *arg, unsigned reg, uint64_t value[2]) {
  (void)arg;
  return one_reg(KVM_GET_ONE_REG, vreg_id(reg), value);
}

static int write_vreg(void *arg, unsigned reg, const uint64_t value[2]) {
  uint64_t copy[2] = {value[0], value[1]};
  (void)arg;
  return one_reg(KVM_SET_ONE_REG, vreg_id(reg), copy);
}

/* --- memory and the device ----------------------------------------------------------------------
 */

static void *ram(void *arg, uint64_t ipa, enum tl_direction direction) {
  (void)arg;
  (void)direction;
  return ipa >= RAM_BASE && ipa - RAM_BASE < RAM_SIZE ? vm.ram + (ipa - RAM_BASE) : NULL;
}

static int mmio_read(void *arg, uint64_t ipa, unsigned size, uint64_t *value) {
  (void)arg;
  *value = 0;
  if (ipa - UART > sizeof(vm.device) - size) return -1;
  memcpy(value, vm.device + (ipa - UART), size);
  return 0;
}

static int mmio_write(void *arg, uint64_t ipa, unsigned size, uint64_t value) {
  (void)arg;
  if (ipa - UART > sizeof(vm.device) - size) return -1;
  if (ipa == UART) putchar((int)(value & 0xff));
  memcpy(vm.device + (ipa - UART), &value, size);
  return 0;
}

static const struct tl_ops ops = {.size = sizeof(ops),
                                  .read_gpr = read_gpr,
                                  .write_gpr = write_gpr,
                                  .read_vreg = read_vreg,
                                  .write_vreg = write_vreg,
                                  .mmio_read = mmio_read,
                                  .mmio_write = mmio_write,
                                  .ram = ram};

/* --- the exits ----------------------------------------------------------------------------------
 */

static void external_abort(void) {
  struct kvm_vcpu_events events = {.exception.ext_dabt_pending = 1};
  need(ioctl(vm.vcpu, KVM_SET_VCPU_EVENTS, &events), "KVM_SET_VCPU_EVENTS");
}

/* Legal guests retry for a while: a table that is being changed, an instruction that was. */
static int is_stuck(uint64_t pc) {
  const time_t now = time(NULL);
  if (vm.stuck_at != pc) {
    vm.stuck_at = pc;
    vm.stuck_since = now;
  }
  return now - vm.stuck_since > 1;
}

static void no_syndrome(struct tl_vcpu *tl, struct tl_cache *cache) {
  const struct tl_abort abort = {
      .esr = vm.run->arm_nisv.esr_iss, .ipa = vm.run->arm_nisv.fault_ipa, .valid = TL_ABORT_IPA};
  const unsigned long calls = vm.register_calls;
  const uint64_t pc = get(CORE(regs.pc)), pstate = get(CORE(regs.pstate));
  struct tl_cache_counters before, after;
  enum tl_result result;
  int missed, aborts = 0;

  vm.cpu = (struct tl_cpu){.pc = pc,
                           .pstate = pstate,
                           .sctlr = get(SYS(3, 0, 1, 0, 0)),
                           .tcr = get(SYS(3, 0, 2, 0, 2)),
                           .ttbr0 = get(SYS(3, 0, 2, 0, 0)),
                           .ttbr1 = get(SYS(3, 0, 2, 0, 1)),
                           .mair = get(SYS(3, 0, 10, 2, 0))};
  tl_cache_count(cache, &before);
  result = tl_handle_abort(tl, &vm.cpu, &abort, NULL);
  if (result == TL_DONE_EXCLUSIVE) result = tl_step(tl, &vm.cpu, 0, NULL, NULL);
  switch (result) {
    case TL_DONE:
    case TL_PROGRESS:
      break;
    case TL_RETRY:
      aborts = is_stuck(pc);
      vm.stuck += (unsigned long)aborts;
      break;
    case TL_BEYOND: /* its store-exclusive would fail for ever */
      vm.beyond++;
      vm.cpu.pc = pc;
      aborts = 1;
      break;
    default:
      aborts = 1;
  }
  if (result != TL_RETRY) vm.stuck_at = ~UINT64_C(0);
  if (vm.cpu.pc != pc) set(CORE(regs.pc), vm.cpu.pc);
  if (vm.cpu.pstate != pstate) set(CORE(regs.pstate), vm.cpu.pstate);
  if (aborts) external_abort(); /* the last, for a newer KVM enters the vector at once */
  tl_cache_count(cache, &after);
  missed = after.hits == before.hits;
  vm.nisv[missed]++;
  vm.calls[missed] += vm.register_calls - calls;
}

static void mmio_exit(void) {
  uint64_t value = 0;

  if (vm.run->mmio.is_write) {
    memcpy(&value, vm.run->mmio.data, vm.run->mmio.len);
    mmio_write(NULL, vm.run->mmio.phys_addr, vm.run->mmio.len, value);
  } else {
    mmio_read(NULL, vm.run->mmio.phys_addr, vm.run->mmio.len, &value);
    memcpy(vm.run->mmio.data, &value, sizeof(value));
  }
}

static void boot(int kvm, const char *image) {
  const int machine = need(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  struct kvm_enable_cap nisv = {.cap = KVM_CAP_ARM_NISV_TO_USER};
  struct kvm_userspace_memory_region slot = {.guest_phys_addr = RAM_BASE, .memory_size = RAM_SIZE};
  struct kvm_vcpu_init init;
  FILE *file = fopen(image, "rb");

  if (file == NULL) need(-1, image);
  vm.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (vm.ram == MAP_FAILED || fread(vm.ram, 1, RAM_SIZE, file) == 0) need(-1, "guest memory");
  fclose(file);
  slot.userspace_addr = (uintptr_t)vm.ram;
  need(ioctl(machine, KVM_ENABLE_CAP, &nisv), "KVM_CAP_ARM_NISV_TO_USER");
  need(ioctl(machine, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
  vm.vcpu = need(ioctl(machine, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  need(ioctl(machine, KVM_ARM_PREFERRED_TARGET, &init), "KVM_ARM_PREFERRED_TARGET");
  init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
  need(ioctl(vm.vcpu, KVM_ARM_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
  vm.run = mmap(NULL, (size_t)need(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap size"),
                PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu, 0);
  if (vm.run == MAP_FAILED) need(-1, "kvm_run");
  set(CORE(regs.pc), RAM_BASE);
}

int main(int argc, char **argv) {
  const int kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  struct tl_vcpu *tl = tl_vcpu_new(&ops, NULL);
  struct tl_cache *cache = tl_cache_new(TL_CACHE_RECHECK, 10);

  if (argc != 2 || tl == NULL || cache == NULL) return 1;
  tl_vcpu_set_cache(tl, cache);
  boot(kvm, argv[1]);
  for (;;) {
    need(ioctl(vm.vcpu, KVM_RUN, 0), "KVM_RUN");
    if (vm.run->exit_reason == KVM_EXIT_ARM_NISV) {
      no_syndrome(tl, cache);
    } else if (vm.run->exit_reason == KVM_EXIT_MMIO) {
      mmio_exit();
    } else {
      printf("%lu exits without a syndrome\n", vm.nisv[0] + vm.nisv[1]);
      printf("hits %lu, register calls %lu; misses %lu, register calls %lu; beyond reach %lu\n",
             vm.nisv[0], vm.calls[0], vm.nisv[1], vm.calls[1], vm.beyond);
      return vm.run->exit_reason != KVM_EXIT_SYSTEM_EVENT;
    }
  }
}
