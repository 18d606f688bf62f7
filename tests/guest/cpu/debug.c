// Software step, breakpoints, watchpoints, as Linux's ptrace and kgdb use them.
#include "guest.h"

SNIPPET(plain, "nop\n mov x0, #1\n b 1f\n brk #9\n1: add x0, x0, #1\n svc #3");
SNIPPET(load8, "ldr x0, [x1]");
SNIPPET(store8, "str x0, [x1]");
SNIPPET(load1, "ldrb w0, [x1]");
SNIPPET(store4, "str w0, [x1]");
SNIPPET(load_pair, "ldp x2, x3, [x1]");
SNIPPET(load_exclusive, "ldxr x2, [x1]\n nop");
SNIPPET(load_user, "ldtr x0, [x1]");
SNIPPET(zva, "dc zva, x1");
SNIPPET(add_atomic, "ldadd x0, x2, [x1]");
SNIPPET(unmask, "mov x0, #1\n msr daifclr, #8\n mov x0, #2\n mov x0, #3\n msr daifset, #8");
SNIPPET(hvc_call, "hvc #0\n nop");
SNIPPET(event, "wfe\n nop");
SNIPPET(faults, "ldr x0, [x1]\n mov x0, #7");
SNIPPET(undefined, ".inst 0\n nop");
SNIPPET(count_loop, "mov x0, #0\n1: add x0, x0, #1\n cmp x0, #100\n b.ne 1b");

#define SS (1ul << 21)
#define D_MASK 0x200ul
#define MDSCR_SS 1ul
#define MDSCR_KDE 0x2000ul
#define MDSCR_MDE 0x8000ul
#define STEP(isv, ex) ((isv) << 24 | (ex) << 6 | 0x22)

static u64 data[16] __attribute__((aligned(128)));

// From `pc` with SPSR.SS as given; EL1 has PSTATE.D clear.
static void step_from(u64 mode, const u32* pc, u64 ss) {
  ctx.pc = (u64)pc;
  ctx.spsr = mode | (mode == EL0 ? 0 : MASKED & ~D_MASK) | (ss ? SS : 0);
  run(&ctx);
}

static void stepping(void) {
  for (int el = 0; el < 2; ++el) {
    const u64 mode = el ? EL1H : EL0;
    const u64 ec = el ? 0x33 : 0x32;
    msr(mdscr_el1, MDSCR_SS | MDSCR_KDE);
    step_from(mode, plain, 1);
    check_taken("step: nop", mode, ec_iss(ec, STEP(1ul, 0ul)), (u64)&plain[1]);
    check("step: nop: SPSR.SS", ctx.spsr >> 21 & 1, 0);
    step_from(mode, plain, 0);
    check_taken("step: pending at once", mode, ec_iss(ec, 0x22), (u64)plain);
    step_from(mode, &plain[1], 1);
    check_taken("step: mov", mode, ec_iss(ec, STEP(1ul, 0ul)), (u64)&plain[2]);
    check("step: mov: x0", ctx.x[0], 1);
    step_from(mode, &plain[2], 1);
    check_taken("step: branch", mode, ec_iss(ec, STEP(1ul, 0ul)), (u64)&plain[4]);
    step_from(mode, &plain[3], 1);
    check_taken("step: brk", mode, 0xf2000009, (u64)&plain[3]);
    check("step: brk does not complete: SPSR.SS", ctx.spsr >> 21 & 1, 1);
    step_from(mode, &plain[5], 1);
    check_taken("step: svc", mode, 0x56000003, (u64)&plain[6]);
    check("step: svc completes: SPSR.SS", ctx.spsr >> 21 & 1, 0);
    ctx.x[1] = (u64)data;
    step_from(mode, load_exclusive, 1);
    check_taken("step: load-exclusive", mode, ec_iss(ec, STEP(1ul, 1ul)), (u64)&load_exclusive[1]);
    ctx.x[1] = 0x70000000000;
    step_from(mode, faults, 1);
    check_abort("step: data abort", mode, abort_esr(mode, 4), 0x70000000000, (u64)faults);
    check("step: data abort: SPSR.SS", ctx.spsr >> 21 & 1, 1);
    step_from(mode, undefined, 1);
    check_taken("step: UNDEFINED", mode, 0x02000000, (u64)undefined);
    check("step: UNDEFINED: SPSR.SS", ctx.spsr >> 21 & 1, 1);
    // A whole loop, one instruction at a time.
    u64 steps = 0;
    step_from(mode, count_loop, 1);
    const u32* pc = (const u32*)ctx.pc;
    if (ctx.esr == ec_iss(ec, STEP(1ul, 0ul))) {
      ++steps;
      // On with the flags that were, as a debugger does.
      while (pc != count_loop_end && steps < 1000) {
        ctx.spsr |= SS;
        run(&ctx);
        pc = (const u32*)ctx.pc;
        if (ctx.esr != ec_iss(ec, STEP(1ul, 0ul))) break;
        ++steps;
      }
    }
    check("step: a loop", steps, 1 + 100 * 3);
    check("step: a loop: x0", ctx.x[0], 100);
    msr(mdscr_el1, 0);
    step_from(mode, count_loop, 1);
    check("MDSCR.SS = 0: no step", ctx.esr, DONE);
  }
  // HVC ends the step; the return from EL2 is what makes the exception pending (ISV = 0).
  msr(mdscr_el1, MDSCR_SS | MDSCR_KDE);
  ctx.x[0] = 0x84000000;  // PSCI_VERSION
  step_from(EL1H, hvc_call, 1);
  check_taken("step: hvc", EL1H, ec_iss(0x33, 0x22), (u64)&hvc_call[1]);
  check("step: hvc: it was executed", ctx.x[0] >> 16, 1);
  // The exception return set the event register, so WFE does not wait.
  step_from(EL1H, event, 1);
  check_taken("step: wfe", EL1H, ec_iss(0x33, STEP(1ul, 0ul)), (u64)&event[1]);
  // EL1 without KDE or with D set does not step; opening D steps from the next instruction on.
  msr(mdscr_el1, MDSCR_SS);
  step_from(EL1H, plain, 1);
  check_taken("step: EL1 without KDE", EL1H, 0x56000003, (u64)&plain[6]);
  msr(mdscr_el1, MDSCR_SS | MDSCR_KDE);
  ctx.pc = (u64)plain;
  ctx.spsr = EL1H | MASKED | SS;
  run(&ctx);
  check_taken("step: EL1 with D set", EL1H, 0x56000003, (u64)&plain[6]);
  ctx.pc = (u64)unmask;
  ctx.spsr = EL1H | MASKED;
  run(&ctx);
  check_taken("step: unmasked by daifclr", EL1H, ctx.esr, (u64)&unmask[2]);
  check("step: unmasked by daifclr: EC", ctx.esr >> 26, 0x33);
  check("step: unmasked by daifclr: x0", ctx.x[0], 1);
  // The OS lock closes all of it. (QEMU 7.2 does not know.)
  msr(oslar_el1, 1);
  step_from(EL0, plain, 1);
  if (!on_qemu) check_taken("step: OS lock", EL0, 0x56000003, (u64)&plain[6]);
  msr(oslar_el1, 0);
  msr(mdscr_el1, 0);
  // UXN page: the fetch fault comes, SS stays.
  msr(mdscr_el1, MDSCR_SS);
  map(0x31, FRAME(0x40), RW_USER);
  step_from(EL0, (const u32*)(WINDOW + 0x31000), 1);
  check_abort("step: prefetch abort", EL0, fetch_esr(EL0, 0xf), WINDOW + 0x31000, WINDOW + 0x31000);
  msr(mdscr_el1, 0);
}

static void breakpoints(void) {
  for (int el = 0; el < 2; ++el) {
    const u64 mode = el ? EL1H : EL0;
    const u64 esr = ec_iss(el ? 0x31 : 0x30, 0x22);
    msr(mdscr_el1, MDSCR_MDE | MDSCR_KDE);
    msr(dbgbvr0_el1, (u64)&plain[4]);
    msr(dbgbcr0_el1, 0x1e0 | (el ? 1 : 2) << 1 | 1);
    step_from(mode, plain, 0);
    check_taken("breakpoint", mode, esr, (u64)&plain[4]);
    check("breakpoint: before the instruction", ctx.x[0], 1);
    step_from(mode, &plain[4], 0);
    check_taken("breakpoint at the first instruction", mode, esr, (u64)&plain[4]);
    step_from(el ? EL0 : EL1H, plain, 0);
    check_taken("breakpoint of the other level", el ? EL0 : EL1H, 0x56000003, (u64)&plain[6]);
    // In a loop that was running before.
    msr(mdscr_el1, 0);
    step_from(mode, count_loop, 0);
    msr(dbgbvr0_el1, (u64)&count_loop[1]);
    msr(mdscr_el1, MDSCR_MDE | MDSCR_KDE);
    step_from(mode, count_loop, 0);
    check_taken("breakpoint in a loop", mode, esr, (u64)&count_loop[1]);
    // On past it, as Linux does: disable, step, enable.
    msr(dbgbcr0_el1, 0x1e0 | 3 << 1);
    msr(mdscr_el1, MDSCR_MDE | MDSCR_KDE | MDSCR_SS);
    ctx.spsr |= SS;
    run(&ctx);
    check_taken("over a breakpoint", mode, ec_iss(el ? 0x33 : 0x32, STEP(1ul, 0ul)),
                (u64)&count_loop[2]);
    msr(mdscr_el1, MDSCR_MDE | MDSCR_KDE);
    msr(dbgbcr0_el1, 0x1e0 | 3 << 1 | 1);
    run(&ctx);
    check_taken("the breakpoint again", mode, esr, (u64)&count_loop[1]);
    check("the breakpoint again: x0", ctx.x[0], 1);
    // The last one.
    msr(dbgbcr0_el1, 0);
    msr(dbgbvr5_el1, (u64)&plain[1]);
    msr(dbgbcr5_el1, 0x1e0 | 3 << 1 | 1);
    step_from(mode, plain, 0);
    check_taken("breakpoint 5", mode, esr, (u64)&plain[1]);
    msr(dbgbcr5_el1, 0);
    step_from(mode, plain, 0);
    check_taken("disabled", mode, 0x56000003, (u64)&plain[6]);
  }
  msr(dbgbvr0_el1, (u64)&plain[1]);
  msr(dbgbcr0_el1, 0x1e0 | 3 << 1 | 1);
  ctx.pc = (u64)plain;
  ctx.spsr = EL1H | MASKED;
  run(&ctx);
  check_taken("breakpoint at EL1 with D set", EL1H, 0x56000003, (u64)&plain[6]);
  msr(mdscr_el1, MDSCR_KDE);
  step_from(EL0, plain, 0);
  check_taken("breakpoint without MDE", EL0, 0x56000003, (u64)&plain[6]);
  msr(dbgbcr0_el1, 0);
  msr(mdscr_el1, 0);
}

#define BT(type) ((u64)(type) << 20)
#define LBN(n) ((u64)(n) << 16)
enum { LINKED_ADDRESS = 1, CONTEXT = 2, LINKED_CONTEXT = 3 };

// Matches that depend on CONTEXTIDR_EL1 (D2.8.3). ID_AA64DFR0_EL1 shows 6 breakpoints, the last one
// context-aware.
static void context_matches(void) {
  const u64 id = 0x1235;
  check("context-aware breakpoints", on_qemu ? 0 : mrs(id_aa64dfr0_el1) >> 28 & 15, 0);
  for (int el = 0; el < 2; ++el) {
    const u64 mode = el ? EL1H : EL0;
    const u64 esr = ec_iss(el ? 0x31 : 0x30, 0x22);
    const u64 here = (el ? 1 : 2) << 1 | 1, anywhere = 3 << 1 | 1;
    const struct {
      const char* name;
      u64 link, control5, context;
      int on_qemu;    // QEMU does it, too
      const u32* at;  // where it is taken; null: nowhere
    } rows[] = {
        {"linked breakpoint", LBN(5), BT(LINKED_CONTEXT) | anywhere, id, 1, &plain[4]},
        {"linked breakpoint: another context", LBN(5), BT(LINKED_CONTEXT) | anywhere, id + 1, 1, 0},
        {"linked breakpoint: the link is off", LBN(5), BT(LINKED_CONTEXT), id, 0, 0},
        {"linked breakpoint: no context there", LBN(2), BT(LINKED_CONTEXT) | anywhere, id, 0, 0},
        {"linked breakpoint: beyond the last", LBN(9), BT(LINKED_CONTEXT) | anywhere, id, 0, 0},
        {"context breakpoint", LBN(5), BT(CONTEXT) | here, id, 0, &plain[0]},
        {"context breakpoint: another context", LBN(5), BT(CONTEXT) | here, id - 1, 0, 0},
    };
    for (u64 i = 0; i < sizeof rows / sizeof *rows; ++i) {
      if (on_qemu && !rows[i].on_qemu) continue;
      msr(mdscr_el1, MDSCR_MDE | MDSCR_KDE);
      msr(contextidr_el1, rows[i].context);
      msr(dbgbvr0_el1, (u64)&plain[4]);
      msr(dbgbcr0_el1, 0x1e0 | BT(LINKED_ADDRESS) | rows[i].link | here);
      msr(dbgbvr5_el1, id);
      msr(dbgbcr5_el1, 0x1e0 | rows[i].control5);
      step_from(mode, plain, 0);
      if (rows[i].at != 0) {
        check_taken(rows[i].name, mode, esr, (u64)rows[i].at);
      } else {
        check_taken(rows[i].name, mode, 0x56000003, (u64)&plain[6]);
      }
    }
    msr(dbgbcr0_el1, 0);
    // The same link from a watchpoint; and CONTEXTIDR_EL1 changes under it.
    msr(dbgbcr5_el1, 0x1e0 | BT(LINKED_CONTEXT) | anywhere);
    msr(dbgwvr0_el1, (u64)&data[4]);
    msr(dbgwcr0_el1, 0xff << 5 | 1 << 20 | LBN(5) | 1 << 3 | anywhere);
    ctx.x[1] = (u64)&data[4];
    msr(contextidr_el1, id);
    step_from(mode, load8, 0);
    check_taken("linked watchpoint", mode, ec_iss(el ? 0x35 : 0x34, 0x22), (u64)load8);
    msr(contextidr_el1, id + 1);
    step_from(mode, load8, 0);
    check("linked watchpoint: another context", ctx.esr, DONE);
    msr(dbgwcr0_el1, 0);
    msr(dbgbcr5_el1, 0);
    msr(contextidr_el1, 0);
    msr(mdscr_el1, 0);
  }
}

enum { LOAD = 1 << 3, STORE = 2 << 3, EL0_ONLY = 2 << 1, BOTH_ELS = 3 << 1 };
static void watch(u64 address, u64 control) {
  msr(dbgwvr0_el1, address & ~7ul);
  msr(dbgwcr0_el1, control | 1);
}
#define BAS(mask) ((u64)(mask) << 5)

static void watchpoints(void) {
  const u64 a = (u64)&data[4];
  for (int el = 0; el < 2; ++el) {
    const u64 mode = el ? EL1H : EL0;
    const u64 read = ec_iss(el ? 0x35 : 0x34, 0x22), write = read | 0x40;
    msr(mdscr_el1, MDSCR_MDE | MDSCR_KDE);
    const struct {
      const char* name;
      const u32* code;
      u64 address, control, esr, far;
    } rows[] = {
        {"watch: load", load8, a, BAS(0xff) | LOAD | STORE, read, a},
        {"watch: store", store8, a, BAS(0xff) | LOAD | STORE, write, a},
        {"watch: a load by a store watchpoint", load8, a, BAS(0xff) | STORE, DONE, 0},
        {"watch: a store by a load watchpoint", store8, a, BAS(0xff) | LOAD, DONE, 0},
        {"watch: byte below", load1, a + 2, BAS(0x08) | LOAD, DONE, 0},
        {"watch: byte", load1, a + 3, BAS(0x08) | LOAD, read, a + 3},
        {"watch: byte above", load1, a + 4, BAS(0x08) | LOAD, DONE, 0},
        {"watch: word beside", store4, a + 4, BAS(0x0f) | STORE, DONE, 0},
        {"watch: word", store4, a, BAS(0x0f) | STORE, write, a},
        {"watch: upper word", store4, a + 4, BAS(0xf0) | STORE, write, a + 4},
        {"watch: second of a pair", load_pair, a - 8, BAS(0xff) | LOAD, read, a},
        {"watch: past a pair", load_pair, a - 16, BAS(0xff) | LOAD, DONE, 0},
        {"watch: another doubleword", load8, a + 8, BAS(0xff) | LOAD, DONE, 0},
        {"watch: load-exclusive", load_exclusive, a, BAS(0xff) | LOAD, read, a},
        {"watch: mask of 32 bytes", load8, a + 24, 5ul << 24 | BAS(0xff) | LOAD, read, a + 24},
        {"watch: outside the mask", load8, a + 32, 5ul << 24 | BAS(0xff) | LOAD, DONE, 0},
    };
    for (u64 i = 0; i < sizeof rows / sizeof *rows; ++i) {
      watch(a, rows[i].control | BOTH_ELS);
      ctx.x[1] = rows[i].address;
      step_from(mode, rows[i].code, 0);
      if (rows[i].esr == DONE) {
        check(rows[i].name, ctx.esr, DONE);
      } else {
        check_taken(rows[i].name, mode, rows[i].esr, (u64)rows[i].code);
        // Any address of the access at or above the watched bytes will do; QEMU reports the access.
        if (!on_qemu) check_in(rows[i].name, "FAR", 0, ctx.far, rows[i].far);
      }
    }
    watch(a, BAS(0xff) | LOAD | STORE | BOTH_ELS);
    ctx.x[1] = a;
    ctx.x[0] = 1;
    step_from(mode, add_atomic, 0);
    check("watch: ldadd: EC", ctx.esr >> 26, el ? 0x35 : 0x34);
    step_from(mode, zva, 0);
    if (!on_qemu) check_taken("watch: dc zva", mode, write, (u64)zva);
    // A page that was used before the watchpoint was set, and after it is gone.
    msr(dbgwcr0_el1, 0);
    ctx.x[1] = a;
    step_from(mode, load8, 0);
    check("watch: removed", ctx.esr, DONE);
    watch(a, BAS(0xff) | LOAD | BOTH_ELS);
    step_from(mode, load8, 0);
    check_taken("watch: set on a page in use", mode, read, (u64)load8);
  }
  // Privilege: EL0 only. LDTR counts as EL0.
  watch(a, BAS(0xff) | LOAD | EL0_ONLY);
  ctx.x[1] = a;
  step_from(EL1H, load8, 0);
  check("watch: EL0's at EL1", ctx.esr, DONE);
  step_from(EL1H, load_user, 0);
  check_taken("watch: EL0's by ldtr", EL1H, ec_iss(0x35, 0x22), (u64)load_user);
  msr(dbgwcr0_el1, 0);
  msr(dbgwvr3_el1, a);
  msr(dbgwcr3_el1, BAS(0xff) | LOAD | BOTH_ELS | 1);
  step_from(EL0, load8, 0);
  check_taken("watch: register 3", EL0, ec_iss(0x34, 0x22), (u64)load8);
  msr(dbgwcr3_el1, 0);
  // A stage-1 fault comes before the watchpoint.
  map(0x32, 0, 0);
  watch(WINDOW + 0x32000, BAS(0xff) | LOAD | BOTH_ELS);
  ctx.x[1] = WINDOW + 0x32000;
  step_from(EL0, load8, 0);
  check_abort("watch: a data abort comes first", EL0, abort_esr(EL0, 7), WINDOW + 0x32000,
              (u64)load8);
  msr(dbgwcr0_el1, 0);
  msr(mdscr_el1, 0);
}

void test(void) {
  mmu_on();
  sctlr_set(SCTLR_DZE);
  level3_image[((u64)data >> 12) & 511] |= USER;
  tlbi_all();
  msr(oslar_el1, 0);
  stepping();
  breakpoints();
  context_matches();
  watchpoints();
}
