// GICv3's virtual CPU interface: list registers in all states, priorities, EOImode, HW interrupts,
// maintenance conditions, what ICH_HCR_EL2 traps, and delivery to EL1.
#include "el2.h"

#define ICC(op1, crn, crm, op2) SYSREG(3, op1, crn, crm, op2)
#define ICC_PMR ICC(0, 4, 6, 0)
#define ICC_IAR0 ICC(0, 12, 8, 0)
#define ICC_EOIR0 ICC(0, 12, 8, 1)
#define ICC_HPPIR0 ICC(0, 12, 8, 2)
#define ICC_BPR0 ICC(0, 12, 8, 3)
#define ICC_AP0R0 ICC(0, 12, 8, 4)
#define ICC_AP1R0 ICC(0, 12, 9, 0)
#define ICC_DIR ICC(0, 12, 11, 1)
#define ICC_RPR ICC(0, 12, 11, 3)
#define ICC_IAR1 ICC(0, 12, 12, 0)
#define ICC_EOIR1 ICC(0, 12, 12, 1)
#define ICC_HPPIR1 ICC(0, 12, 12, 2)
#define ICC_BPR1 ICC(0, 12, 12, 3)
#define ICC_CTLR ICC(0, 12, 12, 4)
#define ICC_SRE ICC(0, 12, 12, 5)
#define ICC_IGRPEN0 ICC(0, 12, 12, 6)
#define ICC_IGRPEN1 ICC(0, 12, 12, 7)
#define ICC_SGI1R ICC(0, 12, 11, 5)
#define ICC_ASGI1R ICC(0, 12, 11, 6)
#define ICC_SGI0R ICC(0, 12, 11, 7)

#define ICH_AP0R0 s3_4_c12_c8_0
#define ICH_AP1R0 s3_4_c12_c9_0
#define ICH_HCR s3_4_c12_c11_0
#define ICH_VTR s3_4_c12_c11_1
#define ICH_MISR s3_4_c12_c11_2
#define ICH_EISR s3_4_c12_c11_3
#define ICH_ELRSR s3_4_c12_c11_5
#define ICH_VMCR s3_4_c12_c11_7
#define ICH_LR0 s3_4_c12_c12_0
#define ICH_LR1 s3_4_c12_c12_1
#define ICH_LR2 s3_4_c12_c12_2
#define ICH_LR3 s3_4_c12_c12_3

enum { PENDING = 1, ACTIVE = 2, BOTH = 3 };
#define LR(state, group, priority, intid) \
  ((u64)(state) << 62 | (u64)(group) << 60 | (u64)(priority) << 48 | (u64)(intid))
#define LR_HW (1ul << 61)
#define LR_PINTID(n) ((u64)(n) << 32)
#define LR_EOI (1ul << 41)

#define GUEST_HCR (HCR_RW | HCR_IMO | HCR_FMO)

static void set_lr(int n, u64 value) {
  switch (n) {
    case 0:
      msr(ICH_LR0, value);
      break;
    case 1:
      msr(ICH_LR1, value);
      break;
    case 2:
      msr(ICH_LR2, value);
      break;
    default:
      msr(ICH_LR3, value);
  }
}
static void state(void) {
  print(" LR");
  print_hex(mrs(ICH_LR0));
  print_hex(mrs(ICH_LR1));
  print_hex(mrs(ICH_LR2));
  print_hex(mrs(ICH_LR3));
  print(" VMCR");
  print_hex(mrs(ICH_VMCR));
  print(" AP");
  print_hex(mrs(ICH_AP0R0));
  print_hex(mrs(ICH_AP1R0));
  print(" HCR");
  print_hex(mrs(ICH_HCR));
  print(" MISR");
  print_hex(mrs(ICH_MISR));
  print(" EISR");
  print_hex(mrs(ICH_EISR));
  print(" ELRSR");
  print_hex(mrs(ICH_ELRSR) & 15);
  print("\n");
}
// VMCR: VPMR 31:24, VBPR0 23:21, VBPR1 20:18, VEOIM 9, VCBPR 4, VENG1 1, VENG0 0.
#define VMCR(pmr, bpr0, bpr1, bits) ((u64)(pmr) << 24 | (bpr0) << 21 | (bpr1) << 18 | (bits))
static void start_over(u64 vmcr, u64 hcr) {
  for (int i = 0; i < 4; ++i) set_lr(i, 0);
  msr(ICH_AP0R0, 0);
  msr(ICH_AP1R0, 0);
  msr(ICH_VMCR, vmcr);
  msr(ICH_HCR, hcr);
}
#define NORMAL_VMCR VMCR(0xf8, 2, 3, 3)

static u64 guest_read(u32 encoding) {
  run_word(EL1H, 0xd5200000u | encoding, 0xdead, GUEST_HCR);
  return outcome.done ? ctx.x[0] : outcome.esr;
}
static void guest_write(u32 encoding, u64 value) {
  run_word(EL1H, 0xd5000000u | encoding, value, GUEST_HCR);
  if (!outcome.done) report(" a write");
}

// What happens next to the interrupts that are there: what the guest sees of them.
static void views(void) {
  print(" HPPIR");
  print_hex(guest_read(ICC_HPPIR0));
  print_hex(guest_read(ICC_HPPIR1));
  print(" RPR");
  print_hex(guest_read(ICC_RPR));
}
static void acknowledge(int group) {
  views();
  print(group ? " IAR1" : " IAR0");
  print_hex(guest_read(group ? ICC_IAR1 : ICC_IAR0));
  print(" RPR");
  print_hex(guest_read(ICC_RPR));
  state();
}
static void end(int group, u64 intid) {
  print(group ? " EOIR1" : " EOIR0");
  print_hex(intid);
  guest_write(group ? ICC_EOIR1 : ICC_EOIR0, intid);
  print(" RPR");
  print_hex(guest_read(ICC_RPR));
  state();
}
static void deactivate(u64 intid) {
  print(" DIR");
  print_hex(intid);
  guest_write(ICC_DIR, intid);
  state();
}

static void lifecycle(void) {
  for (int group = 0; group < 2; ++group) {
    for (int eoimode = 0; eoimode < 2; ++eoimode) {
      section(group ? (eoimode ? "group 1, EOImode 1" : "group 1, EOImode 0")
                    : (eoimode ? "group 0, EOImode 1" : "group 0, EOImode 0"));
      for (int s = 0; s < 4; ++s) {
        start_over(NORMAL_VMCR | (eoimode ? 0x200 : 0), 1);
        set_lr(0, LR(s, group, 0x80, 40));
        set_lr(2, LR(PENDING, group, 0xa0, 41));
        print_value("state", (u64)s);
        acknowledge(group);
        end(group, 40);
        if (eoimode) deactivate(40);
        acknowledge(group);
        end(group, 41);
        if (eoimode) deactivate(41);
      }
      print("the other group's registers\n");
      start_over(NORMAL_VMCR | (eoimode ? 0x200 : 0), 1);
      set_lr(0, LR(PENDING, group, 0x80, 40));
      acknowledge(!group);
      acknowledge(group);
      end(!group, 40);
      end(group, 40);
    }
  }
}

static void priorities(void) {
  section("preemption");
  start_over(NORMAL_VMCR, 1);
  set_lr(0, LR(PENDING, 1, 0xa0, 50));
  acknowledge(1);
  set_lr(1, LR(PENDING, 1, 0x80, 51));
  set_lr(2, LR(PENDING, 0, 0x40, 52));
  set_lr(3, LR(PENDING, 1, 0xa0, 53));
  acknowledge(1);
  acknowledge(0);
  acknowledge(1);
  end(0, 52);
  acknowledge(1);
  end(1, 51);
  end(1, 50);
  acknowledge(1);
  end(1, 53);
  section("equal priorities");
  start_over(NORMAL_VMCR, 1);
  for (int i = 0; i < 4; ++i) set_lr(i, LR(PENDING, 1, 0x80, (u64)(60 - i)));
  acknowledge(1);
  acknowledge(1);
  section("VPMR");
  for (u64 pmr = 0; pmr < 0x100; pmr += 0x38) {
    start_over(VMCR(pmr, 2, 3, 3), 1);
    set_lr(0, LR(PENDING, 1, 0x70, 50));
    print_hex(pmr);
    views();
    print_hex(guest_read(ICC_PMR));
    print("\n");
  }
  section("binary points");
  for (u64 bpr = 0; bpr < 8; ++bpr) {
    for (u64 cbpr = 0; cbpr < 2; ++cbpr) {
      start_over(VMCR(0xf8, bpr, (bpr + 2) & 7, 3 | cbpr << 4), 1);
      print_hex(bpr);
      print(" BPR");
      print_hex(guest_read(ICC_BPR0));
      print_hex(guest_read(ICC_BPR1));
      set_lr(0, LR(PENDING, 1, 0xa8, 50));
      guest_read(ICC_IAR1);
      // Which higher priority preempts that one.
      for (u64 p = 0; p < 0xa8; p += 0x18) {
        set_lr(1, LR(PENDING, 1, p, 51));
        print_hex(guest_read(ICC_HPPIR1));
        set_lr(1, LR(PENDING, 0, p, 52));
        print_hex(guest_read(ICC_HPPIR0));
      }
      state();
    }
  }
  section("enables");
  for (u64 bits = 0; bits < 4; ++bits) {
    start_over(VMCR(0xf8, 2, 3, bits), 1);
    set_lr(0, LR(PENDING, 1, 0x70, 50));
    set_lr(1, LR(PENDING, 0, 0x80, 51));
    print_hex(bits);
    acknowledge(1);
    acknowledge(0);
  }
  section("ICH_HCR_EL2.En 0");
  start_over(NORMAL_VMCR, 0);
  set_lr(0, LR(PENDING, 1, 0x70, 50));
  acknowledge(1);
}

static void registers(void) {
  section("registers of the guest");
  static const struct {
    const char* name;
    u32 encoding;
    u64 value;
  } kRows[] = {
      {"PMR", ICC_PMR, 0x5f},        {"BPR0", ICC_BPR0, 5},      {"BPR1", ICC_BPR1, 6},
      {"CTLR EOImode", ICC_CTLR, 2}, {"CTLR CBPR", ICC_CTLR, 1}, {"IGRPEN0", ICC_IGRPEN0, 1},
      {"IGRPEN1", ICC_IGRPEN1, 1},   {"AP0R0", ICC_AP0R0, 0x12}, {"AP1R0", ICC_AP1R0, 0x34},
      {"BPR0 0", ICC_BPR0, 0},       {"BPR1 0", ICC_BPR1, 0},    {"PMR 0", ICC_PMR, 0}};
  start_over(0, 1);
  for (u64 i = 0; i < sizeof kRows / sizeof kRows[0]; ++i) {
    guest_write(kRows[i].encoding, kRows[i].value);
    print(kRows[i].name);
    // ICC_CTLR_EL1's IDbits, A3V, SEIS, RSS are what the GIC has.
    u64 mask = kRows[i].encoding == ICC_CTLR ? 0x703 : ~0ul;
    print_hex(guest_read(kRows[i].encoding) & mask);
    state();
  }
  print_value("SRE", guest_read(ICC_SRE));
  print_value("VTR", mrs(ICH_VTR) & 0xfc00001f);
  msr(ICH_HCR, ~0ul);
  print_value("ICH_HCR_EL2", mrs(ICH_HCR) & 0xf8005cff);  // without TSEI, RES0 where no SEIs are
  msr(ICH_HCR, 0);
  msr(ICH_VMCR, ~0ul);
  // VPMR has as many bits as priorities have.
  print_value("ICH_VMCR_EL2", mrs(ICH_VMCR) & 0xf8ffffff);
  msr(ICH_VMCR, 0);
  print_value("ICH_VMCR_EL2", mrs(ICH_VMCR));
}

static void counts(void) {
  section("EOIcount");
  for (u64 eoimode = 0; eoimode < 2; ++eoimode) {
    start_over(NORMAL_VMCR | eoimode << 9, 1);
    set_lr(0, LR(ACTIVE, 1, 0x80, 40));
    msr(ICH_AP1R0, 1ul << 16);
    end(1, 77);
    msr(ICH_AP1R0, 3ul << 16);
    end(1, 78);
    end(1, 1023);
    deactivate(79);
    deactivate(40);
    end(0, 40);
  }
  msr(ICH_HCR, 0xffffffff & ~0x7ffful);
  print_value("EOIcount wraps from", mrs(ICH_HCR));
}

static u32 gicd_active(u64 intid) {
  return at(u32, 0x08000300 + intid / 32 * 4) >> (intid & 31) & 1;
}
static void hardware(void) {
  section("HW");
  const u64 kSpi = 100;
  at(u32, 0x08000080 + 12) = 0xffffffff;         // IGROUPR3: group 1
  at(u8, 0x08000400 + kSpi) = 0xa0;              // priority
  at(u64, 0x08006000 + kSpi * 8) = 0;            // IROUTER: to this CPU
  at(u32, 0x08000100 + 12) = 1u << (kSpi & 31);  // enable
  msr(s3_0_c12_c12_4, 2);  // EOImode: the hypervisor drops, the guest deactivates
  for (u64 eoimode = 0; eoimode < 2; ++eoimode) {
    for (u64 state_ = PENDING; state_ <= BOTH; ++state_) {
      at(u32, 0x08000200 + 12) = 1u << (kSpi & 31);  // pending
      barrier();
      u64 id = mrs(s3_0_c12_c12_0);
      msr(s3_0_c12_c12_1, id);
      print_hex(id);
      print_hex(gicd_active(kSpi));
      start_over(NORMAL_VMCR | eoimode << 9, 1);
      set_lr(1, LR(state_, 1, 0x80, 45) | LR_HW | LR_PINTID(kSpi));
      acknowledge(1);
      end(1, 45);
      print_hex(gicd_active(kSpi));
      if (eoimode) deactivate(45);
      print(" active");
      print_hex(gicd_active(kSpi));
      print("\n");
      msr(s3_0_c12_c11_1, kSpi);  // what is left
    }
  }
  msr(s3_0_c12_c12_4, 0);
  at(u32, 0x08000180 + 12) = 1u << (kSpi & 31);
}

static u64 maintenance_pending(void) {
  barrier();
  return at(u32, 0x080b0200) >> 25 & 1;  // GICR_ISPENDR0, INTID 25
}
static void maintenance(void) {
  static const struct {
    const char* name;
    u64 hcr;
  } kEnables[] = {
      {"none", 0},          {"UIE", 1 << 1},      {"LRENPIE", 1 << 2},
      {"NPIE", 1 << 3},     {"VGrp0EIE", 1 << 4}, {"VGrp0DIE", 1 << 5},
      {"VGrp1EIE", 1 << 6}, {"VGrp1DIE", 1 << 7}, {"LRENPIE, EOIcount", 1ul << 27 | 1 << 2}};
  static const struct {
    const char* name;
    u64 lr[4], vmcr;
  } kCases[] = {
      {"nothing", {0, 0, 0, 0}, NORMAL_VMCR},
      {"one pending", {LR(PENDING, 1, 0x80, 40), 0, 0, 0}, NORMAL_VMCR},
      {"one active", {0, LR(ACTIVE, 1, 0x80, 40), 0, 0}, NORMAL_VMCR},
      {"two", {LR(PENDING, 1, 0x80, 40), 0, LR(ACTIVE, 1, 0x80, 41), 0}, NORMAL_VMCR},
      {"disabled groups",
       {LR(PENDING, 1, 0x80, 40), 0, LR(PENDING, 0, 0x80, 41), 0},
       VMCR(0xf8, 2, 3, 0)},
      {"EOI bit, pending", {LR(PENDING, 1, 0x80, 40) | LR_EOI, 0, 0, 0}, NORMAL_VMCR},
      {"EOI bit, done", {0, 0, LR(0, 1, 0x80, 40) | LR_EOI, 0}, NORMAL_VMCR},
      {"EOI bit, HW", {0, 0, LR(0, 1, 0x80, 40) | LR_EOI | LR_HW, 0}, NORMAL_VMCR},
  };
  section("maintenance");
  at(u32, 0x080b0100) = 1u << 25;
  for (u64 c = 0; c < sizeof kCases / sizeof kCases[0]; ++c) {
    for (u64 e = 0; e < sizeof kEnables / sizeof kEnables[0]; ++e) {
      for (u64 en = 0; en < 2; ++en) {
        start_over(kCases[c].vmcr, kEnables[e].hcr | en);
        for (int i = 0; i < 4; ++i) set_lr(i, kCases[c].lr[i]);
        print(kCases[c].name);
        print(", ");
        print(kEnables[e].name);
        print(en ? ":" : ", off:");
        print_hex(mrs(ICH_MISR));
        print_hex(mrs(ICH_EISR));
        print_hex(mrs(ICH_ELRSR) & 15);
        print_hex(maintenance_pending());
        print("\n");
      }
    }
  }
  section("maintenance by what the guest does");
  start_over(NORMAL_VMCR, 1);
  set_lr(0, LR(PENDING, 1, 0x80, 40) | LR_EOI);
  print_hex(maintenance_pending());
  acknowledge(1);
  print_hex(maintenance_pending());
  end(1, 40);
  print_hex(maintenance_pending());
  set_lr(0, 0);
  print_hex(maintenance_pending());
  state();
  start_over(VMCR(0xf8, 2, 3, 0), 1 | 1 << 4 | 1 << 7);
  print_hex(maintenance_pending());
  guest_write(ICC_IGRPEN0, 1);
  print_hex(maintenance_pending());
  state();
  start_over(NORMAL_VMCR, 1 | 1 << 2);
  end(1, 99);
  msr(ICH_AP1R0, 1);
  end(1, 99);
  print_hex(maintenance_pending());
  print("\n");
  // Underflow while the guest runs, and the interrupt goes to EL2.
  start_over(NORMAL_VMCR, 1 | 1 << 1);
  set_lr(0, LR(PENDING, 1, 0x80, 40));
  set_lr(1, LR(PENDING, 1, 0x88, 41));
  guest_read(ICC_IAR1);
  print_hex(maintenance_pending());
  guest_write(ICC_EOIR1, 40);
  report("underflow");
  print_hex(maintenance_pending());
  print_hex(mrs(s3_0_c12_c12_0));
  msr(ICH_HCR, 0);
  msr(s3_0_c12_c12_1, 25);
  print_hex(maintenance_pending());
  print("\n");
  at(u32, 0x080b0180) = 1u << 25;
}

static void traps(void) {
  static const struct {
    const char* name;
    u32 encoding;
  } kRows[] = {{"PMR", ICC_PMR},         {"IAR0", ICC_IAR0},       {"EOIR0", ICC_EOIR0},
               {"HPPIR0", ICC_HPPIR0},   {"BPR0", ICC_BPR0},       {"AP0R0", ICC_AP0R0},
               {"AP1R0", ICC_AP1R0},     {"DIR", ICC_DIR},         {"RPR", ICC_RPR},
               {"IAR1", ICC_IAR1},       {"EOIR1", ICC_EOIR1},     {"HPPIR1", ICC_HPPIR1},
               {"BPR1", ICC_BPR1},       {"CTLR", ICC_CTLR},       {"SRE", ICC_SRE},
               {"IGRPEN0", ICC_IGRPEN0}, {"IGRPEN1", ICC_IGRPEN1}, {"SGI1R", ICC_SGI1R},
               {"ASGI1R", ICC_ASGI1R},   {"SGI0R", ICC_SGI0R}};
  static const struct {
    const char* name;
    u64 ich, hcr;
  } kControls[] = {{"no trap", 1, GUEST_HCR},
                   {"TC", 1 | 1 << 10, GUEST_HCR},
                   {"TALL0", 1 | 1 << 11, GUEST_HCR},
                   {"TALL1", 1 | 1 << 12, GUEST_HCR},
                   {"TDIR", 1 | 1 << 14, GUEST_HCR},
                   {"IMO alone", 1, HCR_RW | HCR_IMO},
                   {"FMO alone", 1, HCR_RW | HCR_FMO},
                   {"TC, TALL0, TALL1 without IMO, FMO", 1 | 7 << 10, HCR_RW},
                   {"TC, IMO alone", 1 | 1 << 10, HCR_RW | HCR_IMO},
                   {"TALL0, IMO alone", 1 | 1 << 11, HCR_RW | HCR_IMO},
                   {"TALL1, FMO alone", 1 | 1 << 12, HCR_RW | HCR_FMO}};
  for (u64 c = 0; c < sizeof kControls / sizeof kControls[0]; ++c) {
    section(kControls[c].name);
    for (u64 i = 0; i < sizeof kRows / sizeof kRows[0]; ++i) {
      start_over(NORMAL_VMCR, kControls[c].ich);
      u32 e = kRows[i].encoding;
      int write_only = e == ICC_EOIR0 || e == ICC_EOIR1 || e == ICC_DIR || e == ICC_SGI1R ||
                       e == ICC_ASGI1R || e == ICC_SGI0R;
      int read_only =
          e == ICC_IAR0 || e == ICC_IAR1 || e == ICC_HPPIR0 || e == ICC_HPPIR1 || e == ICC_RPR;
      if (!write_only) {
        run_word(EL1H, 0xd5200000u | e, 0, kControls[c].hcr);
        print("read ");
        report_bare(kRows[i].name);
      }
      // What is written does nothing: to nobody, a spurious INTID, what is there already.
      u64 value = e == ICC_SGI1R || e == ICC_ASGI1R || e == ICC_SGI0R ? 1ul << 40
                  : e == ICC_EOIR0 || e == ICC_EOIR1 || e == ICC_DIR  ? 1023
                                                                      : ctx.x[0];
      if (!read_only) {
        run_word(EL1H, 0xd5000000u | e, value, kControls[c].hcr);
        print("write ");
        report_bare(kRows[i].name);
      }
      msr(s3_0_c4_c6_0, 0xff);
      msr(s3_0_c12_c12_6, 1);
      msr(s3_0_c12_c12_7, 1);
    }
  }
}

SNIPPET(nothing, "nop\n nop\n nop\n nop");
SNIPPET(unmask, "nop\n msr daifclr, #3\n nop\n nop");
static void delivery(void) {
  section("delivery");
  static const u64 kSources[] = {EL0, EL1H, EL2H};
  static const char* const kNames[] = {"EL0 ", "EL1 ", "EL2 "};
  for (int group = 0; group < 2; ++group) {
    for (u64 s = 0; s < 4; ++s) {
      for (u64 route = 0; route < 4; ++route) {
        for (int from = 0; from < 3; ++from) {
          start_over(NORMAL_VMCR, 1);
          set_lr(3, LR(s, group, 0x80, 70));
          print(kNames[from]);
          print(group ? "group 1" : "group 0");
          print_hex(s);
          print(route & 1 ? " IMO" : "");
          print(route & 2 ? " FMO" : "");
          enter(kSources[from] | 0x300, (u64)nothing,
                HCR_RW | (route & 1 ? HCR_IMO : 0) | (route & 2 ? HCR_FMO : 0));
          report("");
        }
      }
    }
  }
  start_over(NORMAL_VMCR, 1);
  set_lr(0, LR(PENDING, 1, 0x80, 70));
  enter(EL1H | MASKED, (u64)unmask, GUEST_HCR);
  report("unmasked");
  enter(EL1H | 0x300, (u64)nothing, GUEST_HCR | HCR_TGE);
  report("TGE");
  set_lr(0, 0);
  enter(EL1H | 0x300, (u64)nothing, GUEST_HCR | HCR_VI);
  report("VI beside");
}

void test(void) {
  gic_init();
  at(u32, 0x080b0180) = 0xffffffff;  // no physical interrupt
  registers();
  lifecycle();
  priorities();
  counts();
  hardware();
  maintenance();
  traps();
  delivery();
}
