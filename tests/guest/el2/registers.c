// Every register of EL2 that Linux's KVM and Xen name (a scan of Debian's binaries for MRS and MSR
// with op1 4 and 5), and can reach: none may be UNDEFINED. Which names mean which register, with
// and without E2H. What EL1 sees of VPIDR_EL2 and VMPIDR_EL2.
//
// Not here is what stands behind a feature that neither this CPU nor the oracle shows (HFG*, ZCR,
// SMCR, TRFCR, TCR2, PIR, POR, VNCR, HCRX, MTE, SPE), that only the oracle has (VSESR, VDISR: RAS),
// and what is for an EL1 with AArch32 (DACR32, IFSR32, FPEXC32, DBGVCR32).
#include "el2.h"

struct Register {
  const char* name;
  u32 encoding;
  u64 write;  // a value to write, that a read then shows in the bits of `mask`
  u64 mask;   // 0: only that it can be read and written; ~0ul with write ~0ul: the bits that are
              // there
};
#define R(name, op1, crn, crm, op2, ...) \
  { name, SYSREG(3, op1, crn, crm, op2), __VA_ARGS__ }
#define READ_ONLY_REGISTER ~0ul, 0

// clang-format off
static const struct Register kEl2[] = {
    R("VPIDR_EL2", 4, 0, 0, 0, 0x12345678, 0xffffffff),
    R("VMPIDR_EL2", 4, 0, 0, 5, 0x80000103, 0xff00ffffff),
    R("SCTLR_EL2", 4, 1, 0, 0, SCTLR_EL2_BASE, 0),
    R("ACTLR_EL2", 4, 1, 0, 1, 0, 0),
    R("HCR_EL2", 4, 1, 1, 0, HCR_RW | 0x38, 0xfffffffff),
    R("MDCR_EL2", 4, 1, 1, 1, 0xf00, 0xf00),
    R("CPTR_EL2", 4, 1, 1, 2, 0x33ff, 0x80100400),
    R("HSTR_EL2", 4, 1, 1, 3, 0x8000, 0xffff),
    R("HACR_EL2", 4, 1, 1, 7, 0, 0),
    R("TTBR0_EL2", 4, 2, 0, 0, 0x41000000, 0xfffffffff),
    R("TCR_EL2", 4, 2, 0, 2, 0x80803519, 0xffffffff),
    R("VTTBR_EL2", 4, 2, 1, 0, 3ul << 48 | 0x41000000, ~0ul),
    R("VTCR_EL2", 4, 2, 1, 2, VTCR_39, 0xffffffff),
    R("SPSR_EL2", 4, 4, 0, 0, 0x3c5, 0xffffffff),
    R("ELR_EL2", 4, 4, 0, 1, 0x1234567812345678, ~0ul),
    R("SP_EL1", 4, 4, 1, 0, 0xfedcba9876543210, ~0ul),
    R("SPSR_irq", 4, 4, 3, 0, 0, 0),
    R("SPSR_abt", 4, 4, 3, 1, 0, 0),
    R("SPSR_und", 4, 4, 3, 2, 0, 0),
    R("SPSR_fiq", 4, 4, 3, 3, 0, 0),
    R("AFSR0_EL2", 4, 5, 1, 0, 0, 0),
    R("AFSR1_EL2", 4, 5, 1, 1, 0, 0),
    R("ESR_EL2", 4, 5, 2, 0, 0x5a000012, 0xffffffff),
    R("FAR_EL2", 4, 6, 0, 0, 0x123456789abcdef0, ~0ul),
    R("HPFAR_EL2", 4, 6, 0, 4, 0x12345670, 0xffffffff0),
    R("MAIR_EL2", 4, 10, 2, 0, MAIR_VALUE, ~0ul),
    R("AMAIR_EL2", 4, 10, 3, 0, 0, 0),
    R("VBAR_EL2", 4, 12, 0, 0, 0x40081800, ~0ul),
    R("RVBAR_EL2", 4, 12, 0, 1, READ_ONLY_REGISTER),
    R("ICC_SRE_EL2", 4, 12, 9, 5, 0xf, 0xf),
    R("ICH_AP0R0_EL2", 4, 12, 8, 0, 0, 0xffffffff),
    R("ICH_AP1R0_EL2", 4, 12, 9, 0, 0, 0xffffffff),
    R("ICH_HCR_EL2", 4, 12, 11, 0, 0, 0xffffffff),
    R("ICH_VTR_EL2", 4, 12, 11, 1, READ_ONLY_REGISTER),
    R("ICH_MISR_EL2", 4, 12, 11, 2, READ_ONLY_REGISTER),
    R("ICH_EISR_EL2", 4, 12, 11, 3, READ_ONLY_REGISTER),
    R("ICH_ELRSR_EL2", 4, 12, 11, 5, READ_ONLY_REGISTER),
    R("ICH_VMCR_EL2", 4, 12, 11, 7, 0, 0),
    R("ICH_LR0_EL2", 4, 12, 12, 0, 0, ~0ul),
    R("ICH_LR1_EL2", 4, 12, 12, 1, 0, ~0ul),
    R("ICH_LR2_EL2", 4, 12, 12, 2, 0, ~0ul),
    R("ICH_LR3_EL2", 4, 12, 12, 3, 0, ~0ul),
    R("TPIDR_EL2", 4, 13, 0, 2, 0, 0),
    R("CNTVOFF_EL2", 4, 14, 0, 3, 0x123456789abcdef0, ~0ul),
    R("CNTHCTL_EL2", 4, 14, 1, 0, 3, 3),
    R("CNTHP_CTL_EL2", 4, 14, 2, 1, 2, 3),
    R("CNTHP_CVAL_EL2", 4, 14, 2, 2, 0x1234567812345678, ~0ul),
    R("CNTHP_TVAL_EL2", 4, 14, 2, 0, 0, 0),
};
static const struct Register kVhe[] = {
    R("TTBR1_EL2", 4, 2, 0, 1, 0x42000000, 0xfffffffff),
    R("CONTEXTIDR_EL2", 4, 13, 0, 1, 0x1234567, 0xffffffff),
    R("CNTHV_CTL_EL2", 4, 14, 3, 1, 2, 3),
    R("CNTHV_CVAL_EL2", 4, 14, 3, 2, 0x1234567812345678, ~0ul),
    R("CNTHV_TVAL_EL2", 4, 14, 3, 0, 0, 0),
};
static const struct Register kE2h[] = {
    R("SCTLR_EL12", 5, 1, 0, 0, SCTLR_EL1_BASE, 0),
    R("CPACR_EL12", 5, 1, 0, 2, 3 << 20, 3 << 20),
    R("TTBR0_EL12", 5, 2, 0, 0, 0x41000000, ~0ul),
    R("TTBR1_EL12", 5, 2, 0, 1, 0x42000000, ~0ul),
    R("TCR_EL12", 5, 2, 0, 2, TCR_EL1_39, 0xffffffff),
    R("SPSR_EL12", 5, 4, 0, 0, 0x3c5, 0xffffffff),
    R("ELR_EL12", 5, 4, 0, 1, 0x1234567812345678, ~0ul),
    R("AFSR0_EL12", 5, 5, 1, 0, 0, 0),
    R("AFSR1_EL12", 5, 5, 1, 1, 0, 0),
    R("ESR_EL12", 5, 5, 2, 0, 0x5a000012, 0xffffffff),
    R("FAR_EL12", 5, 6, 0, 0, 0x123456789abcdef0, ~0ul),
    R("MAIR_EL12", 5, 10, 2, 0, MAIR_VALUE, ~0ul),
    R("AMAIR_EL12", 5, 10, 3, 0, 0, 0),
    R("VBAR_EL12", 5, 12, 0, 0, 0x40081800, ~0ul),
    R("CONTEXTIDR_EL12", 5, 13, 0, 1, 0x1234567, 0xffffffff),
    R("CNTKCTL_EL12", 5, 14, 1, 0, 3, 3),
    R("CNTP_CTL_EL02", 5, 14, 2, 1, 2, 3),
    R("CNTP_CVAL_EL02", 5, 14, 2, 2, 0x1234567812345678, ~0ul),
    R("CNTP_TVAL_EL02", 5, 14, 2, 0, 0, 0),
    R("CNTV_CTL_EL02", 5, 14, 3, 1, 2, 3),
    R("CNTV_CVAL_EL02", 5, 14, 3, 2, 0x1234567812345678, ~0ul),
    R("CNTV_TVAL_EL02", 5, 14, 3, 0, 0, 0),
};
// clang-format on
#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static u32 mrs_word(u32 encoding) { return 0xd5200000u | encoding; }
static u32 msr_word(u32 encoding) { return 0xd5000000u | encoding; }
static u64 read_at(u64 mode, u32 encoding, u64 hcr) {
  run_word(mode, mrs_word(encoding), 0, hcr);
  return ctx.x[0];
}

// The vectors need VBAR_EL2 and TPIDR_EL2 as they are, the return ELR_EL2 and so on: what is
// written is read back, and the old value put there again, before the snippet ends.
extern u32 probe_write[], probe_read[], probe_restore[];
SNIPPET(probe,
        ".global probe_write, probe_read, probe_restore\n"
        "mov x3, x0\n"
        "probe_save: mrs x0, tpidr_el2\n mov x2, x0\n mov x0, x3\n"
        "probe_write: msr tpidr_el2, x0\n isb\n"
        "probe_read: mrs x0, tpidr_el2\n mov x1, x0\n mov x0, x2\n"
        "probe_restore: msr tpidr_el2, x0\n isb\n");
extern u32 probe_save[];

static void patch(u32* at_word, u32 word) {
  *(volatile u32*)at_word = word;
  asm volatile("dc cvau, %0\n dsb sy\n ic ivau, %0\n dsb sy\n isb" ::"r"(at_word) : "memory");
}

static void scan(const struct Register* rows, u64 count, u64 mode, u64 hcr) {
  for (u64 i = 0; i < count; ++i) {
    const struct Register* r = &rows[i];
    run_word(mode, mrs_word(r->encoding), 0, hcr);
    print(r->name);
    print(outcome.done ? ": read" : ": not read");
    if (!outcome.done) print_hex(outcome.esr);
    if (r->write == ~0ul) {
      run_word(mode, msr_word(r->encoding), 0, hcr);
      print(outcome.done ? " written" : " not written");
    } else if (mode == EL2H && outcome.done) {
      patch(probe_save, mrs_word(r->encoding));
      patch(probe_read, mrs_word(r->encoding));
      patch(probe_write, msr_word(r->encoding));
      patch(probe_restore, msr_word(r->encoding));
      ctx.x[0] = r->write;
      run_at(mode, probe, hcr);
      print(outcome.done ? " written" : " not written");
      if (r->mask != 0) print_hex(ctx.x[1] & r->mask);
    }
    print("\n");
  }
}

// --- names under E2H -----------------------------------------------------------------------------

struct Alias {
  const char* name;
  u32 el1, el2, el12;
  u64 value;  // differs by bits that all have
};
#define A(name, crn, crm, op2, op1b, crnb, crmb, op2b, value)             \
  {                                                                       \
    name, SYSREG(3, 0, crn, crm, op2), SYSREG(3, op1b, crnb, crmb, op2b), \
        SYSREG(3, 5, crn, crm, op2), value                                \
  }
static const struct Alias kAliases[] = {
    A("CPACR", 1, 0, 2, 4, 1, 1, 2, 1ul << 20),
    A("TTBR0", 2, 0, 0, 4, 2, 0, 0, 0x1000),
    A("TTBR1", 2, 0, 1, 4, 2, 0, 1, 0x1000),
    A("TCR", 2, 0, 2, 4, 2, 0, 2, 1),
    A("SPSR", 4, 0, 0, 4, 4, 0, 0, 0x40),
    A("ELR", 4, 0, 1, 4, 4, 0, 1, 0x1000),
    A("ESR", 5, 2, 0, 4, 5, 2, 0, 1),
    A("FAR", 6, 0, 0, 4, 6, 0, 0, 0x1000),
    A("MAIR", 10, 2, 0, 4, 10, 2, 0, 0x44),
    A("VBAR", 12, 0, 0, 4, 12, 0, 0, 0x1000),
    A("CONTEXTIDR", 13, 0, 1, 4, 13, 0, 1, 5),
    A("CNTKCTL", 14, 1, 0, 4, 14, 1, 0, 1),
    {"CNTP_CTL", SYSREG(3, 3, 14, 2, 1), SYSREG(3, 4, 14, 2, 1), SYSREG(3, 5, 14, 2, 1), 2},
    {"CNTP_CVAL", SYSREG(3, 3, 14, 2, 2), SYSREG(3, 4, 14, 2, 2), SYSREG(3, 5, 14, 2, 2), 7},
    {"CNTV_CTL", SYSREG(3, 3, 14, 3, 1), SYSREG(3, 4, 14, 3, 1), SYSREG(3, 5, 14, 3, 1), 2},
    {"CNTV_CVAL", SYSREG(3, 3, 14, 3, 2), SYSREG(3, 4, 14, 3, 2), SYSREG(3, 5, 14, 3, 2), 7},
};

// Writes through each name change which of the others: a digit a name that reads differently than
// before, of EL1's name at EL1, EL1's at EL2, EL2's, EL12's.
extern u32 alias_write[], alias_undo[], alias_reads[];
SNIPPET(alias,
        "alias_old1: mrs x0, tpidr_el2\n mov x4, x0\n"
        "alias_old2: mrs x0, tpidr_el2\n mov x5, x0\n"
        "alias_old3: mrs x0, tpidr_el2\n mov x6, x0\n"
        "alias_save: mrs x0, tpidr_el2\n mov x2, x0\n eor x0, x0, x3\n"
        "alias_write: msr tpidr_el2, x0\n isb\n"
        "alias_new1: mrs x0, tpidr_el2\n eor x4, x4, x0\n"
        "alias_new2: mrs x0, tpidr_el2\n eor x5, x5, x0\n"
        "alias_new3: mrs x0, tpidr_el2\n eor x6, x6, x0\n"
        "mov x0, x2\n"
        "alias_undo: msr tpidr_el2, x0\n isb\n");
extern u32 alias_old1[], alias_old2[], alias_old3[], alias_save[], alias_new1[], alias_new2[],
    alias_new3[];

static void alias_of(const struct Alias* a, u32 written, u64 mode, u64 hcr, int has_el12) {
  u32 third = has_el12 ? a->el12 : a->el2;
  patch(alias_old1, mrs_word(a->el1));
  patch(alias_old2, mrs_word(a->el2));
  patch(alias_old3, mrs_word(third));
  patch(alias_save, mrs_word(written));
  patch(alias_write, msr_word(written));
  patch(alias_new1, mrs_word(a->el1));
  patch(alias_new2, mrs_word(a->el2));
  patch(alias_new3, mrs_word(third));
  patch(alias_undo, msr_word(written));
  ctx.x[3] = a->value;
  run_at(mode, alias, hcr);
  print(outcome.done ? " " : " undefined ");
  print(ctx.x[4] == a->value ? "1" : ctx.x[4] != 0 ? "?" : "-");
  print(ctx.x[5] == a->value ? "2" : ctx.x[5] != 0 ? "?" : "-");
  if (has_el12) print(ctx.x[6] == a->value ? "3" : ctx.x[6] != 0 ? "?" : "-");
}

static void aliases(u64 hcr) {
  int e2h = (hcr & HCR_E2H) != 0;
  for (u64 i = 0; i < COUNT(kAliases); ++i) {
    const struct Alias* a = &kAliases[i];
    // TTBR1, CONTEXTIDR and the virtual timer of EL2 are there with VHE alone.
    if (!has_vhe && (i == 2 || i == 10 || i > 13)) continue;
    print(a->name);
    print(": EL1's name");
    alias_of(a, a->el1, EL2H, hcr, e2h);
    print(", EL2's");
    alias_of(a, a->el2, EL2H, hcr, e2h);
    if (e2h) {
      print(", EL12's");
      alias_of(a, a->el12, EL2H, hcr, e2h);
    }
    print("\n");
  }
}

static void identity(void) {
  u64 midr = mrs(midr_el1), mpidr = mrs(mpidr_el1);
  msr(vpidr_el2, 0x12345678);
  msr(vmpidr_el2, 0x80000203);
  print_value("MIDR_EL1 at EL1", read_at(EL1H, SYSREG(3, 0, 0, 0, 0), HCR_RW));
  print_value("MPIDR_EL1 at EL1", read_at(EL1H, SYSREG(3, 0, 0, 0, 5), HCR_RW));
  print_value("MIDR_EL1 at EL2 is its own", read_at(EL2H, SYSREG(3, 0, 0, 0, 0), HCR_RW) == midr);
  print_value("MPIDR_EL1 at EL2 is its own", read_at(EL2H, SYSREG(3, 0, 0, 0, 5), HCR_RW) == mpidr);
  print_value("CurrentEL at EL2", read_at(EL2H, SYSREG(3, 0, 4, 2, 2), HCR_RW));
  print_value("CurrentEL at EL1", read_at(EL1H, SYSREG(3, 0, 4, 2, 2), HCR_RW));
  print_value("SPSel at EL2h", read_at(EL2H, SYSREG(3, 0, 4, 2, 0), HCR_RW));
  print_value("SPSel at EL2t", read_at(EL2T, SYSREG(3, 0, 4, 2, 0), HCR_RW));
  print_value("ID_AA64PFR0_EL1.EL2 is there", (mrs(id_aa64pfr0_el1) >> 8 & 15) != 0);
  print_value("ID_AA64PFR0_EL1.EL3 is there", (mrs(id_aa64pfr0_el1) >> 12 & 15) != 0);
  print_value("ID_AA64MMFR1_EL1.VH", mrs(id_aa64mmfr1_el1) >> 8 & 15);
  // Linux asks whether E2H can be cleared by whether these two are one.
  msr(far_el1, 1);
  msr(far_el2, 2);
  print_value("FAR_EL1 beside FAR_EL2", mrs(far_el1));
}

// ISR_EL1 and DCZID_EL0.DZP: what is shown depends on who asks.
static void pending(void) {
  static const u64 kModes[] = {EL1H, EL2H};
  for (u64 routed = 0; routed < 4; ++routed) {
    for (u64 what = 0; what < 16; ++what) {
      if (what & 4) send_sgi(1);
      if (what & 8) send_sgi_fiq(5);
      u64 hcr = HCR_RW | (routed & 1 ? HCR_IMO : 0) | (routed & 2 ? HCR_FMO : 0) |
                (what & 1 ? HCR_VI : 0) | (what & 2 ? HCR_VF : 0);
      // A physical interrupt that is routed to EL2 would be taken at EL1.
      print_hex(routed);
      print_hex(what);
      print(":");
      if ((what & 12) == 0 || routed == 0) {
        print_hex(read_at(kModes[0], SYSREG(3, 0, 12, 1, 0), hcr));
      }
      print_hex(read_at(kModes[1], SYSREG(3, 0, 12, 1, 0), hcr));
      print("\n");
      clear_sgis();
    }
  }
  print_value("DCZID_EL0 at EL1", read_at(EL1H, SYSREG(3, 3, 0, 0, 7), HCR_RW));
  print_value("DCZID_EL0 at EL1, TDZ", read_at(EL1H, SYSREG(3, 3, 0, 0, 7), HCR_RW | BIT(28)));
  print_value("DCZID_EL0 at EL2, TDZ", read_at(EL2H, SYSREG(3, 3, 0, 0, 7), HCR_RW | BIT(28)));
}

void test(void) {
  section("EL2");
  gic_init();
  identity();
  reset_el1();
  scan(kEl2, COUNT(kEl2), EL2H, HCR_RW);
  if (has_vhe) scan(kVhe, COUNT(kVhe), EL2H, HCR_RW);
  section("EL2's at EL1");
  scan(kEl2, COUNT(kEl2), EL1H, HCR_RW);
  section("EL12's without E2H");
  scan(kE2h, COUNT(kE2h), EL2H, HCR_RW);
  section("pending");
  pending();
  section("names without E2H");
  aliases(HCR_RW);
  if (!has_vhe) return;
  set_e2h(1);
  section("E2H: EL2's");
  // CPTR_EL2 and CNTHCTL_EL2 have other bits there.
  scan(kVhe, COUNT(kVhe), EL2H, HCR_RW | HCR_E2H);
  scan(kE2h, COUNT(kE2h), EL2H, HCR_RW | HCR_E2H);
  section("E2H: names");
  aliases(HCR_RW | HCR_E2H);
  section("E2H and TGE: names");
  aliases(HCR_RW | HCR_E2H | HCR_TGE);
  section("E2H: EL12's at EL1");
  scan(kE2h, COUNT(kE2h), EL1H, HCR_RW | HCR_E2H);
}
