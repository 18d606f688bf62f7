// Loads and stores at every alignment and across pages, Device memory, DC ZVA, exclusives,
// big-endian data.
#include "guest.h"

#define WNR 0x40ul
// Two pages whose frames are apart; what follows them is unmapped, and so is what precedes.
#define FIRST (WINDOW + 0x11000ul)
#define SECOND (WINDOW + 0x12000ul)
#define FRAME_1 FRAME(0x20)
#define FRAME_2 FRAME(0x18)

SNIPPET(ld1b, "ldrb w0, [x1]");
SNIPPET(ld2b, "ldrh w0, [x1]");
SNIPPET(ld4b, "ldr w0, [x1]");
SNIPPET(ld8b, "ldr x0, [x1]");
SNIPPET(ld16b, "ldr q0, [x1]\n umov x0, v0.d[0]\n umov x2, v0.d[1]");
SNIPPET(ldp8b, "ldp w0, w2, [x1]\n orr x0, x0, x2, lsl #32");
SNIPPET(ldp16b, "ldp x0, x2, [x1]");
SNIPPET(ld1_16b, "ld1 {v0.16b}, [x1]\n umov x0, v0.d[0]\n umov x2, v0.d[1]");
SNIPPET(st1b, "strb w0, [x1]");
SNIPPET(st2b, "strh w0, [x1]");
SNIPPET(st4b, "str w0, [x1]");
SNIPPET(st8b, "str x0, [x1]");
SNIPPET(st16b, "mov v0.d[0], x0\n mov v0.d[1], x2\n str q0, [x1]");
SNIPPET(stp8b, "lsr x2, x0, #32\n stp w0, w2, [x1]");
SNIPPET(stp16b, "stp x0, x2, [x1]");
SNIPPET(st1_16b, "mov v0.d[0], x0\n mov v0.d[1], x2\n st1 {v0.16b}, [x1]");
SNIPPET(ldp_wb, "ldp x0, x2, [x1], #16");
SNIPPET(str_wb, "str x0, [x1, #8]!");

static const struct {
  const char* name;
  const u32 *load, *store;
  u64 size, element, store_at;  // the store's index in its snippet
} kinds[] = {
    {"byte", ld1b, st1b, 1, 1, 0},
    {"halfword", ld2b, st2b, 2, 2, 0},
    {"word", ld4b, st4b, 4, 4, 0},
    {"doubleword", ld8b, st8b, 8, 8, 0},
    {"quadword", ld16b, st16b, 16, 16, 2},
    {"pair of words", ldp8b, stp8b, 8, 4, 1},
    {"pair of doublewords", ldp16b, stp16b, 16, 8, 0},
    {"ld1, st1", ld1_16b, st1_16b, 16, 1, 2},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static u8 pattern(u64 offset) { return (u8)(offset * 7 + 3); }
static volatile u8* byte_at(u64 va) {
  return (volatile u8*)(va < SECOND ? FRAME_1 + (va - FIRST) : FRAME_2 + (va - SECOND));
}

static void both(u64 first_bits, u64 second_bits) {
  window[0x10] = window[0x13] = 0;
  window[0x11] = first_bits == 0 ? 0 : FRAME_1 | first_bits | PAGE;
  window[0x12] = second_bits == 0 ? 0 : FRAME_2 | second_bits | PAGE;
  tlbi_all();
}

static void crossing(void) {
  both(RW_USER, RW_USER);
  for (int k = 0; k < KINDS; ++k) {
    for (u64 va = SECOND - 18; va < SECOND + 4; ++va) {
      for (int el = 0; el < 2; ++el) {
        const u64 mode = el ? EL1H : EL0;
        u64 expected[2] = {0, 0};
        for (u64 i = 0; i < 40; ++i) *byte_at(SECOND - 20 + i) = pattern(i);
        for (u64 i = 0; i < kinds[k].size; ++i) {
          expected[i / 8] |= (u64)pattern(va + i - (SECOND - 20)) << (8 * (i % 8));
        }
        ctx.x[0] = ctx.x[2] = 0;
        ctx.x[1] = va;
        run_at(mode, kinds[k].load);
        check_in(kinds[k].name, "load, ESR", va, ctx.esr, DONE);
        check_in(kinds[k].name, "load", va, ctx.x[0], expected[0]);
        if (kinds[k].size > 8) check_in(kinds[k].name, "load, high", va, ctx.x[2], expected[1]);
        ctx.x[0] = 0x8877665544332211;
        ctx.x[2] = 0x10ffeeddccbbaa99;
        ctx.x[1] = va;
        run_at(mode, kinds[k].store);
        check_in(kinds[k].name, "store, ESR", va, ctx.esr, DONE);
        for (u64 i = 0; i < 40; ++i) {
          const u64 at_va = SECOND - 20 + i;
          const int inside = at_va >= va && at_va < va + kinds[k].size;
          const u64 want = inside ? (at_va - va + 1) * 0x11 : pattern(i);
          check_in(kinds[k].name, "stored byte", at_va, *byte_at(at_va), want & 0xff);
        }
      }
    }
  }
  print("ok unaligned and page-crossing\n");
}

// One of the two pages faults: FAR is on it; nothing is stored, no register changes.
static void crossing_faults(void) {
  static const struct {
    u64 first, second;
    u64 fsc, write_fsc;  // 0: no fault
    int on_second;
  } rows[] = {
      {RW_USER, 0, 7, 7, 1},
      {0, RW_USER, 7, 7, 0},
      {RW_USER, RW_USER & ~AF, 0xb, 0xb, 1},
      {RW_USER, RW_KERNEL, 0xf, 0xf, 1},
      {RW_KERNEL, RW_USER, 0xf, 0xf, 0},
      {RW_USER, RW_USER | READ_ONLY, 0, 0xf, 1},
      {RW_USER | READ_ONLY, RW_USER, 0, 0xf, 0},
      {0, 0, 7, 7, 0},
      {RW_USER & ~AF, 0, 0xb, 0xb, 0},
  };
  for (u64 r = 0; r < sizeof rows / sizeof *rows; ++r) {
    both(rows[r].first, rows[r].second);
    for (int k = 0; k < KINDS; ++k) {
      for (u64 va = SECOND - kinds[k].size + 1; va < SECOND; ++va) {
        const u64 far = rows[r].on_second ? SECOND : va;
        *byte_at(SECOND - 1) = 0x5a;
        *byte_at(SECOND) = 0xa5;
        ctx.x[0] = 0x1234;
        ctx.x[2] = 0x5678;
        ctx.x[1] = va;
        run_at(EL0, kinds[k].load);
        check_in(kinds[k].name, "crossing fault: load, ESR", r << 16 | (SECOND - va), ctx.esr,
                 rows[r].fsc ? abort_esr(EL0, rows[r].fsc) : DONE);
        if (rows[r].fsc) {
          check_in(kinds[k].name, "crossing fault: load, FAR", r << 16 | (SECOND - va), ctx.far,
                   far);
          check_in(kinds[k].name, "crossing fault: Rt", r << 16 | (SECOND - va), ctx.x[0], 0x1234);
          check_in(kinds[k].name, "crossing fault: Rt2", r << 16 | (SECOND - va), ctx.x[2], 0x5678);
        }
        ctx.x[1] = va;
        run_at(EL0, kinds[k].store);
        check_in(kinds[k].name, "crossing fault: store, ESR", r << 16 | (SECOND - va), ctx.esr,
                 abort_esr(EL0, WNR | rows[r].write_fsc));
        check_in(kinds[k].name, "crossing fault: store, FAR", r << 16 | (SECOND - va), ctx.far,
                 far);
        if (!on_qemu) {  // architecturally UNKNOWN; here nothing is stored
          check_in(kinds[k].name, "nothing stored", va, *byte_at(SECOND - 1), 0x5a);
        }
        check_in(kinds[k].name, "nothing stored there", va, *byte_at(SECOND), 0xa5);
      }
    }
  }
  both(RW_USER, 0);
  ctx.x[1] = SECOND - 8;
  run_at(EL0, ldp_wb);
  check_abort("ldp with write-back, second element", EL0, abort_esr(EL0, 7), SECOND, (u64)ldp_wb);
  check("write-back does not happen", ctx.x[1], SECOND - 8);
  ctx.x[1] = SECOND - 8;
  run_at(EL0, str_wb);
  check_abort("str with pre-index", EL0, abort_esr(EL0, WNR | 7), SECOND, (u64)str_wb);
  check("pre-index does not happen", ctx.x[1], SECOND - 8);
  print("ok crossing faults\n");
}

SNIPPET(ldar, "ldar x0, [x1]");
SNIPPET(stlr, "stlr x0, [x1]");
SNIPPET(ldxr, "ldxr x0, [x1]");
SNIPPET(stxr, "ldxr x0, [x2]\n stxr w3, x0, [x1]");
SNIPPET(ldadd, "ldadd x0, x2, [x1]");
SNIPPET(swp, "swp x0, x2, [x1]");
SNIPPET(cas, "cas x0, x2, [x1]");
SNIPPET(casp, "casp x4, x5, x6, x7, [x1]");
SNIPPET(ldxp, "ldxp x4, x5, [x1]");
SNIPPET(zva, "dc zva, x1");

static void alignment(void) {
  // Always checked: exclusives, acquire and release, LSE.
  both(RW_USER, RW_USER);
  static const struct {
    const char* name;
    const u32* code;
    u64 write, offset;
  } always[] = {
      {"unaligned ldar", ldar, 0, 0}, {"unaligned stlr", stlr, WNR, 0},
      {"unaligned ldxr", ldxr, 0, 0}, {"unaligned ldadd", ldadd, 2, 0},
      {"unaligned swp", swp, 2, 0},   {"unaligned cas", cas, 2, 0},
      {"unaligned casp", casp, 2, 0}, {"unaligned ldxp", ldxp, 0, 0},
  };
  for (u64 i = 0; i < sizeof always / sizeof *always; ++i) {
    for (int el = 0; el < 2; ++el) {
      const u64 mode = el ? EL1H : EL0;
      ctx.x[1] = FIRST + 0x104;
      run_at(mode, always[i].code);
      // Whether a read-modify-write counts as a write here: either.
      const u64 esr = always[i].write == 2 ? ctx.esr & ~WNR : ctx.esr;
      check_in(always[i].name, "ESR", 0, esr,
               abort_esr(mode, 0x21 | (always[i].write == WNR ? WNR : 0)));
      check_in(always[i].name, "FAR", 0, ctx.far, FIRST + 0x104);
    }
  }
  print("ok always aligned\n");
  // SCTLR.A: every access by its element.
  {
    sctlr_set(SCTLR_A);
    for (int k = 0; k < KINDS; ++k) {
      if (on_qemu && kinds[k].element != kinds[k].size) continue;
      for (u64 offset = 0; offset < 16; ++offset) {
        const int fault = offset % kinds[k].element != 0;
        ctx.x[1] = FIRST + 0x200 + offset;
        run_at(EL0, kinds[k].load);
        if (on_qemu && kinds[k].size == 16) continue;
        check_in(kinds[k].name, "SCTLR.A load", offset, ctx.esr,
                 fault ? abort_esr(EL0, 0x21) : DONE);
        if (fault) check_in(kinds[k].name, "SCTLR.A FAR", offset, ctx.far, FIRST + 0x200 + offset);
        run_at(EL1H, kinds[k].store);
        check_in(kinds[k].name, "SCTLR.A store", offset, ctx.esr,
                 fault ? abort_esr(EL1H, WNR | 0x21) : DONE);
      }
    }
    // Alignment comes before translation.
    ctx.x[1] = WINDOW + 0x15001;
    window[0x15] = 0;
    tlbi_all();
    run_at(EL0, ld8b);
    check_abort("SCTLR.A comes before the translation fault", EL0, abort_esr(EL0, 0x21),
                WINDOW + 0x15001, (u64)ld8b);
    sctlr_clear(SCTLR_A);
    print("ok SCTLR.A\n");
  }
  if (on_qemu) return;  // before 9.0 QEMU does not know Device alignment faults
  // Device memory: whatever SCTLR.A says. GRE too. RAM mapped as Device.
  static const u64 types[] = {DEVICE, 3ul << 2};
  for (int t = 0; t < 2; ++t) {
    both(AF | USER | XN | types[t], AF | USER | XN | types[t]);
    for (int k = 0; k < KINDS; ++k) {
      for (u64 offset = 0; offset < 16; ++offset) {
        const int fault = offset % kinds[k].element != 0;
        ctx.x[1] = FIRST + 0x200 + offset;
        run_at(EL0, kinds[k].load);
        check_in(kinds[k].name, "Device load", offset, ctx.esr,
                 fault ? abort_esr(EL0, 0x21) : DONE);
        run_at(EL1H, kinds[k].store);
        check_in(kinds[k].name, "Device store", offset, ctx.esr,
                 fault ? abort_esr(EL1H, WNR | 0x21) : DONE);
      }
    }
    // Normal, then Device: the second half of a crossing access is what faults.
    both(RW_USER, AF | USER | XN | types[t]);
    ctx.x[1] = SECOND - 4;
    run_at(EL0, ld8b);
    check_in("Normal into Device", "ESR", 0, ctx.esr, abort_esr(EL0, 0x21));
    both(AF | USER | XN | types[t], AF | USER | XN | types[t]);
    ctx.x[1] = FIRST + 0x40;
    run_at(EL1H, zva);
    check_abort("dc zva on Device memory", EL1H, abort_esr(EL1H, WNR | 0x21), FIRST + 0x40,
                (u64)zva);
  }
  // The stage-1 alignment fault comes before stage 2 is asked.
  map(0x11, HOLE, AF | USER | XN | DEVICE);
  ctx.x[1] = FIRST + 0x11;
  run_at(EL0, ld4b);
  check_abort("unaligned in a Device hole", EL0, abort_esr(EL0, 0x21), FIRST + 0x11, (u64)ld4b);
  // The MMU off: everything is Device.
  ctx.x[1] = FRAME_1 + 1;
  sctlr_clear(SCTLR_M);
  run_at(EL1H, ld8b);
  const u64 esr = ctx.esr;
  ctx.x[1] = FRAME_1 + 8;
  run_at(EL1H, ld8b);
  const u64 aligned = ctx.esr;
  sctlr_set(SCTLR_M);
  check("MMU off: unaligned", esr, abort_esr(EL1H, 0x21));
  check("MMU off: aligned", aligned, DONE);
}

static void zero_block(void) {
  sctlr_set(SCTLR_DZE);
  both(RW_USER, RW_USER | READ_ONLY);
  for (u64 offset = 0; offset < 64; offset += 21) {
    for (u64 i = 0; i < 256; ++i) *byte_at(FIRST + 0x100 + i) = 0xee;
    ctx.x[1] = FIRST + 0x140 + offset;
    run_at(EL0, zva);
    check_in("dc zva", "ESR", offset, ctx.esr, DONE);
    for (u64 i = 0; i < 256; ++i) {
      check_in("dc zva", "byte", i, *byte_at(FIRST + 0x100 + i), i >= 0x40 && i < 0x80 ? 0 : 0xee);
    }
  }
  ctx.x[1] = SECOND + 0x47;
  run_at(EL0, zva);
  check_taken("dc zva, read-only", EL0, abort_esr(EL0, WNR | 0xf), (u64)zva);
  check("dc zva: FAR is in the block", ctx.far >= SECOND + 0x40 && ctx.far < SECOND + 0x80, 1);
  both(0, 0);
  run_at(EL0, zva);
  check_taken("dc zva, unmapped", EL0, abort_esr(EL0, WNR | 7), (u64)zva);
}

// --- exclusives
// ------------------------------------------------------------------------------------

// All of them: x1, x2 addresses; x3 the status, x0 the value.
SNIPPET(ex_plain, "ldxr x0, [x1]\n add x0, x0, #1\n stxr w3, x0, [x1]");
SNIPPET(ex_clrex, "ldxr x0, [x1]\n clrex\n stxr w3, x0, [x1]");
SNIPPET(ex_none, "clrex\n stxr w3, x0, [x1]");
SNIPPET(ex_twice, "ldxr x0, [x1]\n stxr w4, x0, [x1]\n stxr w3, x0, [x1]");
SNIPPET(ex_other, "ldxr x0, [x1]\n stxr w3, x0, [x2]");
SNIPPET(ex_last, "ldxr x0, [x2]\n ldxr x0, [x1]\n stxr w3, x0, [x1]");
SNIPPET(ex_changed, "ldxr x0, [x1]\n str x5, [x1]\n stxr w3, x0, [x1]");
SNIPPET(ex_load, "ldxr x0, [x1]\n ldr x4, [x1]\n stxr w3, x0, [x1]");
SNIPPET(ex_pair, "ldxp x0, x4, [x1]\n stxp w3, x4, x0, [x1]");
SNIPPET(ex_pair_w, "ldxp w0, w4, [x1]\n stxp w3, w4, w0, [x1]");
SNIPPET(ex_acquire, "ldaxr x0, [x1]\n add x0, x0, #1\n stlxr w3, x0, [x1]");
SNIPPET(ex_byte, "ldxrb w0, [x1]\n add x0, x0, #1\n stxrb w3, w0, [x1]");
SNIPPET(ex_half, "ldaxrh w0, [x1]\n add x0, x0, #1\n stlxrh w3, w0, [x1]");
SNIPPET(ex_only_load, "ldxr x0, [x1]");
SNIPPET(ex_only_store, "stxr w3, x0, [x1]");
SNIPPET(ex_alias, "ldxr x0, [x1]\n stxr w3, x0, [x2]");
SNIPPET(ex_zva, "ldxr x0, [x1]\n dc zva, x1\n stxr w3, x0, [x1]");

static u64 exclusive(u64 mode, const u32* code, u64 a, u64 b) {
  ctx.x[1] = a;
  ctx.x[2] = b;
  ctx.x[3] = 0x99;
  ctx.x[4] = 0;
  ctx.x[5] = 0x777;
  run_at(mode, code);
  return ctx.x[3];
}

static void exclusives(void) {
  both(RW_USER, RW_USER);
  const u64 a = FIRST + 0x300, b = FIRST + 0x800;
  volatile u64* const host = (volatile u64*)(FRAME_1 + 0x300);
  for (int el = 0; el < 2; ++el) {
    const u64 mode = el ? EL1H : EL0;
    host[0] = 40;
    host[1] = 50;
    check("exclusive: status", exclusive(mode, ex_plain, a, b), 0);
    check("exclusive: stored", host[0], 41);
    check("acquire, release exclusive", exclusive(mode, ex_acquire, a, b), 0);
    check("acquire, release exclusive: stored", host[0], 42);
    check("byte exclusive", exclusive(mode, ex_byte, a, b), 0);
    check("halfword exclusive", exclusive(mode, ex_half, a, b), 0);
    check("byte, halfword exclusive: stored", host[0], 44);
    check("CLREX", exclusive(mode, ex_clrex, a, b), 1);
    check("no load-exclusive", exclusive(mode, ex_none, a, b), 1);
    check("a second store-exclusive", exclusive(mode, ex_twice, a, b), 1);
    check("another address", exclusive(mode, ex_other, a, b), 1);
    check("the last load-exclusive counts", exclusive(mode, ex_last, a, b), 0);
    check("a load between", exclusive(mode, ex_load, a, b), 0);
    check("pair", exclusive(mode, ex_pair, a, b), 0);
    check("pair: first", host[0], 50);
    check("pair: second", host[1], 44);
    check("pair of words", exclusive(mode, ex_pair_w, a, b), 0);
    check("pair of words: both", host[0], 50ul << 32);
    host[0] = 7;
    check("the value was changed meanwhile", exclusive(mode, ex_changed, a, b), 1);
    check("the value was changed: memory", host[0], 0x777);
    // ERET clears the monitor, and so does no exception alone.
    ctx.x[1] = a;
    run_at(mode, ex_only_load);
    check("ERET clears the monitor", exclusive(mode, ex_only_store, a, b), 1);
  }
  // A store-exclusive that fails because there is no monitor still may fault: both are allowed, but
  // with a valid monitor it must.
  window[0x14] = FRAME_1 | RW_USER | READ_ONLY | PAGE;
  tlbi_all();
  exclusive(EL0, ex_plain, WINDOW + 0x14300, 0);
  check_abort("stxr to a read-only page", EL0, abort_esr(EL0, WNR | 0xf), WINDOW + 0x14300,
              (u64)ex_plain + 8);
  check("stxr that faults: no status", ctx.x[3], 0x99);
  exclusive(EL0, ex_plain, WINDOW + 0x15300, 0);
  check_abort("ldxr of an unmapped page", EL0, abort_esr(EL0, 7), WINDOW + 0x15300, (u64)ex_plain);
  exclusive(EL0, stxr, FIRST + 0x304, a);
  if (!on_qemu) check("unaligned stxr", ctx.esr, abort_esr(EL0, WNR | 0x21));
}

// --- big-endian
// ------------------------------------------------------------------------------------

SNIPPET(be_adds,
        "ldr x4, [x1]\n ldp w5, w6, [x1]\n ldrh w7, [x1]\n ldrsh x8, [x1, #2]\n"
        "ldr q0, [x1]\n umov x9, v0.d[0]\n umov x10, v0.d[1]\n"
        "ldr s0, [x1]\n fmov w11, s0\n"
        "ldxr x12, [x1]\n add x12, x12, #1\n stxr w13, x12, [x1]\n"
        "mov x14, #0x100\n ldadd x14, x15, [x1]\n"
        "ld1 {v1.4s}, [x2]\n umov x16, v1.d[0]\n"
        "mov w17, #0x1234\n str w17, [x2, #8]\n ldr x18, [x3]\n"
        "ldaxp x19, x20, [x2]\n ldar w21, [x1]\n"
        "ldpsw x22, x23, [x1]");

static u64 swap(u64 v) { return __builtin_bswap64(v); }

static void big_endian(void) {
  both(RW_USER, RW_USER);
  volatile u64* const host = (volatile u64*)(FRAME_1 + 0x400);
  for (int el = 0; el < 2; ++el) {
    host[0] = 0xf0e0d0c0b0a09080;  // memory: 80 90 a0 b0 c0 d0 e0 f0
    host[1] = 0x0807060504030201;
    host[2] = 0x1817161514131211;
    host[3] = 0;
    *(volatile u64*)(FRAME_1 + 0xffc + 0) = 0;
    for (u64 i = 0; i < 8; ++i) *byte_at(SECOND - 3 + i) = (u8)(i + 1);
    ctx.x[1] = FIRST + 0x400;
    ctx.x[2] = FIRST + 0x410;
    ctx.x[3] = SECOND - 3;
    if (el == 1) break;  // EL1 below
    sctlr_set(SCTLR_E0E);
    run_at(EL0, be_adds);
    sctlr_clear(SCTLR_E0E);
    check("E0E: ESR", ctx.esr, DONE);
    check("E0E: ldr x", ctx.x[4], 0x8090a0b0c0d0e0f0);
    check("E0E: ldp w, first", ctx.x[5], 0x8090a0b0);
    check("E0E: ldp w, second", ctx.x[6], 0xc0d0e0f0);
    check("E0E: ldrh", ctx.x[7], 0x8090);
    check("E0E: ldrsh", ctx.x[8], 0xffffffffffffa0b0);
    check("E0E: ldr q, low", ctx.x[9], 0x0102030405060708);
    check("E0E: ldr q, high", ctx.x[10], 0x8090a0b0c0d0e0f0);
    check("E0E: ldr s", ctx.x[11], 0x8090a0b0);
    check("E0E: stxr", ctx.x[13], 0);
    check("E0E: ldadd, old", ctx.x[15], 0x8090a0b0c0d0e0f1);
    check("E0E: memory after both", host[0], swap(0x8090a0b0c0d0e1f1));
    check("E0E: ld1 4s", ctx.x[16], 0x1516171811121314);
    check("E0E: str w", host[3], 0x34120000);
    check("E0E: ldr x across pages", ctx.x[18], 0x0102030405060708);
    check("E0E: ldaxp, first", ctx.x[19], 0x1112131415161718);
    check("E0E: ldaxp, second", ctx.x[20], 0x0000123400000000);
    check("E0E: ldar w", ctx.x[21], 0x8090a0b0);
    check("E0E: ldpsw", ctx.x[22], 0xffffffff8090a0b0);
  }
  // EE: EL1's data, and its page tables; so with the MMU off.
  u64 value, stored = 0x1122334455667788;
  const u64 address = FRAME_1 + 0x400;
  host[0] = 0xf0e0d0c0b0a09080;
  host[1] = 0;
  const u64 sctlr = mrs(sctlr_el1);
  asm volatile(
      "msr sctlr_el1, %[off]\n isb\n msr sctlr_el1, %[big]\n isb\n"
      "ldr %[value], [%[address]]\n str %[stored], [%[address], #8]\n"
      "msr sctlr_el1, %[off]\n isb\n msr sctlr_el1, %[on]\n isb\n"
      : [value] "=&r"(value)
      : [off] "r"(sctlr & ~(u64)SCTLR_M), [big] "r"((sctlr & ~(u64)SCTLR_M) | SCTLR_EE),
        [on] "r"(sctlr), [address] "r"(address), [stored] "r"(stored)
      : "memory");
  check("EE: ldr x", value, 0x8090a0b0c0d0e0f0);
  check("EE: str x", host[1], swap(stored));
  // EL0 is not concerned by EE. (The tables would be read big-endian, so the MMU is off here, too.)
}

// --- big-endian page tables: a whole address space written in them
// ---------------------------------
static u64 big1[512] __attribute__((aligned(4096)));
static void big_endian_tables(void) {
  for (int i = 0; i < 512; ++i) big1[i] = 0;
  big1[0] = swap(0 | DEVICE | AF | XN | BLOCK);
  big1[1] = swap(0x40000000 | NORMAL | AF | BLOCK);
  big1[2] = swap(0x40000000 | NORMAL | AF | BLOCK);
  barrier();
  const u64 ttbr = mrs(ttbr0_el1), sctlr = mrs(sctlr_el1);
  volatile u64* const host = (volatile u64*)(FRAME_1 + 0x400);
  host[0] = 0xf0e0d0c0b0a09080;
  u64 value;
  asm volatile(
      "msr sctlr_el1, %[off]\n isb\n msr ttbr0_el1, %[big_ttbr]\n isb\n"
      "dsb sy\n tlbi vmalle1\n dsb sy\n isb\n msr sctlr_el1, %[big]\n isb\n"
      "ldr %[value], [%[address]]\n"
      "msr sctlr_el1, %[off]\n isb\n msr ttbr0_el1, %[ttbr]\n isb\n"
      "dsb sy\n tlbi vmalle1\n dsb sy\n isb\n msr sctlr_el1, %[on]\n isb\n"
      : [value] "=&r"(value)
      : [off] "r"(sctlr & ~(u64)SCTLR_M), [big] "r"(sctlr | SCTLR_EE), [on] "r"(sctlr),
        [address] "r"(FRAME_1 + 0x400 + 0x40000000), [ttbr] "r"(ttbr), [big_ttbr] "r"((u64)big1)
      : "memory");
  check("EE: big-endian tables", value, 0x8090a0b0c0d0e0f0);
}

void test(void) {
  mmu_on();
  crossing();
  crossing_faults();
  alignment();
  zero_block();
  exclusives();
  big_endian();
  big_endian_tables();
}
