// Translation: permissions, faults of every level, granules and sizes, tags, AT and PAR_EL1, holes.
#include "guest.h"

SNIPPET(load, "ldr x0, [x1]");
SNIPPET(store, "str x0, [x1]");
SNIPPET(load_user, "ldtr x0, [x1]");
SNIPPET(store_user, "sttr x0, [x1]");
SNIPPET(load_pan, "msr pan, #1\n ldr x0, [x1]");
SNIPPET(load_pair, "ldp x0, x2, [x1]");
SNIPPET(add_atomic, "ldadd x0, x2, [x1]");
SNIPPET(cas_atomic, "cas x0, x2, [x1]");
SNIPPET(prefetch, "prfm pldl1keep, [x1]");
SNIPPET(branch, "br x1");
SNIPPET(clean, "dc cvac, x1");
SNIPPET(inval_user, "dc civac, x1");
SNIPPET(invalidate, "dc ivac, x1");
SNIPPET(ic, "ic ivau, x1");
SNIPPET(zva, "dc zva, x1");

#define WNR 0x40ul
#define CM 0x100ul
#define PERMISSION3 0x0ful
#define SVC_DONE 0xd400ffe1u  // svc #0x7ff

static void set_pan(u64 on) {
  if (on)
    asm volatile("msr pan, #1");
  else
    asm volatile("msr pan, #0");
}

static void run_pan(u64 mode, const void* code, u64 pan) {
  ctx.pc = (u64)code;
  ctx.spsr = mode | MASKED | pan << 22;
  run(&ctx);
}

// Every AP, UXN, PXN, WXN, PAN at both levels, by what D8.4.1 says.
static void permissions(void) {
  const u64 va = WINDOW + 0x1000;
  at(u32, FRAME(1)) = SVC_DONE;
  for (u64 wxn = 0; wxn < 2; ++wxn) {
    if (wxn) sctlr_set(SCTLR_WXN);
    for (u64 bits = 0; bits < 16; ++bits) {
      const u64 user = bits & 1, ro = bits >> 1 & 1, uxn = bits >> 2 & 1, pxn = bits >> 3 & 1;
      map(1, FRAME(1),
          NORMAL | AF | (user ? USER : 0) | (ro ? READ_ONLY : 0) | (uxn ? UXN : 0) |
              (pxn ? PXN : 0));
      for (u64 pan = 0; pan < 2; ++pan) {
        for (int el = 0; el < 2; ++el) {
          const u64 mode = el ? EL1H : EL0;
          const u64 what = bits | wxn << 4 | pan << 5 | (u64)el << 8;
          const int read = el ? !(user && pan) : user;
          const int write = read && !ro;
          const int el_write = el ? !ro : user && !ro;  // without PAN
          const int exec =
              el ? !pxn && !(user && !ro) && !(wxn && el_write) : !uxn && !(wxn && el_write);
          ctx.x[1] = va;
          run_pan(mode, load, pan);
          check_in("permission matrix", "load", what, ctx.esr,
                   read ? DONE : abort_esr(mode, PERMISSION3));
          if (!read) check_in("permission matrix", "FAR", what, ctx.far, va);
          ctx.x[0] = SVC_DONE;
          ctx.x[1] = va;
          run_pan(mode, store, pan);
          check_in("permission matrix", "store", what, ctx.esr,
                   write ? DONE : abort_esr(mode, WNR | PERMISSION3));
          ctx.x[1] = va;
          run_pan(mode, branch, pan);
          check_in("permission matrix", "execute", what, ctx.esr,
                   exec ? DONE : fetch_esr(mode, PERMISSION3));
          check_in("permission matrix", "ELR", what, ctx.pc, exec ? va + 4 : va);
          if (!exec) check_in("permission matrix", "FAR of a fetch", what, ctx.far, va);
          if (el == 0) continue;
          // LDTR and STTR have EL0's rights, and PAN does not concern them.
          run_pan(mode, load_user, pan);
          check_in("permission matrix", "ldtr", what, ctx.esr,
                   user ? DONE : abort_esr(mode, PERMISSION3));
          ctx.x[0] = SVC_DONE;
          ctx.x[1] = va;
          run_pan(mode, store_user, pan);
          check_in("permission matrix", "sttr", what, ctx.esr,
                   user && !ro ? DONE : abort_esr(mode, WNR | PERMISSION3));
        }
      }
    }
    sctlr_clear(SCTLR_WXN);
    tlbi_all();
  }
  print("ok permission matrix\n");

  // PAN set by an instruction counts for the next.
  map(1, FRAME(1), RW_USER);
  ctx.x[1] = va;
  run_at(EL1H, load_pan);
  check_abort("msr pan, then a load", EL1H, abort_esr(EL1H, PERMISSION3), va, (u64)load_pan + 4);

  // Rights of the tables above: APTable, UXNTable, PXNTable.
  static const struct {
    u64 bits;
    int read0, write0, exec0, write1;
  } tables[] = {
      {1ul << 61, 0, 0, 1, 1}, {2ul << 61, 1, 0, 1, 0}, {3ul << 61, 0, 0, 1, 0},
      {1ul << 60, 1, 1, 0, 1}, {1ul << 59, 1, 1, 1, 1},
  };
  for (u64 i = 0; i < sizeof tables / sizeof *tables; ++i) {
    map(1, FRAME(1), NORMAL | AF | USER);
    for (int upper = 0; upper < 2; ++upper) {
      u64* const entry = upper ? &level1[2] : &level2_window[0];
      *entry |= tables[i].bits;
      tlbi_all();
      ctx.x[1] = va;
      run_at(EL0, load);
      check_in("table rights", "load, bits", tables[i].bits, ctx.esr,
               tables[i].read0 ? DONE : abort_esr(EL0, PERMISSION3));
      ctx.x[0] = SVC_DONE;
      run_at(EL0, store);
      check_in("table rights", "store, bits", tables[i].bits, ctx.esr,
               tables[i].write0 ? DONE : abort_esr(EL0, WNR | PERMISSION3));
      run_at(EL0, branch);
      check_in("table rights", "execute, bits", tables[i].bits, ctx.esr,
               tables[i].exec0 ? DONE : fetch_esr(EL0, PERMISSION3));
      ctx.x[0] = SVC_DONE;
      ctx.x[1] = va;
      run_at(EL1H, store);
      check_in("table rights", "store at EL1, bits", tables[i].bits, ctx.esr,
               tables[i].write1 ? DONE : abort_esr(EL1H, WNR | PERMISSION3));
      *entry &= ~tables[i].bits;
    }
  }
  tlbi_all();
  print("ok table rights\n");

  map(1, FRAME(1), RW_USER | READ_ONLY);
  ctx.x[1] = va;
  run_at(EL0, add_atomic);
  check_abort("ldadd to a read-only page: WnR", EL0, abort_esr(EL0, WNR | PERMISSION3), va,
              (u64)add_atomic);
  run_at(EL0, cas_atomic);
  check_abort("cas to a read-only page: WnR", EL0, abort_esr(EL0, WNR | PERMISSION3), va,
              (u64)cas_atomic);
  map(1, FRAME(1), RW_KERNEL);
  ctx.x[1] = va;
  run_at(EL0, add_atomic);
  if (!on_qemu) {  // QEMU reports every read-modify-write as a write
    check_abort("ldadd to what may not be read: WnR = 0", EL0, abort_esr(EL0, PERMISSION3), va,
                (u64)add_atomic);
  }
  map(1, 0, 0);
  ctx.x[1] = va;
  run_at(EL0, add_atomic);
  if (!on_qemu) {
    check_abort("ldadd to an unmapped page: WnR = 0", EL0, abort_esr(EL0, 7), va, (u64)add_atomic);
  }
  ctx.x[1] = va;
  run_at(EL0, prefetch);
  check_done("prfm of an unmapped page");
}

static void levels(void) {
  const struct {
    const char* name;
    u64* entry;
    u64 value, va, fsc;
  } rows[] = {
      {"translation fault, level 0: out of range", 0, 0, 1ul << 39, 4},
      {"translation fault, level 0: TTBR1 disabled", 0, 0, ~0ul << 39, 4},
      {"translation fault, level 1", &level1[3], 0, 0xc0000000, 5},
      {"translation fault, level 2", &level2_window[5], 0, WINDOW + 5 * 0x200000, 6},
      {"translation fault, level 3", &window[9], 0, WINDOW + 9 * 4096 + 8, 7},
      {"translation fault, level 3: reserved descriptor", &window[9], FRAME(1) | RW_USER | BLOCK,
       WINDOW + 9 * 4096, 7},
      {"access flag, level 1", &level1[3], 0x40000000 | (RW_USER & ~AF) | BLOCK, 0xc1000000, 9},
      {"access flag, level 2", &level2_window[5], FRAMES | (RW_USER & ~AF) | BLOCK,
       WINDOW + 5 * 0x200000, 0xa},
      {"access flag, level 3", &window[9], FRAME(1) | (RW_USER & ~AF) | PAGE, WINDOW + 9 * 4096,
       0xb},
      {"permission fault, level 1", &level1[3], 0x40000000 | RW_KERNEL | BLOCK, 0xc1000000, 0xd},
      {"permission fault, level 2", &level2_window[5], FRAMES | RW_KERNEL | BLOCK,
       WINDOW + 5 * 0x200000, 0xe},
      {"permission fault, level 3", &window[9], FRAME(1) | RW_KERNEL | PAGE, WINDOW + 9 * 4096,
       0xf},
      {"address size fault, level 1: table", &level1[3], 1ul << 41 | TABLE, 0xc1000000, 1},
      {"address size fault, level 1: block", &level1[3], 1ul << 41 | RW_USER | BLOCK, 0xc1000000,
       1},
      {"address size fault, level 2: block", &level2_window[5], 1ul << 40 | RW_USER | BLOCK,
       WINDOW + 5 * 0x200000, 2},
      {"address size fault, level 3", &window[9], 1ul << 47 | RW_USER | PAGE, WINDOW + 9 * 4096, 3},
      {"address size fault before access flag", &window[9], 1ul << 47 | (RW_USER & ~AF) | PAGE,
       WINDOW + 9 * 4096, 3},
      {"access flag before permission", &window[9], FRAME(1) | (RW_KERNEL & ~AF) | PAGE,
       WINDOW + 9 * 4096, 0xb},
  };
  for (u64 i = 0; i < sizeof rows / sizeof *rows; ++i) {
    u64 before = 0;
    if (rows[i].entry != 0) {
      before = *rows[i].entry;
      *rows[i].entry = rows[i].value;
      tlbi_all();
    }
    ctx.x[1] = rows[i].va;
    run_at(EL0, load);
    check_abort(rows[i].name, EL0, abort_esr(EL0, rows[i].fsc), rows[i].va, (u64)load);
    run_at(EL0, store);
    check_in(rows[i].name, "store", 0, ctx.esr, abort_esr(EL0, WNR | rows[i].fsc));
    run_at(EL0, branch);
    check_in(rows[i].name, "fetch", 0, ctx.esr, fetch_esr(EL0, rows[i].fsc));
    ctx.x[1] = rows[i].va;
    if ((rows[i].fsc & 0xc) != 0xc) {
      run_at(EL1T, load);
      check_in(rows[i].name, "at EL1t", 0, ctx.esr, abort_esr(EL1T, rows[i].fsc));
      check_in(rows[i].name, "at EL1t, vector", 0, ctx.vector, 0);
      run_at(EL1H, zva);
      check_in(rows[i].name, "dc zva", 0, ctx.esr, abort_esr(EL1H, WNR | rows[i].fsc));
      if (on_qemu) goto restore;  // there, cache maintenance is a NOP
      run_at(EL1H, clean);
      check_in(rows[i].name, "dc cvac", 0, ctx.esr, abort_esr(EL1H, CM | WNR | rows[i].fsc));
      check_in(rows[i].name, "dc cvac, FAR", 0, ctx.far, rows[i].va);
      run_at(EL1H, invalidate);
      check_in(rows[i].name, "dc ivac", 0, ctx.esr, abort_esr(EL1H, CM | WNR | rows[i].fsc));
      run_at(EL1H, ic);
      check_in(rows[i].name, "ic ivau", 0, ctx.esr, abort_esr(EL1H, CM | WNR | rows[i].fsc));
    }
  restore:
    if (rows[i].entry != 0) *rows[i].entry = before;
    tlbi_all();
  }
  // EL0's cache maintenance needs the right to read; at EL1 a clean needs none.
  sctlr_set(SCTLR_UCI);
  map(9, FRAME(9), RW_KERNEL);
  ctx.x[1] = WINDOW + 9 * 4096;
  run_at(EL0, inval_user);
  if (!on_qemu) {
    check_abort("dc civac at EL0 without rights", EL0, abort_esr(EL0, CM | WNR | PERMISSION3),
                WINDOW + 9 * 4096, (u64)inval_user);
  }
  map(9, FRAME(9), RW_USER | READ_ONLY);
  run_at(EL0, inval_user);
  check_done("dc civac at EL0, read-only page");
  // Nor is the answer what EL1's TLB knows, or what it knew before a TLBI.
  map(9, FRAME(9), RW_KERNEL);
  run_at(EL1H, load);
  run_at(EL1H, clean);
  check_done("dc cvac of a page that was loaded from");
  run_at(EL0, inval_user);
  if (!on_qemu)
    check("dc civac at EL0 behind EL1", ctx.esr, abort_esr(EL0, CM | WNR | PERMISSION3));
  map(9, 0, 0);
  run_at(EL1H, clean);
  if (!on_qemu) check("dc cvac, unmapped again", ctx.esr, abort_esr(EL1H, CM | WNR | 7));
  sctlr_clear(SCTLR_UCI);
}

// Tables of any granule, size and leaf level behind TTBR1, while TTBR0 keeps the harness running.
#define POOL (FRAMES + 0x400000ul)
static u64 pool_used;
static u64* new_table(void) {
  u64* table = (u64*)(POOL + pool_used);
  pool_used += 0x10000;
  for (u64 i = 0; i < 0x10000 / 8; ++i) table[i] = 0;
  return table;
}

static u64 shift_of(u64 granule, int level) { return granule + (u64)(3 - level) * (granule - 3); }

// Returns the address of the leaf's descriptor; entries[] gets all of them by level.
static void build(u64* root, u64 granule, u64 bits, u64 va, u64 leaf, int leaf_level,
                  u64* entries[4], int* first) {
  const u64 stride = granule - 3;
  int level = 4 - (int)((bits - granule + stride - 1) / stride);
  u64 top = bits - shift_of(granule, level);
  *first = level;
  u64* table = root;
  for (;; ++level, top = stride) {
    entries[level] = &table[va >> shift_of(granule, level) & ((1ul << top) - 1)];
    if (level == leaf_level) {
      *entries[level] = leaf | (level == 3 ? PAGE : BLOCK);
      return;
    }
    if (*entries[level] == 0) *entries[level] = (u64)new_table() | TABLE;
    table = (u64*)(*entries[level] & 0xfffffffff000ul);
  }
}

static void granules(void) {
  static const u64 logs[] = {12, 14, 16}, tg1[] = {2, 1, 3};
  static const u64 sizes[] = {16, 17, 20, 22, 25, 28, 31, 33, 34, 36, 39};
  for (int g = 0; g < 3; ++g) {
    for (u64 s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
      const u64 bits = 64 - sizes[s], granule = logs[g];
      const u64 name = granule << 8 | sizes[s];
      pool_used = 0;
      u64* const root = new_table();
      u64* entries[4];
      int first = 0;
      const u64 upper = ~0ul << bits;
      msr(ttbr1_el1, (u64)root);
      msr(tcr_el1, (tcr_default() & ~(0xc0bf0000ul)) | sizes[s] << 16 | tg1[g] << 30);
      for (int leaf_level = 3; leaf_level >= 1; --leaf_level) {
        if (leaf_level == 1 && granule != 12) continue;
        const u64 shift = shift_of(granule, leaf_level);
        if (shift >= bits) continue;
        if (granule == 12 && leaf_level == 1 && bits < 31) continue;
        // The last but one leaf of the space, then the first.
        for (int end = 0; end < 2; ++end) {
          for (u64 i = 0; i < 0x10000 / 8; ++i) root[i] = 0;
          pool_used = 0x10000;
          const u64 base = end ? 0 : (((1ul << (bits - shift)) - 2) << shift);
          if (bits - shift == 1 && !end) continue;
          const u64 offset = shift > 30   ? 0x41300008
                             : shift > 24 ? 0x1300008 & ((1ul << shift) - 1)
                                          : 0x308;
          const u64 frame = shift >= 30   ? 0x40000000 & ~((1ul << shift) - 1)
                            : shift >= 24 ? 0x40000000
                                          : FRAMES + 0x200000;
          if (frame + offset > 0x50000000 || frame + offset < 0x40000000) continue;
          build(root, granule, bits, base, frame | RW_KERNEL, leaf_level, entries, &first);
          tlbi_all();
          const u64 va = upper | (base + offset);
          at(u64, frame + offset) = 0x1122334455667788 + name;
          ctx.x[1] = va;
          ctx.x[0] = 0;
          run_at(EL1H, load);
          check_in("granules: load, log2 and TSZ", "level", (u64)leaf_level | name << 16, ctx.esr,
                   DONE);
          check_in("granules: value, log2 and TSZ", "level", (u64)leaf_level | name << 16, ctx.x[0],
                   0x1122334455667788 + name);
          // The first byte below the region.
          ctx.x[1] = upper - 8;
          run_at(EL1H, load);
          check_in("granules: below", "log2 and TSZ", name, ctx.esr, abort_esr(EL1H, 4));
          ctx.x[1] = va + (1ul << shift);
          if (end || bits - shift > 1) {
            run_at(EL1H, load);
            check_in("granules: the next leaf", "log2 and TSZ", name, ctx.esr,
                     abort_esr(EL1H, 4ul + (u64)leaf_level));
          }
          for (int level = first; level <= leaf_level; ++level) {
            const u64 before = *entries[level];
            *entries[level] = 0;
            tlbi_all();
            ctx.x[1] = va;
            run_at(EL1H, load);
            check_in("granules: fault, log2 and TSZ", "level", (u64)level | name << 16, ctx.esr,
                     abort_esr(EL1H, 4ul + (u64)level));
            *entries[level] = before;
          }
          *entries[leaf_level] &= ~AF;
          tlbi_all();
          ctx.x[1] = va;
          run_at(EL1H, load);
          check_in("granules: access flag", "log2 and TSZ", name, ctx.esr,
                   abort_esr(EL1H, 8ul + (u64)leaf_level));
        }
      }
    }
  }
  msr(tcr_el1, tcr_default());
  tlbi_all();
  print("ok granules\n");
}

static void tags(void) {
  const u64 va = WINDOW + 0x3000, tagged = va | 0xa5ul << 56;
  map(3, FRAME(3), RW_USER);
  at(u64, FRAME(3)) = 0x77;
  ctx.x[1] = tagged;
  run_at(EL0, load);
  check_abort("a tag without TBI", EL0, abort_esr(EL0, 4), tagged, (u64)load);
  msr(tcr_el1, tcr_default() | 1ul << 37);
  tlbi_all();
  run_at(EL0, load);
  check_done("TBI0: load");
  check("TBI0: value", ctx.x[0], 0x77);
  map(3, FRAME(3), RW_KERNEL);
  ctx.x[1] = tagged;
  run_at(EL0, load);
  check_abort("TBI0: FAR keeps the tag", EL0, abort_esr(EL0, PERMISSION3), tagged, (u64)load);
  at(u32, FRAME(3)) = SVC_DONE;
  map(3, FRAME(3), NORMAL | AF | USER | READ_ONLY);
  asm volatile("ic iallu\n dsb sy\n isb");
  ctx.x[1] = tagged;
  run_at(EL0, branch);
  check_done("TBI0: branch to a tagged address");
  check("TBI0: the PC has no tag", ctx.pc, va + 4);
  run_at(EL0, (void*)tagged);
  check("TBI0: ERET strips the tag", ctx.pc, va + 4);
  map(3, 0, 0);
  ctx.x[1] = tagged;
  run_at(EL0, branch);
  check_abort("TBI0: FAR and ELR of a fetch", EL0, fetch_esr(EL0, 7), va, va);
  msr(tcr_el1, tcr_default());
  tlbi_all();
}

static u64 at_result(u64 op, u64 va) {
  switch (op) {
    case 0:
      asm volatile("at s1e1r, %0\n isb" ::"r"(va));
      break;
    case 1:
      asm volatile("at s1e1w, %0\n isb" ::"r"(va));
      break;
    case 2:
      asm volatile("at s1e0r, %0\n isb" ::"r"(va));
      break;
    case 3:
      asm volatile("at s1e0w, %0\n isb" ::"r"(va));
      break;
    case 4:
      asm volatile(".inst 0xd5087900 | 0\n isb" ::"r"(va));
      break;
  }
  return mrs(par_el1) & ~0x600ul;  // NS, NSE
}

static void address_translation(void) {
  const u64 va = WINDOW + 0x4000;
  static const struct {
    const char* name;
    u64 bits;
    u64 par[4];  // s1e1r, s1e1w, s1e0r, s1e0w; 1 stands for success
  } rows[] = {
      {"AT: kernel page", RW_KERNEL, {1, 1, 0x81f, 0x81f}},
      {"AT: user page", RW_USER, {1, 1, 1, 1}},
      {"AT: read-only user page", RW_USER | READ_ONLY, {1, 0x81f, 1, 0x81f}},
      {"AT: unmapped", 0, {0x80f, 0x80f, 0x80f, 0x80f}},
      {"AT: access flag", RW_USER & ~AF, {0x817, 0x817, 0x817, 0x817}},
  };
  for (u64 i = 0; i < sizeof rows / sizeof *rows; ++i) {
    map(4, FRAME(4), rows[i].bits);
    for (u64 op = 0; op < 4; ++op) {
      const u64 ok = 0xfful << 56 | FRAME(4) | 0x980;  // write-back, inner shareable
      check_in(rows[i].name, "op", op, at_result(op, va + 0x123),
               rows[i].par[op] == 1 ? ok : rows[i].par[op]);
    }
  }
  print("ok AT\n");
  map(4, FRAME(4), AF | XN | DEVICE);
  if (!on_qemu) check("AT: Device", at_result(0, va), FRAME(4) | 0x900);
  map(4, FRAME(4), AF | XN | NONCACHEABLE);
  check("AT: Non-cacheable", at_result(0, va), 0x44ul << 56 | FRAME(4) | 0x900);
  map(4, FRAME(4), RW_USER);
  u64 par;
  asm volatile("msr pan, #1\n mov x0, %1\n .inst 0xd5087900\n isb\n mrs %0, par_el1\n msr pan, #0"
               : "=r"(par)
               : "r"(va)
               : "x0");
  check("AT S1E1RP with PAN", par & ~0x600ul, 0x81f);
  asm volatile("mov x0, %1\n .inst 0xd5087900\n isb\n mrs %0, par_el1"
               : "=r"(par)
               : "r"(va)
               : "x0");
  check("AT S1E1RP without PAN", par & ~0x600ul, 0xfful << 56 | FRAME(4) | 0x980);
  asm volatile("msr pan, #1\n at s1e1r, %1\n isb\n mrs %0, par_el1\n msr pan, #0"
               : "=r"(par)
               : "r"(va));
  check("AT S1E1R does not know PAN", par & ~0x600ul, 0xfful << 56 | FRAME(4) | 0x980);
  level2_window[7] = FRAMES | RW_KERNEL | BLOCK;
  tlbi_all();
  check("AT: a block", at_result(0, WINDOW + 7 * 0x200000 + 0x12345),
        0xfful << 56 | (FRAMES + 0x12000) | 0x980);
  level2_window[7] = 0;
  check("AT: out of range", at_result(0, 1ul << 45), 0x809);
}

static void holes(void) {
  for (int el = 0; el < 2; ++el) {
    const u64 mode = el ? EL1H : EL0;
    const u64 va = WINDOW + 0x5000;
    map(5, HOLE, AF | USER | UXN | PXN | DEVICE);
    ctx.x[1] = va + 0x10;
    run_at(mode, load);
    check_abort("load from a hole", mode, abort_esr(mode, 0x10), va + 0x10, (u64)load);
    run_at(mode, store);
    check_abort("store to a hole", mode, abort_esr(mode, WNR | 0x10), va + 0x10, (u64)store);
    run_at(mode, load_pair);
    check_abort("ldp from a hole", mode, abort_esr(mode, 0x10), va + 0x10, (u64)load_pair);
    map(5, HOLE, AF | USER | READ_ONLY | NORMAL);
    ctx.x[1] = va + 0x10;
    run_at(mode, branch);
    check_abort("fetch from a hole", mode, fetch_esr(mode, 0x10), va + 0x10, va + 0x10);

    // A table in a hole: an external abort on the walk, with the level of the lookup that failed.
    level2_window[6] = HOLE | TABLE;
    level1[3] = HOLE | TABLE;
    tlbi_all();
    const u64 third = WINDOW + 6 * 0x200000 + 0x3000, second = 0xc0004000;
    ctx.x[1] = third;
    run_at(mode, load);
    check_abort("level 3 table in a hole: load", mode, abort_esr(mode, 0x17), third, (u64)load);
    run_at(mode, store);
    check_abort("level 3 table in a hole: store", mode, abort_esr(mode, WNR | 0x17), third,
                (u64)store);
    run_at(mode, branch);
    check_abort("level 3 table in a hole: fetch", mode, fetch_esr(mode, 0x17), third, third);
    ctx.x[1] = second;
    run_at(mode, load);
    check_abort("level 2 table in a hole: load", mode, abort_esr(mode, 0x16), second, (u64)load);
    run_at(mode, branch);
    check_abort("level 2 table in a hole: fetch", mode, fetch_esr(mode, 0x16), second, second);
    level2_window[6] = level1[3] = 0;
    tlbi_all();
  }
  msr(ttbr1_el1, HOLE);
  msr(tcr_el1, tcr_default() & ~(1ul << 23));
  tlbi_all();
  ctx.x[1] = ~0ul << 39;
  run_at(EL1H, load);
  check_abort("level 1 table in a hole: load", EL1H, abort_esr(EL1H, 0x15), ~0ul << 39, (u64)load);
  msr(ttbr1_el1, 1ul << 44);
  tlbi_all();
  run_at(EL1H, load);
  if (!on_qemu) {
    check_abort("TTBR1 beyond the output size", EL1H, abort_esr(EL1H, 0), ~0ul << 39, (u64)load);
  }
  msr(tcr_el1, tcr_default());
  msr(ttbr1_el1, 0);
  tlbi_all();
}

void test(void) {
  mmu_on();
  sctlr_set(SCTLR_DZE);
  set_pan(0);
  permissions();
  levels();
  granules();
  tags();
  address_translation();
  holes();
}
