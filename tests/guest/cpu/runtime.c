// The guests' harness: output, checks, the first page tables.
#include "guest.h"

#define PSCI_SYSTEM_OFF 0x84000008ul

extern char start[], text_end[], vectors[];
u64 level1[512] __attribute__((aligned(4096)));
u64 level2_ram[512] __attribute__((aligned(4096)));
u64 level3_image[512] __attribute__((aligned(4096)));
u64 level2_window[512] __attribute__((aligned(4096)));
u64 window[512] __attribute__((aligned(4096)));
int on_qemu, failures;
static int checks;

__attribute__((weak)) void secondary(u64 cpu) { (void)cpu; }

// --- firmware ------------------------------------------------------------------------------------

u64 hvc(u64 function, u64 a, u64 b, u64 c) {
  register u64 x0 asm("x0") = function;
  register u64 x1 asm("x1") = a;
  register u64 x2 asm("x2") = b;
  register u64 x3 asm("x3") = c;
  asm volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  return x0;
}
_Noreturn void power_off(void) {
  hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
  for (;;) {
  }
}

void unexpected(struct Context* c) {
  print("FAILED: unexpected exception: vector, ESR, FAR, ELR, SPSR, LR");
  print_hex(c->vector);
  print_hex(c->esr);
  print_hex(c->far);
  print_hex(c->pc);
  print_hex(c->spsr);
  print_hex(c->x[30]);
  print("\nGUEST FAILED\n");
  power_off();
}

// --- checks ------------------------------------------------------------------------------------

void check_in(const char* name, const char* detail, u64 number, u64 actual, u64 expected) {
  ++checks;
  if (actual == expected) return;
  ++failures;
  if (failures > 100) return;
  print("FAILED ");
  print(name);
  if (detail != 0) {
    print(": ");
    print(detail);
    print_hex(number);
    print(":");
  }
  print_hex(actual);
  print(", expected");
  print_hex(expected);
  print("\n");
}
void check(const char* name, u64 actual, u64 expected) {
  int before = failures;
  check_in(name, 0, 0, actual, expected);
  if (failures == before) {
    print("ok ");
    print(name);
    print("\n");
  }
}

#define SPSR_MODE 0x1f
static void check_exception(const char* name, u64 mode, u64 esr, u64 far, int far_known, u64 pc) {
  int before = failures;
  check_in(name, "ESR, vector", ctx.vector, ctx.esr, esr);
  check_in(name, "vector", 0, ctx.vector, vector_base(mode));
  check_in(name, "ELR", 0, ctx.pc, pc);
  check_in(name, "SPSR.M", 0, ctx.spsr & SPSR_MODE, mode & SPSR_MODE);
  check_in(name, "DAIF in the handler", 0, ctx.daif, MASKED);
  if (far_known) check_in(name, "FAR", 0, ctx.far, far);
  if (failures == before) {
    print("ok ");
    print(name);
    print("\n");
  }
}
void check_taken(const char* name, u64 mode, u64 esr, u64 pc) {
  check_exception(name, mode, esr, 0, 0, pc);
}
void check_abort(const char* name, u64 mode, u64 esr, u64 far, u64 pc) {
  check_exception(name, mode, esr, far, 1, pc);
}
void check_done(const char* name) { check(name, ctx.esr, DONE); }

// --- running code --------------------------------------------------------------------------------

static u64 snippet_stack[64] __attribute__((aligned(16)));

int run_at(u64 mode, const void* code) {
  ctx.pc = (u64)code;
  ctx.spsr = mode | MASKED;
  if (ctx.sp == 0) ctx.sp = (u64)&snippet_stack[32];
  run(&ctx);
  return ctx.esr == DONE && (ctx.vector & 0x180) == 0;
}
u64 ec_iss(u64 ec, u64 iss) { return ec << 26 | 1ul << 25 | iss; }
u64 abort_esr(u64 mode, u64 iss) { return ec_iss(mode == EL0 ? 0x24 : 0x25, iss); }
u64 fetch_esr(u64 mode, u64 iss) { return ec_iss(mode == EL0 ? 0x20 : 0x21, iss); }
u64 vector_base(u64 mode) { return (mode & 15) == EL0 ? 0x400 : (mode & 15) == EL1T ? 0 : 0x200; }
u64 sysreg_iss(u32 w) {
  return (u64)(w >> 19 & 3) << 20 | (w >> 5 & 7) << 17 | (w >> 16 & 7) << 14 |
         (w >> 12 & 15) << 10 | (w & 31) << 5 | (w >> 8 & 15) << 1 | (w >> 21 & 1);
}

// --- memory --------------------------------------------------------------------------------------

void sctlr_set(u64 bits) { msr(sctlr_el1, mrs(sctlr_el1) | bits); }
void sctlr_clear(u64 bits) { msr(sctlr_el1, mrs(sctlr_el1) & ~bits); }

u64 tcr_default(void) {
  // 39-bit halves, 40-bit output, 16-bit ASIDs, TTBR1 off.
  return 25 | 25ul << 16 | 2ul << 30 | 2ul << 32 | 1ul << 36 | 1ul << 23 | 0x3500 | 0x35000000;
}

void mmu_on(void) {
  for (u64 i = 0; i < 512; ++i) {
    level2_ram[i] = (0x40000000 + (i << 21)) | RW_KERNEL | BLOCK;
    u64 page = 0x40000000 + (i << 12);
    int text = page >= (u64)start && page < (u64)text_end;
    level3_image[i] = page | (text ? NORMAL | AF | USER | READ_ONLY : RW_KERNEL) | PAGE;
  }
  level2_ram[0] = (u64)level3_image | TABLE;
  level1[0] = 0 | DEVICE | AF | XN | BLOCK;
  level1[1] = (u64)level2_ram | TABLE;
  level1[2] = (u64)level2_window | TABLE;
  level2_window[0] = (u64)window | TABLE;
  msr(mair_el1, 0x0c44ff00);
  msr(tcr_el1, tcr_default());
  msr(ttbr0_el1, (u64)level1);
  msr(ttbr1_el1, 0);
  tlbi_all();
  sctlr_set(SCTLR_M | SCTLR_C | SCTLR_I);
}
void map(u64 index, u64 frame, u64 bits) {
  window[index] = bits == 0 ? 0 : frame | bits | PAGE;
  tlbi_all();
}

void primary(void) {
  at(u32, PL011 + 0x30) = 0x301;
  on_qemu = mrs(midr_el1) >> 24 != 0;
  test();
  print("checks");
  print_hex((u64)checks);
  print(failures == 0 ? "\nGUEST PASSED\n" : "\nGUEST FAILED\n");
  power_off();
}
