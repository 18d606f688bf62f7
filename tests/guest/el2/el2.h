// What the guests of EL2 share. They print one line a check, of what happened, and nothing that
// depends on which CPU they run on: the same text must come from Trapline and from QEMU.
#ifndef TRAPLINE_TESTS_GUEST_EL2_EL2_H_
#define TRAPLINE_TESTS_GUEST_EL2_EL2_H_

#include "bare.h"

// start.S knows the layout.
struct Context {
  u64 x[31], sp, pc, spsr;  // to enter with; then as the exception found them
  u64 esr, far, vector;     // of the exception
  u64 harness_sp, active;
  u64 hpfar;
  u64 hcr;        // HCR_EL2 to enter with; then as it was
  u64 daif, pan;  // PSTATE in the handler of EL2
};
extern struct Context ctx;
extern u64 base_hcr;  // HCR_EL2 while the harness runs
void run(void);
void unexpected(void);
void primary(void);
void test(void);         // of the test
int start_second(void);  // CPU 1 runs second(), of the test; it shares ctx. False: there is none
void second(void);
extern char el1_vectors[], el1_vectors_smc[], start[], second_start[], text_end[];

enum { EL0 = 0, EL1T = 4, EL1H = 5, EL2T = 8, EL2H = 9, MASKED = 0x3c0 };

// --- code under test -----------------------------------------------------------------------------

// Instructions that end in HVC #0x7ff, or SVC #0x7ff where EL0 runs them.
#define SNIPPET_ENDING(name, text, end)                                                  \
  extern const u32 name[], name##_end[];                                                 \
  asm(".pushsection .text.snippets, \"ax\"\n.arch armv8.1-a+fp+simd\n.balign 64\n" #name \
      ":\n" text "\n" #name "_end: " end "\n.popsection\n")
#define SNIPPET(name, text) SNIPPET_ENDING(name, text, "hvc #0x7ff")
#define SNIPPET_EL0(name, text) SNIPPET_ENDING(name, text, "svc #0x7ff")

// What the last run() ended in, to whichever level it went.
struct Outcome {
  u64 el, vector, esr, pc, spsr, far, hpfar;
  int done;  // by the snippet's last instruction
};
extern struct Outcome outcome;
extern u64 code_start;  // of the last run: a PC is printed relative to it

// Runs from `pc` with PSTATE `spsr` and HCR_EL2 `hcr`; x registers as left in ctx.
void enter(u64 spsr, u64 pc, u64 hcr);
// The same with all interrupts masked. True: it ended by its last instruction.
int run_at(u64 mode, const void* code, u64 hcr);
// One instruction, x0 as given.
int run_word(u64 mode, u32 word, u64 x0, u64 hcr);
u64 ec(void);  // of the outcome

// --- printing ------------------------------------------------------------------------------------

void print_value(const char* name, u64 value);  // a line
void print_outcome(void);                       // not a whole line
void report(const char* name);                  // a line: the outcome
void report_bare(const char* name);             // without SPSR and PC
void section(const char* name);
u64 smc(u64 function, u64 a, u64 b, u64 c);
_Noreturn void power_off(void);

// --- system registers ----------------------------------------------------------------------------

#define SYSREG(op0, op1, crn, crm, op2) \
  ((u32)((op0) << 19 | (op1) << 16 | (crn) << 12 | (crm) << 8 | (op2) << 5))
#define MRS(...) (0xd5200000u | SYSREG(__VA_ARGS__))  // to x0
#define MSR(...) (0xd5000000u | SYSREG(__VA_ARGS__))  // from x0

// Registers of EL1, whether or not the harness runs with E2H, under which their names mean those of
// EL2 and s3_5_... is theirs.
#define E2H_IS_ON (base_hcr >> 34 & 1)
#define READ_EL1(name, encoding12) (E2H_IS_ON ? mrs(encoding12) : mrs(name))
#define WRITE_EL1(name, encoding12, value) \
  do {                                     \
    if (E2H_IS_ON) {                       \
      msr(encoding12, value);              \
    } else {                               \
      msr(name, value);                    \
    }                                      \
  } while (0)
#define SCTLR_EL1 sctlr_el1, s3_5_c1_c0_0
#define CPACR_EL1 cpacr_el1, s3_5_c1_c0_2
#define TTBR0_EL1 ttbr0_el1, s3_5_c2_c0_0
#define TTBR1_EL1 ttbr1_el1, s3_5_c2_c0_1
#define TCR_EL1 tcr_el1, s3_5_c2_c0_2
#define SPSR_EL1 spsr_el1, s3_5_c4_c0_0
#define ELR_EL1 elr_el1, s3_5_c4_c0_1
#define ESR_EL1 esr_el1, s3_5_c5_c2_0
#define FAR_EL1 far_el1, s3_5_c6_c0_0
#define MAIR_EL1 mair_el1, s3_5_c10_c2_0
#define VBAR_EL1 vbar_el1, s3_5_c12_c0_0
#define CNTKCTL_EL1 cntkctl_el1, s3_5_c14_c1_0
#define GET_EL1(register) READ_EL1_(register)
#define READ_EL1_(...) READ_EL1(__VA_ARGS__)
#define SET_EL1(register, value) WRITE_EL1_(register, value)
#define WRITE_EL1_(...) WRITE_EL1(__VA_ARGS__)

enum {
  SCTLR_EL1_BASE =
      0x30d00800 | SCTLR_UCI | SCTLR_DZE | SCTLR_UCT | SCTLR_UMA | SCTLR_NTWI | SCTLR_NTWE,
  SCTLR_EL2_BASE = 0x30c50830 | SCTLR_SPAN,
  SCTLR_EL2_HOST = SCTLR_EL2_BASE & ~SCTLR_SA0,  // with E2H, where that bit is not RES1
};

#define SCTLR_EL2_NOW (E2H_IS_ON ? SCTLR_EL2_HOST : SCTLR_EL2_BASE)

#define BIT(n) (1ul << (n))
enum {
  HCR_VM = 1 << 0,
  HCR_SWIO = 1 << 1,
  HCR_PTW = 1 << 2,
  HCR_FMO = 1 << 3,
  HCR_IMO = 1 << 4,
  HCR_AMO = 1 << 5,
  HCR_VF = 1 << 6,
  HCR_VI = 1 << 7,
  HCR_VSE = 1 << 8,
  HCR_DC = 1 << 12,
  HCR_TWI = 1 << 13,
  HCR_TWE = 1 << 14,
  HCR_TSC = 1 << 19,
  HCR_TGE = 1 << 27,
  HCR_HCD = 1 << 29,
};
#define HCR_TRVM BIT(30)
#define HCR_RW BIT(31)
#define HCR_CD BIT(32)
#define HCR_ID BIT(33)
#define HCR_E2H BIT(34)

extern int has_vhe, has_pan;
void set_e2h(int on);        // for the harness, and then as at the start
void reset_el1(void);        // EL1 and the trap controls as at the start
void trap_defaults(void);    // CPTR_EL2, MDCR_EL2, CNTHCTL_EL2, HSTR_EL2: no traps
void stage2_identity(void);  // VTTBR_EL2, VTCR_EL2: 39 bits, blocks of 1 GiB
extern u64 stage2_level1[512];
#define VTCR_39 (1ul << 31 | 2ul << 16 | 0x3500 | 1ul << 6 | 25)
#define S2_RW (3ul << 6)
#define S2_NORMAL (15ul << 2 | 3ul << 8 | AF)
#define S2_DEVICE (0ul << 2 | AF)

// --- translation ---------------------------------------------------------------------------------

// Tables that serve every regime: identity for the image (text for all levels, data for the
// privileged one), RAM and devices, and a window of pages for the tests.
#define WINDOW 0x80000000ul  // window[i] maps WINDOW + 4096 i, of 2 MiB
#define FRAMES 0x41000000ul
#define FRAME(i) (FRAMES + 4096ul * (i))
extern u64 level1[512], window[512];
#define MAIR_VALUE 0x0c44ff00ul
#define TCR_EL1_39 (25 | 25ul << 16 | 2ul << 30 | 2ul << 32 | 1ul << 36 | 1ul << 23 | 0x35003500)
#define TCR_EL2_39 (1ul << 31 | 1ul << 23 | 25 | 2ul << 16 | 0x3500)
void make_tables(void);
void el1_mmu(int on);
void el2_mmu(int on);  // by base_hcr: EL2, or EL2&0 with E2H
void tlbi_everything(void);
// Stage 2 of the window's addresses by pages: stage2_window[i] is WINDOW + 4096 i.
void stage2_pages(void);
extern u64 stage2_window[512];
// AT's result: PAR_EL1 without what is not the same for all (NS if it succeeded, bit 10, RES1).
u64 par(void);
#define AT(operation, va)                                                   \
  ({                                                                        \
    asm volatile("at " operation ", %0\n isb" ::"r"((u64)(va)) : "memory"); \
    par();                                                                  \
  })

// --- GIC: interrupts to this CPU, by SGI ---------------------------------------------------------

void gic_init(void);
void send_sgi(u64 number);      // group 1: IRQ
void send_sgi_fiq(u64 number);  // group 0: FIQ
void clear_sgis(void);          // acknowledges and ends what is pending

#endif  // TRAPLINE_TESTS_GUEST_EL2_EL2_H_
