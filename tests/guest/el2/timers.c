// The timers of EL2 and EL1: conditions and interrupts, CNTVOFF_EL2, the names under E2H.
#include "el2.h"

#define TIMER(op1, crm, op2) SYSREG(3, op1, 14, crm, op2)
struct Timer {
  const char* name;
  u32 ctl, cval, tval;
  u64 intid;
};
#define T(name, op1, crm, intid) \
  { name, TIMER(op1, crm, 1), TIMER(op1, crm, 2), TIMER(op1, crm, 0), intid }
static const struct Timer kPlain[] = {T("CNTP", 3, 2, 30), T("CNTV", 3, 3, 27),
                                      T("CNTHP", 4, 2, 26)};
static const struct Timer kCnthv = T("CNTHV", 4, 3, 28);
// Under E2H the first two names are those of EL2.
static const struct Timer kE2h[] = {T("CNTP under E2H", 3, 2, 26), T("CNTV under E2H", 3, 3, 28),
                                    T("CNTHP", 4, 2, 26),          T("CNTHV", 4, 3, 28),
                                    T("CNTP_EL02", 5, 2, 30),      T("CNTV_EL02", 5, 3, 27)};
#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])
#define FAR_AWAY (1ul << 60)

static void set(u32 encoding, u64 value) {
  run_word(EL2H, 0xd5000000u | encoding, value, base_hcr);
}
static u64 get(u32 encoding) {
  run_word(EL2H, 0xd5200000u | encoding, 0, base_hcr);
  return ctx.x[0];
}
// Which of the timers' interrupts are pending: INTIDs 26, 27, 28, 30.
static void pending(void) {
  barrier();
  print_hex(at(u32, 0x080b0200) & (1u << 26 | 1u << 27 | 1u << 28 | 1u << 30));
}

static void conditions(const struct Timer* t) {
  static const struct {
    const char* name;
    u64 ctl, cval;
  } kRows[] = {{"off", 0, 0},
               {"on, past", 1, 0},
               {"masked, past", 3, 0},
               {"on, future", 1, FAR_AWAY},
               {"off, future", 0, FAR_AWAY}};
  for (u64 i = 0; i < COUNT(kRows); ++i) {
    set(t->cval, kRows[i].cval);
    set(t->ctl, kRows[i].ctl);
    print(t->name);
    print(" ");
    print(kRows[i].name);
    print_hex(get(t->ctl) & (kRows[i].ctl & 1 ? 7 : 3));  // ISTATUS is UNKNOWN while it is off
    pending();
    print("\n");
  }
  // TVAL: a signed distance; 100 s are not over, -1 is.
  u64 frequency = mrs(cntfrq_el0);
  set(t->tval, 10 * frequency);
  set(t->ctl, 1);
  print(t->name);
  print(" TVAL of 10 s");
  print_hex(get(t->ctl));
  u64 left = get(t->tval);
  print_hex(left <= 10 * frequency && left > 9 * frequency);
  pending();
  set(t->tval, 0xffffffff);
  print(", -1");
  print_hex(get(t->ctl));
  pending();
  set(t->ctl, 0);
  pending();
  print("\n");
}

static const u32 kVct = SYSREG(3, 3, 14, 0, 2), kPct = SYSREG(3, 3, 14, 0, 1);
// How many 2^40 the virtual counter is behind, as a level sees it.
static void behind(const char* name, u64 mode, u64 hcr) {
  run_word(mode, 0xd5200000u | kPct, 0, hcr);
  u64 physical = ctx.x[0];
  run_word(mode, 0xd5200000u | kVct, 0, hcr);
  print_value(name, (physical - ctx.x[0] + (1ul << 39)) >> 40 & 0xffff);
}

static void offset(void) {
  section("CNTVOFF_EL2");
  msr(cntvoff_el2, 3ul << 40);
  SET_EL1(CNTKCTL_EL1, 0x303);
  behind("EL2", EL2H, HCR_RW);
  behind("EL1", EL1H, HCR_RW);
  behind("EL0", EL0, HCR_RW);
  behind("EL0 TGE", EL0, HCR_RW | HCR_TGE);
  if (has_vhe) {
    set_e2h(1);
    SET_EL1(CNTKCTL_EL1, 0x303);
    msr(cntvoff_el2, 3ul << 40);
    behind("E2H EL2", EL2H, base_hcr);
    behind("E2H EL1", EL1H, base_hcr);
    behind("E2H EL0", EL0, base_hcr);
    behind("E2H TGE EL2", EL2H, base_hcr | HCR_TGE);
    behind("E2H TGE EL0", EL0, base_hcr | HCR_TGE);
    set_e2h(0);
  }
  // The virtual timer compares with the virtual count: what is past for one is not for the other.
  static const u64 kOffsets[] = {0, 3ul << 40, (u64)0 - (3ul << 40)};
  for (u64 i = 0; i < 3; ++i) {
    msr(cntvoff_el2, kOffsets[i]);
    print_value("offset", kOffsets[i]);
    static const u64 kCvals[] = {0, 1ul << 40, 5ul << 40, (u64)0 - (1ul << 40),
                                 (u64)0 - (5ul << 40)};
    for (u64 c = 0; c < COUNT(kCvals); ++c) {
      set(TIMER(3, 3, 2), kCvals[c]);
      set(TIMER(3, 3, 1), 1);
      set(TIMER(3, 2, 2), kCvals[c]);
      set(TIMER(3, 2, 1), 1);
      print_hex(kCvals[c]);
      print_hex(get(TIMER(3, 3, 1)));
      print_hex(get(TIMER(3, 2, 1)));
      pending();
      print("\n");
    }
    set(TIMER(3, 3, 1), 0);
    set(TIMER(3, 2, 1), 0);
  }
  msr(cntvoff_el2, 0);
}

SNIPPET(spin, "1: b 1b");
SNIPPET(wait, "wfi\n nop");
static void delivery(const struct Timer* t) {
  set(t->cval, 0);
  set(t->ctl, 1);
  barrier();
  int wired = at(u32, 0x080b0200) >> t->intid & 1;
  set(t->ctl, 0);
  if (!wired) {
    print(t->name);
    print(" has no interrupt\n");
    return;
  }
  at(u32, 0x080b0100) = 1u << t->intid;
  for (int by_wfi = 0; by_wfi < 2; ++by_wfi) {
    set(t->tval, mrs(cntfrq_el0) / 1000);
    set(t->ctl, 1);
    enter(EL1H, (u64)(by_wfi ? wait : spin), HCR_RW | HCR_IMO | (base_hcr & HCR_E2H));
    print(t->name);
    print(by_wfi ? " ends WFI:" : " interrupts:");
    print(outcome.el == 2 ? " EL2" : " EL1");
    print_hex(outcome.vector);
    u64 id = mrs(s3_0_c12_c12_0);
    print_hex(id);
    set(t->ctl, 0);
    msr(s3_0_c12_c12_1, id);
    print_hex(mrs(s3_0_c12_c12_0));
    print("\n");
  }
  at(u32, 0x080b0180) = 1u << t->intid;
}

void test(void) {
  gic_init();
  section("conditions");
  for (u64 i = 0; i < COUNT(kPlain); ++i) conditions(&kPlain[i]);
  if (has_vhe) conditions(&kCnthv);
  offset();
  section("delivery");
  for (u64 i = 0; i < COUNT(kPlain); ++i) delivery(&kPlain[i]);
  if (!has_vhe) return;
  delivery(&kCnthv);
  set_e2h(1);
  section("E2H: conditions");
  for (u64 i = 0; i < COUNT(kE2h); ++i) conditions(&kE2h[i]);
  section("E2H: delivery");
  for (u64 i = 0; i < COUNT(kE2h); ++i) delivery(&kE2h[i]);
}
