// Translation: what stage 1 of each regime and stage 2 let through, how they fault, and what AT
// says.
#include "el2.h"

SNIPPET(load, "ldr w1, [x0]");
SNIPPET(store, "str w1, [x0]");
SNIPPET(jump, "br x0");
SNIPPET(at_s1e1r, "at s1e1r, x0\n isb");
SNIPPET_EL0(load0, "ldr w1, [x0]");
SNIPPET_EL0(store0, "str w1, [x0]");
SNIPPET_EL0(jump0, "br x0");

static void put_code(u64 frame) {
  at(u32, frame) = 0xd400ffe2;      // HVC #0x7ff
  at(u32, frame + 4) = 0xd400ffe1;  // SVC #0x7ff
  asm volatile("dsb sy\n ic iallu\n dsb sy\n isb" ::: "memory");
}

static u64 hcr_now, harness_pan;

// A read, a write and a fetch: `ok` or the ESR.
static void access_three(u64 mode, u64 va) {
  const u32* codes[2][3] = {{load, store, jump}, {load0, store0, jump0}};
  int el0 = mode == EL0;
  for (int i = 0; i < 3; ++i) {
    ctx.x[0] = va + (i == 2 && el0 ? 4 : 0);
    ctx.x[1] = 0xd400ffe2;  // what is there already
    enter(mode | MASKED | (harness_pan ? 1ul << 22 : 0), (u64)codes[el0][i], hcr_now);
    if (outcome.done) {
      print(" ok");
    } else {
      print(outcome.el == 2 ? " EL2 esr" : " EL1 esr");
      print_hex(outcome.esr);
      if (outcome.far != ctx.x[0]) print_hex(outcome.far);
    }
  }
}

static const char* const kModeNames[] = {"EL0", "", "", "", "EL1t", "EL1", "", "", "EL2t", "EL2"};

// AP, UXN, PXN of a page, and WXN and PAN.
static void stage1_matrix(const u64* modes, int count, int pans) {
  put_code(FRAME(0));
  for (u64 bits = 0; bits < 16; ++bits) {
    window[0] = FRAME(0) | NORMAL | AF | PAGE | (bits & 3) << 6 | (bits & 4 ? PXN : 0) |
                (bits & 8 ? UXN : 0);
    for (int pan = 0; pan <= pans; ++pan) {
      harness_pan = (u64)pan;
      tlbi_everything();
      print("ap");
      print_hex(bits & 3);
      print(bits & 4 ? " pxn" : "");
      print(bits & 8 ? " uxn" : "");
      print(pan ? " pan:" : ":");
      for (int m = 0; m < count; ++m) {
        print(" ");
        print(kModeNames[modes[m]]);
        access_three(modes[m], WINDOW);
      }
      print("\n");
    }
  }
  harness_pan = 0;
}

static void stage1_faults(u64 mode) {
  struct Row {
    const char* name;
    u64 descriptor;
  };
  static const struct Row kRows[] = {
      {"invalid", 0},
      {"reserved type", FRAMES | NORMAL | AF | 1},
      {"no access flag", FRAMES | NORMAL | PAGE},
      {"read-only", FRAMES | NORMAL | AF | READ_ONLY | PAGE},
      {"output beyond PS", 1ul << 42 | NORMAL | AF | PAGE},
      {"output beyond PS, no access flag", 1ul << 42 | NORMAL | PAGE},
  };
  for (u64 i = 0; i < sizeof kRows / sizeof kRows[0]; ++i) {
    window[0] = kRows[i].descriptor;
    tlbi_everything();
    print(kRows[i].name);
    print(":");
    access_three(mode, WINDOW);
    print("\n");
  }
  static const u64 kAddresses[] = {WINDOW + 0x200000, 0xc0000000,         1ul << 39,
                                   1ul << 55,         0xffffff8000000000, 0xab00000041000000};
  for (u64 i = 0; i < sizeof kAddresses / sizeof kAddresses[0]; ++i) {
    print("at");
    print_hex(kAddresses[i]);
    print(":");
    access_three(mode, kAddresses[i]);
    print("\n");
  }
}

static void regimes(void) {
  static const u64 kEl1[] = {EL1H, EL0}, kEl2[] = {EL2H}, kEl20[] = {EL2H, EL0};
  make_tables();
  hcr_now = HCR_RW;
  el1_mmu(1);
  section("EL1&0");
  stage1_matrix(kEl1, 2, has_pan && has_vhe);  // the oracle without VHE has no PAN
  stage1_faults(EL1H);
  el1_mmu(0);

  section("EL2");
  el2_mmu(1);
  stage1_matrix(kEl2, 1, 0);
  stage1_faults(EL2H);
  section("EL2, WXN");
  msr(sctlr_el2, mrs(sctlr_el2) | SCTLR_WXN);
  stage1_matrix(kEl2, 1, 0);
  el2_mmu(0);

  if (!has_vhe) return;
  set_e2h(1);
  el2_mmu(1);
  hcr_now = HCR_RW | HCR_E2H | HCR_TGE;
  section("EL2&0");
  stage1_matrix(kEl20, 2, has_pan);
  stage1_faults(EL2H);
  section("EL2&0, WXN");
  msr(sctlr_el2, mrs(sctlr_el2) | SCTLR_WXN);
  stage1_matrix(kEl20, 2, 0);
  el2_mmu(0);
  set_e2h(0);
}

// --- stage 2 -------------------------------------------------------------------------------------

static void stage2_permissions(void) {
  section("stage 2: permissions");
  el1_mmu(0);
  stage2_pages();
  put_code(FRAME(0));
  put_code(0x48000000);
  hcr_now = HCR_RW | HCR_VM;
  for (u64 bits = 0; bits < 8; ++bits) {
    stage2_window[0] = FRAME(0) | S2_NORMAL | PAGE | (bits & 3) << 6 | (bits & 4 ? UXN : 0);
    tlbi_everything();
    print("s2ap");
    print_hex(bits & 3);
    print(bits & 4 ? " xn:" : ":");
    print(" EL1");
    access_three(EL1H, WINDOW);
    print(" EL0");
    access_three(EL0, WINDOW);
    // Without E2H stage 2 stays under T-G-E (the compare script takes a line with that word for one
    // of stage 1).
    print(", no EL1: EL0");
    hcr_now |= HCR_TGE;
    access_three(EL0, WINDOW);
    hcr_now &= ~(u64)HCR_TGE;
    print("\n");
  }
  if (!has_vhe) return;
  // With E2H and TGE there is none.
  set_e2h(1);
  stage2_pages();
  stage2_window[0] = 0;
  tlbi_everything();
  hcr_now = HCR_RW | HCR_E2H | HCR_TGE | HCR_VM;
  print("E2H TGE EL0");
  access_three(EL0, 0x48000000);
  print("\n");
  hcr_now = HCR_RW | HCR_E2H | HCR_VM;
  print("E2H EL1");
  access_three(EL1H, WINDOW);
  print("\n");
  set_e2h(0);
}

struct Snippet {
  const char* name;
  const u32* code;
};
// clang-format off
#define ACCESSES(X)                                                                         \
  X("LDRB", ldrb, "ldrb w3, [x0]") X("LDRH", ldrh, "ldrh w3, [x0]")                         \
  X("LDR W", ldrw, "ldr w3, [x0]") X("LDR X", ldrx, "ldr x3, [x0]")                         \
  X("LDRSB W", ldrsbw, "ldrsb w3, [x0]") X("LDRSB X", ldrsbx, "ldrsb x3, [x0]")             \
  X("LDRSH W", ldrshw, "ldrsh w3, [x0]") X("LDRSW", ldrsw, "ldrsw x30, [x0]")               \
  X("STRB", strb, "strb w3, [x0]") X("STRH", strh, "strh w3, [x0]")                         \
  X("STR W", strw, "str w3, [x0]") X("STR X", strx, "str x3, [x0]")                         \
  X("STR XZR", strz, "str xzr, [x0]") X("LDR, offset", ldro, "ldr x5, [x0, #8]")            \
  X("LDR, register", ldrr, "ldr x5, [x0, x2]") X("LDUR", ldur, "ldur x5, [x0, #3]")         \
  X("LDTR", ldtr, "ldtr w5, [x0]") X("STTR", sttr, "sttr x5, [x0]")                         \
  X("LDR, post", ldrpost, "ldr x5, [x0], #8") X("STR, pre", strpre, "str x5, [x0, #8]!")    \
  X("LDP", ldp, "ldp x5, x6, [x0]") X("STP", stp, "stp x5, x6, [x0]")                       \
  X("LDAR", ldar, "ldar x5, [x0]") X("STLR", stlr, "stlr w5, [x0]")                         \
  X("LDARB", ldarb, "ldarb w5, [x0]") X("LDXR", ldxr, "ldxr x5, [x0]")                      \
  X("LDR Q", ldrq, "ldr q0, [x0]") X("STR D", strd, "str d0, [x0]")                         \
  X("LD1", ld1, "ld1 {v0.16b}, [x0]") X("DC ZVA", dczva, "dc zva, x0")
// clang-format on
#define DEFINE(name, symbol, text) SNIPPET(symbol, text);
ACCESSES(DEFINE)
static const struct Snippet kAccesses[] = {
#define ROW(name, symbol, text) {name, symbol},
    ACCESSES(ROW)};

static void stage2_syndromes(void) {
  section("stage 2: syndromes");
  hcr_now = HCR_RW | HCR_VM;
  for (int permission = 0; permission < 2; ++permission) {
    stage2_window[1] = permission ? FRAME(1) | S2_NORMAL | PAGE : 0;
    tlbi_everything();
    for (u64 i = 0; i < sizeof kAccesses / sizeof kAccesses[0]; ++i) {
      ctx.x[0] = WINDOW + 0x1040;
      ctx.x[2] = 0x18;
      run_at(EL1H, kAccesses[i].code, hcr_now);
      print(permission ? "permission, " : "translation, ");
      report_bare(kAccesses[i].name);
    }
  }
}

// The faults of one page's stage 2, of the page itself and of a stage-1 table in it.
struct Fault {
  const char* name;
  u64 descriptor;  // | 4096 i
  u64 hcr;
};
static const struct Fault kFaults[] = {
    {"fine", FRAMES | S2_NORMAL | S2_RW | PAGE, 0},
    {"invalid", 0, 0},
    {"reserved type", FRAMES | S2_NORMAL | S2_RW | 1, 0},
    {"no access flag", (FRAMES | S2_NORMAL | S2_RW | PAGE) & ~AF, 0},
    {"output beyond PS", 1ul << 42 | S2_NORMAL | S2_RW | PAGE, 0},
    {"no access", FRAMES | S2_NORMAL | PAGE, 0},
    {"read-only", FRAMES | S2_NORMAL | 1 << 6 | PAGE, 0},
    {"write-only", FRAMES | S2_NORMAL | 2 << 6 | PAGE, 0},
    {"Device", FRAMES | S2_DEVICE | S2_RW | PAGE, 0},
    {"Device, PTW", FRAMES | S2_DEVICE | S2_RW | PAGE, HCR_PTW},
    {"Normal, PTW", FRAMES | S2_NORMAL | S2_RW | PAGE, HCR_PTW},
};

static void report_access(const char* name, const char* what, const u32* code, u64 va) {
  ctx.x[0] = va;
  run_at(EL1H, code, hcr_now);
  print(name);
  report_bare(what);
}

// Addresses of the inner guest: 0xc0000000 by a level-2 table in page 2 of the window and a level-3
// table in page 3, to page 4.
static void make_chain(void) {
  level1[3] = (WINDOW + 0x2000) | TABLE;
  memset((void*)FRAME(2), 0, 0x3000);
  at(u64, FRAME(2)) = (WINDOW + 0x3000) | TABLE;
  at(u64, FRAME(3) + 8) = (WINDOW + 0x4000) | NORMAL | AF | PAGE;
  put_code(FRAME(4));
}
#define CHAINED 0xc0001000ul

static void stage2_faults(void) {
  stage2_pages();
  make_tables();
  make_chain();
  for (u64 i = 0; i < 8; ++i) stage2_window[i] = FRAME(i) | S2_NORMAL | S2_RW | PAGE;
  for (u64 page = 2; page < 5; ++page) {
    section(page == 2   ? "stage 2: of a level-2 table"
            : page == 3 ? "stage 2: of a level-3 table"
                        : "stage 2: of the page");
    for (u64 f = 0; f < sizeof kFaults / sizeof kFaults[0]; ++f) {
      stage2_window[page] = kFaults[f].descriptor == 0 ? 0 : kFaults[f].descriptor + (page << 12);
      el1_mmu(1);
      hcr_now = HCR_RW | HCR_VM | kFaults[f].hcr;
      report_access(kFaults[f].name, ", read", load, CHAINED + 0x10);
      report_access(kFaults[f].name, ", write", store, CHAINED + 0x24);
      report_access(kFaults[f].name, ", fetch", jump, CHAINED);
      msr(hcr_el2, hcr_now);
      print_value(" AT S1E1R", AT("s1e1r", CHAINED + 0x123));
      print_value(" AT S12E1R", AT("s12e1r", CHAINED + 0x123));
      print_value(" AT S12E1W", AT("s12e1w", CHAINED + 0x123));
      print_value(" AT S12E0R", AT("s12e0r", CHAINED + 0x123));
      msr(hcr_el2, base_hcr);
      // At EL1 a fault of stage 2 on the walk is taken.
      report_access(" at EL1", ", AT S1E1R", at_s1e1r, CHAINED + 0x123);
      if (outcome.done) print_value(" at EL1, PAR_EL1", par());
    }
    stage2_window[page] = FRAME(page) | S2_NORMAL | S2_RW | PAGE;
  }
  el1_mmu(0);
}

static void stage2_levels(void) {
  section("stage 2: levels");
  stage2_pages();
  hcr_now = HCR_RW | HCR_VM;
  stage2_level1[4] = 0;
  static const u64 kAddresses[] = {WINDOW + 0x200000, 4ul << 30, 1ul << 39, 3ul << 38};
  for (u64 i = 0; i < sizeof kAddresses / sizeof kAddresses[0]; ++i) {
    print_hex(kAddresses[i]);
    report_access("", " read", load, kAddresses[i] + 0x18);
    print_hex(kAddresses[i]);
    report_access("", " fetch", jump, kAddresses[i] + 0x18);
  }
  stage2_level1[5] = 5ul << 30 | S2_RW | BLOCK | (S2_NORMAL & ~AF);
  stage2_level1[6] = 6ul << 30 | BLOCK | S2_NORMAL;
  stage2_level1[7] = 1ul << 42 | BLOCK | S2_NORMAL;
  stage2_level1[8] = 1ul << 42 | TABLE;
  for (u64 i = 5; i < 9; ++i) {
    print_hex(i);
    report_access("", " read", load, (i << 30) + 0x18);
  }
}

// Which shapes of tables VTCR_EL2 may say: every table is empty, so that the fault's level is the
// first one's, or 0.
static void stage2_shapes(void) {
  section("stage 2: shapes");
  hcr_now = HCR_RW | HCR_VM;
  msr(vttbr_el2, 0x50000000);
  for (u64 tg = 0; tg < (has_vhe ? 3 : 2); ++tg) {  // nor 16 KiB
    for (u64 sl = 0; sl < 4; ++sl) {
      print("TG0");
      print_hex(tg);
      print(" SL0");
      print_hex(sl);
      print(":");
      // Below 25 bits and above PS it is CONSTRAINED UNPREDICTABLE, and both say level 0.
      for (u64 t0sz = 20; t0sz < 42; ++t0sz) {
        msr(vtcr_el2, 1ul << 31 | 2ul << 16 | tg << 14 | 0x3500 | sl << 6 | t0sz);
        tlbi_everything();
        msr(hcr_el2, hcr_now);
        print_hex(AT("s12e1r", 0));
        msr(hcr_el2, base_hcr);
      }
      print("\n");
    }
  }
}

// Stage 2 with each granule and start level, by AT with stage 1 off: pages, blocks, concatenated
// tables.
static void clear(u64 address, u64 size) {
  for (u64 i = 0; i < size; i += 8) at(u64, address + i) = 0;
}
static void stage2_granules(void) {
  section("stage 2: granules");
  static const struct {
    u64 tg, log2, sl0, start, t0sz;
  } kShapes[] = {{0, 12, 1, 1, 25}, {0, 12, 1, 1, 24}, {0, 12, 0, 2, 30},
                 {0, 12, 0, 2, 34}, {1, 16, 1, 2, 24}, {1, 16, 0, 3, 31},
                 {2, 14, 1, 2, 24}, {2, 14, 1, 2, 28}, {2, 14, 0, 3, 35}};
  const u64 kRoot = 0x50000000, kNext = 0x51000000;
  for (u64 s = 0; s < (has_vhe ? sizeof kShapes / sizeof kShapes[0] : 6); ++s) {
    u64 log2 = kShapes[s].log2, stride = log2 - 3, bits = 64 - kShapes[s].t0sz;
    u64 last = (1ul << bits) - 1;
    msr(vttbr_el2, kRoot);
    msr(vtcr_el2, 1ul << 31 | 2ul << 16 | kShapes[s].tg << 14 | 0x3500 | kShapes[s].sl0 << 6 |
                      kShapes[s].t0sz);
    for (u64 leaf = kShapes[s].start; leaf < 4; ++leaf) {
      clear(kRoot, 0x100000);
      clear(kNext, 0x100000);
      u64 table = kRoot, next = kNext;
      for (u64 level = kShapes[s].start;; ++level) {
        u64 shift = log2 + (3 - level) * stride;
        u64 first = level == kShapes[s].start;
        u64 index = last >> shift & (first ? ~0ul : (1ul << stride) - 1);
        if (level == leaf) {
          at(u64, table + index * 8) = (0x7ul << 36 & ~((1ul << shift) - 1)) | S2_NORMAL | S2_RW |
                                       (level == 3 ? PAGE : BLOCK);
          break;
        }
        at(u64, table + index * 8) = next | TABLE;
        table = next;
        next += 0x10000;
      }
      tlbi_everything();
      msr(hcr_el2, HCR_RW | HCR_VM);
      print_hex(s);
      print(" leaf at");
      print_hex(leaf);
      print(":");
      print_hex(AT("s12e1r", last & ~7ul));
      print_hex(AT("s12e1w", last ^ 0x4000));
      print_hex(AT("s12e1r", 0));
      if (bits < 40) print_hex(AT("s12e1r", last + 1));  // beyond what every CPU has
      print("\n");
      msr(hcr_el2, base_hcr);
    }
  }
}

// LDTR and STTR are EL0's accesses at EL1, and at EL2 with E2H and TGE; elsewhere those of the
// level.
SNIPPET(load_unprivileged, "ldtr w1, [x0]");
SNIPPET(store_unprivileged, "sttr w1, [x0]");
static void unprivileged_from(const char* name, u64 mode, u64 hcr) {
  for (u64 ap = 0; ap < 4; ++ap) {
    window[0] = FRAME(0) | NORMAL | AF | XN | PAGE | ap << 6;
    tlbi_everything();
    for (int pan = 0; pan <= (has_vhe && (mode == EL1H || hcr & HCR_E2H)); ++pan) {
      print(name);
      print(" ap");
      print_hex(ap);
      print(pan ? " pan:" : ":");
      for (int write = 0; write < 2; ++write) {
        ctx.x[0] = WINDOW;
        enter(mode | MASKED | (pan ? 1ul << 22 : 0),
              (u64)(write ? store_unprivileged : load_unprivileged), hcr);
        if (outcome.done) {
          print(" ok");
        } else {
          print(outcome.el == 2 ? " EL2 esr" : " EL1 esr");
          print_hex(outcome.esr);
        }
      }
      print("\n");
    }
  }
}
static void unprivileged(void) {
  section("LDTR and STTR");
  make_tables();
  el1_mmu(1);
  unprivileged_from("EL1", EL1H, HCR_RW);
  el1_mmu(0);
  el2_mmu(1);
  unprivileged_from("EL2", EL2H, HCR_RW);
  el2_mmu(0);
  if (!has_vhe) return;
  set_e2h(1);
  el2_mmu(1);
  unprivileged_from("E2H EL2", EL2H, HCR_RW | HCR_E2H);
  unprivileged_from("E2H TGE EL2", EL2H, HCR_RW | HCR_E2H | HCR_TGE);
  el2_mmu(0);
  set_e2h(0);
}

// Memory types of both stages together, as AT S12E1R shows them: attribute and shareability. Left
// out is what QEMU gets wrong: Device beside a Normal type whose low half reads as a Device type.
static void attributes(void) {
  section("attributes");
  stage2_pages();
  make_tables();
  static const u64 kMair[] = {0x00, 0x04, 0x44, 0xff, 0xbb, 0x4f, 0xf4};
  static const struct Fault kControls[] = {
      {"", 0, 0}, {"CD ", 0, HCR_CD}, {"DC ", 0, HCR_DC}, {"DC CD ", 0, HCR_DC | HCR_CD}};
  for (int c = 0; c < 4; ++c) {
    for (u64 i = 0; i < (c < 2 ? 7 : 1); ++i) {
      el1_mmu(1);
      SET_EL1(MAIR_EL1, kMair[i] << 8);
      print(kControls[c].name);
      print("MAIR");
      print_hex(kMair[i]);
      print(":");
      for (u64 attr = 0; attr < 16; ++attr) {
        if ((attr & 3) == 0 && attr != 0) continue;  // reserved
        if ((kMair[i] & 15) == 4 && (attr == 2 || attr == 3)) continue;
        for (u64 sh = 0; sh < 4; ++sh) {
          if (sh == 1) continue;  // reserved
          window[0] = WINDOW | NORMAL | AF | PAGE;
          stage2_window[0] = FRAME(0) | S2_RW | AF | attr << 2 | sh << 8 | PAGE;
          tlbi_everything();
          msr(hcr_el2, HCR_RW | HCR_VM | kControls[c].hcr);
          u64 result = AT("s12e1r", WINDOW);
          msr(hcr_el2, base_hcr);
          print_hex(result >> 56 << 4 | (result >> 7 & 3));
        }
      }
      print("\n");
    }
  }
  el1_mmu(0);
}

// AT of EL2's own regime, and of EL1&0 without stage 2.
static void at_stage1(void) {
  make_tables();
  el1_mmu(1);
  for (u64 bits = 0; bits < 16; ++bits) {
    window[0] = FRAME(0) | NORMAL | AF | PAGE | (bits & 3) << 6 | (bits & 4 ? PXN : 0) |
                (bits & 8 ? READ_ONLY : 0);
    tlbi_everything();
    print_hex(bits);
    print(":");
    print_hex(AT("s1e1r", WINDOW));
    print_hex(AT("s1e1w", WINDOW));
    print_hex(AT("s1e0r", WINDOW));
    print_hex(AT("s1e0w", WINDOW));
    print_hex(AT("s1e2r", WINDOW));
    print_hex(AT("s1e2w", WINDOW));
    print("\n");
  }
  print_value("nothing there, S1E1R", AT("s1e1r", 0xc0000000));
  print_value("nothing there, S1E2R", AT("s1e2r", 0xc0000000));
  print_value("beyond, S1E2W", AT("s1e2w", 1ul << 39));
}

static void translations(void) {
  section("AT, EL2's MMU off");
  at_stage1();
  section("AT, EL2");
  el2_mmu(1);
  at_stage1();
  el2_mmu(0);
  if (has_vhe) {
    section("AT, EL2&0, TGE 0");
    set_e2h(1);
    el2_mmu(1);
    at_stage1();
    section("AT, EL2&0, TGE 1");
    base_hcr |= HCR_TGE;
    msr(hcr_el2, base_hcr);
    at_stage1();
    base_hcr &= ~(u64)HCR_TGE;
    msr(hcr_el2, base_hcr);
    el2_mmu(0);
    set_e2h(0);
  }
  el1_mmu(0);
}

void test(void) {
  regimes();
  stage2_permissions();
  stage2_pages();
  stage2_syndromes();
  stage2_faults();
  stage2_levels();
  stage2_shapes();
  stage2_granules();
  unprivileged();
  attributes();
  translations();
}
