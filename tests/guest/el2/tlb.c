// TLB maintenance of each scope: after it the new translation is used, by loads and by fetches; and
// VMIDs, ASIDs and regimes are kept apart without any.
#include "el2.h"

SNIPPET(load, "ldr w1, [x0]");
SNIPPET(jump, "br x0");

// Frame n: its number in w1, and the end.
static void fill(u64 n) {
  at(u32, FRAME(n)) = 0x52800001u | (u32)n << 5;  // MOVZ w1, #n
  at(u32, FRAME(n) + 4) = 0xd400ffe2;             // HVC #0x7ff
  at(u32, FRAME(n) + 8) = 0xd400ffe1;             // SVC #0x7ff
}

static u64 hcr_now;

// Which frame is at `va`, by a load and by a fetch.
static void look(u64 mode, u64 va) {
  ctx.x[0] = va;
  enter(mode | MASKED, (u64)load, hcr_now);
  int by_svc = mode == EL0;  // the snippet ends in HVC: at EL0 that is UNDEFINED
  print_hex(outcome.done || by_svc ? ctx.x[1] >> 5 & 0xffff : outcome.esr);
  if (by_svc) return;
  ctx.x[0] = va;
  enter(mode | MASKED, (u64)jump, hcr_now);
  print_hex(outcome.done ? ctx.x[1] : outcome.esr);
}

#define TLBI(text) SNIPPET(text, "tlbi " #text ", x2\n dsb sy\n isb")
#define TLBI_ALL(text) SNIPPET(text, "tlbi " #text "\n dsb sy\n isb")
TLBI(vae1);
TLBI(vae1is);
TLBI(vaae1);
TLBI(vaae1is);
TLBI(vale1);
TLBI(vale1is);
TLBI(vaale1);
TLBI(vaale1is);
TLBI(aside1);
TLBI(aside1is);
TLBI_ALL(vmalle1);
TLBI_ALL(vmalle1is);
TLBI(vae2);
TLBI(vae2is);
TLBI(vale2);
TLBI(vale2is);
TLBI_ALL(alle1);
TLBI_ALL(alle1is);
TLBI_ALL(alle2);
TLBI_ALL(alle2is);
TLBI_ALL(vmalls12e1);
TLBI_ALL(vmalls12e1is);
#define THEN_STAGE1 "\n dsb sy\n tlbi vmalle1\n dsb sy\n isb"
SNIPPET(ipas2e1, "tlbi ipas2e1, x2" THEN_STAGE1);
SNIPPET(ipas2e1is, "tlbi ipas2e1is, x2" THEN_STAGE1);
SNIPPET(ipas2le1, "tlbi ipas2le1, x2" THEN_STAGE1);
SNIPPET(ipas2le1is, "tlbi ipas2le1is, x2" THEN_STAGE1);

struct Operation {
  const char* name;
  const u32* code;
};
#define OP(name) \
  { #name, name }
static const struct Operation kStage1[] = {
    OP(vae1),   OP(vae1is),   OP(vaae1),  OP(vaae1is),  OP(vale1),   OP(vale1is),
    OP(vaale1), OP(vaale1is), OP(aside1), OP(aside1is), OP(vmalle1), OP(vmalle1is),
};
static const struct Operation kStage1FromEl2[] = {OP(alle1), OP(alle1is), OP(vmalls12e1),
                                                  OP(vmalls12e1is)};
static const struct Operation kStage2[] = {OP(ipas2e1),    OP(ipas2e1is),   OP(ipas2le1),
                                           OP(ipas2le1is), OP(alle1),       OP(alle1is),
                                           OP(vmalls12e1), OP(vmalls12e1is)};
static const struct Operation kEl2[] = {OP(vae2),    OP(vae2is), OP(vale2),
                                        OP(vale2is), OP(alle2),  OP(alle2is)};
#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

// Changes *entry from frame 1 to frame 2 (they differ in the bits of `which`), with the maintenance
// executed at `from`; the page of `va` is looked at from `mode` before and after.
static void change(const struct Operation* rows, u64 count, u64 from, u64 mode, u64 va,
                   volatile u64* entry, u64 bits, u64 x2, u64 maintenance_hcr) {
  for (u64 i = 0; i < count; ++i) {
    *entry = FRAME(1) | bits;
    tlbi_everything();
    print(rows[i].name);
    print(":");
    look(mode, va);
    *entry = FRAME(2) | bits;
    barrier();
    ctx.x[2] = x2;
    enter(from | MASKED, (u64)rows[i].code, maintenance_hcr);
    if (!outcome.done) print(" failed");
    look(mode, va);
    print("\n");
  }
}

#define CODE (NORMAL | AF | READ_ONLY | PAGE)
#define ASID(n) ((u64)(n) << 48)

static void el1(void) {
  make_tables();
  el1_mmu(1);
  hcr_now = HCR_RW;
  SET_EL1(TTBR0_EL1, (u64)level1 | ASID(5));
  u64 operand = ASID(5) | WINDOW >> 12;
  for (int nonglobal = 0; nonglobal < 2; ++nonglobal) {
    u64 bits = CODE | (nonglobal ? NG : 0);
    section(nonglobal ? "EL1&0, non-global" : "EL1&0, global");
    // ASIDE1 is for non-global entries.
    print("at EL1\n");
    change(kStage1, 8, EL1H, EL1H, WINDOW, &window[0], bits, operand, hcr_now);
    if (nonglobal) {
      change(kStage1 + 8, 2, EL1H, EL1H, WINDOW, &window[0], bits, operand, hcr_now);
    }
    change(kStage1 + 10, 2, EL1H, EL1H, WINDOW, &window[0], bits, operand, hcr_now);
    print("at EL2\n");
    change(kStage1, 8, EL2H, EL1H, WINDOW, &window[0], bits, operand, hcr_now);
    change(kStage1 + 10, 2, EL2H, EL1H, WINDOW, &window[0], bits, operand, hcr_now);
    change(kStage1FromEl2, 4, EL2H, EL1H, WINDOW, &window[0], bits, operand, hcr_now);
  }
  stage2_identity();
  section("EL1&0 with stage 2");
  hcr_now = HCR_RW | HCR_VM;
  msr(vttbr_el2, mrs(vttbr_el2) | ASID(3));
  change(kStage1, 12, EL1H, EL1H, WINDOW, &window[0], CODE | NG, operand, hcr_now);
  change(kStage1, 12, EL2H, EL1H, WINDOW, &window[0], CODE | NG, operand, hcr_now);
  change(kStage1FromEl2, 4, EL2H, EL1H, WINDOW, &window[0], CODE | NG, operand, hcr_now);
}

static void stage2(void) {
  section("stage 2, stage 1 off");
  stage2_pages();
  el1_mmu(0);
  hcr_now = HCR_RW | HCR_VM;
  msr(vttbr_el2, mrs(vttbr_el2) | ASID(3));
  u64 bits = S2_NORMAL | S2_RW | PAGE, operand = WINDOW >> 12;
  change(kStage2, COUNT(kStage2), EL2H, EL1H, WINDOW, &stage2_window[0], bits, operand, hcr_now);
  section("stage 2, stage 1 on");
  make_tables();
  el1_mmu(1);
  window[7] = WINDOW | CODE;
  change(kStage2, COUNT(kStage2), EL2H, EL1H, WINDOW + 0x7000, &stage2_window[0], bits, operand,
         hcr_now);
  section("stage 2 of a table of stage 1");
  level1[3] = (WINDOW + 0x2000) | TABLE;
  for (u64 n = 3; n < 5; ++n) {
    stage2_window[n] = FRAME(n) | bits;
    memset((void*)FRAME(n), 0, 4096);
  }
  // Frames 5 and 6 as level-2 tables that lead to the same level-3 table but for its output.
  stage2_window[3] = FRAME(8) | bits;
  stage2_window[4] = FRAME(9) | bits;
  memset((void*)FRAME(5), 0, 0x5000);
  at(u64, FRAME(5)) = (WINDOW + 0x3000) | TABLE;
  at(u64, FRAME(6)) = (WINDOW + 0x4000) | TABLE;
  at(u64, FRAME(8)) = (WINDOW + 0x5000) | CODE;
  at(u64, FRAME(9)) = (WINDOW + 0x6000) | CODE;
  stage2_window[5] = FRAME(1) | bits;
  stage2_window[6] = FRAME(2) | bits;
  for (u64 i = 0; i < COUNT(kStage2); ++i) {
    stage2_window[2] = FRAME(5) | bits;
    tlbi_everything();
    print(kStage2[i].name);
    look(EL1H, 0xc0000000);
    stage2_window[2] = FRAME(6) | bits;
    barrier();
    ctx.x[2] = (WINDOW + 0x2000) >> 12;
    enter(EL2H | MASKED, (u64)kStage2[i].code, hcr_now);
    look(EL1H, 0xc0000000);
    print("\n");
  }
  el1_mmu(0);
}

static void el2_regimes(void) {
  make_tables();
  section("EL2");
  el2_mmu(1);
  hcr_now = HCR_RW;
  change(kEl2, COUNT(kEl2), EL2H, EL2H, WINDOW, &window[0], CODE, WINDOW >> 12, hcr_now);
  el2_mmu(0);
  if (!has_vhe) return;
  set_e2h(1);
  el2_mmu(1);
  msr(ttbr0_el2, (u64)level1 | ASID(5));
  for (int tge = 0; tge < 2; ++tge) {
    base_hcr = HCR_RW | HCR_E2H | (tge ? HCR_TGE : 0);
    msr(hcr_el2, base_hcr);
    hcr_now = base_hcr;
    section(tge ? "EL2&0, TGE 1" : "EL2&0, TGE 0");
    u64 operand = ASID(5) | WINDOW >> 12;
    change(kEl2, COUNT(kEl2), EL2H, EL2H, WINDOW, &window[0], CODE, operand, hcr_now);
    if (!tge) continue;
    // With TGE those of EL1 are of EL2&0 (D8.14.5).
    change(kStage1, 12, EL2H, EL2H, WINDOW, &window[0], CODE | NG, operand, hcr_now);
    change(kStage1, 8, EL2H, EL2H, WINDOW, &window[0], CODE, operand, hcr_now);
    print("EL0\n");
    change(kStage1, 12, EL2H, EL0, WINDOW, &window[0], CODE | NG | USER, operand, hcr_now);
  }
  el2_mmu(0);
  set_e2h(0);
}

// --- kept apart without maintenance --------------------------------------------------------------

static u64 other_level2[512] __attribute__((aligned(4096)));
static u64 other_level1[512] __attribute__((aligned(4096)));
static u64 other_window[512] __attribute__((aligned(4096)));

static void copy(u64* to, const u64* from) {
  for (int i = 0; i < 512; ++i) to[i] = from[i];
}

static void asids(void) {
  section("ASIDs");
  make_tables();
  el1_mmu(1);
  hcr_now = HCR_RW;
  copy(other_level1, level1);
  copy(other_window, window);
  memset(other_level2, 0, sizeof other_level2);
  other_level1[WINDOW >> 30] = (u64)other_level2 | TABLE;
  other_level2[0] = (u64)other_window | TABLE;
  window[0] = FRAME(1) | CODE | NG;
  other_window[0] = FRAME(2) | CODE | NG;
  tlbi_everything();
  for (int round = 0; round < 3; ++round) {
    SET_EL1(TTBR0_EL1, (u64)level1 | ASID(1));
    look(EL1H, WINDOW);
    SET_EL1(TTBR0_EL1, (u64)other_level1 | ASID(2));
    look(EL1H, WINDOW);
    SET_EL1(TTBR0_EL1, (u64)other_level1 | ASID(0x102));
    look(EL1H, WINDOW);
    print("\n");
  }
  if (!has_vhe) return;
  section("ASIDs of EL2&0 and EL1&0");
  SET_EL1(TTBR0_EL1, (u64)level1 | ASID(1));
  set_e2h(1);
  el1_mmu(1);
  SET_EL1(TTBR0_EL1, (u64)level1 | ASID(1));
  el2_mmu(1);
  msr(ttbr0_el2, (u64)other_level1 | ASID(1));
  for (int round = 0; round < 3; ++round) {
    hcr_now = HCR_RW | HCR_E2H;
    look(EL1H, WINDOW);
    look(EL2H, WINDOW);
    hcr_now = HCR_RW | HCR_E2H | HCR_TGE;
    look(EL2H, WINDOW);
    print("\n");
  }
  el2_mmu(0);
  set_e2h(0);
}

static void regimes(void) {
  section("EL2 and EL1&0");
  make_tables();
  copy(other_level1, level1);
  copy(other_window, window);
  memset(other_level2, 0, sizeof other_level2);
  other_level1[WINDOW >> 30] = (u64)other_level2 | TABLE;
  other_level2[0] = (u64)other_window | TABLE;
  window[0] = FRAME(1) | CODE;
  other_window[0] = FRAME(2) | CODE;
  el1_mmu(1);
  el2_mmu(1);
  msr(ttbr0_el2, (u64)other_level1);
  tlbi_everything();
  hcr_now = HCR_RW;
  for (int round = 0; round < 3; ++round) {
    look(EL1H, WINDOW);
    look(EL2H, WINDOW);
    print("\n");
  }
  el2_mmu(0);
}

// Two machines and the host: VMIDs, with stage 1 off and on, and HCR_EL2.VM off with VMID 0.
static void vmids(void) {
  static u64 root[2][512] __attribute__((aligned(4096)));
  static u64 second[2][512] __attribute__((aligned(4096)));
  static u64 third[2][512] __attribute__((aligned(4096)));
  stage2_identity();
  u64 base = mrs(vttbr_el2);
  for (u64 m = 0; m < 2; ++m) {
    copy(root[m], stage2_level1);
    memset(second[m], 0, sizeof second[m]);
    root[m][WINDOW >> 30] = (u64)second[m] | TABLE;
    second[m][0] = (u64)third[m] | TABLE;
    for (u64 i = 0; i < 512; ++i) third[m][i] = FRAME(1 + m) | S2_NORMAL | S2_RW | PAGE;
  }
  make_tables();
  for (int on = 0; on < 2; ++on) {
    section(on ? "VMIDs, stage 1 on" : "VMIDs, stage 1 off");
    el1_mmu(on);
    window[0] = WINDOW | CODE;
    for (int round = 0; round < 3; ++round) {
      hcr_now = HCR_RW | HCR_VM;
      msr(vttbr_el2, (u64)root[0] | ASID(1));
      look(EL1H, WINDOW);
      msr(vttbr_el2, (u64)root[1] | ASID(2));
      look(EL1H, WINDOW);
      hcr_now = HCR_RW;
      msr(vttbr_el2, base);
      if (on) window[0] = FRAME(3) | CODE;
      if (on) tlbi_everything();
      if (on) look(EL1H, WINDOW);
      if (on) window[0] = WINDOW | CODE;
      if (on) tlbi_everything();
      print("\n");
    }
    // The same VMID with other tables: after maintenance of that VMID.
    hcr_now = HCR_RW | HCR_VM;
    msr(vttbr_el2, (u64)root[0] | ASID(1));
    look(EL1H, WINDOW);
    msr(vttbr_el2, (u64)root[1] | ASID(1));
    asm volatile("tlbi vmalls12e1is\n dsb sy\n isb" ::: "memory");
    look(EL1H, WINDOW);
    print("\n");
    // Maintenance under VMID 2 must not be asked of VMID 1: there it is done again.
    third[0][0] = FRAME(4) | S2_NORMAL | S2_RW | PAGE;
    msr(vttbr_el2, (u64)root[1] | ASID(2));
    look(EL1H, WINDOW);
    msr(vttbr_el2, (u64)root[0] | ASID(1));
    asm volatile("tlbi ipas2e1is, %0\n dsb sy\n tlbi vmalle1is\n dsb sy\n isb" ::"r"(WINDOW >> 12)
                 : "memory");
    look(EL1H, WINDOW);
    print("\n");
    third[0][0] = FRAME(1) | S2_NORMAL | S2_RW | PAGE;
  }
  el1_mmu(0);
}

void test(void) {
  for (u64 n = 0; n < 16; ++n) fill(n);
  asm volatile("dsb sy\n ic iallu\n dsb sy\n isb" ::: "memory");
  el1();
  stage2();
  for (u64 n = 0; n < 16; ++n) fill(n);
  asm volatile("dsb sy\n ic iallu\n dsb sy\n isb" ::: "memory");
  el2_regimes();
  asids();
  regimes();
  vmids();
}
