// Where an exception goes and with what: synchronous ones, interrupts physical and virtual, from
// each level and stack pointer, by TGE, E2H, IMO, FMO and AMO; and which exception returns are
// illegal.
#include "el2.h"

#define HOLE 0x0b000000ul

SNIPPET(svc, "svc #5");
SNIPPET(hvc, "hvc #5");
SNIPPET(smc_, "smc #5");
SNIPPET(brk, "brk #3");
SNIPPET(udf, ".inst 0");
SNIPPET(load, "ldr x1, [x0]");
SNIPPET(store, "str w1, [x0]");
SNIPPET(pair, "ldp x1, x2, [x0]");
SNIPPET(jump, "br x0");
SNIPPET(stack, "add sp, sp, #4\n ldr w1, [sp]");
SNIPPET(fp, "fmov d0, xzr");
SNIPPET(nothing, "nop\n nop\n nop");
SNIPPET(counted, "mov x0, #50\n 1: subs x0, x0, #1\n b.ne 1b\n wfe\n isb");
SNIPPET(unmask, "nop\n msr daifclr, #7\n nop\n nop");

struct Cause {
  const char* name;
  const u32* code;
  u64 x0, spsr, hcr;
  int lowest;  // EL that may execute it
};
static const struct Cause kCauses[] = {
    {"SVC", svc, 0, 0, 0, 0},
    {"HVC", hvc, 0, 0, 0, 1},
    {"SMC, TSC", smc_, 0, 0, HCR_TSC, 1},
    {"BRK", brk, 0, 0, 0, 0},
    {"UDF", udf, 0, 0, 0, 0},
    {"LDR of a hole", load, HOLE + 8, 0, 0, 0},
    {"STR to a hole", store, HOLE + 8, 0, 0, 0},
    {"LDP of a hole", pair, HOLE + 8, 0, 0, 0},
    {"LDR, not aligned", load, 0x40000001, 0, 0, 0},
    {"PC alignment", jump, 0x40080002, 0, 0, 0},
    {"SP alignment", stack, 0, 0, 0, 0},
    {"PSTATE.IL", nothing, 0, 1 << 20, 0, 0},
    {"FP", fp, 0, 0, 0, 0},
};
static const u64 kModes[] = {EL0, EL1T, EL1H, EL2T, EL2H};
static const char* const kModeNames[] = {"EL0 ", "EL1t ", "EL1h ", "EL2t ", "EL2h "};
static u64 stack_top[8] __attribute__((aligned(16)));

static int level(u64 mode) { return (int)(mode >> 2); }

// HCR_EL2 of the harness must have the E2H of the tests while EL2 is the source.
static void hcr_name(u64 hcr) {
  print(hcr & HCR_E2H ? "E2H " : "");
  print(hcr & HCR_TGE ? "TGE " : "");
  print(hcr & HCR_AMO ? "AMO " : "");
  print(hcr & HCR_IMO ? "IMO " : "");
  print(hcr & HCR_FMO ? "FMO " : "");
}

static void report_at(const char* name, u64 hcr, int mode) {
  hcr_name(hcr);
  print(kModeNames[mode]);
  print(name);
  print(": ");
  print_outcome();
  if (outcome.el == 2 && ctx.daif != MASKED) print(" DAIF is not all set");
  if (outcome.el == 2 && has_pan && ctx.pan != 0) print(" PAN");
  print("\n");
}

static void causes(u64 hcr) {
  for (u64 c = 0; c < sizeof kCauses / sizeof kCauses[0]; ++c) {
    const struct Cause* cause = &kCauses[c];
    for (int m = 0; m < 5; ++m) {
      if (level(kModes[m]) < cause->lowest) continue;
      // FP: what CPACR_EL1 and CPTR_EL2 say is in traps.c; here EL1 refuses.
      SET_EL1(CPACR_EL1, cause->code == fp ? 0 : 3ul << 20);
      int aligned = cause->code != load || (cause->x0 & 3) == 0;
      SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE | (aligned ? 0 : SCTLR_A));
      msr(sctlr_el2, SCTLR_EL2_NOW | (aligned ? 0 : SCTLR_A));
      ctx.x[0] = cause->x0;
      ctx.sp = (u64)&stack_top[4];
      enter(kModes[m] | MASKED | cause->spsr | 0xa0000000, (u64)cause->code, hcr | cause->hcr);
      report_at(cause->name, hcr, m);
    }
  }
  SET_EL1(CPACR_EL1, 3ul << 20);
  SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE);
  msr(sctlr_el2, SCTLR_EL2_NOW);
}

// --- interrupts --------------------------------------------------------------------------------

enum { IRQ = 1, FIQ = 2, VI = 4, VF = 8, VSE = 16 };
struct Pending {
  const char* name;
  int what;
};
static const struct Pending kPending[] = {
    {"IRQ", IRQ},
    {"FIQ", FIQ},
    {"VI", VI},
    {"VF", VF},

    {"VSE", VSE},
    {"VI and IRQ", VI | IRQ},
    {"VI and FIQ", VI | FIQ},
    {"VSE and VI", VSE | VI},
};

static void interrupts(u64 hcr) {
  for (u64 p = 0; p < sizeof kPending / sizeof kPending[0]; ++p) {
    int what = kPending[p].what;
    u64 bits = (what & VI ? HCR_VI : 0) | (what & VF ? HCR_VF : 0) | (what & VSE ? HCR_VSE : 0);
    for (int m = 0; m < 5; ++m) {
      for (int masked = 0; masked < 2; ++masked) {
        if (what & IRQ) send_sgi(1);
        if (what & FIQ) send_sgi_fiq(5);
        ctx.sp = 0;
        enter(kModes[m] | (masked ? MASKED : 0x200), (u64)nothing, hcr | bits);
        print(masked ? "masked " : "");
        print(ctx.hcr & HCR_VSE ? "VSE stays " : "");
        report_at(kPending[p].name, hcr, m);
        clear_sgis();
      }
    }
  }
  // A masked virtual SError holds nothing up.
  if ((hcr & HCR_TGE) == 0) {
    enter(EL1H | MASKED, (u64)counted, hcr | HCR_VSE);
    report_at("a loop, VSE", hcr, 2);
  }
  // Taken where it is unmasked, and not before.
  for (int m = 1; m < 3; ++m) {
    send_sgi(1);
    enter(kModes[m] | MASKED, (u64)unmask, hcr | HCR_VI);
    report_at("DAIFClr, VI and IRQ", hcr, m);
    clear_sgis();
  }
}

// --- exception returns -------------------------------------------------------------------------

static const u64 kReturns[] = {
    0,  1,  2,  3,    4,    5,    6,    7,    8,    9,         10,       11,         12,
    13, 14, 15, 0x12, 0x13, 0x16, 0x1a, 0x1b, 0x1f, 0x3c0 | 9, 0x100005, 0x60000005, 0x300009};
SNIPPET(eret_at_el1, "msr spsr_el1, x0\n msr elr_el1, x1\n isb\n eret");
SNIPPET(eret_at_el2, "msr spsr_el2, x0\n msr elr_el2, x1\n isb\n eret");

static void returns(u64 hcr) {
  for (u64 i = 0; i < sizeof kReturns / sizeof kReturns[0]; ++i) {
    for (int el = 1; el < 3; ++el) {
      if (el == 1 && (hcr & HCR_TGE)) continue;
      ctx.x[0] = kReturns[i];
      ctx.x[1] = (u64)nothing;
      ctx.sp = 0;
      enter((el == 1 ? EL1H : EL2H) | MASKED, (u64)(el == 1 ? eret_at_el1 : eret_at_el2), hcr);
      hcr_name(hcr);
      print(el == 1 ? "ERET at EL1" : "ERET at EL2");
      print_hex(kReturns[i]);
      code_start = (u64)nothing;
      report("");
    }
  }
}

static void one(u64 hcr) {
  causes(hcr);
  interrupts(hcr);
  interrupts(hcr | HCR_IMO | HCR_FMO | HCR_AMO);
  returns(hcr);
}

void test(void) {
  gic_init();
  section("E2H 0, TGE 0");
  one(HCR_RW);
  interrupts(HCR_RW | HCR_IMO);
  interrupts(HCR_RW | HCR_FMO);
  section("E2H 0, TGE 1");
  one(HCR_RW | HCR_TGE);
  if (!has_vhe) return;
  set_e2h(1);
  msr(sctlr_el2, SCTLR_EL2_HOST);
  section("E2H 1, TGE 0");
  one(HCR_RW | HCR_E2H);
  section("E2H 1, TGE 1");
  one(HCR_RW | HCR_E2H | HCR_TGE);
  section("SPAN 0");
  for (int m = 0; m < 5; ++m) {
    for (int pan = 0; pan < 2; ++pan) {
      for (int tge = 0; tge < 2; ++tge) {
        u64 hcr = HCR_RW | HCR_E2H | (tge ? HCR_TGE : 0);
        if (tge && level(kModes[m]) == 1) continue;
        msr(sctlr_el2, SCTLR_EL2_HOST & ~(u64)SCTLR_SPAN);
        SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE & ~(u64)SCTLR_SPAN);
        ctx.sp = 0;
        enter(kModes[m] | MASKED | (pan ? 1ul << 22 : 0), (u64)udf, hcr);
        report_at(pan ? "PAN" : "no PAN", hcr, m);
      }
    }
  }
}
