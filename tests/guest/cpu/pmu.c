// The PMU: what counts at which level, overflow and its interrupt, EL0's access. On QEMU with
// -icount shift=0, where a cycle is an instruction, too.
#include "guest.h"

#define GICD 0x08000000ul
#define GICR 0x080a0000ul
#define SGI_BASE (GICR + 0x10000)
enum { PMU = 23 };  // PPI 7

enum { E = 1, P = 2, C = 4, LC = 0x40 };
#define NOT_EL1 (1ul << 31)
#define NOT_EL0 (1ul << 30)
#define CYCLES (1ul << 31)
enum { SW_INCR = 0, INST_RETIRED = 8, CPU_CYCLES = 0x11, CHAIN = 0x1e };

#define NOPS ".rept 100\n nop\n.endr"
SNIPPET(hundred, NOPS);
SNIPPET(count_cycles, "mrs x0, pmccntr_el0\n" NOPS "\n mrs x1, pmccntr_el0\n sub x0, x1, x0");
SNIPPET(count_event, "mrs x0, pmevcntr2_el0\n" NOPS "\n mrs x1, pmevcntr2_el0\n sub x0, x1, x0");
SNIPPET(count_loop,
        "mrs x0, pmccntr_el0\n mov x2, #1000\n 1: subs x2, x2, #1\n b.ne 1b\n"
        " mrs x1, pmccntr_el0\n sub x0, x1, x0");
SNIPPET(endless, "1: add x0, x0, #1\n b 1b");
SNIPPET(read_cycles, "mrs x0, pmccntr_el0");
SNIPPET(write_cycles, "msr pmccntr_el0, x0");
SNIPPET(read_event, "mrs x0, pmevcntr0_el0");
SNIPPET(write_event, "msr pmevcntr0_el0, x0");
SNIPPET(read_selected, "mrs x0, pmxevcntr_el0");
SNIPPET(read_selection, "mrs x0, pmselr_el0");
SNIPPET(write_selection, "msr pmselr_el0, x0");
SNIPPET(increment, "msr pmswinc_el0, x0");
SNIPPET(read_control, "mrs x0, pmcr_el0");
SNIPPET(read_type, "mrs x0, pmevtyper0_el0");
SNIPPET(read_events, "mrs x0, pmceid0_el0");
SNIPPET(read_overflow, "mrs x0, pmovsclr_el0");
SNIPPET(set_overflow, "msr pmovsset_el0, x0");
SNIPPET(read_user, "mrs x0, pmuserenr_el0");
SNIPPET(write_user, "msr pmuserenr_el0, x0");
SNIPPET(read_interrupts, "mrs x0, pmintenset_el1");

static void quiet(void) {
  msr(pmcr_el0, P | C | LC);
  msr(pmcntenclr_el0, ~0ul);
  msr(pmintenclr_el1, ~0ul);
  msr(pmovsclr_el0, ~0ul);
  msr(pmccfiltr_el0, 0);
  msr(pmuserenr_el0, 0);
  for (u64 i = 0; i < 6; ++i) {
    msr(pmselr_el0, i);
    msr(pmxevtyper_el0, 0);
  }
}

static void registers(void) {
  quiet();
  check("PMUVer", mrs(id_aa64dfr0_el1) >> 8 & 15 ? 1 : 0, 1);
  check("PMCR.N", mrs(pmcr_el0) >> 11 & 31, 6);
  check("PMCR.LC, E", mrs(pmcr_el0) & (LC | E), LC);
  const u64 needed = 1ul << SW_INCR | 1ul << INST_RETIRED | 1ul << CPU_CYCLES;
  check("PMCEID0", mrs(pmceid0_el0) & needed, needed);
  msr(pmcntenset_el0, CYCLES | 0x25);
  msr(pmcntenclr_el0, 0x4);
  check("PMCNTENSET", mrs(pmcntenset_el0), CYCLES | 0x21);
  check("PMCNTENCLR", mrs(pmcntenclr_el0), CYCLES | 0x21);
  msr(pmintenset_el1, CYCLES | 0x3);
  msr(pmintenclr_el1, CYCLES | 0x1);
  check("PMINTENSET", mrs(pmintenset_el1), 0x2);
  check("PMINTENCLR", mrs(pmintenclr_el1), 0x2);
  msr(pmovsset_el0, 0x30);
  msr(pmovsclr_el0, 0x10);
  check("PMOVSSET", mrs(pmovsset_el0), 0x20);
  check("PMOVSCLR", mrs(pmovsclr_el0), 0x20);
  msr(pmselr_el0, 3);
  msr(pmxevtyper_el0, NOT_EL0 | INST_RETIRED);
  msr(pmxevcntr_el0, 0x1234);
  check("PMEVTYPER3", mrs(pmevtyper3_el0), NOT_EL0 | INST_RETIRED);
  check("PMEVCNTR3", mrs(pmevcntr3_el0), 0x1234);
  msr(pmselr_el0, 31);
  msr(pmxevtyper_el0, NOT_EL1);
  check("PMCCFILTR by PMXEVTYPER", mrs(pmccfiltr_el0), NOT_EL1);
  msr(pmccntr_el0, 0x123456789abcdef0);
  check("PMCCNTR", mrs(pmccntr_el0), 0x123456789abcdef0);
  msr(pmcr_el0, C | LC);
  check("PMCR.C", mrs(pmccntr_el0), 0);
  check("PMCR.C: not the others", mrs(pmevcntr3_el0), 0x1234);
  msr(pmcr_el0, P | LC);
  check("PMCR.P", mrs(pmevcntr3_el0), 0);
}

static u64 counted(u64 mode, const void* code) {
  ctx.x[0] = 0;
  run_at(mode, code);
  check_done("counting");
  return ctx.x[0];
}

static void counting(void) {
  quiet();
  check("off: cycles", counted(EL1H, count_cycles), 0);
  msr(pmcntenset_el0, CYCLES | 0x4);
  msr(pmevtyper2_el0, INST_RETIRED);
  check("PMCR.E = 0: cycles", counted(EL1H, count_cycles), 0);
  msr(pmuserenr_el0, 1);
  msr(pmcr_el0, E | LC);
  check("cycles at EL1", counted(EL1H, count_cycles), 101);
  check("cycles at EL0", counted(EL0, count_cycles), 101);
  check("a loop", counted(EL1H, count_loop), 2002);
  check("instructions at EL1", counted(EL1H, count_event), 101);
  check("instructions at EL0", counted(EL0, count_event), 101);
  msr(pmccfiltr_el0, NOT_EL1);
  msr(pmevtyper2_el0, NOT_EL1 | INST_RETIRED);
  check("cycles, not EL1's, at EL1", counted(EL1H, count_cycles), 0);
  check("cycles, not EL1's, at EL0", counted(EL0, count_cycles), 101);
  check("instructions, not EL1's, at EL1", counted(EL1H, count_event), 0);
  check("instructions, not EL1's, at EL0", counted(EL0, count_event), 101);
  msr(pmccntr_el0, 0);
  msr(pmevcntr2_el0, 0);
  run_at(EL0, hundred);
  run_at(EL0, hundred);
  // NOPs; whether SVC counts, which is not retired, is no matter here.
  check("EL0 alone: cycles", mrs(pmccntr_el0) / 100, 2);
  check("EL0 alone: instructions", mrs(pmevcntr2_el0) / 100, 2);
  msr(pmccfiltr_el0, NOT_EL0);
  msr(pmevtyper2_el0, NOT_EL0 | INST_RETIRED);
  check("cycles, not EL0's, at EL0", counted(EL0, count_cycles), 0);
  check("instructions, not EL0's, at EL0", counted(EL0, count_event), 0);
  check("instructions, not EL0's, at EL1", counted(EL1H, count_event), 101);
  msr(pmcntenclr_el0, 0x4);
  check("PMCNTENCLR stops it", counted(EL1H, count_event), 0);
  // Software increments, and their chain.
  msr(pmevtyper4_el0, SW_INCR);
  msr(pmevtyper5_el0, SW_INCR);
  msr(pmevcntr4_el0, 0);
  msr(pmevcntr5_el0, 0);
  msr(pmcntenset_el0, 0x10);
  msr(pmswinc_el0, 0x3f);
  msr(pmswinc_el0, 0x10);
  msr(pmswinc_el0, 0x20);
  check("PMSWINC: enabled", mrs(pmevcntr4_el0), 2);
  check("PMSWINC: not enabled", mrs(pmevcntr5_el0), 0);
  msr(pmevcntr4_el0, 0xffffffff);
  msr(pmswinc_el0, 0x10);
  check("PMSWINC: wraps", mrs(pmevcntr4_el0), 0);
  check("PMSWINC: overflow", mrs(pmovsclr_el0) & 0x10, 0x10);
  if (!on_qemu) {  // which has no CHAIN
    msr(pmevtyper5_el0, CHAIN);
    msr(pmcntenset_el0, 0x20);
    msr(pmevcntr4_el0, 0xffffffff);
    msr(pmswinc_el0, 0x10);
    msr(pmswinc_el0, 0x10);
    check("CHAIN", mrs(pmevcntr5_el0), 1);
    check("CHAIN: the even one", mrs(pmevcntr4_el0), 1);
    msr(pmevcntr5_el0, 0xffffffff);
    msr(pmevcntr4_el0, 0xffffffff);
    msr(pmovsclr_el0, ~0ul);
    msr(pmswinc_el0, 0x10);
    check("CHAIN: overflow", mrs(pmovsclr_el0), 0x30);
  }
}

// --- overflow ------------------------------------------------------------------------------------

static void start_gic(void) {
  at(u32, GICD) = 0x12;  // ARE, group 1
  at(u32, GICR + 0x14) = 0;
  while ((at(u32, GICR + 0x14) & 4) != 0) {
  }
  at(u32, SGI_BASE + 0x80) = ~0u;
  for (u32 i = 0; i < 8; ++i) at(u32, SGI_BASE + 0x400 + i * 4) = 0x80808080;
  at(u32, SGI_BASE + 0x100) = 1u << PMU;
  msr(s3_0_c12_c12_5, 7);
  msr(s3_0_c4_c6_0, 0xf8);
  msr(s3_0_c12_c12_7, 1);
}

// Runs an endless loop with interrupts unmasked. The interrupt's number, or 1023.
static u64 run_to_interrupt(u64 mode, const void* code) {
  ctx.x[0] = 0;
  ctx.pc = (u64)code;
  ctx.spsr = mode | (MASKED & ~0x80ul);
  run(&ctx);
  if ((ctx.vector & 0x180) != 0x080) return 1023;
  const u64 taken = mrs(s3_0_c12_c12_0);
  msr(pmovsclr_el0, ~0ul);
  msr(s3_0_c12_c12_1, taken);
  return taken;
}

static void overflow(void) {
  start_gic();
  // QEMU 7.2 raises none while such a loop runs.
  for (u64 mode = EL0; mode <= EL1H && !on_qemu; mode += EL1H) {
    quiet();
    msr(pmccfiltr_el0, mode == EL0 ? NOT_EL1 : NOT_EL0);
    msr(pmcntenset_el0, CYCLES);
    msr(pmintenset_el1, CYCLES);
    msr(pmccntr_el0, -10000ul);
    msr(pmcr_el0, E | LC);
    check_in("cycles: interrupt", "mode", mode, run_to_interrupt(mode, endless), PMU);
    const u64 loops = ctx.x[0];
    msr(pmcr_el0, LC);
    // Two instructions a turn; a few of the harness count before and after it at EL1.
    check_in("cycles: turns", "mode", mode, loops >= 4900 && loops <= 5000, 1);

    quiet();
    msr(pmevtyper1_el0, (mode == EL0 ? NOT_EL1 : NOT_EL0) | INST_RETIRED);
    msr(pmcntenset_el0, 2);
    msr(pmintenset_el1, 2);
    msr(pmevcntr1_el0, -3000ul & 0xffffffff);
    msr(pmcr_el0, E | LC);
    check_in("instructions: interrupt", "mode", mode, run_to_interrupt(mode, endless), PMU);
    const u64 turns = ctx.x[0];
    msr(pmcr_el0, LC);
    check_in("instructions: turns", "mode", mode, turns >= 1400 && turns <= 1500, 1);
  }
  // At EL0 nothing but the loop counts: the exception is taken after exactly so many.
  if (!on_qemu) {
    for (u64 n = 1; n < 200; ++n) {
      quiet();
      msr(pmccfiltr_el0, NOT_EL1);
      msr(pmcntenset_el0, CYCLES);
      msr(pmintenset_el1, CYCLES);
      msr(pmccntr_el0, -n);
      msr(pmcr_el0, E | LC);
      check_in("exact", "count", n, run_to_interrupt(EL0, endless), PMU);
      msr(pmcr_el0, LC);
      check_in("exact: turns", "count", n, ctx.x[0], (n + 1) / 2);
      check_in("exact: ELR", "count", n, ctx.pc, (u64)(endless + n % 2));
    }
  }
  // The level follows PMOVS, PMINTEN and PMCR.E.
  quiet();
  msr(pmcr_el0, E | LC);
  msr(pmovsset_el0, 2);
  check("set, not enabled", mrs(isr_el1) & 0x80, 0);
  msr(pmintenset_el1, 2);
  check("set and enabled", mrs(isr_el1) & 0x80, 0x80);
  msr(pmcr_el0, LC);
  // AArch64.CheckForPMUOverflow has PMCR.E in it; QEMU 7.2 does not look again when it changes.
  if (!on_qemu) check("PMCR.E = 0", mrs(isr_el1) & 0x80, 0);
  msr(pmcr_el0, E | LC);
  check("PMCR.E = 1", mrs(isr_el1) & 0x80, 0x80);
  msr(pmintenclr_el1, 2);
  check("PMINTENCLR", mrs(isr_el1) & 0x80, 0);
  msr(pmintenset_el1, 2);
  msr(pmovsclr_el0, 2);
  check("PMOVSCLR", mrs(isr_el1) & 0x80, 0);
  quiet();
}

// --- EL0 -----------------------------------------------------------------------------------------

static void user(void) {
  static const struct {
    const u32* code;
    const char* name;
    u64 opens;  // bits of PMUSERENR that let it through
  } rows[] = {
      {read_cycles, "PMCCNTR read", 1 | 4},     {write_cycles, "PMCCNTR write", 1},
      {read_event, "PMEVCNTR0 read", 1 | 8},    {write_event, "PMEVCNTR0 write", 1},
      {read_selected, "PMXEVCNTR read", 1 | 8}, {read_selection, "PMSELR read", 1 | 8},
      {write_selection, "PMSELR write", 1 | 8}, {increment, "PMSWINC write", 1 | 2},
      {read_control, "PMCR read", 1},           {read_type, "PMEVTYPER0 read", 1},
      {read_events, "PMCEID0 read", 1},         {read_overflow, "PMOVSCLR read", 1},
      {set_overflow, "PMOVSSET write", 1},      {read_user, "PMUSERENR read", ~0ul},
  };
  quiet();
  for (u64 i = 0; i < sizeof rows / sizeof *rows; ++i) {
    for (u64 bits = 0; bits < 16; ++bits) {
      msr(pmuserenr_el0, bits);
      ctx.x[0] = 0;
      const int open = (bits & rows[i].opens) != 0 || rows[i].opens == ~0ul;
      const int done = run_at(EL0, rows[i].code);
      check_in(rows[i].name, "PMUSERENR", bits, done, open);
      if (!open) {
        check_in(rows[i].name, "ESR with PMUSERENR", bits, ctx.esr,
                 ec_iss(0x18, sysreg_iss(*rows[i].code)));
      }
    }
  }
  msr(pmuserenr_el0, 15);
  run_at(EL0, write_user);
  check_taken("PMUSERENR write at EL0", EL0, 0x02000000, (u64)write_user);
  run_at(EL0, read_interrupts);
  check_taken("PMINTENSET at EL0", EL0, 0x02000000, (u64)read_interrupts);
  quiet();
}

void test(void) {
  mmu_on();
  registers();
  counting();
  user();
  overflow();
}
