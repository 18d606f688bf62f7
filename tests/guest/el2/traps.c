// Traps to EL2: each bit of HCR_EL2, CPTR_EL2, MDCR_EL2, CNTHCTL_EL2 and HSTR_EL2, against every
// instruction that one of them is about, from EL1 and EL0, with and without E2H. Printed is what
// each instruction does without a trap, and of each bit what it changes.
#include "el2.h"

struct Instruction {
  const char* name;
  u32 word;
  u64 x0;
};

#define READ(name, ...) \
  { "MRS " name, MRS(__VA_ARGS__), 0 }
#define BOTH(name, value, ...) \
  READ(name, __VA_ARGS__), { "MSR " name, MSR(__VA_ARGS__), value }
#define WRITE(name, value, ...) \
  { "MSR " name, MSR(__VA_ARGS__), value }
#define SYS(name, x0, ...) \
  { name, MSR(__VA_ARGS__), x0 }
#define SYS_ALL(name, ...) \
  { name, MSR(__VA_ARGS__) | 31, 0 }

static u64 line[16] __attribute__((aligned(64)));

static const struct Instruction kInstructions[] = {
    // TVM, TRVM
    BOTH("SCTLR_EL1", SCTLR_EL1_BASE, 3, 0, 1, 0, 0),
    BOTH("TTBR0_EL1", 0x40000000, 3, 0, 2, 0, 0),
    BOTH("TTBR1_EL1", 0x40000000, 3, 0, 2, 0, 1),
    BOTH("TCR_EL1", 25, 3, 0, 2, 0, 2),
    BOTH("ESR_EL1", 0, 3, 0, 5, 2, 0),
    BOTH("FAR_EL1", 0, 3, 0, 6, 0, 0),
    BOTH("AFSR0_EL1", 0, 3, 0, 5, 1, 0),
    BOTH("AFSR1_EL1", 0, 3, 0, 5, 1, 1),
    BOTH("MAIR_EL1", 0, 3, 0, 10, 2, 0),
    BOTH("AMAIR_EL1", 0, 3, 0, 10, 3, 0),
    BOTH("CONTEXTIDR_EL1", 0, 3, 0, 13, 0, 1),
    // TPM, TPMCR
    BOTH("PMCR_EL0", 0x40, 3, 3, 9, 12, 0),
    BOTH("PMCNTENSET_EL0", 0, 3, 3, 9, 12, 1),
    BOTH("PMOVSCLR_EL0", 0, 3, 3, 9, 12, 3),
    WRITE("PMSWINC_EL0", 0, 3, 3, 9, 12, 4),
    BOTH("PMSELR_EL0", 0, 3, 3, 9, 12, 5),
    READ("PMCEID0_EL0", 3, 3, 9, 12, 6),
    BOTH("PMCCNTR_EL0", 0, 3, 3, 9, 13, 0),
    BOTH("PMXEVTYPER_EL0", 0, 3, 3, 9, 13, 1),
    BOTH("PMXEVCNTR_EL0", 0, 3, 3, 9, 13, 2),
    BOTH("PMUSERENR_EL0", 0, 3, 3, 9, 14, 0),
    BOTH("PMINTENSET_EL1", 0, 3, 0, 9, 14, 1),
    BOTH("PMOVSSET_EL0", 0, 3, 3, 9, 14, 3),
    BOTH("PMEVCNTR0_EL0", 0, 3, 3, 14, 8, 0),
    BOTH("PMEVTYPER0_EL0", 0, 3, 3, 14, 12, 0),
    BOTH("PMCCFILTR_EL0", 0, 3, 3, 14, 15, 7),
    // TACR
    BOTH("ACTLR_EL1", 0, 3, 0, 1, 0, 1),
    // TID1, TID2, TID3, and VPIDR, VMPIDR which do not trap
    READ("MIDR_EL1", 3, 0, 0, 0, 0),
    READ("MPIDR_EL1", 3, 0, 0, 0, 5),
    READ("REVIDR_EL1", 3, 0, 0, 0, 6),
    READ("AIDR_EL1", 3, 1, 0, 0, 7),
    READ("CTR_EL0", 3, 3, 0, 0, 1),
    READ("DCZID_EL0", 3, 3, 0, 0, 7),
    READ("CCSIDR_EL1", 3, 1, 0, 0, 0),
    READ("CLIDR_EL1", 3, 1, 0, 0, 1),
    BOTH("CSSELR_EL1", 0, 3, 2, 0, 0, 0),
    READ("ID_AA64PFR0_EL1", 3, 0, 0, 4, 0),
    READ("ID_AA64PFR1_EL1", 3, 0, 0, 4, 1),
    READ("ID_AA64DFR0_EL1", 3, 0, 0, 5, 0),
    READ("ID_AA64DFR1_EL1", 3, 0, 0, 5, 1),
    READ("ID_AA64AFR0_EL1", 3, 0, 0, 5, 4),
    READ("ID_AA64ISAR0_EL1", 3, 0, 0, 6, 0),
    READ("ID_AA64ISAR1_EL1", 3, 0, 0, 6, 1),
    READ("ID_AA64MMFR0_EL1", 3, 0, 0, 7, 0),
    READ("ID_AA64MMFR1_EL1", 3, 0, 0, 7, 1),
    READ("ID_AA64MMFR2_EL1", 3, 0, 0, 7, 2),
    READ("ID_PFR0_EL1", 3, 0, 0, 1, 0),
    READ("ID_ISAR0_EL1", 3, 0, 0, 2, 0),
    READ("ID_MMFR0_EL1", 3, 0, 0, 1, 4),
    // FPEN, TFP, TCPAC, TTA
    BOTH("CPACR_EL1", 3 << 20, 3, 0, 1, 0, 2),
    READ("FPCR", 3, 3, 4, 4, 0),
    {"FMOV D0, XZR", 0x9e6703e0, 0},
    {"LDR Q0, [X0]", 0x3dc00000, (u64)line},
    // TDA, TDRA, TDOSA, TDE
    BOTH("MDSCR_EL1", 0, 2, 0, 0, 2, 2),
    BOTH("MDCCINT_EL1", 0, 2, 0, 0, 2, 0),
    BOTH("DBGBVR0_EL1", 0, 2, 0, 0, 0, 4),
    BOTH("DBGBCR0_EL1", 0, 2, 0, 0, 0, 5),
    BOTH("DBGWVR0_EL1", 0, 2, 0, 0, 0, 6),
    BOTH("DBGWCR0_EL1", 0, 2, 0, 0, 0, 7),
    READ("MDCCSR_EL0", 2, 3, 0, 1, 0),
    READ("MDRAR_EL1", 2, 0, 1, 0, 0),
    WRITE("OSLAR_EL1", 0, 2, 0, 1, 0, 4),
    READ("OSLSR_EL1", 2, 0, 1, 1, 4),
    BOTH("OSDLR_EL1", 0, 2, 0, 1, 3, 4),
    {"BRK #1", 0xd4200020, 0},
    // counters and timers
    READ("CNTFRQ_EL0", 3, 3, 14, 0, 0),
    READ("CNTPCT_EL0", 3, 3, 14, 0, 1),
    READ("CNTVCT_EL0", 3, 3, 14, 0, 2),
    BOTH("CNTP_CTL_EL0", 0, 3, 3, 14, 2, 1),
    BOTH("CNTP_CVAL_EL0", 0, 3, 3, 14, 2, 2),
    BOTH("CNTP_TVAL_EL0", 0, 3, 3, 14, 2, 0),
    BOTH("CNTV_CTL_EL0", 0, 3, 3, 14, 3, 1),
    BOTH("CNTV_CVAL_EL0", 0, 3, 3, 14, 3, 2),
    BOTH("CNTV_TVAL_EL0", 0, 3, 3, 14, 3, 0),
    BOTH("CNTKCTL_EL1", 0, 3, 0, 14, 1, 0),
    // TSW, TPC, TPU, TTLB, TDZ
    SYS("DC ISW", 0, 1, 0, 7, 6, 2),
    SYS("DC CSW", 0, 1, 0, 7, 10, 2),
    SYS("DC CISW", 0, 1, 0, 7, 14, 2),
    SYS("DC IVAC", (u64)line, 1, 0, 7, 6, 1),
    SYS("DC CVAC", (u64)line, 1, 3, 7, 10, 1),
    SYS("DC CIVAC", (u64)line, 1, 3, 7, 14, 1),
    SYS("DC CVAU", (u64)line, 1, 3, 7, 11, 1),
    SYS("IC IVAU", (u64)line, 1, 3, 7, 5, 1),
    SYS_ALL("IC IALLU", 1, 0, 7, 5, 0),
    SYS_ALL("IC IALLUIS", 1, 0, 7, 1, 0),
    SYS_ALL("TLBI VMALLE1", 1, 0, 8, 7, 0),
    SYS_ALL("TLBI VMALLE1IS", 1, 0, 8, 3, 0),
    SYS("TLBI VAE1", 0, 1, 0, 8, 7, 1),
    SYS("TLBI ASIDE1", 0, 1, 0, 8, 7, 2),
    SYS("TLBI VAAE1IS", 0, 1, 0, 8, 3, 3),
    SYS("TLBI VALE1", 0, 1, 0, 8, 7, 5),
    SYS("TLBI VAALE1IS", 0, 1, 0, 8, 3, 7),
    SYS("AT S1E1R", (u64)line, 1, 0, 7, 8, 0),
    SYS("AT S1E0W", (u64)line, 1, 0, 7, 8, 3),
    READ("PAR_EL1", 3, 0, 7, 4, 0),
    // of EL2: UNDEFINED below it
    READ("HCR_EL2", 3, 4, 1, 1, 0),
    READ("VBAR_EL2", 3, 4, 12, 0, 0),
    READ("SP_EL1", 3, 4, 4, 1, 0),
    READ("CNTHCTL_EL2", 3, 4, 14, 1, 0),
    READ("ICH_VTR_EL2", 3, 4, 12, 11, 1),
    READ("ICC_SRE_EL2", 3, 4, 12, 9, 5),
    READ("SCTLR_EL12", 3, 5, 1, 0, 0),
    READ("CNTV_CTL_EL02", 3, 5, 14, 3, 1),
    SYS_ALL("TLBI ALLE1", 1, 4, 8, 7, 4),
    SYS("TLBI VAE2IS", 0, 1, 4, 8, 3, 1),
    SYS("TLBI IPAS2E1IS", 0, 1, 4, 8, 0, 1),
    SYS_ALL("TLBI VMALLS12E1", 1, 4, 8, 7, 6),
    SYS("AT S12E1R", 0, 1, 4, 7, 8, 4),
    SYS("AT S1E2R", 0, 1, 4, 7, 8, 0),
    // others
    READ("VBAR_EL1", 3, 0, 12, 0, 0),
    READ("TPIDR_EL1", 3, 0, 13, 0, 4),
    READ("TPIDR_EL0", 3, 3, 13, 0, 2),
    READ("DAIF", 3, 3, 4, 2, 1),
    READ("CurrentEL", 3, 0, 4, 2, 2),
    READ("ICC_CTLR_EL1", 3, 0, 12, 12, 4),
    READ("ICC_IGRPEN1_EL1", 3, 0, 12, 12, 7),
    READ("ICC_IGRPEN0_EL1", 3, 0, 12, 12, 6),
    READ("ICC_PMR_EL1", 3, 0, 4, 6, 0),
    READ("ICC_SRE_EL1", 3, 0, 12, 12, 5),
    WRITE("ICC_SGI1R_EL1", 0x10000000000, 3, 0, 12, 11, 5),
    {"MSR DAIFSET, #15", 0xd5034fdf, 0},
    {"SVC #5", 0xd40000a1, 0},
    {"HVC #5", 0xd40000a2, 0},
    {"SMC #5", 0xd40000a3, 0x84000000},  // PSCI_VERSION
    {"ERET", 0xd69f03e0, 0},
    {"UDF", 0x00000000, 0},
};
enum { kCount = sizeof kInstructions / sizeof kInstructions[0] };

struct Result {
  u64 done, el, vector, esr;
};
enum { FROM_EL1, FROM_EL0, FROM_EL0_TGE, SOURCES };
static const char* const kSources[] = {"EL1 ", "EL0 ", "EL0 TGE "};
static struct Result baseline[SOURCES][kCount];

static void set_el1(void) {
  SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE);
  SET_EL1(CNTKCTL_EL1, 0x303);  // EL0 may use counters and timers
  SET_EL1(CPACR_EL1, 3ul << 20);
  msr(csselr_el1, 0);
  msr(mdscr_el1, 0);
  SET_EL1(ELR_EL1, 0);
  SET_EL1(SPSR_EL1, 0x3df);  // an illegal return, so that ERET at EL1 stays where it is
  asm volatile("msr oslar_el1, xzr");
}

static struct Result one(int source, const struct Instruction* i, u64 hcr) {
  set_el1();
  run_word(source == FROM_EL1 ? EL1H : EL0, i->word, i->x0,
           hcr | (source == FROM_EL0_TGE ? HCR_TGE : 0));
  return (struct Result){(u64)outcome.done, outcome.el, outcome.vector, outcome.esr};
}
static void line_of(int source, const struct Instruction* i) {
  print(kSources[source]);
  report_bare(i->name);
}

// Everything, or what `hcr` and the controls change.
static void all(u64 hcr, int is_baseline) {
  for (int source = 0; source < SOURCES; ++source) {
    for (int i = 0; i < kCount; ++i) {
      struct Result r = one(source, &kInstructions[i], hcr), *b = &baseline[source][i];
      if (is_baseline) {
        *b = r;
      } else if (r.done == b->done && r.el == b->el && r.vector == b->vector && r.esr == b->esr) {
        continue;
      }
      line_of(source, &kInstructions[i]);
    }
  }
}

struct Control {
  const char* name;
  u64 value;
};

static const struct Control kHcr[] = {
    {"HCR_EL2.SWIO", HCR_SWIO},
    {"HCR_EL2.PTW", HCR_PTW},
    {"HCR_EL2.FMO", HCR_FMO},
    {"HCR_EL2.IMO", HCR_IMO},
    {"HCR_EL2.AMO", HCR_AMO},
    {"HCR_EL2.FB", BIT(9)},
    {"HCR_EL2.BSU", BIT(10)},
    {"HCR_EL2.DC", HCR_DC},
    {"HCR_EL2.TWI", HCR_TWI},
    {"HCR_EL2.TWE", HCR_TWE},
    {"HCR_EL2.TID0", BIT(15)},
    {"HCR_EL2.TID1", BIT(16)},
    {"HCR_EL2.TID2", BIT(17)},
    {"HCR_EL2.TID3", BIT(18)},
    {"HCR_EL2.TSC", HCR_TSC},
    {"HCR_EL2.TIDCP", BIT(20)},
    {"HCR_EL2.TACR", BIT(21)},
    {"HCR_EL2.TSW", BIT(22)},
    {"HCR_EL2.TPCP", BIT(23)},
    {"HCR_EL2.TPU", BIT(24)},
    {"HCR_EL2.TTLB", BIT(25)},
    {"HCR_EL2.TVM", BIT(26)},
    {"HCR_EL2.TDZ", BIT(28)},
    {"HCR_EL2.TRVM", HCR_TRVM},
    {"HCR_EL2.CD", HCR_CD},
    {"HCR_EL2.ID", HCR_ID},
    {"HCR_EL2.VM", HCR_VM},
    {"HCR_EL2.IMO, FMO", HCR_IMO | HCR_FMO},
    {"HCR_EL2.TVM, TRVM", BIT(26) | HCR_TRVM},
};

static void hcr_bits(u64 e2h) {
  for (u64 i = 0; i < sizeof kHcr / sizeof kHcr[0]; ++i) {
    section(kHcr[i].name);
    all(HCR_RW | e2h | kHcr[i].value, 0);
  }
  section("HCR_EL2.HCD, TSC");
  SET_EL1(VBAR_EL1, (u64)el1_vectors_smc);
  static const struct Instruction kCalls[] = {
      {"HVC #5", 0xd40000a2, 0}, {"SMC #5", 0xd40000a3, 0}, {"UDF", 0, 0}};
  for (int i = 0; i < 3; ++i) {
    one(FROM_EL1, &kCalls[i], HCR_RW | e2h | HCR_HCD | HCR_TSC);
    line_of(FROM_EL1, &kCalls[i]);
  }
  SET_EL1(VBAR_EL1, (u64)el1_vectors);
}

struct Register {
  const char* name;
  u64 value;
};
static const struct Register kCptr[] = {{"CPTR_EL2.TFP", 0x33ff | 1 << 10},
                                        {"CPTR_EL2.TTA", 0x33ff | 1 << 20},
                                        {"CPTR_EL2.TCPAC", 0x33ff | BIT(31)}};
static const struct Register kCptrE2h[] = {{"CPTR_EL2.FPEN 0", 0},
                                           {"CPTR_EL2.FPEN 1", 1 << 20},
                                           {"CPTR_EL2.FPEN 2", 2 << 20},
                                           {"CPTR_EL2.TTA", 3 << 20 | 1 << 28},
                                           {"CPTR_EL2.TCPAC", 3 << 20 | BIT(31)}};
static const struct Register kMdcr[] = {
    {"MDCR_EL2.TPMCR", 6 | 1 << 5}, {"MDCR_EL2.TPM", 6 | 1 << 6}, {"MDCR_EL2.TDE", 1 << 8},
    {"MDCR_EL2.TDA", 1 << 9},       {"MDCR_EL2.TDOSA", 1 << 10},  {"MDCR_EL2.TDRA", 1 << 11},
    {"MDCR_EL2.TDE, TDA", 3 << 8}};
static const struct Register kCnthctl[] = {
    {"CNTHCTL_EL2 = 0", 0}, {"CNTHCTL_EL2.EL1PCTEN", 1}, {"CNTHCTL_EL2.EL1PCEN", 2}};
static const struct Register kCnthctlE2h[] = {
    {"E2H: CNTHCTL_EL2 = 0", 0},         {"E2H: CNTHCTL_EL2.EL0PCTEN", 1},
    {"E2H: CNTHCTL_EL2.EL0VCTEN", 2},    {"E2H: CNTHCTL_EL2.EL0VTEN", 0x100},
    {"E2H: CNTHCTL_EL2.EL0PTEN", 0x200}, {"E2H: CNTHCTL_EL2.EL1PCTEN", 0x400},
    {"E2H: CNTHCTL_EL2.EL1PTEN", 0x800}};
static const struct Register kHstr[] = {{"HSTR_EL2", 0xffff}};

#define EACH(rows, register, e2h)                            \
  for (u64 i = 0; i < sizeof(rows) / sizeof(rows)[0]; ++i) { \
    section((rows)[i].name);                                 \
    msr(register, (rows)[i].value);                          \
    all(HCR_RW | (e2h), 0);                                  \
    trap_defaults();                                         \
  }

// WFI traps only where it would wait (D1.16.2): with an interrupt pending it does not. TWE is not
// here: QEMU does not know it.
static void waits(u64 e2h) {
  static const struct Control kWith[] = {{"TWI", HCR_TWI}, {"", 0}};
  for (int pending = 0; pending < 2; ++pending) {
    section(pending ? "WFI, an interrupt pending" : "WFI");
    if (pending) send_sgi(1);
    for (int n = 0; n < 2; ++n) {
      for (int tge = 0; tge < 2; ++tge) {
        for (int ntwi = 0; ntwi < 2; ++ntwi) {
          for (int el = tge ? 0 : 1; el >= 0; --el) {
            // Leave out what would wait for ever.
            int traps = kWith[n].value != 0 || (el == 0 && !ntwi);
            if (tge && e2h != 0) traps = !ntwi;
            if (!pending && !traps) continue;
            SET_EL1(SCTLR_EL1, ntwi ? SCTLR_EL1_BASE : SCTLR_EL1_BASE & ~(u64)SCTLR_NTWI);
            msr(sctlr_el2, ntwi ? SCTLR_EL2_BASE : SCTLR_EL2_BASE & ~(u64)SCTLR_NTWI);
            run_word(el != 0 ? EL1H : EL0, 0xd503207f, 0,
                     HCR_RW | e2h | kWith[n].value | (tge ? HCR_TGE : 0));
            print(el != 0 ? "EL1" : "EL0");
            print(tge ? " TGE" : "");
            print(ntwi ? " nTWI " : " ");
            report_bare(kWith[n].name);
          }
        }
      }
    }
    clear_sgis();
  }
  msr(sctlr_el2, SCTLR_EL2_BASE);
  SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE);
}

// DC ZVA needs memory that is not Device: by HCR_EL2.DC.
static void zero_block(u64 e2h) {
  static const struct Instruction kZva = {"DC ZVA", MSR(1, 3, 7, 4, 1), (u64)line};
  section("DC ZVA");
  for (int tdz = 0; tdz < 2; ++tdz) {
    for (int source = 0; source < SOURCES; ++source) {
      if (source == FROM_EL0_TGE && e2h != 0) continue;
      one(source, &kZva, HCR_RW | e2h | HCR_DC | (tdz ? BIT(28) : 0));
      print(tdz ? "TDZ " : "");
      line_of(source, &kZva);
    }
  }
}

static void layout(int e2h) {
  u64 bit = e2h ? HCR_E2H : 0;
  set_e2h(e2h);
  stage2_identity();
  section(e2h ? "E2H: no trap" : "no trap");
  all(HCR_RW | bit, 1);
  hcr_bits(bit);
  waits(bit);
  zero_block(bit);
  if (e2h) {
    EACH(kCptrE2h, cptr_el2, bit);
    EACH(kCnthctlE2h, cnthctl_el2, bit);
  } else {
    EACH(kCptr, cptr_el2, bit);
    EACH(kCnthctl, cnthctl_el2, bit);
  }
  EACH(kMdcr, mdcr_el2, bit);
  EACH(kHstr, hstr_el2, bit);
}

void test(void) {
  gic_init();
  layout(0);
  if (has_vhe) layout(1);
}
