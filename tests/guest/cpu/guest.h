// What the CPU test guests share: contexts to run code in, checks, page tables.
#ifndef TRAPLINE_TESTS_GUEST_CPU_GUEST_H_
#define TRAPLINE_TESTS_GUEST_CPU_GUEST_H_

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef long s64;

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
void print(const char* text);
void print_hex(u64 value);
_Noreturn void power_off(void);
u64 hvc(u64 function, u64 a, u64 b, u64 c);

// --- system registers and memory -----------------------------------------------------------------

#define STR_(x) #x
#define mrs(reg)                                             \
  ({                                                         \
    u64 v_;                                                  \
    asm volatile("mrs %0, " STR_(reg) : "=r"(v_)::"memory"); \
    v_;                                                      \
  })
#define msr(reg, value) asm volatile("msr " STR_(reg) ", %0\n isb" ::"r"((u64)(value)) : "memory")
#define barrier() asm volatile("dsb sy\n isb" ::: "memory")
#define tlbi_all() asm volatile("dsb sy\n tlbi vmalle1is\n dsb sy\n isb" ::: "memory")

enum {
  SCTLR_M = 1,
  SCTLR_A = 2,
  SCTLR_C = 4,
  SCTLR_SA = 8,
  SCTLR_SA0 = 0x10,
  SCTLR_UMA = 0x200,
  SCTLR_I = 0x1000,
  SCTLR_DZE = 0x4000,
  SCTLR_UCT = 0x8000,
  SCTLR_NTWI = 0x10000,
  SCTLR_NTWE = 0x40000,
  SCTLR_WXN = 0x80000,
  SCTLR_SPAN = 0x800000,
  SCTLR_E0E = 0x1000000,
  SCTLR_EE = 0x2000000,
  SCTLR_UCI = 0x4000000,
};
void sctlr_set(u64 bits);
void sctlr_clear(u64 bits);

// Descriptors. MAIR: 0 Device-nGnRnE, 1 Normal write-back, 2 Normal non-cacheable, 3 Device-GRE.
#define PAGE 3ul
#define BLOCK 1ul
#define TABLE 3ul
#define DEVICE (0ul << 2)
#define NORMAL (1ul << 2 | 3ul << 8)
#define NONCACHEABLE (2ul << 2 | 2ul << 8)
#define USER (1ul << 6)
#define READ_ONLY (1ul << 7)
#define AF (1ul << 10)
#define NG (1ul << 11)
#define PXN (1ul << 53)
#define UXN (1ul << 54)
#define XN (PXN | UXN)
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
#define at(type, address) (*(volatile type*)(address))
void* memset(void* to, int value, u64 size);

#endif  // TRAPLINE_TESTS_GUEST_CPU_GUEST_H_
