/*
 * The adapter for FreeBSD bhyve against a stub of its kernel: of each of the nine faults that its
 * arm64 emulation has today (docs/bhyve.md), what happens as it is, and what happens with the
 * adapter. `today_` is what bhyve does, in this test's own words.
 */
#include <stdio.h>
#include <string.h>

#include "arm64.h"
#include "vmm_trapline.h"

#define RAM UINT64_C(0x80000000)
#define RAM_BYTES 0x40000u
#define UART UINT64_C(0x10000)

struct vcpu {
  struct hypctx hypctx;
  struct vm_exit exit;
  struct vmm_trapline trapline;
  uint64_t next_pc;
  uint64_t injected_esr, injected_far;
  int held; /* pages */
};

static struct vcpu guest;
static _Alignas(4096) uint8_t ram[RAM_BYTES];
static _Alignas(64) uint8_t memory[256 * 1024];
static char log_text[512];
static uint64_t device_value;
static int failures;

static void expect(int ok, const char *what) {
  if (ok) return;
  printf("failed: %s (log \"%s\")\n", what, log_text);
  failures++;
}

/* --- the kernel's side, as far as the adapter asks it ---------------------------------------- */

static uint64_t *register_of(struct vcpu *vcpu, int reg) {
  struct hypctx *h = &vcpu->hypctx;
  if (reg < VM_REG_GUEST_LR) return &h->tf.tf_x[reg];
  switch (reg) {
    case VM_REG_GUEST_LR:
      return &h->tf.tf_lr;
    case VM_REG_GUEST_SP:
      return &h->tf.tf_sp;
    case VM_REG_GUEST_PC:
      return &h->tf.tf_elr;
    case VM_REG_GUEST_CPSR:
      return &h->tf.tf_spsr;
    case VM_REG_GUEST_SCTLR_EL1:
      return &h->sctlr_el1;
    case VM_REG_GUEST_TTBR0_EL1:
      return &h->ttbr0_el1;
    case VM_REG_GUEST_TTBR1_EL1:
      return &h->ttbr1_el1;
    default:
      return &h->tcr_el1;
  }
}

int vm_get_register(struct vcpu *vcpu, int reg, uint64_t *retval) {
  *retval = *register_of(vcpu, reg);
  return 0;
}

int vm_set_register(struct vcpu *vcpu, int reg, uint64_t val) {
  *register_of(vcpu, reg) = val;
  if (reg == VM_REG_GUEST_PC) vcpu->next_pc = val;
  return 0;
}

int vm_inject_exception(struct vcpu *vcpu, uint64_t esr, uint64_t far) {
  vcpu->injected_esr = esr;
  vcpu->injected_far = far;
  return 0;
}

void *vcpu_get_cookie(struct vcpu *vcpu) { return &vcpu->hypctx; }
struct vmm_trapline *vmm_trapline_of(struct vcpu *vcpu) {
  return &vcpu->trapline;
}

void *vm_gpa_hold(struct vcpu *vcpu, vm_paddr_t gpa, size_t len, int prot, void **cookie) {
  (void)prot;
  if (gpa < RAM || gpa - RAM > RAM_BYTES - len) return NULL;
  vcpu->held++;
  *cookie = vcpu;
  return ram + (gpa - RAM);
}

void vm_gpa_release(void *cookie) { ((struct vcpu *)cookie)->held--; }

static int device_read(struct vcpu *vcpu, uint64_t gpa, uint64_t *rval, int rsize, void *arg) {
  (void)vcpu;
  (void)arg;
  snprintf(log_text + strlen(log_text), sizeof(log_text) - strlen(log_text), "r%d@%llx;", rsize,
           (unsigned long long)(gpa - UART));
  *rval = device_value;
  return 0;
}

static int device_write(struct vcpu *vcpu, uint64_t gpa, uint64_t wval, int wsize, void *arg) {
  (void)vcpu;
  (void)arg;
  snprintf(log_text + strlen(log_text), sizeof(log_text) - strlen(log_text), "w%d@%llx=%llx;",
           wsize, (unsigned long long)(gpa - UART), (unsigned long long)wval);
  return 0;
}

/* --- what bhyve does today ------------------------------------------------------------------- */

static void today_describe(struct vcpu *vcpu, struct vm_exit *vme) {
  const uint64_t esr = vme->u.hyp.esr_el2, far = vme->u.hyp.far_el2, hpfar = vme->u.hyp.hpfar_el2;
  struct vie vie = {.access_size = 1u << (esr >> 22 & 3),
                    .sign_extend = esr >> 21 & 1,
                    .dir = esr >> 6 & 1,
                    .reg = (enum vm_reg_name)(esr >> 16 & 31)};
  (void)vcpu;
  vme->exitcode = VM_EXITCODE_INST_EMUL;
  vme->u.inst_emul.gpa = ((hpfar >> 4) << 12) + (far & 0xfff);
  vme->u.inst_emul.vie = vie;
}

static int today_emulate(struct vcpu *vcpu, uint64_t gpa, const struct vie *vie,
                         mem_region_read_t memread, mem_region_write_t memwrite) {
  uint64_t value = 0;
  if (vie->dir == VM_DIR_READ) {
    memread(vcpu, gpa, &value, vie->access_size, NULL);
    return vm_set_register(vcpu, vie->reg, value);
  }
  vm_get_register(vcpu, vie->reg, &value);
  if (vie->access_size < 8) value &= (UINT64_C(1) << vie->access_size * 8) - 1;
  return memwrite(vcpu, gpa, value, vie->access_size, NULL);
}

/* The table and the index of one level of a 16 KiB granule where a page of the host is 4 KiB. */
static void today_index(uint64_t *table, unsigned *index) {
  while (*index > 512) {
    *index -= 512;
    *table += 4096;
  }
}

/* --- a data abort, both ways ----------------------------------------------------------------- */

struct trap {
  uint32_t word;
  uint64_t esr, far, ipa;
};

static void start(const struct trap *trap) {
  struct hypctx *h = &guest.hypctx;
  log_text[0] = 0;
  guest.injected_esr = 0;
  h->tf.tf_elr = RAM;
  h->tf.tf_spsr = 0x3c5;
  memcpy(ram, &trap->word, 4);
  guest.exit.inst_length = 4;
  guest.exit.pc = RAM;
  guest.exit.u.hyp.esr_el2 = trap->esr;
  guest.exit.u.hyp.far_el2 = trap->far;
  guest.exit.u.hyp.hpfar_el2 = trap->ipa >> 12 << 4;
}

static void today(const struct trap *trap) {
  start(trap);
  today_describe(&guest, &guest.exit);
  today_emulate(&guest, guest.exit.u.inst_emul.gpa, &guest.exit.u.inst_emul.vie, device_read,
                device_write);
}

static void adapted(const struct trap *trap) {
  start(trap);
  if (vmm_trapline_describe(&guest.trapline, &guest.hypctx, &guest.exit) != VMM_TRAPLINE_EMULATE) {
    return;
  }
  expect(vmm_trapline_emulate(&guest, guest.exit.u.inst_emul.gpa, &guest.exit.u.inst_emul.vie,
                              &guest.exit.u.inst_emul.paging, device_read, device_write, NULL) == 0,
         "emulated");
  expect(guest.held == 0, "each page that was held is released");
}

#define DABT UINT64_C(0x92000007)
#define ISV (UINT64_C(1) << 24)
#define WNR (UINT64_C(1) << 6)
#define X(n) guest.hypctx.tf.tf_x[n]

static void reset(void) {
  memset(&guest.hypctx, 0, sizeof(guest.hypctx));
  memset(ram, 0, sizeof(ram));
  guest.hypctx.tf.tf_sp = 0x1234;
}

/* 1. ISV is not looked at: str w1, [x2], #4 */
static void fault_1(void) {
  const struct trap trap = {0xb8004441, DABT | WNR, UART + 8, UART + 8};
  reset();
  X(0) = 0xa5;
  X(1) = 0x11223344;
  X(2) = UART + 8;
  today(&trap);
  expect(strcmp(log_text, "w1@8=a5;") == 0 && X(2) == UART + 8, "1 today: a byte of x0");
  adapted(&trap);
  expect(strcmp(log_text, "w4@8=11223344;") == 0 && X(2) == UART + 12, "1: a word of x1, x2 + 4");
  expect(guest.next_pc == RAM + 4, "1: the next instruction");
}

/* 2. SSE is stored and not used, SF is not stored: ldrsb x1, [x2] and ldrsb w1, [x2] */
static void fault_2(void) {
  struct trap trap = {0x39800041, DABT | ISV | 1u << 21 | 1u << 15 | 1u << 16, UART, UART};
  reset();
  X(2) = UART;
  device_value = 0x80;
  today(&trap);
  expect(X(1) == 0x80, "2 today: zero-extended");
  adapted(&trap);
  expect(X(1) == UINT64_C(0xffffffffffffff80), "2: sign-extended to 64 bits");
  trap.esr &= ~UINT64_C(0x8000);
  adapted(&trap);
  expect(X(1) == 0xffffff80, "2: sign-extended to 32 bits");
}

/* 3. SRT 31 is VM_REG_GUEST_SP: str wzr, [x2]; ldr xzr, [x2]; msr REG, xzr */
static void fault_3(void) {
  const struct trap store = {0xb900005f, DABT | WNR | ISV | 2u << 22 | 31u << 16, UART, UART};
  const struct trap load = {0xf940005f, DABT | ISV | 3u << 22 | 1u << 15 | 31u << 16, UART, UART};
  uint64_t value = 1;
  reset();
  X(2) = UART;
  device_value = 0x5555;
  today(&store);
  expect(strcmp(log_text, "w4@0=1234;") == 0, "3 today: the guest's SP goes to the device");
  today(&load);
  expect(guest.hypctx.tf.tf_sp == 0x5555, "3 today: the device's value goes to SP");
  guest.hypctx.tf.tf_sp = 0x1234;
  adapted(&store);
  expect(strcmp(log_text, "w4@0=0;") == 0, "3: zero");
  adapted(&load);
  expect(guest.hypctx.tf.tf_sp == 0x1234, "3: SP is left alone");
  expect(vmm_trapline_get_xzr(&guest, VM_REG_GUEST_SP, &value) == 0 && value == 0, "3: MSR of XZR");
  expect(vmm_trapline_set_xzr(&guest, VM_REG_GUEST_SP, 9) == 0 && guest.hypctx.tf.tf_sp == 0x1234,
         "3: MRS to XZR");
}

/* 4. HPFAR_EL2 is UNKNOWN after a permission fault; S1PTW and CM are not looked at. */
static void fault_4(void) {
  struct trap trap = {0xb9000041, (DABT & ~UINT64_C(63)) | 0x0f | WNR, UART + 0x10, 0xdead000};
  uint64_t gpa = 0;
  reset();
  start(&trap);
  today_describe(&guest, &guest.exit);
  expect(guest.exit.u.inst_emul.gpa == 0xdead010, "4 today: whatever HPFAR held");
  start(&trap);
  expect(
      vmm_trapline_describe(&guest.trapline, &guest.hypctx, &guest.exit) == VMM_TRAPLINE_EMULATE &&
          vmm_trapline_fault_gpa(&guest.trapline, &gpa) == 0 && gpa == UART + 0x10,
      "4: the address by a walk of FAR");
  trap.esr = DABT | WNR | 1u << 8;
  start(&trap);
  expect(vmm_trapline_describe(&guest.trapline, &guest.hypctx, &guest.exit) == VMM_TRAPLINE_RESUME,
         "4: cache maintenance is nothing to emulate");
  trap.esr = DABT | 1u << 7;
  start(&trap);
  expect(vmm_trapline_describe(&guest.trapline, &guest.hypctx, &guest.exit) == VMM_TRAPLINE_ABORT,
         "4: a table walk is no access");
}

/* 5. One register of up to 8 bytes, and a device's stray bits go to it: ldp x3, x4, [x2], #16;
 * ldrb w1, [x2] */
static void fault_5(void) {
  const struct trap pair = {0xa8c11043, DABT, UART, UART};
  const struct trap byte = {0x39400041, DABT | ISV | 1u << 16, UART, UART};
  reset();
  X(2) = UART;
  device_value = UINT64_C(0x1122334455667788);
  today(&pair);
  expect(strcmp(log_text, "r1@0;") == 0 && X(3) == 0 && X(4) == 0, "5 today: no pair");
  today(&byte);
  expect(X(1) == device_value, "5 today: eight bytes by LDRB");
  adapted(&pair);
  expect(strcmp(log_text, "r8@0;r8@8;") == 0 && X(3) == device_value && X(4) == device_value &&
             X(2) == UART + 16,
         "5: a pair");
  X(2) = UART;
  adapted(&byte);
  expect(X(1) == 0x88, "5: one byte");
}

/* 6. The walk: a table of 16 KiB is split at a page of 4 KiB one entry late; no granule of 64 KiB.
 */
static void fault_6(void) {
  const struct trap trap = {0xb8004441, DABT | WNR, 0, UART};
  static const struct { unsigned log2, tg0; } kGranules[] = {{14, 2}, {16, 1}};
  uint64_t table = RAM + 0x4000;
  unsigned index = 512;
  today_index(&table, &index);
  expect(table == RAM + 0x4000 && index == 512, "6 today: entry 512 of a page of 512 entries");

  for (unsigned i = 0; i < 2; i++) {
    /* 25 + 1 bits of VA, so that one table is enough: entry 512 (16 KiB) or 300 (64 KiB). */
    const unsigned entry = i == 0 ? 512 : 300, granule = kGranules[i].log2;
    const uint64_t va = (uint64_t)entry << granule;
    const uint64_t page = (UART & ~((UINT64_C(1) << granule) - 1)) | 3 | 1 << 10;
    const uint64_t code = (RAM & ~((UINT64_C(1) << granule) - 1)) | 3 | 1 << 10;
    struct trap one = trap;
    reset();
    guest.hypctx.sctlr_el1 = 1;
    guest.hypctx.tcr_el1 = 39u | kGranules[i].tg0 << 14 | UINT64_C(5) << 32;
    if (i == 1) guest.hypctx.tcr_el1 = 39u | kGranules[i].tg0 << 14 | UINT64_C(5) << 32;
    guest.hypctx.ttbr0_el1 = RAM + 0x10000;
    memcpy(ram + 0x10000 + entry * 8, &page, 8);
    memcpy(ram + 0x10000, &code, 8); /* entry 0: the instruction */
    one.far = va;
    one.ipa = UART;
    X(1) = 7;
    X(2) = va;
    start(&one);
    guest.hypctx.tf.tf_elr = 0;
    guest.exit.u.hyp.far_el2 = va;
    vmm_trapline_describe(&guest.trapline, &guest.hypctx, &guest.exit);
    expect(vmm_trapline_emulate(&guest, guest.exit.u.inst_emul.gpa, &guest.exit.u.inst_emul.vie,
                                &guest.exit.u.inst_emul.paging, device_read, device_write,
                                NULL) == 0 &&
               strcmp(log_text, "w4@0=7;") == 0,
           i == 0 ? "6: 16 KiB" : "6: 64 KiB");
  }
}

/* 7. WFE traps end the VM. */
static void fault_7(void) {
  guest.exit.exitcode = VM_EXITCODE_HYP; /* today */
  guest.exit.inst_length = 4;
  vmm_trapline_wfe(&guest.exit);
  expect(guest.exit.exitcode == VM_EXITCODE_BOGUS && guest.exit.inst_length == 4, "7: resumed");
}

/* 8. A system register without a handler ends the VM. */
static void fault_8(void) {
  const struct trap trap = {0xd5380000, 0, 0, 0};
  reset();
  start(&trap);
  expect(vmm_trapline_unknown_register(&guest) == 0 && guest.injected_esr == 0x2000000 &&
             guest.next_pc == RAM,
         "8: UNDEFINED, at the instruction");
}

/* 9. The PL011's registers are found by offset / 4, whatever the size: ldrb w1, [x2, #0x19] is the
 * second byte of UARTFR. */
static void fault_9(void) {
  uint64_t value = 0;
  device_value = 0xabcd;
  log_text[0] = 0;
  device_read(&guest, UART + 0x19, &value, 1, NULL);
  expect((value & 0xff) == 0xcd, "9 today: the first byte");
  log_text[0] = 0;
  expect(vmm_trapline_word_read(&guest, UART + 0x19, &value, 1, device_read, NULL) == 0 &&
             value == 0xab && strcmp(log_text, "r4@18;") == 0,
         "9: the second byte");
  log_text[0] = 0;
  vmm_trapline_word_write(&guest, UART, 'a', 1, device_write, NULL);
  expect(strcmp(log_text, "w4@0=61;") == 0, "9: a byte to UARTDR is a character");
}

/* Load- and store-exclusive: the second is stepped to. Give up politely: SIMD. */
static void beyond(void) {
  const uint32_t code[] = {0x885f7c41, 0x11000421, 0x88037c41}; /* ldxr w1,[x2]; add; stxr w3 */
  const struct trap trap = {code[0], DABT, UART, UART};
  const struct trap simd = {0x3dc00041, DABT, UART, UART}; /* ldr q1, [x2] */
  reset();
  X(2) = UART;
  X(3) = 9;
  device_value = 4;
  memcpy(ram, code, sizeof(code));
  start(&trap);
  memcpy(ram, code, sizeof(code));
  vmm_trapline_describe(&guest.trapline, &guest.hypctx, &guest.exit);
  vmm_trapline_emulate(&guest, UART, &guest.exit.u.inst_emul.vie, &guest.exit.u.inst_emul.paging,
                       device_read, device_write, NULL);
  expect(strcmp(log_text, "r4@0;w4@0=5;") == 0 && X(3) == 0 && guest.next_pc == RAM + 12,
         "an exclusive pair is done");
  adapted(&simd);
  expect((guest.injected_esr & 0x3f) == 0x10 && guest.next_pc == RAM && log_text[0] == 0,
         "SIMD: an external abort");
}

/* A load-exclusive without a store within reach; a word that is not what trapped. */
static void given_up(void) {
  const uint32_t code[] = {0x885f7c41, 0x1e604020}; /* ldxr w1, [x2]; fmov d0, d1 */
  const struct trap trap = {code[0], DABT, UART, UART};
  const struct trap other = {0xd503201f, DABT, UART, UART}; /* nop */
  reset();
  X(2) = UART;
  start(&trap);
  memcpy(ram, code, sizeof(code));
  vmm_trapline_describe(&guest.trapline, &guest.hypctx, &guest.exit);
  vmm_trapline_emulate(&guest, UART, &guest.exit.u.inst_emul.vie, &guest.exit.u.inst_emul.paging,
                       device_read, device_write, NULL);
  expect(guest.trapline.beyond == 1 && (guest.injected_esr & 0x3f) == 0x10 && guest.next_pc == RAM,
         "beyond reach: an external abort at the load-exclusive, counted");
  reset();
  for (unsigned i = 1; i < VMM_TRAPLINE_PATIENCE; i++) adapted(&other);
  expect(guest.injected_esr == 0 && guest.next_pc == RAM, "not what trapped: once more");
  adapted(&other);
  expect(guest.trapline.stuck == 1 && (guest.injected_esr & 0x3f) == 0x10 && log_text[0] == 0,
         "and in the end an external abort, counted");
  adapted(&other);
  expect(guest.injected_esr == 0, "and patience begins anew");
}

int main(void) {
  expect(vmm_trapline_size(10) <= sizeof(memory), "there is room");
  if (vmm_trapline_init(&guest.trapline, &guest, memory, 10) != 0) return 1;
  fault_1();
  fault_2();
  fault_3();
  fault_4();
  fault_5();
  fault_6();
  fault_7();
  fault_8();
  fault_9();
  beyond();
  given_up();
  printf("%zu bytes a vCPU with a cache of 1024 entries\n", vmm_trapline_size(10));
  return failures != 0;
}
