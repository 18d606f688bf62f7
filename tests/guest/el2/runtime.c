// The harness of the guests of EL2: what happened, as text.
#include "el2.h"

#define PSCI_SYSTEM_OFF 0x84000008ul
#define PSCI_CPU_ON 0xc4000003ul

struct Context ctx;
struct Outcome outcome;
u64 base_hcr, code_start;
int has_vhe, has_pan;
static u32 code[16] __attribute__((aligned(64)));
static u64 snippet_stack[64] __attribute__((aligned(16)));

u64 smc(u64 function, u64 a, u64 b, u64 c) {
  register u64 x0 asm("x0") = function;
  register u64 x1 asm("x1") = a;
  register u64 x2 asm("x2") = b;
  register u64 x3 asm("x3") = c;
  asm volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  return x0;
}
_Noreturn void power_off(void) {
  smc(PSCI_SYSTEM_OFF, 0, 0, 0);
  for (;;) {
  }
}

int start_second(void) { return smc(PSCI_CPU_ON, 1, (u64)second_start, 0) == 0; }

void unexpected(void) {
  print("FAILED: unexpected exception: vector, ESR, FAR, ELR, SPSR, LR");
  print_hex(ctx.vector);
  print_hex(ctx.esr);
  print_hex(ctx.far);
  print_hex(ctx.pc);
  print_hex(ctx.spsr);
  print_hex(ctx.x[30]);
  print("\n");
  power_off();
}

// --- running code --------------------------------------------------------------------------------

#define EC_OF(esr) ((esr) >> 26 & 0x3f)
enum { EC_SVC = 0x15, EC_HVC = 0x16, EC_SMC = 0x17 };
u64 ec(void) { return EC_OF(outcome.esr); }

static int forwarded(void) {
  u64 cls = EC_OF(ctx.esr), imm = ctx.esr & 0xffff;
  if ((ctx.vector & 0x180) != 0) return 0;
  // The ISS of a trapped SMC has no immediate: the ELR tells.
  if (cls == EC_HVC) return (imm & 0xfff0) == 0x7c0;
  return cls == EC_SMC && ctx.pc - (u64)el1_vectors_smc < 2048;
}

static void resolve(void) {
  outcome.hpfar = ctx.hpfar;
  if (!forwarded()) {
    outcome.el = 2;
    outcome.vector = ctx.vector;
    outcome.esr = ctx.esr;
    outcome.pc = ctx.pc;
    outcome.spsr = ctx.spsr;
    outcome.far = ctx.far;
  } else {
    outcome.el = 1;
    outcome.vector = (EC_OF(ctx.esr) == EC_HVC ? ctx.pc - 4 : ctx.pc) & 0x780;
    outcome.esr = GET_EL1(ESR_EL1);
    outcome.pc = GET_EL1(ELR_EL1);
    outcome.spsr = GET_EL1(SPSR_EL1);
    outcome.far = GET_EL1(FAR_EL1);
  }
  u64 cls = EC_OF(outcome.esr);
  outcome.done = (outcome.vector & 0x180) == 0 && (cls == EC_SVC || cls == EC_HVC) &&
                 (outcome.esr & 0xffff) == 0x7ff;
}

void enter(u64 spsr, u64 pc, u64 hcr) {
  code_start = pc;
  ctx.pc = pc;
  ctx.spsr = spsr;
  ctx.hcr = hcr;
  if (ctx.sp == 0) ctx.sp = (u64)&snippet_stack[32];
  run();
  resolve();
}
int run_at(u64 mode, const void* at_code, u64 hcr) {
  enter(mode | MASKED, (u64)at_code, hcr);
  return outcome.done;
}
int run_word(u64 mode, u32 word, u64 x0, u64 hcr) {
  *(volatile u32*)&code[0] = word;
  *(volatile u32*)&code[1] = mode == EL0 ? 0xd400ffe1 : 0xd400ffe2;  // SVC, HVC #0x7ff
  asm volatile("dc cvau, %0\n dsb sy\n ic ivau, %0\n dsb sy\n isb" ::"r"(code) : "memory");
  ctx.x[0] = x0;
  return run_at(mode, code, hcr);
}

// --- printing ------------------------------------------------------------------------------------

void section(const char* name) {
  print("== ");
  print(name);
  print("\n");
}
void print_value(const char* name, u64 value) {
  print(name);
  print(":");
  print_hex(value);
  print("\n");
}

// NZCV, PAN, SS, IL, DAIF, M: the others belong to features that CPUs have or have not.
#define SPSR_SHOWN 0xf07003dful

static int is_abort(u64 cls) { return cls == 0x20 || cls == 0x21 || cls == 0x24 || cls == 0x25; }

static void print_where(void) {
  u64 cls = ec();
  print(outcome.el == 2 ? "EL2" : "EL1");
  print_hex(outcome.vector);
  if ((outcome.vector & 0x180) != 0) return;
  print(" esr");
  print_hex(outcome.esr);
  if (is_abort(cls)) {
    print(" far");
    print_hex(outcome.far);
    // HPFAR_EL2 is UNKNOWN after a permission fault that is not on a stage-1 walk (D17.2.65), and
    // after faults of stage 1.
    u64 fsc = outcome.esr & 0x3c, s1ptw = outcome.esr >> 7 & 1;
    if (outcome.el == 2 && (cls & 1) == 0 && (fsc != 0xc || s1ptw) && fsc < 0x10) {
      print(" hpfar");
      print_hex(outcome.hpfar);
    }
  }
}
void print_outcome(void) {
  if (outcome.done) {
    print("done");
    return;
  }
  print_where();
  print(" pc");
  print_hex(outcome.pc - code_start < 256 ? outcome.pc - code_start : outcome.pc);
  print(" spsr");
  print_hex(outcome.spsr & SPSR_SHOWN);
}
void report(const char* name) {
  print(name);
  print(": ");
  print_outcome();
  print("\n");
}
void report_bare(const char* name) {
  print(name);
  print(": ");
  if (outcome.done) {
    print("done");
  } else {
    print_where();
  }
  print("\n");
}

// --- the start -----------------------------------------------------------------------------------

u64 stage2_level1[512] __attribute__((aligned(4096)));
void stage2_identity(void) {
  for (u64 i = 0; i < 512; ++i) {
    stage2_level1[i] = i << 30 | S2_RW | BLOCK | (i == 0 ? S2_DEVICE : S2_NORMAL);
  }
  msr(vttbr_el2, (u64)stage2_level1);
  msr(vtcr_el2, VTCR_39);
  asm volatile("dsb sy\n tlbi alle1\n dsb sy\n isb" ::: "memory");
}

u64 stage2_window[512] __attribute__((aligned(4096)));
static u64 stage2_level2[512] __attribute__((aligned(4096)));
void stage2_pages(void) {
  stage2_identity();
  memset(stage2_level2, 0, sizeof stage2_level2);
  for (u64 i = 0; i < 512; ++i) {
    stage2_window[i] = (WINDOW + (i << 12)) | S2_RW | S2_NORMAL | PAGE;
  }
  stage2_level2[0] = (u64)stage2_window | TABLE;
  stage2_level1[WINDOW >> 30] = (u64)stage2_level2 | TABLE;
  tlbi_everything();
}

u64 level1[512] __attribute__((aligned(4096)));
static u64 level2_ram[512] __attribute__((aligned(4096)));
static u64 level3_image[512] __attribute__((aligned(4096)));
static u64 level2_window[512] __attribute__((aligned(4096)));
u64 window[512] __attribute__((aligned(4096)));
void make_tables(void) {
  for (u64 i = 0; i < 512; ++i) {
    level2_ram[i] = (0x40000000 + (i << 21)) | NORMAL | AF | XN | BLOCK;
    u64 page = 0x40000000 + (i << 12);
    int text = page >= (u64)start && page < (u64)text_end;
    level3_image[i] = page | NORMAL | AF | (text ? USER | READ_ONLY : XN) | PAGE;
    window[i] = 0;
  }
  level2_ram[0] = (u64)level3_image | TABLE;
  memset(level1, 0, sizeof level1);
  level1[0] = 0 | DEVICE | AF | XN | BLOCK;
  level1[1] = (u64)level2_ram | TABLE;
  level1[WINDOW >> 30] = (u64)level2_window | TABLE;
  level2_window[0] = (u64)window | TABLE;
}
void tlbi_everything(void) {
  asm volatile("dsb sy\n tlbi alle1\n tlbi alle2\n dsb sy\n isb" ::: "memory");
}
u64 par(void) {
  u64 value = mrs(par_el1);
  return value & ~(value & 1 ? 0xc00ul : 0xe00ul);
}
void el1_mmu(int on) {
  SET_EL1(MAIR_EL1, MAIR_VALUE);
  SET_EL1(TCR_EL1, TCR_EL1_39);
  SET_EL1(TTBR0_EL1, (u64)level1);
  SET_EL1(TTBR1_EL1, 0);
  tlbi_everything();
  SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE | (on ? SCTLR_M : 0));
}
void el2_mmu(int on) {
  if (!on) msr(sctlr_el2, SCTLR_EL2_BASE);
  msr(mair_el2, MAIR_VALUE);
  msr(tcr_el2, E2H_IS_ON ? TCR_EL1_39 : TCR_EL2_39);
  msr(ttbr0_el2, (u64)level1);
  tlbi_everything();
  if (on) msr(sctlr_el2, SCTLR_EL2_BASE | SCTLR_M | SCTLR_C | SCTLR_I);
}

void trap_defaults(void) {
  msr(cptr_el2, E2H_IS_ON ? 3 << 20 : 0x33ff);
  msr(cnthctl_el2, E2H_IS_ON ? 0xf03 : 3);
  msr(mdcr_el2, 0);
  msr(hstr_el2, 0);
}
void reset_el1(void) {
  SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE);
  SET_EL1(VBAR_EL1, (u64)el1_vectors);
  SET_EL1(CPACR_EL1, 3ul << 20);
  SET_EL1(CNTKCTL_EL1, 0);
  msr(mdscr_el1, 0);
  trap_defaults();
  msr(cntvoff_el2, 0);
  msr(vttbr_el2, 0);
  msr(vtcr_el2, 1ul << 31);
  msr(vpidr_el2, mrs(midr_el1));
  msr(vmpidr_el2, mrs(mpidr_el1));
}
void set_e2h(int on) {
  base_hcr = HCR_RW | (on ? HCR_E2H : 0);
  msr(hcr_el2, base_hcr);
  reset_el1();
}

void primary(void) {
  at(u32, PL011 + 0x30) = 0x301;
  msr(sctlr_el2, SCTLR_EL2_BASE);
  asm volatile("msr oslar_el1, xzr");
  has_vhe = (mrs(id_aa64mmfr1_el1) >> 8 & 15) != 0;
  has_pan = (mrs(id_aa64mmfr1_el1) >> 20 & 15) != 0;
  set_e2h(0);
  test();
  print("GUEST ENDED\n");
  power_off();
}

// --- GIC -----------------------------------------------------------------------------------------

#define GICD 0x08000000ul
#define GICR 0x080a0000ul
#define GICR_SGI (GICR + 0x10000)

void gic_init(void) {
  at(u32, GICD) = 0x37;  // both groups, affinity routing
  at(u32, GICR + 0x14) = 0;
  while ((at(u32, GICR + 0x14) & 4) != 0) {
  }
  at(u32, GICR_SGI + 0x80) = 0xffffff00 | 0xff0f;  // IGROUPR0: SGIs 4-7 are group 0
  at(u32, GICR_SGI + 0xd00) = 0;                   // IGRPMODR0
  for (int i = 0; i < 32; i += 4) at(u32, GICR_SGI + 0x400 + i) = 0xa0a0a0a0;
  at(u32, GICR_SGI + 0x100) = 0xffff;  // ISENABLER0: all SGIs
  msr(s3_4_c12_c9_5, 0xf);             // ICC_SRE_EL2
  msr(s3_0_c12_c12_5, 7);              // ICC_SRE_EL1
  msr(s3_0_c4_c6_0, 0xff);             // ICC_PMR_EL1
  msr(s3_0_c12_c12_6, 1);              // ICC_IGRPEN0_EL1
  msr(s3_0_c12_c12_7, 1);              // ICC_IGRPEN1_EL1
}
void send_sgi(u64 number) {
  msr(s3_0_c12_c11_5, number << 24 | 1);  // ICC_SGI1R_EL1, to affinity 0
  barrier();
}
void send_sgi_fiq(u64 number) {
  msr(s3_0_c12_c11_7, number << 24 | 1);  // ICC_SGI0R_EL1
  barrier();
}
void clear_sgis(void) {
  for (;;) {
    u64 id = mrs(s3_0_c12_c12_0);  // ICC_IAR1_EL1
    if (id >= 1020) break;
    msr(s3_0_c12_c12_1, id);
  }
  for (;;) {
    u64 id = mrs(s3_0_c12_c8_0);  // ICC_IAR0_EL1
    if (id >= 1020) break;
    msr(s3_0_c12_c8_1, id);
  }
  barrier();
}
