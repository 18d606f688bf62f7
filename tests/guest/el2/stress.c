// The cache's stress guest as a hypervisor: two guests whose code page, stage-1 tables and stage-2
// tables it remaps, rewrites, reuses for each other and shoots down, while they make accesses
// without a syndrome to a device that it passes through. What each did is known from its result.
//
// stress=N in the device tree's command line: N changes. On one CPU a guest runs after each; where
// there are two, CPU 1 runs guests all the time, and what it saw counts if nothing changed
// meanwhile.
#include "el2.h"

#define ID_REGISTERS (PL011 + 0xfe0)  // PL011's peripheral and cell ID
enum { PAGES = 8, VMS = 2, ASIDS = 2, FRAMES_USED = 28, VARIANTS = 16 };
enum { TABLES_PAGE = 511 };  // of the window's IPAs: the table that stage 1 reads there

// --- what there is -------------------------------------------------------------------------------

// Changed by CPU 0 only; odd while it is being changed.
static volatile u64 sequence;
static volatile u32 variant_of[FRAMES_USED];
static volatile u8 ipa_page_of[ASIDS][PAGES];  // by stage 1's table
static volatile u8 frame_of[VMS][PAGES];       // by stage 2
static volatile u8 tables_of[VMS];             // which of ASIDS's tables the page of tables shows
static u8 table_frame[VMS];                    // stage 2's level 3 is in this frame
static u8 stage1_frame[ASIDS];                 // and stage 1's level 3 in these
static u64 vm_root[VMS][512] __attribute__((aligned(4096)));
static u64 vm_level2[VMS][512] __attribute__((aligned(4096)));
static u64 inner_root[512] __attribute__((aligned(4096)));
static u64 inner_level2[512] __attribute__((aligned(4096)));
static u64 id[16];
static volatile u64 exits, checked, faults, failed, done_changing;

#define STAGE2_ENTRY(vm, page) at(u64, FRAME(table_frame[vm]) + 8 * (page))
#define STAGE1_ENTRY(asid, page) at(u64, FRAME(stage1_frame[asid]) + 8 * (page))
#define CODE (NORMAL | AF | READ_ONLY | PAGE)
#define STAGE2_PAGE(frame) (FRAME(frame) | S2_RW | S2_NORMAL | PAGE)

static u64 random_state = 0x9e3779b97f4a7c15;
static u64 pick(u64 n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (random_state >> 11) % n;
}

// --- code ----------------------------------------------------------------------------------------

// None has a syndrome. x0: ID_REGISTERS.
static u32 word_of(u32 variant) {
  if (variant < 8) return 0xb8400401 | (4 * (variant + 1)) << 12;   // ldr w1, [x0], #4 (v + 1)
  if (variant < 15) return 0xb8400c01 | (4 * (variant - 7)) << 12;  // ldr w1, [x0, #4 (v - 7)]!
  return 0x28c10801;                                                // ldp w1, w2, [x0], #8
}
static int result_is(u32 variant) {
  u64 moved = ctx.x[0] - ID_REGISTERS;
  if (variant < 8) return moved == 4 * (variant + 1) && ctx.x[1] == id[0];
  if (variant < 15) return moved == 4 * (variant - 7) && ctx.x[1] == id[variant - 7];
  return moved == 8 && ctx.x[1] == id[0] && ctx.x[2] == id[1];
}

static void write_code(u64 frame, u32 variant) {
  at(u32, FRAME(frame)) = word_of(variant);
  at(u32, FRAME(frame) + 4) = 0xd400ffe2;  // HVC #0x7ff
  asm volatile("dc cvau, %0\n dsb ish\n ic ivau, %0\n dsb ish\n isb" ::"r"(FRAME(frame))
               : "memory");
  variant_of[frame] = variant;
}

// --- changes -------------------------------------------------------------------------------------

static void forget_all(void) {
  asm volatile("dsb ishst\n tlbi alle1is\n dsb ish\n isb" ::: "memory");
}
// Of VM `vm`: an IPA of its window, and then all of stage 1 that came out of it.
static void forget_ipa(u64 vm, u64 page) {
  u64 before = mrs(vttbr_el2);
  msr(vttbr_el2, (u64)vm_root[vm] | (vm + 1) << 48);
  asm volatile("dsb ishst\n tlbi ipas2e1is, %0\n dsb ish\n tlbi vmalle1is\n dsb ish\n isb" ::"r"(
                   (WINDOW >> 12) + page)
               : "memory");
  msr(vttbr_el2, before);
}
// Of the inner guests' stage 1, by address, in each VM.
static void forget_va(u64 page) {
  u64 before = mrs(vttbr_el2);
  for (u64 vm = 0; vm < VMS; ++vm) {
    msr(vttbr_el2, (u64)vm_root[vm] | (vm + 1) << 48);
    asm volatile("dsb ishst\n tlbi vaae1is, %0\n dsb ish\n isb" ::"r"((WINDOW >> 12) + page)
                 : "memory");
  }
  msr(vttbr_el2, before);
}

static int is_code_in_use(u64 frame) {
  for (u64 vm = 0; vm < VMS; ++vm) {
    for (u64 page = 0; page < PAGES; ++page) {
      if (frame_of[vm][page] == frame) return 1;
    }
  }
  return 0;
}
static int is_table(u64 frame) {
  return frame == table_frame[0] || frame == table_frame[1] || frame == stage1_frame[0] ||
         frame == stage1_frame[1];
}
static u64 any_code_frame(void) {
  u64 frame;
  do {
    frame = pick(FRAMES_USED);
  } while (is_table(frame));
  return frame;
}
static u64 unused_frame(void) {
  u64 frame;
  do {
    frame = any_code_frame();
  } while (is_code_in_use(frame));
  return frame;
}

static void remap_stage2(void) {
  u64 vm = pick(VMS), page = pick(PAGES), frame = any_code_frame();
  STAGE2_ENTRY(vm, page) = 0;
  forget_ipa(vm, page);
  STAGE2_ENTRY(vm, page) = STAGE2_PAGE(frame);
  frame_of[vm][page] = (u8)frame;
}
static void remap_stage1(void) {
  u64 asid = pick(ASIDS), page = pick(PAGES), to = pick(PAGES);
  STAGE1_ENTRY(asid, page) = 0;
  forget_va(page);
  STAGE1_ENTRY(asid, page) = (WINDOW + (to << 12)) | CODE;
  ipa_page_of[asid][page] = (u8)to;
}
static void rewrite_code(void) { write_code(any_code_frame(), (u32)pick(VARIANTS)); }
// Another frame becomes the table of stage 2, and the old one code.
static void move_stage2_table(void) {
  u64 vm = pick(VMS), to = unused_frame(), from = table_frame[vm];
  for (u64 i = 0; i < 512; ++i) at(u64, FRAME(to) + 8 * i) = at(u64, FRAME(from) + 8 * i);
  vm_level2[vm][0] = 0;
  forget_all();
  vm_level2[vm][0] = FRAME(to) | TABLE;
  table_frame[vm] = (u8)to;
  barrier();
  write_code(from, (u32)pick(VARIANTS));
}
// The same of stage 1's, which lies behind stage 2.
static void move_stage1_table(void) {
  u64 asid = pick(ASIDS), to = unused_frame(), from = stage1_frame[asid];
  for (u64 i = 0; i < 512; ++i) at(u64, FRAME(to) + 8 * i) = at(u64, FRAME(from) + 8 * i);
  stage1_frame[asid] = (u8)to;
  for (u64 vm = 0; vm < VMS; ++vm) {
    if (tables_of[vm] != asid) continue;
    STAGE2_ENTRY(vm, TABLES_PAGE) = 0;
    forget_ipa(vm, TABLES_PAGE);
    STAGE2_ENTRY(vm, TABLES_PAGE) = STAGE2_PAGE(to);
  }
  barrier();
  write_code(from, (u32)pick(VARIANTS));
}
// A VM's page of tables shows the other of stage 1's tables: no entry of stage 1 is written.
static void exchange_tables(void) {
  u64 vm = pick(VMS), asid = 1 - tables_of[vm];
  STAGE2_ENTRY(vm, TABLES_PAGE) = 0;
  forget_ipa(vm, TABLES_PAGE);
  STAGE2_ENTRY(vm, TABLES_PAGE) = STAGE2_PAGE(stage1_frame[asid]);
  tables_of[vm] = (u8)asid;
}

static void change(void) {
  static void (*const kChanges[])(void) = {remap_stage2,   remap_stage1,      rewrite_code,
                                           rewrite_code,   move_stage2_table, move_stage1_table,
                                           exchange_tables};
  sequence = sequence + 1;
  asm volatile("dmb ish" ::: "memory");
  kChanges[pick(sizeof kChanges / sizeof *kChanges)]();
  asm volatile("dsb ish" ::: "memory");
  sequence = sequence + 1;
}

// --- guests --------------------------------------------------------------------------------------

static u64 probe_state = 0x2545f4914f6cdd1d;
static u64 probe_pick(u64 n) {
  probe_state = probe_state * 6364136223846793005 + 1442695040888963407;
  return (probe_state >> 33) % n;
}

// One access of a guest at EL1: behind both stages, or with its stage 1 off, when it is in a frame
// that stage 2 maps by its own address.
static void probe(void) {
  u64 vm = probe_pick(VMS), page = probe_pick(PAGES), stage1 = probe_pick(8) != 0;
  u64 before = sequence;
  asm volatile("dmb ish" ::: "memory");
  u64 frame = frame_of[vm][stage1 ? ipa_page_of[tables_of[vm]][page] : page];
  u32 variant = variant_of[frame];
  msr(vttbr_el2, (u64)vm_root[vm] | (vm + 1) << 48);
  SET_EL1(TTBR0_EL1, (u64)inner_root);
  SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE | (stage1 ? SCTLR_M : 0));
  ctx.x[0] = ID_REGISTERS;
  enter(EL1H | MASKED, stage1 ? WINDOW + (page << 12) : FRAME(frame), HCR_RW | HCR_VM);
  asm volatile("dmb ish" ::: "memory");
  u64 after = sequence;
  ++exits;
  if (before != after || (before & 1) != 0) {
    if (!outcome.done) ++faults;
    return;
  }
  ++checked;
  if (outcome.done && result_is(variant)) return;
  if (failed++ > 20) return;
  print("WRONG: VM, page, variant, done, x0, x1, ESR, HPFAR");
  print_hex(vm);
  print_hex(page);
  print_hex(variant);
  print_hex((u64)outcome.done);
  print_hex(ctx.x[0]);
  print_hex(ctx.x[1]);
  print_hex(outcome.esr);
  print_hex(outcome.hpfar);
  print("\n");
}

static void prepare(void) {
  make_tables();
  for (u64 i = 0; i < 8; ++i) id[i] = at(u32, ID_REGISTERS + 4 * i);
  for (u64 frame = 0; frame < FRAMES_USED; ++frame) write_code(frame, (u32)(frame % VARIANTS));
  table_frame[0] = 20, table_frame[1] = 21, stage1_frame[0] = 22, stage1_frame[1] = 23;
  for (u64 frame = 20; frame < 24; ++frame) memset((void*)FRAME(frame), 0, 4096);
  inner_root[0] = level1[0];
  inner_root[1] = level1[1];
  inner_root[WINDOW >> 30] = (u64)inner_level2 | TABLE;
  inner_level2[0] = (WINDOW + TABLES_PAGE * 4096ul) | TABLE;
  for (u64 asid = 0; asid < ASIDS; ++asid) {
    for (u64 page = 0; page < PAGES; ++page) {
      ipa_page_of[asid][page] = (u8)((page + asid) % PAGES);
      STAGE1_ENTRY(asid, page) = (WINDOW + (u64)ipa_page_of[asid][page] * 4096) | CODE;
    }
  }
  for (u64 vm = 0; vm < VMS; ++vm) {
    stage2_identity();
    for (u64 i = 0; i < 512; ++i) vm_root[vm][i] = stage2_level1[i];
    vm_root[vm][WINDOW >> 30] = (u64)vm_level2[vm] | TABLE;
    vm_level2[vm][0] = FRAME(table_frame[vm]) | TABLE;
    for (u64 page = 0; page < PAGES; ++page) {
      frame_of[vm][page] = (u8)(vm * PAGES + page);
      STAGE2_ENTRY(vm, page) = STAGE2_PAGE(frame_of[vm][page]);
    }
    tables_of[vm] = (u8)vm;
    STAGE2_ENTRY(vm, TABLES_PAGE) = STAGE2_PAGE(stage1_frame[vm]);
  }
  barrier();
}

static void prepare_cpu(void) {
  msr(hcr_el2, base_hcr);
  msr(sctlr_el2, SCTLR_EL2_NOW);
  trap_defaults();
  SET_EL1(VBAR_EL1, (u64)el1_vectors);
  SET_EL1(MAIR_EL1, MAIR_VALUE);
  SET_EL1(TCR_EL1, TCR_EL1_39);
  msr(vtcr_el2, VTCR_39);
  forget_all();
}

static volatile u64 second_runs, second_ended;

void second(void) {
  prepare_cpu();
  second_runs = 1;
  while (!done_changing) probe();
  second_ended = 1;
  barrier();
}

// The number behind stress= in the device tree, at the start of RAM.
static u64 rounds(void) {
  static const char kWord[] = "stress=";
  for (u64 p = 0x40000000; p < 0x40080000; ++p) {
    u64 i = 0;
    while (kWord[i] != 0 && at(char, p + i) == kWord[i]) ++i;
    if (kWord[i] != 0) continue;
    u64 n = 0;
    for (p += i; at(char, p) >= '0' && at(char, p) <= '9'; ++p) n = 10 * n + (u64)at(char, p) - '0';
    return n;
  }
  return 1000;
}

void test(void) {
  prepare();
  prepare_cpu();
  int two = start_second();
  while (two && !second_runs) asm volatile("yield");
  // CPU 1 may not run at all for a while.
  for (u64 n = 0, most = rounds(); n < most || (two && checked < 100); ++n) {
    change();
    if (!two) {
      for (int i = 0; i < 3; ++i) probe();
      continue;
    }
    // Time to see it, unless the changes are to follow close upon each other.
    for (u64 until = checked + pick(3), patience = 20000; checked < until && patience != 0;
         --patience) {
      asm volatile("yield");
    }
  }
  done_changing = 1;
  while (two && !second_ended) asm volatile("yield");
  print("exits, checked, faults");
  print_hex(exits);
  print_hex(checked);
  print_hex(faults);
  print("\n");
  print(failed == 0 && checked >= 100 ? "GUEST PASSED\n" : "GUEST FAILED\n");
}
