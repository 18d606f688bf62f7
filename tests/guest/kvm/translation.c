// Accesses without a syndrome to a device behind stage 1: every granule, both halves, VA other than
// IPA, EL1 and EL0, and faults that only the emulation finds.
#include "guest.h"

// PL011's UARTIBRD (16 bits), UARTFBRD (6 bits) and UARTLCR_H (8 bits) keep what is written.
#define IBRD 0x24ul
#define FBRD 0x28ul
#define GICD_PRIORITIES 0x420ul  // of SPI 32 and up
#define GICD 0x08000000ul

SNIPPET(post_index,
        "mov w1, #0x123\n mov w2, #0x15\n str w1, [x0], #4\n str w2, [x0], #-4\n"
        "ldr w3, [x0], #4\n ldr w4, [x0]");
SNIPPET(pairs, "mov w1, #0x321\n mov w2, #0x2a\n stp w1, w2, [x0]\n ldp w3, w4, [x0], #8");
SNIPPET(simd,
        "mov w1, #0x2a\n mov w2, #0x60\n stp w1, w2, [x0]\n ldr d0, [x0]\n ldr s1, [x0, #4]!\n"
        "fmov x3, d0\n fmov w4, s1");
SNIPPET(atomic, "mov w1, #0x40\n str w1, [x0]\n mov w1, #8\n ldadd w1, w3, [x0]\n ldr w4, [x0]");
SNIPPET(exclusive,
        "mov w1, #0x10\n str w1, [x0]\n 1: ldxr w3, [x0]\n add w4, w3, #1\n stxr w5, w4, [x0]\n"
        "cbnz w5, 1b\n ldr w4, [x0]");
SNIPPET(pair_across, "ldp x1, x2, [x0]");
SNIPPET(unaligned_device, "ldp w1, w2, [x0]");

static const char* where;
static u64 which;

static int go(u64 mode, const void* code, u64 address) {
  for (unsigned i = 1; i < 8; ++i) ctx.x[i] = 0x5a5a0000 + i;
  ctx.x[0] = address;
  return run_at(mode, code);
}
static void expect(const char* what, u64 address, u64 base, u64 x3, u64 x4) {
  check_in(what, where, which, ctx.esr, DONE);
  check_in(what, "base", which, ctx.x[0], address + base);
  check_in(what, "x3", which, ctx.x[3], x3);
  check_in(what, "x4", which, ctx.x[4], x4);
}

// `device` is where PL011's page is seen.
static void accesses(u64 mode, u64 device) {
  const u64 a = device + IBRD;
  go(mode, post_index, a);
  expect("post-index", a, 4, 0x123, 0x15);
  go(mode, pairs, a);
  expect("pairs", a, 8, 0x321, 0x2a);
  const u64 b = device + FBRD;  // a doubleword of Device memory is aligned
  go(mode, simd, b);
  expect("simd", b, 4, 0x600000002a, 0x60);
}

// PL011 and the distributor, seen through two levels of tables behind TTBR1.
static void upper_half(u64 granule, u64 tg1) {
  const u64 stride = granule - 3, bits = granule + 2 * stride;
  u64* const root = (u64*)FRAME(512);
  u64* const leaves = (u64*)FRAME(512 + 64);
  memset(root, 0, 1ul << granule);
  memset(leaves, 0, 1ul << granule);
  const u64 base = ~0ul << bits, page = 1ul << granule;
  root[0] = (u64)leaves | TABLE;
  const u64 uart = base + 5 * page, gicd = base + 9 * page, behind = gicd + page;
  const u64 rights = DEVICE | AF | XN | USER | NG;
  leaves[5] = (PL011 & ~(page - 1)) | rights | PAGE;
  leaves[9] = (GICD & ~(page - 1)) | rights | PAGE;
  msr(tcr_el1,
      (tcr_default() & ~(1ul << 23 | 63ul << 16 | 3ul << 30)) | (64 - bits) << 16 | tg1 << 30);
  msr(ttbr1_el1, (u64)root);
  tlbi_all();
  for (unsigned level = 0; level < 2; ++level) {
    const u64 mode = level == 0 ? EL1H : EL0;
    where = level == 0 ? "EL1, granule" : "EL0, granule";
    which = granule;
    accesses(mode, uart);
    go(mode, atomic, gicd + GICD_PRIORITIES);
    expect("atomic", gicd + GICD_PRIORITIES, 0, 0x40, 0x48);
    go(mode, exclusive, uart + IBRD);
    expect("exclusive", uart + IBRD, 0, 0x10, 0x11);
    check_in("exclusive", "status", which, ctx.x[5], 0);
    // The second half lies in a page that stage 1 does not map: nothing is loaded.
    go(mode, pair_across, behind - 8);
    check_in("across", "ESR", which, ctx.esr, abort_esr(mode, 7));
    check_in("across", "FAR", which, ctx.far, behind);
    check_in("across", "ELR", which, ctx.pc, (u64)pair_across);
    check_in("across", "x1", which, ctx.x[1], 0x5a5a0001);
    if (on_qemu) continue;  // whose TCG lets unaligned accesses of Device memory pass
    go(mode, unaligned_device, uart + IBRD + 1);
    check_in("unaligned", "ESR", which, ctx.esr, abort_esr(mode, 0x21));
    check_in("unaligned", "FAR", which, ctx.far, uart + IBRD + 1);
  }
  msr(tcr_el1, tcr_default());
  msr(ttbr1_el1, 0);
  tlbi_all();
  print("ok upper half, granule");
  print_hex(page);
  print("\n");
}

void test(void) {
  where = "stage 1 off";
  accesses(EL1H, PL011);
  mmu_on();
  where = "lower half, EL";
  map(3, PL011, DEVICE | AF | XN | USER);
  which = 1;
  accesses(EL1H, WINDOW + 0x3000);
  which = 0;
  accesses(EL0, WINDOW + 0x3000);
  print("ok lower half\n");
  upper_half(12, 2);
  upper_half(14, 1);
  upper_half(16, 3);
}
