// TLB maintenance across CPUs: another one runs at EL1, EL0 or EL2 and keeps reading and executing
// a page, while this one changes its translation and invalidates with the inner-shareable
// operations. After the DSB nothing old is seen.
#include "el2.h"

// Run by CPU 1: reads the page's word into `seen[0]`, executes it into `seen[1]`, counts rounds,
// and ends when `stop` is set. x0: the page, x4: struct Shared.
struct Shared {
  volatile u64 rounds, loaded, executed, stop;
};
static struct Shared shared __attribute__((aligned(64)));
#define LOOP(name, end)                \
  SNIPPET_ENDING(name,                 \
                 "mov x10, x0\n"       \
                 "1: ldr w1, [x10]\n"  \
                 "blr x10\n"           \
                 "str x1, [x4, #8]\n"  \
                 "str x2, [x4, #16]\n" \
                 "dmb sy\n"            \
                 "ldr x3, [x4]\n"      \
                 "add x3, x3, #1\n"    \
                 "str x3, [x4]\n"      \
                 "ldr x3, [x4, #24]\n" \
                 "cbz x3, 1b",         \
                 end)
LOOP(loop, "hvc #0x7ff");

// Frame n: its number in w2, and back.
static void fill(u64 n) {
  at(u32, FRAME(n)) = 0x52800002u | (u32)n << 5;  // MOVZ w2, #n
  at(u32, FRAME(n) + 4) = 0xd65f03c0;             // RET
}

// What CPU 1 is to do; the harness's context is its own while it runs.
static volatile u64 job_mode, job_hcr, job_ready, job_done, cpu1_setup;

static void setup_here(void) {
  msr(hcr_el2, base_hcr);
  msr(sctlr_el2, SCTLR_EL2_NOW);
  trap_defaults();
  SET_EL1(SCTLR_EL1, SCTLR_EL1_BASE);
  SET_EL1(VBAR_EL1, (u64)el1_vectors);
}

void second(void) {
  for (;;) {
    while (!job_ready) asm volatile("yield");
    barrier();
    setup_here();
    msr(vttbr_el2, 0);
    if (cpu1_setup == 1) el1_mmu(1);
    if (cpu1_setup == 2) {
      msr(vttbr_el2, (u64)stage2_level1 | 3ul << 48);
      msr(vtcr_el2, VTCR_39);
    }
    if (cpu1_setup == 3) el2_mmu(1);
    job_ready = 0;
    ctx.x[0] = WINDOW;
    ctx.x[4] = (u64)&shared;
    enter(job_mode | MASKED, (u64)loop, job_hcr);
    // While the entry is invalid the page faults: once more.
    while (!outcome.done) enter(outcome.spsr, outcome.pc, job_hcr);
    if (cpu1_setup == 3) el2_mmu(0);
    barrier();
    job_done = 1;
  }
}

static void wait_rounds(u64 n) {
  u64 until = shared.rounds + n;
  while (shared.rounds < until) asm volatile("yield");
}

enum { VAE1IS, VAAE1IS, VMALLE1IS, ALLE1IS, VMALLS12E1IS, IPAS2E1IS, VAE2IS, ALLE2IS };
static const char* const kNames[] = {"VAE1IS",       "VAAE1IS",   "VMALLE1IS", "ALLE1IS",
                                     "VMALLS12E1IS", "IPAS2E1IS", "VAE2IS",    "ALLE2IS"};
static void invalidate(int operation) {
  u64 page = WINDOW >> 12;
  asm volatile("dsb ishst" ::: "memory");
  switch (operation) {
    case VAE1IS:
      asm volatile("tlbi vae1is, %0" ::"r"(page));
      break;
    case VAAE1IS:
      asm volatile("tlbi vaae1is, %0" ::"r"(page));
      break;
    case VMALLE1IS:
      asm volatile("tlbi vmalle1is");
      break;
    case ALLE1IS:
      asm volatile("tlbi alle1is");
      break;
    case VMALLS12E1IS:
      asm volatile("tlbi vmalls12e1is");
      break;
    case IPAS2E1IS:
      asm volatile("tlbi ipas2e1is, %0\n dsb ish\n tlbi vmalle1is" ::"r"(page));
      break;
    case VAE2IS:
      asm volatile("tlbi vae2is, %0" ::"r"(page));
      break;
    default:
      asm volatile("tlbi alle2is");
  }
  asm volatile("dsb ish\n isb" ::: "memory");
}

// Flips *entry between frames 1 and 2 under CPU 1's eyes; counts what was old after the DSB.
static void flip(const char* name, u64 setup, u64 mode, u64 hcr, volatile u64* entry, u64 bits,
                 const int* operations, int count) {
  *entry = FRAME(1) | bits;
  shared = (struct Shared){0};
  cpu1_setup = setup;
  job_mode = mode;
  job_hcr = hcr;
  job_done = 0;
  barrier();
  job_ready = 1;
  wait_rounds(5);
  for (int i = 0; i < count; ++i) {
    u64 old = 0;
    for (u64 flips = 0; flips < 20; ++flips) {
      u64 frame = 2 - (flips & 1);
      *entry = 0;  // break before make
      invalidate(operations[i]);
      *entry = FRAME(frame) | bits;
      asm volatile("dsb ishst\n isb" ::: "memory");
      // A round that began before the DSB has ended by the second.
      u64 before = shared.rounds;
      while (shared.rounds < before + 2 && !job_done) asm volatile("yield");
      if (job_done) break;
      old += (shared.loaded >> 5 & 0xffff) != frame;
      old += shared.executed != frame;
    }
    print(name);
    print(" ");
    print(kNames[operations[i]]);
    print(":");
    print_hex(old);
    print(job_done ? " ended early\n" : "\n");
  }
  shared.stop = 1;
  while (!job_done) asm volatile("yield");
}

void test(void) {
  for (u64 n = 0; n < 4; ++n) fill(n);
  asm volatile("dsb sy\n ic iallu\n dsb sy\n isb" ::: "memory");
  start_second();
  make_tables();
  stage2_pages();
  msr(vttbr_el2, mrs(vttbr_el2) | 3ul << 48);
  static const int kEl1[] = {VAE1IS, VAAE1IS, VMALLE1IS, ALLE1IS, VMALLS12E1IS};
  static const int kStage2[] = {IPAS2E1IS, VMALLS12E1IS, ALLE1IS};
  static const int kEl2[] = {VAE2IS, ALLE2IS};
  msr(vtcr_el2, VTCR_39);
  section("stage 2 at EL1");
  flip("EL1", 2, EL1H, HCR_RW | HCR_VM, &stage2_window[0], S2_NORMAL | S2_RW | PAGE, kStage2, 3);
  section("stage 1 at EL1");
  msr(vttbr_el2, 0);
  flip("EL1", 1, EL1H, HCR_RW, &window[0], NORMAL | AF | READ_ONLY | PAGE, kEl1, 5);
  section("EL2");
  flip("EL2", 3, EL2H, HCR_RW, &window[0], NORMAL | AF | READ_ONLY | PAGE, kEl2, 2);
  if (!has_vhe) return;
  section("EL2&0");
  static const int kHost[] = {VAE1IS, VAAE1IS, VMALLE1IS, ALLE2IS};
  set_e2h(1);
  base_hcr |= HCR_TGE;
  msr(hcr_el2, base_hcr);
  flip("E2H TGE EL2", 3, EL2H, base_hcr, &window[0], NORMAL | AF | READ_ONLY | PAGE, kHost, 4);
}
