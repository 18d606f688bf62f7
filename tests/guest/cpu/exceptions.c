// Exceptions from each source: the exact ESR, ELR, SPSR, FAR and vector.
#include "guest.h"

SNIPPET(svc, "svc #0x1234");
SNIPPET(hvc_imm, "hvc #0x42");
SNIPPET(smc, "smc #0");
SNIPPET(brk, "brk #0x77");
SNIPPET(udf, ".inst 0x00000000");
SNIPPET(udf_imm, ".inst 0x00001234");
SNIPPET(hlt, "hlt #0x55");
SNIPPET(dcps, ".inst 0xd4a00001");
SNIPPET(drps, ".inst 0xd6bf03e0");
SNIPPET(eret, "eret");
SNIPPET(mrs_midr, "mrs x0, midr_el1");
SNIPPET(mrs_id, "mrs x0, id_aa64pfr0_el1");
SNIPPET(msr_vbar, "msr vbar_el1, x0");
SNIPPET(msr_pan, "msr pan, #1");
SNIPPET(msr_spsel, "msr spsel, #0");
SNIPPET(mrs_el, "mrs x0, currentel");
SNIPPET(mrs_sp_el0, "mrs x0, sp_el0");
SNIPPET(tlbi, "tlbi vmalle1");
SNIPPET(dc_isw, "dc isw, x0");
SNIPPET(mrs_tco, "mrs x0, s3_3_c4_c2_7");
SNIPPET(mrs_sp_el2, "mrs x0, s3_4_c4_c1_0");
SNIPPET(msr_hcr, "msr s3_4_c1_c1_0, x0");
SNIPPET(msr_midr, "msr s3_0_c0_c0_0, x0");
SNIPPET(mrs_oslar, "mrs x0, s2_0_c1_c0_4");
SNIPPET(sysl, "sysl x0, #0, c7, c5, #0");

// Traps from EL0.
SNIPPET(ctr, "mrs x3, ctr_el0");
SNIPPET(dczid, "mrs x3, dczid_el0");
SNIPPET(dc_cvau, "dc cvau, x1");
SNIPPET(dc_cvac, "dc cvac, x1");
SNIPPET(dc_civac, "dc civac, x1");
SNIPPET(ic_ivau, "ic ivau, x1");
SNIPPET(dc_zva, "dc zva, x1");
SNIPPET(wfi, "wfi");
SNIPPET(wfe, "wfe\n wfe");
SNIPPET(sevl_wfe, "sevl\n wfe");
SNIPPET(mrs_daif, "mrs x5, daif");
SNIPPET(msr_daif, "msr daif, x5");
SNIPPET(daifset, "msr daifset, #2");
SNIPPET(daifclr, "msr daifclr, #2");
SNIPPET(cntvct, "mrs x7, cntvct_el0");
SNIPPET(cntpct, "mrs x7, cntpct_el0");
SNIPPET(cntfrq, "mrs x7, cntfrq_el0");
SNIPPET(cntv_ctl, "mrs x7, cntv_ctl_el0");
SNIPPET(cntv_tval, "msr cntv_tval_el0, x7");
SNIPPET(cntp_cval, "msr cntp_cval_el0, x7");
SNIPPET(mdccsr, "mrs x7, mdccsr_el0");

SNIPPET(fmov, "fmov x0, d1");
SNIPPET(ldr_q, "ldr q0, [x1]");
SNIPPET(mrs_fpcr, "mrs x0, fpcr");
SNIPPET(fadd, "fadd d0, d0, d0");

SNIPPET(nop, "nop");
SNIPPET(flags, "mov x0, #0xa0000000\n msr nzcv, x0\n svc #1");
SNIPPET(br, "br x1");
SNIPPET(ldr_sp, "ldr x0, [sp]");
SNIPPET(stp_sp, "stp x0, x1, [sp, #-16]!");
SNIPPET(ldr_sp_8, "ldr x0, [sp, #8]");
SNIPPET(ldxr_sp, "ldxr x0, [sp]");
SNIPPET(ldr_q_sp, "ldr q0, [sp]");
SNIPPET(ld1_sp, "ld1 {v0.16b}, [sp]");
SNIPPET(ldadd_sp, "ldadd x0, x2, [sp]");
SNIPPET(prfm_sp, "prfm pldl1keep, [sp]");
SNIPPET(mov_sp, "add x0, sp, #16");
SNIPPET(illegal_eret, "mrs x0, spsr_el1\n eret");

#define UNDEFINED 0x02000000ul
static u8 buffer[256] __attribute__((aligned(256)));

static void generation(void) {
  static const struct {
    const char* name;
    const u32* code;
    u64 mode, esr, offset;
  } rows[] = {
      {"svc at EL0", svc, EL0, 0x56001234, 4},
      {"svc at EL1t", svc, EL1T, 0x56001234, 4},
      {"svc at EL1h", svc, EL1H, 0x56001234, 4},
      {"hvc at EL0", hvc_imm, EL0, UNDEFINED, 0},
      {"smc at EL0", smc, EL0, UNDEFINED, 0},
      {"smc at EL1", smc, EL1H, UNDEFINED, 0},
      {"brk at EL0", brk, EL0, 0xf2000077, 0},
      {"brk at EL1t", brk, EL1T, 0xf2000077, 0},
      {"brk at EL1h", brk, EL1H, 0xf2000077, 0},
      {"udf at EL0", udf, EL0, UNDEFINED, 0},
      {"udf at EL1h", udf, EL1H, UNDEFINED, 0},
      {"udf #0x1234", udf_imm, EL1T, UNDEFINED, 0},
      {"hlt at EL0", hlt, EL0, UNDEFINED, 0},
      {"hlt at EL1", hlt, EL1H, UNDEFINED, 0},
      {"dcps1", dcps, EL1H, UNDEFINED, 0},
      {"drps", drps, EL1H, UNDEFINED, 0},
      {"eret at EL0", eret, EL0, UNDEFINED, 0},
      {"mrs midr_el1 at EL0", mrs_midr, EL0, UNDEFINED, 0},
      {"mrs id_aa64pfr0_el1 at EL0", mrs_id, EL0, UNDEFINED, 0},
      {"msr vbar_el1 at EL0", msr_vbar, EL0, UNDEFINED, 0},
      {"msr pan at EL0", msr_pan, EL0, UNDEFINED, 0},
      {"msr spsel at EL0", msr_spsel, EL0, UNDEFINED, 0},
      {"mrs currentel at EL0", mrs_el, EL0, UNDEFINED, 0},
      {"mrs sp_el0 at EL0", mrs_sp_el0, EL0, UNDEFINED, 0},
      {"mrs sp_el0 at EL1t", mrs_sp_el0, EL1T, UNDEFINED, 0},
      {"tlbi at EL0", tlbi, EL0, UNDEFINED, 0},
      {"dc isw at EL0", dc_isw, EL0, UNDEFINED, 0},
      {"mrs tco, which is not shown", mrs_tco, EL1H, UNDEFINED, 0},
      {"mrs sp_el2", mrs_sp_el2, EL1H, UNDEFINED, 0},
      {"msr hcr_el2", msr_hcr, EL1H, UNDEFINED, 0},
      {"msr midr_el1", msr_midr, EL1H, UNDEFINED, 0},
      {"mrs oslar_el1", mrs_oslar, EL1H, UNDEFINED, 0},
      {"sysl", sysl, EL1H, UNDEFINED, 0},
  };
  for (u64 i = 0; i < sizeof rows / sizeof *rows; ++i) {
    run_at(rows[i].mode, rows[i].code);
    check_taken(rows[i].name, rows[i].mode, rows[i].esr, (u64)rows[i].code + rows[i].offset);
  }
  ctx.x[0] = 0;
  run_at(EL1H, hvc_imm);
  if (!on_qemu) {  // QEMU: HVC is UNDEFINED but for PSCI's own calls
    check_done("hvc #0x42 at EL1");
    check("hvc #0x42: x0 is NOT_SUPPORTED", ctx.x[0], ~0ul);
  }
  run_at(EL1H, mrs_sp_el0);
  check_done("mrs sp_el0 at EL1h");
  run_at(EL0, flags);
  check("SPSR of svc: NZCV, masks, EL0", ctx.spsr, 0xa0000000 | MASKED | EL0);
  ctx.pc = (u64)svc;
  ctx.spsr = 0x50000000 | EL0;
  run(&ctx);
  check("SPSR of svc: unmasked", ctx.spsr, 0x50000000 | EL0);
  ctx.pc = (u64)svc;
  ctx.spsr = 1ul << 22 | MASKED | EL1H;
  run(&ctx);
  check("SPSR of svc: PAN", ctx.spsr, 1ul << 22 | MASKED | EL1H);
  check("PAN stays with SPAN = 1", ctx.pan, 1 << 22);
  run_at(EL0, svc);
  check("PAN is kept clear with SPAN = 1", ctx.pan, 0);
  sctlr_clear(SCTLR_SPAN);
  run_at(EL0, svc);
  check("PAN is set with SPAN = 0", ctx.pan, 1 << 22);
  check("SPSR.PAN is that of before", ctx.spsr, MASKED | EL0);
  sctlr_set(SCTLR_SPAN);
}

static void trap(const char* name, const u32* code, int taken) {
  ctx.x[1] = (u64)buffer;
  ctx.x[5] = MASKED;
  run_at(EL0, code);
  if (taken) {
    check_taken(name, EL0, ec_iss(0x18, sysreg_iss(*code)), (u64)code);
  } else {
    check(name, ctx.esr, DONE);
  }
}

static void sysreg_traps(void) {
  const u64 all = SCTLR_UCT | SCTLR_UCI | SCTLR_DZE | SCTLR_UMA | SCTLR_NTWI | SCTLR_NTWE;
  for (int on = 0; on < 2; ++on) {
    if (on)
      sctlr_set(all);
    else
      sctlr_clear(all);
    trap(on ? "UCT = 1: mrs ctr_el0" : "UCT = 0: mrs ctr_el0", ctr, !on);
    trap(on ? "UCI = 1: dc cvac" : "UCI = 0: dc cvac", dc_cvac, !on);
    trap(on ? "UCI = 1: dc cvau" : "UCI = 0: dc cvau", dc_cvau, !on);
    trap(on ? "UCI = 1: dc civac" : "UCI = 0: dc civac", dc_civac, !on);
    trap(on ? "UCI = 1: ic ivau" : "UCI = 0: ic ivau", ic_ivau, !on);
    trap(on ? "DZE = 1: dc zva" : "DZE = 0: dc zva", dc_zva, !on);
    trap(on ? "UMA = 1: mrs daif" : "UMA = 0: mrs daif", mrs_daif, !on);
    trap(on ? "UMA = 1: msr daif" : "UMA = 0: msr daif", msr_daif, !on);
    // QEMU 7.2 swaps op1 and op2 in the syndrome of MSR (immediate).
    if (!on_qemu || on) trap(on ? "UMA = 1: msr daifset" : "UMA = 0: msr daifset", daifset, !on);
    if (!on_qemu || on) trap(on ? "UMA = 1: msr daifclr" : "UMA = 0: msr daifclr", daifclr, !on);
    run_at(EL0, dczid);
    check(on ? "DZE = 1: dczid_el0.DZP" : "DZE = 0: dczid_el0.DZP", ctx.x[3] >> 4 & 1, !on);
  }
  sctlr_set(SCTLR_UMA);
  run_at(EL0, mrs_daif);
  check("UMA = 1: daif as EL0 reads it", ctx.x[5], MASKED);
  run_at(EL0, daifclr);
  check("UMA = 1: daifclr at EL0", ctx.spsr & MASKED, MASKED & ~0x80);
  sctlr_clear(all);
  run_at(EL0, wfi);
  check_taken("nTWI = 0: wfi at EL0", EL0, 0x07e00000, (u64)wfi);
  asm volatile("sevl\n wfe");
  run_at(EL0, wfe);
  // The exception return set the event register: the first one does not wait (D1.6.1).
  if (!on_qemu) check_taken("nTWE = 0: wfe at EL0", EL0, 0x07e00001, (u64)&wfe[1]);
  run_at(EL0, sevl_wfe);
  check_done("nTWE = 0: wfe at EL0 with the event register set");

  static const struct {
    const char *name, *name_open;
    const u32* code;
    u64 bits;  // of CNTKCTL_EL1 of which one is enough
  } timers[] = {
      {"CNTKCTL: cntvct_el0", "CNTKCTL: cntvct_el0, open", cntvct, 2},
      {"CNTKCTL: cntpct_el0", "CNTKCTL: cntpct_el0, open", cntpct, 1},
      {"CNTKCTL: cntfrq_el0", "CNTKCTL: cntfrq_el0, open", cntfrq, 3},
      {"CNTKCTL: cntv_ctl_el0", "CNTKCTL: cntv_ctl_el0, open", cntv_ctl, 1 << 8},
      {"CNTKCTL: cntv_tval_el0", "CNTKCTL: cntv_tval_el0, open", cntv_tval, 1 << 8},
      {"CNTKCTL: cntp_cval_el0", "CNTKCTL: cntp_cval_el0, open", cntp_cval, 1 << 9},
  };
  for (u64 i = 0; i < sizeof timers / sizeof *timers; ++i) {
    msr(cntkctl_el1, ~timers[i].bits & 0x303);
    trap(timers[i].name, timers[i].code, 1);
    msr(cntkctl_el1, timers[i].bits);
    trap(timers[i].name_open, timers[i].code, 0);
  }
  msr(cntkctl_el1, 1);
  trap("CNTKCTL: cntfrq_el0 by EL0PCTEN alone", cntfrq, 0);
  msr(cntkctl_el1, 0);
  if (!on_qemu) {
    trap("TDCC = 0: mdccsr_el0", mdccsr, 0);
    msr(mdscr_el1, 1 << 12);
    trap("TDCC = 1: mdccsr_el0", mdccsr, 1);
    msr(mdscr_el1, 0);
  }
  // What EL0 may not do is UNDEFINED whatever the gates say.
  sctlr_set(all);
}

static void floating_point(void) {
  static const u32* const codes[] = {fmov, ldr_q, mrs_fpcr, fadd};
  static const char* const names[] = {"fmov", "ldr q", "mrs fpcr", "fadd"};
  ctx.x[1] = (u64)buffer;
  for (u64 fpen = 0; fpen < 4; ++fpen) {
    msr(cpacr_el1, fpen << 20);
    for (int i = 0; i < 4; ++i) {
      for (int el = 0; el < 2; ++el) {
        const u64 mode = el ? EL1H : EL0;
        const int traps = (fpen & 1) == 0 || (fpen == 1 && el == 0);
        run_at(mode, codes[i]);
        const u64 pc = traps ? (u64)codes[i] : ctx.pc;
        if (traps) {
          check_taken(names[i], mode, 0x1fe00000, pc);
        } else {
          check_in(names[i], "FPEN", fpen, ctx.esr, DONE);
        }
      }
    }
  }
}

static void illegal_state(void) {
  ctx.pc = (u64)nop;
  ctx.spsr = 1 << 20 | MASKED | EL0;
  run(&ctx);
  check_taken("SPSR.IL to EL0", EL0, 0x3a000000, (u64)nop);
  check("SPSR.IL to EL0: SPSR", ctx.spsr, 1 << 20 | MASKED | EL0);
  ctx.pc = (u64)svc;
  ctx.spsr = 1 << 20 | MASKED | EL1T;
  run(&ctx);
  check_taken("SPSR.IL to EL1t comes before SVC", EL1T, 0x3a000000, (u64)svc);
  // (0x10 is AArch32's User mode, which QEMU's CPU has.)
  static const u64 modes[] = {1, 2, 3, 6, 7, 8, 9, 12, 13, 15, 0x10, 0x13, 0x1f};
  for (u64 i = 0; i < sizeof modes / sizeof *modes; ++i) {
    if (on_qemu && modes[i] == 0x10) continue;
    // From EL1h, so that PSTATE.EL and SP stay.
    ctx.pc = (u64)nop;
    ctx.spsr = 0x60000000 | modes[i];
    run(&ctx);
    check_in("illegal return", "ESR, M", modes[i], ctx.esr, 0x3a000000);
    check_in("illegal return", "vector, M", modes[i], ctx.vector, 0x200);
    check_in("illegal return", "ELR, M", modes[i], ctx.pc, (u64)nop);
    check_in("illegal return", "SPSR, M", modes[i], ctx.spsr, 0x60000000 | 1 << 20 | EL1H);
  }
  print("ok illegal returns\n");
}

static void alignment(void) {
  for (int el = 0; el < 2; ++el) {
    const u64 mode = el ? EL1H : EL0;
    const u64 code = (u64)nop + 2;
    run_at(mode, (void*)code);
    check_abort("PC misaligned by ERET", mode, 0x8a000000, code, code);
    ctx.x[1] = code - 1;
    run_at(mode, br);
    check_abort("PC misaligned by BR", mode, 0x8a000000, code - 1, code - 1);
  }
  static const u32* const codes[] = {ldr_sp, stp_sp, ldr_sp_8, ldxr_sp, ldr_q_sp, ld1_sp, ldadd_sp};
  static const char* const names[] = {
      "SP alignment: ldr",   "SP alignment: stp", "SP alignment: ldr, #8", "SP alignment: ldxr",
      "SP alignment: ldr q", "SP alignment: ld1", "SP alignment: ldadd"};
  if (on_qemu) return;  // QEMU has no SP alignment faults
  sctlr_set(SCTLR_SA | SCTLR_SA0);
  for (int i = 0; i < 7; ++i) {
    for (int el = 0; el < 3; ++el) {
      static const u64 modes[] = {EL0, EL1T, EL1H};
      const u64 sp = (u64)buffer + 64 + 8;
      ctx.sp = sp;
      run_at(modes[el], codes[i]);
      check_taken(names[i], modes[el], 0x9a000000, (u64)codes[i]);
      check_in(names[i], "SP", 0, ctx.sp, sp);
      ctx.sp = (u64)buffer + 64;
      run_at(modes[el], codes[i]);
      check_in(names[i], "aligned, mode", modes[el], ctx.esr, DONE);
    }
  }
  ctx.sp = (u64)buffer + 8;
  run_at(EL1H, mov_sp);
  check_done("SP alignment: add is no access");
  ctx.sp = (u64)buffer + 8;
  run_at(EL1H, prfm_sp);
  check_done("SP alignment: prfm");
  sctlr_clear(SCTLR_SA | SCTLR_SA0);
  for (int el = 0; el < 2; ++el) {
    ctx.sp = (u64)buffer + 8;
    run_at(el ? EL1H : EL0, ldr_sp);
    check_done("SA = SA0 = 0: no SP alignment fault");
  }
  sctlr_set(SCTLR_SA);
  ctx.sp = (u64)buffer + 8;
  run_at(EL0, ldr_sp);
  check_done("SA alone does not concern EL0");
  ctx.sp = 0;
}

void test(void) {
  // The buffer must be EL0's too.
  mmu_on();
  level3_image[((u64)buffer >> 12) & 511] |= USER;
  tlbi_all();
  generation();
  sysreg_traps();
  floating_point();
  illegal_state();
  alignment();
}
