// TLB maintenance and ASIDs. Before the TLBI the old or the new mapping may be seen; after it (and
// DSB, ISB) only the new one.
#include "guest.h"

SNIPPET(load, "ldr x0, [x1]");
SNIPPET(store, "str x0, [x1]");
SNIPPET(branch, "br x1");
SNIPPET(load_user, "ldtr x0, [x1]");

#define A 2u  // frames
#define B 3u
#define LARGE_A 0x41400000ul
#define LARGE_B 0x41600000ul
#define MOV_X0(n) (0xd2800000u | (u32)(n) << 5)
#define SVC_DONE 0xd400ffe1u

static u64 asid_of(u64 ttbr) { return ttbr >> 48; }

static void tlbi(int kind, u64 va, u64 asid) {
  const u64 arg = (va >> 12 & 0xffffffffffful) | asid << 48;
  asm volatile("dsb ishst" ::: "memory");
  switch (kind) {
    case 0:
      asm volatile("tlbi vmalle1");
      break;
    case 1:
      asm volatile("tlbi vmalle1is");
      break;
    case 2:
      asm volatile("tlbi vae1, %0" ::"r"(arg));
      break;
    case 3:
      asm volatile("tlbi vae1is, %0" ::"r"(arg));
      break;
    case 4:
      asm volatile("tlbi vaae1, %0" ::"r"(arg));
      break;
    case 5:
      asm volatile("tlbi vaae1is, %0" ::"r"(arg));
      break;
    case 6:
      asm volatile("tlbi vale1, %0" ::"r"(arg));
      break;
    case 7:
      asm volatile("tlbi vale1is, %0" ::"r"(arg));
      break;
    case 8:
      asm volatile("tlbi vaale1, %0" ::"r"(arg));
      break;
    case 9:
      asm volatile("tlbi vaale1is, %0" ::"r"(arg));
      break;
    case 10:
      asm volatile("tlbi aside1, %0" ::"r"(arg));
      break;
    case 11:
      asm volatile("tlbi aside1is, %0" ::"r"(arg));
      break;
  }
  asm volatile("dsb ish\n isb" ::: "memory");
}
enum { KINDS = 12, FIRST_BY_ASID = 10, FIRST_BY_VA = 2 };

static u64 seen(u64 mode, u64 va) {
  ctx.x[1] = va;
  ctx.x[0] = 0;
  run_at(mode, load);
  return ctx.esr == DONE ? ctx.x[0] : ctx.esr;
}
static u64 executed(u64 mode, u64 va) {
  ctx.x[1] = va;
  ctx.x[0] = 0;
  run_at(mode, branch);
  return ctx.esr == DONE ? ctx.x[0] : ctx.esr;
}

static void set(volatile u64* entry, u64 value) { *entry = value; }

static void changes(void) {
  const u64 asid = asid_of(mrs(ttbr0_el1));
  at(u64, FRAME(A)) = 0xa;
  at(u64, FRAME(B)) = 0xb;
  at(u64, LARGE_A + 0x5000) = 0xaa;
  at(u64, LARGE_B + 0x5000) = 0xbb;
  for (u64 i = 0; i < 2; ++i) {
    const u64 frame = i ? FRAME(B) : FRAME(A);
    at(u32, frame + 0x100) = MOV_X0(i + 0x10);
    at(u32, frame + 0x104) = SVC_DONE;
  }
  barrier();
  const u64 va = WINDOW + 0x7000, block = WINDOW + 3 * 0x200000;
  for (int kind = 0; kind < KINDS; ++kind) {
    for (int el = 0; el < 2; ++el) {
      const u64 mode = el ? EL1H : EL0;
      for (int global = 0; global < 2; ++global) {
        if (global && kind >= FIRST_BY_ASID) continue;
        const u64 bits = NORMAL | AF | USER | (global ? 0 : NG);
        const u64 name = (u64)kind | (u64)el << 8 | (u64)global << 12;
        // From one frame to another, data.
        map(7, FRAME(A), bits);
        check_in("TLBI", "before", name, seen(mode, va), 0xa);
        set(&window[7], FRAME(B) | bits | PAGE);
        u64 between = seen(mode, va);
        check_in("TLBI", "between", name, between == 0xa || between == 0xb, 1);
        tlbi(kind, va, asid);
        check_in("TLBI", "after", name, seen(mode, va), 0xb);
        // To nothing.
        set(&window[7], 0);
        seen(mode, va);
        tlbi(kind, va, asid);
        check_in("TLBI", "unmapped", name, seen(mode, va), abort_esr(mode, 7));
        // From nothing: faults are not cached.
        set(&window[7], FRAME(A) | bits | PAGE);
        asm volatile("dsb ishst\n isb");
        check_in("TLBI", "mapped without TLBI", name, seen(mode, va), 0xa);
        // Read-only.
        set(&window[7], FRAME(A) | bits | READ_ONLY | PAGE);
        tlbi(kind, va, asid);
        ctx.x[1] = va;
        run_at(mode, store);
        check_in("TLBI", "read-only", name, ctx.esr, abort_esr(mode, 0x4f));
        // Executed.
        if (el == 0) {
          set(&window[7], FRAME(A) | bits | PAGE);
          tlbi(kind, va, asid);
          check_in("TLBI", "execute", name, executed(mode, va + 0x100), 0x10);
          set(&window[7], FRAME(B) | bits | PAGE);
          between = executed(mode, va + 0x100);
          check_in("TLBI", "execute, between", name, between == 0x10 || between == 0x11, 1);
          tlbi(kind, va, asid);
          check_in("TLBI", "execute, after", name, executed(mode, va + 0x100), 0x11);
          set(&window[7], FRAME(B) | bits | UXN | PAGE);
          tlbi(kind, va, asid);
          check_in("TLBI", "not executable", name, executed(mode, va + 0x100),
                   fetch_esr(mode, 0xf));
        } else {
          const u64 kernel = NORMAL | AF | (global ? 0 : NG) | READ_ONLY;
          set(&window[7], FRAME(A) | kernel | PAGE);
          tlbi(kind, va, asid);
          check_in("TLBI", "execute", name, executed(mode, va + 0x100), 0x10);
          set(&window[7], FRAME(B) | kernel | PAGE);
          tlbi(kind, va, asid);
          check_in("TLBI", "execute, after", name, executed(mode, va + 0x100), 0x11);
        }
        // A block, by an address elsewhere in it.
        level2_window[3] = LARGE_A | bits | XN | BLOCK;
        tlbi_all();
        check_in("TLBI, block", "before", name, seen(mode, block + 0x5000), 0xaa);
        seen(mode, block + 0x9000);
        set(&level2_window[3], LARGE_B | bits | XN | BLOCK);
        tlbi(kind, block + 0x1ff000, asid);
        check_in("TLBI, block", "after", name, seen(mode, block + 0x5000), 0xbb);
        // From a table of pages to a block: by VA only the page named is dropped.
        level2_window[3] = 0;
        tlbi_all();
      }
    }
  }
  print("ok TLBI\n");
}

// --- ASIDs
// -----------------------------------------------------------------------------------------

enum { SPACES = 24 };  // more than any cache of contexts holds
static u64 roots[SPACES][512] __attribute__((aligned(4096)));
static u64 level2s[SPACES][512] __attribute__((aligned(4096)));
static u64 level3s[SPACES][512] __attribute__((aligned(4096)));

static void address_spaces(void) {
  const u64 va = WINDOW + 0x8000;
  for (u64 i = 0; i < SPACES; ++i) {
    at(u64, FRAME(32 + i)) = 0x100 + i;
    at(u32, FRAME(32 + i) + 0x100) = MOV_X0(0x200 + i);
    at(u32, FRAME(32 + i) + 0x104) = SVC_DONE;
    roots[i][0] = level1[0];
    roots[i][1] = level1[1];
    roots[i][2] = (u64)level2s[i] | TABLE;
    level2s[i][0] = (u64)level3s[i] | TABLE;
    level3s[i][8] = FRAME(32 + i) | NORMAL | AF | USER | NG | READ_ONLY | PAGE;
    level3s[i][9] = FRAME(32 + i) | NORMAL | AF | NG | READ_ONLY | PAGE;
  }
  barrier();
  u64 random = 1;
  for (int n = 0; n < 2000; ++n) {
    random = random * 6364136223846793005ul + 1442695040888963407ul;
    const u64 i = (random >> 33) % SPACES;
    msr(ttbr0_el1, (u64)roots[i] | (0x100 * i + 5) << 48);
    const u64 mode = (random >> 60 & 1) ? EL1H : EL0;
    switch (random >> 40 & 3) {
      case 0:
        check_in("ASID: load", "space", i, seen(mode, va), 0x100 + i);
        break;
      case 1:
        check_in("ASID: kernel load", "space", i, seen(EL1H, va + 0x1000), 0x100 + i);
        break;
      case 2:
        check_in("ASID: kernel execute", "space", i, executed(EL1H, va + 0x1100), 0x200 + i);
        break;
      default:
        check_in("ASID: execute", "space", i, executed(EL0, va + 0x100), 0x200 + i);
        break;
    }
  }
  print("ok ASID switching\n");

  // A change in one space while another is current; TLBI by ASID and by VA and ASID.
  for (int kind = 0; kind < KINDS; ++kind) {
    const u64 one = (u64)roots[1] | 0x11ul << 48, two = (u64)roots[2] | 0x22ul << 48;
    for (int el = 0; el < 2; ++el) {
      const u64 mode = el ? EL1H : EL0;
      level3s[1][8] = FRAME(33) | RW_USER | NG | PAGE;
      tlbi_all();
      msr(ttbr0_el1, one);
      check_in("TLBI of another ASID", "before", (u64)kind, seen(mode, va), 0x101);
      msr(ttbr0_el1, two);
      check_in("TLBI of another ASID", "the other", (u64)kind, seen(mode, va), 0x102);
      set(&level3s[1][8], FRAME(40) | RW_USER | NG | PAGE);
      tlbi(kind, va, 0x11);
      check_in("TLBI of another ASID", "the other, after", (u64)kind, seen(mode, va), 0x102);
      msr(ttbr0_el1, one);
      check_in("TLBI of another ASID", "after", (u64)kind, seen(mode, va), 0x108);
    }
  }
  print("ok TLBI of another ASID\n");

  // A global page, seen under one ASID, changed under another, by VA.
  level3s[1][10] = level3s[2][10] = FRAME(33) | RW_USER | PAGE;
  msr(ttbr0_el1, (u64)roots[1] | 0x11ul << 48);
  tlbi_all();
  check("global page: before", seen(EL0, WINDOW + 0xa000), 0x101);
  msr(ttbr0_el1, (u64)roots[2] | 0x22ul << 48);
  seen(EL0, WINDOW + 0xa000);
  level3s[1][10] = level3s[2][10] = FRAME(34) | RW_USER | PAGE;
  tlbi(2, WINDOW + 0xa000, 0x22);
  check("global page: after, this ASID", seen(EL0, WINDOW + 0xa000), 0x102);
  msr(ttbr0_el1, (u64)roots[1] | 0x11ul << 48);
  check("global page: after, the other ASID", seen(EL0, WINDOW + 0xa000), 0x102);

  // TCR.A1: the ASID is TTBR1's.
  msr(tcr_el1, tcr_default() | 1 << 22);
  tlbi_all();
  for (u64 n = 0; n < 20; ++n) {
    const u64 i = n & 1 ? 3 : 4;
    asm volatile("msr ttbr0_el1, %0\n msr ttbr1_el1, %1\n isb" ::"r"(roots[i]), "r"((i + 7) << 48)
                 : "memory");
    check_in("A1: TTBR1 has the ASID", "space", i, seen(EL0, va), 0x100 + i);
    check_in("A1: kernel", "space", i, seen(EL1H, va + 0x1000), 0x100 + i);
  }
  // TCR.AS = 0: eight bits.
  msr(tcr_el1, tcr_default() & ~(1ul << 36));
  tlbi_all();
  msr(ttbr0_el1, (u64)roots[3] | 0x1205ul << 48);
  check("AS = 0: before", seen(EL0, va), 0x103);
  level3s[3][8] = FRAME(41) | RW_USER | NG | PAGE;
  tlbi(10, 0, 0xff05);
  check("AS = 0: TLBI by the low eight bits", seen(EL0, va), 0x109);
  msr(tcr_el1, tcr_default());
  msr(ttbr0_el1, (u64)level1);
  msr(ttbr1_el1, 0);
  tlbi_all();
}

// What the TLB remembers must not outlive what it was computed from.
static void contexts_change(void) {
  const u64 va = WINDOW + 0xb000;
  map(11, FRAME(A), RW_USER);
  at(u64, FRAME(A)) = 0xa;
  check("EL1 load of a user page", seen(EL1H, va), 0xa);
  ctx.pc = (u64)load;
  ctx.spsr = EL1H | MASKED | 1ul << 22;
  ctx.x[1] = va;
  run(&ctx);
  check_abort("the same with PAN", EL1H, abort_esr(EL1H, 0xf), va, (u64)load);
  check("and without", seen(EL1H, va), 0xa);
  map(11, FRAME(A), RW_KERNEL);
  check("kernel page at EL1", seen(EL1H, va), 0xa);
  check("kernel page at EL0", seen(EL0, va), abort_esr(EL0, 0xf));
  ctx.x[1] = va;
  run_at(EL1H, load_user);
  check_abort("kernel page by LDTR", EL1H, abort_esr(EL1H, 0xf), va, (u64)load_user);
  // The MMU off and on again: VA = PA, then the mapping.
  at(u64, FRAME(B) + 8) = 0xbbb;
  const u64 physical = FRAME(B) + 8;
  level2_ram[(physical - 0x40000000) >> 21] = LARGE_A | RW_KERNEL | BLOCK;
  tlbi_all();
  at(u64, physical) = 0x1234;  // lands in LARGE_A's 2 MiB
  sctlr_clear(SCTLR_M);
  check("MMU off: flat", at(u64, physical), 0xbbb);
  check("MMU off: where the store went", at(u64, LARGE_A + (physical & 0x1fffff)), 0x1234);
  sctlr_set(SCTLR_M);
  check("MMU on again", at(u64, physical), 0x1234);
  level2_ram[(physical - 0x40000000) >> 21] = (physical & ~0x1ffffful) | RW_KERNEL | BLOCK;
  tlbi_all();
  check("the flat mapping again", at(u64, physical), 0xbbb);
  // MAIR: Device memory turns unaligned accesses into faults.
  if (!on_qemu) {
    map(11, FRAME(A), RW_KERNEL);
    seen(EL1H, va + 1);
    check("unaligned, Normal", ctx.esr, DONE);
    const u64 mair = mrs(mair_el1);
    msr(mair_el1, (mair & ~0xff00ul));
    tlbi_all();
    check("unaligned, Device by MAIR", seen(EL1H, va + 1), abort_esr(EL1H, 0x21));
    msr(mair_el1, mair);
    tlbi_all();
    seen(EL1H, va + 1);
    check("unaligned, Normal again", ctx.esr, DONE);
  }
}

void test(void) {
  mmu_on();
  changes();
  address_spaces();
  contexts_change();
}
