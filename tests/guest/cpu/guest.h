// What the CPU test guests share: contexts to run code in, checks, page tables.
#ifndef TRAPLINE_TESTS_GUEST_CPU_GUEST_H_
#define TRAPLINE_TESTS_GUEST_CPU_GUEST_H_

#include "bare.h"

// start.S knows the layout.
struct Context {
  u64 x[31], sp, pc, spsr;  // to enter with; then as the exception found them
  u64 esr, far, vector;     // of the exception
  u64 harness_sp, active;
  u64 daif, pan;  // PSTATE in the handler
  u64 unused[7];
};
_Static_assert(sizeof(struct Context) == 384, "start.S");
extern struct Context contexts[4];
#define ctx (contexts[0])

void run(struct Context* context);
void unexpected(struct Context* context);
void primary(void);       // of runtime.c
void secondary(u64 cpu);  // of the test, on CPUs other than the first
void test(void);          // of the test

// --- code under test -----------------------------------------------------------------------------

// Instructions that end in SVC #0x7ff; `name_end` is the SVC.
#define SNIPPET(name, text)                                                              \
  extern const u32 name[], name##_end[];                                                 \
  asm(".pushsection .text.snippets, \"ax\"\n.arch armv8.1-a+fp+simd\n.balign 64\n" #name \
      ":\n" text "\n" #name "_end: svc #0x7ff\n.popsection\n")
#define DONE 0x560007fful

enum { EL0 = 0, EL1T = 4, EL1H = 5, MASKED = 0x3c0 };
// PSTATE.DAIF is masked. x registers as left by the test. True: it ended by its SVC.
int run_at(u64 mode, const void* code);
u64 ec_iss(u64 ec, u64 iss);       // an ESR, IL = 1
u64 abort_esr(u64 mode, u64 iss);  // of a data abort from that mode
u64 fetch_esr(u64 mode, u64 iss);
u64 vector_base(u64 mode);
u64 sysreg_iss(u32 word);

// --- checks ------------------------------------------------------------------------------------

extern int on_qemu;  // not our CPU: what QEMU does not implement is left out
extern int failures;
void check(const char* name, u64 actual, u64 expected);
void check_in(const char* name, const char* detail, u64 number, u64 actual, u64 expected);
// The last run(): a synchronous exception from `mode` with all of this.
void check_taken(const char* name, u64 mode, u64 esr, u64 pc);
void check_abort(const char* name, u64 mode, u64 esr, u64 far, u64 pc);
void check_done(const char* name);
_Noreturn void power_off(void);
u64 hvc(u64 function, u64 a, u64 b, u64 c);

// --- system registers and memory -----------------------------------------------------------------

#define tlbi_all() asm volatile("dsb sy\n tlbi vmalle1is\n dsb sy\n isb" ::: "memory")

void sctlr_set(u64 bits);
void sctlr_clear(u64 bits);

#define RW_USER (NORMAL | AF | USER | XN)
#define RW_KERNEL (NORMAL | AF | XN)

#define WINDOW 0x80000000ul  // 2 MiB of pages for tests: window[i] maps WINDOW + 4096 i
#define FRAMES 0x41000000ul  // memory for tests, 16 MiB
#define FRAME(i) (FRAMES + 4096ul * (i))
#define HOLE 0x0b000000ul  // nothing is there
extern u64 level1[512], level2_ram[512], level3_image[512], level2_window[512], window[512];
void mmu_on(void);  // 39-bit TTBR0; TTBR1 disabled
u64 tcr_default(void);
// Changes a page of the window and makes it so.
void map(u64 index, u64 frame, u64 bits);

#endif  // TRAPLINE_TESTS_GUEST_CPU_GUEST_H_
