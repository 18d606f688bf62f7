// MRS, MSR and SYS: who may do what, what it returns, what it asks of the engine.
#include "tests/vmm/soft/system_fixture.h"
#include "vmm/memory/walk_inl.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/id_registers.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

constexpr uint32_t mrs(SysregId id, unsigned rt) { return 0xd520'0000 | uint32_t{id} << 5 | rt; }
constexpr uint32_t msr(SysregId id, unsigned rt) { return 0xd500'0000 | uint32_t{id} << 5 | rt; }
constexpr uint32_t sys(unsigned op1, unsigned crn, unsigned crm, unsigned op2, unsigned rt) {
  return msr(sysreg_id(1, op1, crn, crm, op2), rt);
}
constexpr uint32_t msr_imm(unsigned op1, unsigned op2, unsigned imm) {
  return msr(sysreg_id(0, op1, 4, imm, op2), 31);
}
static_assert(mrs(sysreg_id(3, 0, 0, 0, 0), 0) == 0xd5380000, "mrs x0, midr_el1");
static_assert(msr(sysreg_id(3, 0, 1, 0, 0), 1) == 0xd5181001, "msr sctlr_el1, x1");
static_assert(sys(3, 7, 11, 1, 2) == 0xd50b7b22, "dc cvau, x2");
static_assert(msr_imm(3, 6, 2) == 0xd50342df, "msr daifset, #2");

constexpr SysregId kSctlrId = sysreg_id(3, 0, 1, 0, 0);
constexpr SysregId kDaifId = sysreg_id(3, 3, 4, 2, 1);
constexpr SysregId kCtrId = sysreg_id(3, 3, 0, 0, 1);
constexpr SysregId kSpEl0Id = sysreg_id(3, 0, 4, 1, 0);

class SysregTest : public SystemTest {
 protected:
  using SystemTest::SystemTest;

  // "ok", "resync", "exit", "undef", "trap", "fp", or "ec NN".
  std::string run(uint32_t word, unsigned el) {
    const uint64_t sctlr = cpu().sys.el1.sctlr, cntkctl = cpu().sys.cntkctl_el1;
    set_el_and_spsel(cpu(), el, el);
    cpu().pc = 0x4000'0100;
    g_engine_calls.clear();
    const Next next = execute_system(cpu(), word);
    if (next == Next::kContinue) return "ok";
    if (next == Next::kResync) return "resync";
    if (next == Next::kExit) return "exit";
    EXPECT_EQ(cpu().sys.elr_el1, 0x4000'0100u);
    EXPECT_EQ(cpu().sys.el1.sctlr, sctlr);
    EXPECT_EQ(cpu().sys.cntkctl_el1, cntkctl);
    const unsigned ec = cpu().sys.esr_el1 >> 26;
    switch (ec) {
      case 0:
        return "undef";
      case 0x18:
        EXPECT_EQ(cpu().sys.esr_el1 & 0x1ff'ffff, sysreg_iss(word));
        return "trap";
      case 0x07:
        return "fp";
      default:
        return "ec " + std::to_string(ec);
    }
  }
};

TEST(SysregIss, Layout) {
  // mrs x5, ctr_el0 = op0 3, op1 3, CRn 0, CRm 0, op2 1: D17.2.37, EC 0x18.
  EXPECT_EQ(sysreg_iss(mrs(kCtrId, 5)),
            3u << 20 | 1u << 17 | 3u << 14 | 0u << 10 | 5u << 5 | 0 | 1);
  EXPECT_EQ(sysreg_iss(sys(3, 7, 11, 1, 2)),
            1u << 20 | 1u << 17 | 3u << 14 | 7u << 10 | 2u << 5 | 11u << 1);
}

TEST_F(SysregTest, AccessByLevel) {
  struct Row {
    const char* name;
    SysregId id;
    const char *read1, *write1, *read0, *write0;
  } constexpr kRows[] = {
      {"MIDR_EL1", sysreg_id(3, 0, 0, 0, 0), "ok", "undef", "undef", "undef"},
      {"ID space, unnamed", sysreg_id(3, 0, 0, 3, 7), "ok", "undef", "undef", "undef"},
      {"ID_AA64ZFR0_EL1", sysreg_id(3, 0, 0, 4, 4), "ok", "undef", "undef", "undef"},
      {"SCTLR_EL1", kSctlrId, "ok", "resync", "undef", "undef"},
      {"TTBR0_EL1", sysreg_id(3, 0, 2, 0, 0), "ok", "resync", "undef", "undef"},
      {"VBAR_EL1", sysreg_id(3, 0, 12, 0, 0), "ok", "ok", "undef", "undef"},
      {"TPIDR_EL0", sysreg_id(3, 3, 13, 0, 2), "ok", "ok", "ok", "ok"},
      {"TPIDRRO_EL0", sysreg_id(3, 3, 13, 0, 3), "ok", "ok", "ok", "undef"},
      {"TPIDR_EL1", sysreg_id(3, 0, 13, 0, 4), "ok", "ok", "undef", "undef"},
      {"NZCV", sysreg_id(3, 3, 4, 2, 0), "ok", "ok", "ok", "ok"},
      {"DAIF", kDaifId, "ok", "resync", "trap", "trap"},
      {"CTR_EL0", kCtrId, "ok", "undef", "trap", "undef"},
      {"DCZID_EL0", sysreg_id(3, 3, 0, 0, 7), "ok", "undef", "ok", "undef"},
      {"FPCR", sysreg_id(3, 3, 4, 4, 0), "fp", "fp", "fp", "fp"},
      {"CNTFRQ_EL0", sysreg_id(3, 3, 14, 0, 0), "ok", "ok", "trap", "undef"},
      {"CNTPCT_EL0", sysreg_id(3, 3, 14, 0, 1), "ok", "undef", "trap", "undef"},
      {"CNTVCT_EL0", sysreg_id(3, 3, 14, 0, 2), "ok", "undef", "trap", "undef"},
      {"CNTV_CTL_EL0", sysreg_id(3, 3, 14, 3, 1), "exit", "exit", "trap", "trap"},
      {"CNTP_CVAL_EL0", sysreg_id(3, 3, 14, 2, 2), "exit", "exit", "trap", "trap"},
      {"ICC_IAR1_EL1", sysreg_id(3, 0, 12, 12, 0), "exit", "undef", "undef", "undef"},
      {"ICC_PMR_EL1", sysreg_id(3, 0, 4, 6, 0), "exit", "exit", "undef", "undef"},
      {"ICC_SGI1R_EL1", sysreg_id(3, 0, 12, 11, 5), "undef", "exit", "undef", "undef"},
      {"CurrentEL", sysreg_id(3, 0, 4, 2, 2), "ok", "undef", "undef", "undef"},
      {"PMCR_EL0 (no PMU)", sysreg_id(3, 3, 9, 12, 0), "undef", "undef", "undef", "undef"},
      {"UAO (absent)", sysreg_id(3, 0, 4, 2, 4), "undef", "undef", "undef", "undef"},
      {"DIT (absent)", sysreg_id(3, 3, 4, 2, 5), "undef", "undef", "undef", "undef"},
      {"SP_EL1 (EL2's)", sysreg_id(3, 4, 4, 1, 0), "undef", "undef", "undef", "undef"},
      {"HCR_EL2", sysreg_id(3, 4, 1, 1, 0), "undef", "undef", "undef", "undef"},
      {"SCXTNUM_EL0 (absent)", sysreg_id(3, 3, 13, 0, 7), "undef", "undef", "undef", "undef"},
      {"RNDR (absent)", sysreg_id(3, 3, 2, 4, 0), "undef", "undef", "undef", "undef"},
      {"IMPLEMENTATION DEFINED", sysreg_id(3, 0, 15, 0, 0), "undef", "undef", "undef", "undef"},
      {"MDSCR_EL1", sysreg_id(2, 0, 0, 2, 2), "ok", "resync", "undef", "undef"},
      {"OSLAR_EL1", sysreg_id(2, 0, 1, 0, 4), "undef", "resync", "undef", "undef"},
      {"OSLSR_EL1", sysreg_id(2, 0, 1, 1, 4), "ok", "undef", "undef", "undef"},
      {"DBGBVR5_EL1", sysreg_id(2, 0, 0, 5, 4), "ok", "resync", "undef", "undef"},
      {"DBGBVR6_EL1 (absent)", sysreg_id(2, 0, 0, 6, 4), "undef", "undef", "undef", "undef"},
      {"DBGWCR3_EL1", sysreg_id(2, 0, 0, 3, 7), "ok", "resync", "undef", "undef"},
      {"DBGWCR4_EL1 (absent)", sysreg_id(2, 0, 0, 4, 7), "undef", "undef", "undef", "undef"},
      {"MDCCSR_EL0", sysreg_id(2, 3, 0, 1, 0), "ok", "undef", "ok", "undef"},
      {"trace (absent)", sysreg_id(2, 1, 0, 0, 1), "undef", "undef", "undef", "undef"},
  };
  for (const Row& row : kRows) {
    for (unsigned el : {1u, 0u}) {
      vcpu->reset(0, 0);
      EXPECT_EQ(run(mrs(row.id, 3), el), el == 1 ? row.read1 : row.read0) << row.name << el;
      vcpu->reset(0, 0);
      EXPECT_EQ(run(msr(row.id, 3), el), el == 1 ? row.write1 : row.write0) << row.name << el;
    }
  }
}

// What `base` has not.
class SysregOfMaxTest : public SysregTest {
 protected:
  SysregOfMaxTest() : SysregTest(CpuModel::kMax) {}
};

TEST_F(SysregOfMaxTest, AccessByLevel) {
  constexpr SysregId kPmcr = sysreg_id(3, 3, 9, 12, 0), kDit = sysreg_id(3, 3, 4, 2, 5);
  EXPECT_EQ(run(mrs(kPmcr, 3), 1), "ok");
  EXPECT_EQ(run(msr(kPmcr, 3), 1), "resync");
  EXPECT_EQ(run(mrs(kPmcr, 3), 0), "trap");
  EXPECT_EQ(run(msr(kPmcr, 3), 0), "trap");
  for (const unsigned el : {1u, 0u}) {
    EXPECT_EQ(run(mrs(kDit, 3), el), "ok");
    EXPECT_EQ(run(msr(kDit, 3), el), "ok");
  }
}

TEST_F(SysregTest, GatesOfEl0) {
  struct Row {
    const char* name;
    uint64_t sctlr, cntkctl;
    uint32_t word;
    const char* result;
  } const kRows[] = {
      {"UCT", kSctlrUct, 0, mrs(kCtrId, 0), "ok"},
      {"UMA read", kSctlrUma, 0, mrs(kDaifId, 0), "ok"},
      {"UMA write", kSctlrUma, 0, msr(kDaifId, 0), "resync"},
      {"UMA immediate", kSctlrUma, 0, msr_imm(3, 6, 2), "resync"},
      {"no UMA immediate", 0, 0, msr_imm(3, 7, 2), "trap"},
      {"EL0VCTEN, virtual", 0, 2, mrs(sysreg_id(3, 3, 14, 0, 2), 0), "ok"},
      {"EL0VCTEN, physical", 0, 2, mrs(sysreg_id(3, 3, 14, 0, 1), 0), "trap"},
      {"EL0VCTEN, frequency", 0, 2, mrs(sysreg_id(3, 3, 14, 0, 0), 0), "ok"},
      {"EL0PCTEN, physical", 0, 1, mrs(sysreg_id(3, 3, 14, 0, 1), 0), "ok"},
      {"EL0PCTEN, frequency", 0, 1, mrs(sysreg_id(3, 3, 14, 0, 0), 0), "ok"},
      {"EL0PTEN", 0, 1 << 9, msr(sysreg_id(3, 3, 14, 2, 1), 0), "exit"},
      {"EL0PTEN, virtual timer", 0, 1 << 9, msr(sysreg_id(3, 3, 14, 3, 1), 0), "trap"},
      {"EL0VTEN", 0, 1 << 8, mrs(sysreg_id(3, 3, 14, 3, 0), 0), "exit"},
      {"UCI, cvau", kSctlrUci, 0, sys(3, 7, 11, 1, 0), "ok"},
      {"UCI, civac", kSctlrUci, 0, sys(3, 7, 14, 1, 0), "ok"},
      {"UCI, ivau", kSctlrUci, 0, sys(3, 7, 5, 1, 0), "resync"},
      {"no UCI, ivau", 0, 0, sys(3, 7, 5, 1, 0), "trap"},
      {"no UCI, cvac", 0, 0, sys(3, 7, 10, 1, 0), "trap"},
      {"no DZE, zva", 0, 0, sys(3, 7, 4, 1, 0), "trap"},
      {"ivac is EL1's", kSctlrUci, 0, sys(0, 7, 6, 1, 0), "undef"},
      {"cisw is EL1's", kSctlrUci, 0, sys(0, 7, 14, 2, 0), "undef"},
      {"TLBI is EL1's", kSctlrUci, 0, sys(0, 8, 7, 0, 31), "undef"},
      {"AT is EL1's", 0, 0, sys(0, 7, 8, 0, 0), "undef"},
      {"SPSel is EL1's", 0, 0, msr_imm(0, 5, 1), "undef"},
      {"PAN is EL1's", 0, 0, msr_imm(0, 4, 1), "undef"},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0, 0);
    cpu().sys.el1.sctlr |= row.sctlr;
    update_regime(cpu());
    cpu().sys.cntkctl_el1 = row.cntkctl;
    cpu().r.x[0] = kRam + 0x1000;
    EXPECT_EQ(run(row.word, 0), row.result) << row.name;
  }
}

TEST_F(SysregTest, FpEnable) {
  struct Row {
    unsigned fpen;
    const char *el1, *el0;
  } constexpr kRows[] = {{0, "fp", "fp"}, {1, "ok", "fp"}, {2, "fp", "fp"}, {3, "ok", "ok"}};
  for (const Row& row : kRows) {
    for (unsigned el : {1u, 0u}) {
      cpu().sys.cpacr_el1 = uint64_t{row.fpen} << 20;
      EXPECT_EQ(run(mrs(sysreg_id(3, 3, 4, 4, 1), 0), el), el == 1 ? row.el1 : row.el0);
      if (row.fpen == 0) {
        EXPECT_EQ(cpu().sys.esr_el1 & 0x1ff'ffff, 0x1e0'0000u);
      }
    }
  }
}

TEST_F(SysregTest, WriteThenRead) {
  struct Row {
    const char* name;
    SysregId id;
    uint64_t written, read;
  } constexpr kRows[] = {
      {"SCTLR_EL1 zeroes", kSctlrId, 0, id::kSctlrRes1},
      {"SCTLR_EL1 ones", kSctlrId, ~uint64_t{0}, 0x37dd'db9f},
      {"TCR_EL1", sysreg_id(3, 0, 2, 0, 2), ~uint64_t{0}, 0x77'ffff'ffbf},
      {"VBAR_EL1", sysreg_id(3, 0, 12, 0, 0), 0xffff'8000'0000'0fff, 0xffff'8000'0000'0800},
      {"ESR_EL1", sysreg_id(3, 0, 5, 2, 0), ~uint64_t{0}, 0xffff'ffff},
      {"CPACR_EL1", sysreg_id(3, 0, 1, 0, 2), ~uint64_t{0}, 3 << 20},
      {"SPSR_EL1", sysreg_id(3, 0, 4, 0, 0), ~uint64_t{0}, 0xf070'03df},
      {"CONTEXTIDR_EL1", sysreg_id(3, 0, 13, 0, 1), ~uint64_t{0}, 0xffff'ffff},
      {"CNTKCTL_EL1", sysreg_id(3, 0, 14, 1, 0), ~uint64_t{0}, 0x3ff},
      {"CSSELR_EL1", sysreg_id(3, 2, 0, 0, 0), ~uint64_t{0}, 0xf},
      {"DBGBVR0_EL1", sysreg_id(2, 0, 0, 0, 4), ~uint64_t{0}, ~uint64_t{3}},
      {"DBGBCR0_EL1", sysreg_id(2, 0, 0, 0, 5), 0, 0x1e0},
      {"NZCV", sysreg_id(3, 3, 4, 2, 0), ~uint64_t{0}, 0xf000'0000},
      {"DAIF", kDaifId, 0x140, 0x140},
      {"PAN", sysreg_id(3, 0, 4, 2, 3), ~uint64_t{0}, 1 << 22},
      {"SP_EL0", kSpEl0Id, 0x1234'5678, 0x1234'5678},
      {"PAR_EL1", sysreg_id(3, 0, 7, 4, 0), ~uint64_t{0}, ~uint64_t{0}},
      {"OSDTRRX_EL1", sysreg_id(2, 0, 0, 0, 2), ~uint64_t{0}, 0},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0, 0);
    cpu().r.x[7] = row.written;
    run(msr(row.id, 7), 1);
    EXPECT_EQ(run(mrs(row.id, 8), 1), "ok") << row.name;
    EXPECT_EQ(cpu().r.x[8], row.read) << row.name;
  }
}

TEST_F(SysregTest, ReadOnlyValues) {
  struct Row {
    SysregId id;
    uint64_t value;
  } constexpr kRows[] = {
      {sysreg_id(3, 0, 0, 0, 0), id::kMidr},
      {sysreg_id(3, 0, 0, 0, 5), 0x8000'0000},
      {sysreg_id(3, 0, 0, 4, 0), 0x1100'0000'0100'0011},
      {sysreg_id(3, 0, 0, 6, 0), 0x1021'0000},
      {sysreg_id(3, 0, 0, 7, 0), 0x0010'0122},
      {sysreg_id(3, 0, 0, 7, 1), 0x0020'0000},
      {sysreg_id(3, 0, 0, 5, 0), 0x0030'5006},
      {sysreg_id(3, 0, 0, 1, 0), 0},
      {kCtrId, 0x9444'c004},
      {sysreg_id(3, 3, 0, 0, 7), 4},
      {sysreg_id(3, 0, 4, 2, 2), 4},
      {sysreg_id(3, 0, 4, 2, 0), 1},
      {sysreg_id(3, 3, 14, 0, 0), 62'500'000},
      {sysreg_id(3, 3, 14, 0, 2), 12345},
      {sysreg_id(2, 0, 1, 1, 4), 0xa},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(run(mrs(row.id, 8), 1), "ok") << std::hex << row.id;
    EXPECT_EQ(cpu().r.x[8], row.value) << std::hex << row.id;
    uint64_t raw = ~uint64_t{0};
    EXPECT_TRUE(read_sysreg_raw(cpu(), row.id, raw)) << std::hex << row.id;
    EXPECT_EQ(raw, row.value);
  }
  // DCZID_EL0.DZP at EL0 without DZE; ISR_EL1 shows the lines.
  run(mrs(sysreg_id(3, 3, 0, 0, 7), 8), 0);
  EXPECT_EQ(cpu().r.x[8], 0x14u);
  vcpu->set_irq(true);
  run(mrs(sysreg_id(3, 0, 12, 1, 0), 8), 1);
  EXPECT_EQ(cpu().r.x[8], 0x80u);
}

TEST_F(SysregTest, XzrIsNeverWritten) {
  EXPECT_EQ(run(mrs(sysreg_id(3, 0, 0, 0, 0), 31), 1), "ok");
  EXPECT_EQ(cpu().r.x[kSlotXzr], 0u);
  EXPECT_EQ(run(mrs(sysreg_id(3, 0, 0, 3, 5), 31), 1), "ok");
  EXPECT_EQ(cpu().r.x[kSlotXzr], 0u);
  cpu().sys.tpidr_el0 = 5;
  EXPECT_EQ(run(msr(sysreg_id(3, 3, 13, 0, 2), 31), 1), "ok");
  EXPECT_EQ(cpu().sys.tpidr_el0, 0u);
}

TEST_F(SysregTest, SpEl0IsUndefinedWhenCurrent) {
  set_el_and_spsel(cpu(), 1, 0);
  cpu().pc = 0x4000'0100;
  EXPECT_EQ(execute_system(cpu(), mrs(kSpEl0Id, 0)), Next::kJump);
  EXPECT_EQ(cpu().sys.esr_el1 >> 26, 0u);
}

TEST_F(SysregTest, PstateImmediates) {
  struct Row {
    const char* name;
    uint32_t word;
    const char* result;
    unsigned daif, sp_sel;
    bool pan;
  } const kRows[] = {
      {"DAIFSet #3", msr_imm(3, 6, 3), "resync", 3, 1, false},
      {"DAIFSet #15", msr_imm(3, 6, 15), "resync", 15, 1, false},
      {"DAIFClr #2 after", msr_imm(3, 7, 2), "resync", 0, 1, false},
      {"SPSel #0", msr_imm(0, 5, 0), "ok", 0, 0, false},
      {"PAN #1", msr_imm(0, 4, 1), "resync", 0, 1, true},
      {"UAO", msr_imm(0, 3, 1), "undef", 15, 1, false},
      {"DIT", msr_imm(3, 2, 1), "undef", 15, 1, false},
      {"TCO", msr_imm(3, 4, 1), "undef", 15, 1, false},
      {"SSBS", msr_imm(3, 1, 1), "undef", 15, 1, false},
      {"CFINV", 0xd500401f, "undef", 15, 1, false},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0, 0);
    cpu().ps.daif = 0;
    EXPECT_EQ(run(row.word, 1), row.result) << row.name;
    EXPECT_EQ(cpu().ps.daif, row.daif) << row.name;
    EXPECT_EQ(cpu().ps.sp_sel, row.sp_sel) << row.name;
    EXPECT_EQ(cpu().ps.pan, row.pan) << row.name;
    EXPECT_EQ(cpu().sys.mmu.pan, row.pan) << row.name;
  }
}

TEST_F(SysregTest, EngineHearsOfIt) {
  struct Row {
    const char* name;
    uint32_t word;
    uint64_t xt;
    uint64_t tcr;
    const char* call;  // the only one, or empty
  } const kRows[] = {
      {"SCTLR", msr(kSctlrId, 1), 0, 0, "context"},
      {"TTBR1", msr(sysreg_id(3, 0, 2, 0, 1), 1), 0, 0, "context"},
      {"MAIR", msr(sysreg_id(3, 0, 10, 2, 0), 1), 0, 0, "context"},
      {"TPIDR", msr(sysreg_id(3, 3, 13, 0, 2), 1), 0, 0, ""},
      {"PAN", msr_imm(0, 4, 1), 0, 0, "context"},
      {"DBGBCR", msr(sysreg_id(2, 0, 0, 0, 5), 1), 1, 0, "debug"},
      {"OSLAR", msr(sysreg_id(2, 0, 1, 0, 4), 1), 0, 0, "debug"},
      {"vmalle1", sys(0, 8, 7, 0, 31), 0, 0, "tlbi all 0 asid 0"},
      {"vmalle1is", sys(0, 8, 3, 0, 31), 0, 0, "tlbi all 0 asid 0 broadcast"},
      {"vae1, 8-bit ASIDs", sys(0, 8, 7, 1, 1), 0x1234'0000'0000'0005, 0, "tlbi va 0x5000 asid 52"},
      {"vae1is, 16-bit ASIDs", sys(0, 8, 3, 1, 1), 0x1234'0000'0000'0005, uint64_t{1} << 36,
       "tlbi va 0x5000 asid 4660 broadcast"},
      {"vale1is, upper half", sys(0, 8, 3, 5, 1), 0x0001'0fff'ffff'f123, uint64_t{1} << 36,
       "tlbi va 0xffffffffff123000 asid 1 broadcast"},
      {"aside1is", sys(0, 8, 3, 2, 1), 0x0007'0000'0000'0000, 0, "tlbi asid 0 asid 7 broadcast"},
      {"vaae1is", sys(0, 8, 3, 3, 1), 0x0007'0000'0000'0001, 0, "tlbi vaa 0x1000 asid 0 broadcast"},
      {"vaale1", sys(0, 8, 7, 7, 1), 0x0000'0000'0000'0001, 0, "tlbi vaa 0x1000 asid 0"},
      {"ic iallu", sys(0, 7, 5, 0, 31), 0, 0, "ic all"},
      {"ic ialluis", sys(0, 7, 1, 0, 31), 0, 0, "ic all broadcast"},
      {"ic ivau", sys(3, 7, 5, 1, 1), kRam + 0x1047, 0, "ic line 0x1040 broadcast"},
      {"dc cvau", sys(3, 7, 11, 1, 1), kRam + 0x1047, 0, ""},
      {"dc cisw", sys(0, 7, 14, 2, 1), 0, 0, ""},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0, 0);
    cpu().sys.el1.tcr = row.tcr;
    update_regime(cpu());
    cpu().r.x[1] = row.xt;
    const std::string result = run(row.word, 1);
    EXPECT_TRUE(result == "ok" || result == "resync") << row.name << ' ' << result;
    const std::vector<std::string> expected =
        *row.call != 0 ? std::vector<std::string>{row.call} : std::vector<std::string>{};
    EXPECT_EQ(g_engine_calls, expected) << row.name;
  }
}

TEST_F(SysregTest, UndefinedSystemInstructions) {
  struct Row {
    const char* name;
    uint32_t word;
  } const kRows[] = {
      {"tlbi vmalle1os", sys(0, 8, 1, 0, 31)},
      {"tlbi rvae1is", sys(0, 8, 2, 1, 0)},
      {"tlbi alle1 (EL2's)", sys(4, 8, 7, 4, 31)},
      {"tlbi vmalle1 with Rt", sys(0, 8, 7, 0, 1)},
      {"dc cvap", sys(3, 7, 12, 1, 0)},
      {"dc gva", sys(3, 7, 4, 3, 0)},
      {"cfp rctx", sys(3, 7, 3, 4, 0)},
      {"at s12e1r (EL2's)", sys(4, 7, 8, 4, 0)},
      {"sysl", mrs(sysreg_id(1, 0, 7, 5, 0), 0)},
      {"sys, CRn 15", sys(3, 15, 0, 0, 0)},
      {"sb", 0xd50330ff},
  };
  for (const Row& row : kRows) EXPECT_EQ(run(row.word, 1), "undef") << row.name;
}

TEST_F(SysregTest, DeviceRegistersExit) {
  cpu().r.x[9] = 0xabc;
  ASSERT_EQ(run(msr(sysreg_id(3, 3, 14, 3, 2), 9), 1), "exit");
  EXPECT_EQ(cpu().exit.kind, ExitKind::kSysreg);
  EXPECT_EQ(cpu().exit.sysreg, sysreg_id(3, 3, 14, 3, 2));
  EXPECT_TRUE(cpu().exit.sysreg_write);
  EXPECT_EQ(cpu().exit.sysreg_value, 0xabcu);
  EXPECT_EQ(cpu().exit.pc, 0x4000'0100u);
  EXPECT_EQ(cpu().exit.esr >> 26, 0x18u);

  ASSERT_EQ(run(mrs(sysreg_id(3, 0, 12, 12, 0), 9), 1), "exit");
  EXPECT_FALSE(cpu().exit.sysreg_write);
  EXPECT_EQ(cpu().exit.sysreg_rt, 9);
}

// D8.4, D17.2.37: faults of cache maintenance carry CM and WnR.
TEST_F(SysregTest, CacheMaintenanceFaults) {
  constexpr uint64_t kUserPage = 0x5000, kKernelPage = 0x6000, kReadOnlyPage = 0x7000;
  constexpr uint64_t kDevice = 0x8000, kFlashPage = 0x9000, kUnmapped = 0xa000;
  struct Row {
    const char* name;
    uint32_t word;
    unsigned el;
    bool pan;
    uint64_t va;
    const char* result;
    uint64_t iss;
  } const kRows[] = {
      {"cvau, mapped", sys(3, 7, 11, 1, 1), 1, false, kKernelPage, "ok", 0},
      {"cvau, user page under PAN", sys(3, 7, 11, 1, 1), 1, true, kUserPage, "ok", 0},
      {"cvau, unmapped", sys(3, 7, 11, 1, 1), 1, false, kUnmapped, "ec 37", 0x147},
      {"cvau, EL0 on a kernel page", sys(3, 7, 11, 1, 1), 0, false, kKernelPage, "ec 36", 0x14f},
      {"cvau, EL0 on its page", sys(3, 7, 11, 1, 1), 0, false, kUserPage, "ok", 0},
      {"ivac, writable", sys(0, 7, 6, 1, 1), 1, false, kKernelPage, "ok", 0},
      {"ivac, read-only", sys(0, 7, 6, 1, 1), 1, false, kReadOnlyPage, "ec 37", 0x14f},
      {"civac, read-only", sys(3, 7, 14, 1, 1), 1, false, kReadOnlyPage, "ok", 0},
      {"ivau, unmapped", sys(3, 7, 5, 1, 1), 1, false, kUnmapped, "ec 37", 0x147},
      {"civac on a device", sys(3, 7, 14, 1, 1), 1, false, kDevice, "exit", 0x146},
      {"civac on flash", sys(3, 7, 14, 1, 1), 1, false, kFlashPage, "ok", 0},
      {"ivac on flash", sys(0, 7, 6, 1, 1), 1, false, kFlashPage, "exit", 0x14f},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0, 0);
    mmu_on();
    cpu().sys.el1.sctlr |= kSctlrUci;
    update_regime(cpu());
    map_page(kUserPage, kRam, kPte | kPteNormal | kPteUser);
    map_page(kKernelPage, kRam, kPte | kPteNormal);
    map_page(kReadOnlyPage, kRam, kPte | kPteNormal | kPteReadOnly);
    map_page(kDevice, 0x0900'0000, kPte);
    map_page(kFlashPage, kFlash, kPte | kPteNormal);
    cpu().ps.pan = cpu().sys.mmu.pan = row.pan;
    cpu().r.x[1] = row.va + 0x24;
    EXPECT_EQ(run(row.word, row.el), row.result) << row.name;
    if (row.iss == 0) continue;
    if (std::string(row.result) == "exit") {
      EXPECT_EQ(cpu().exit.kind, ExitKind::kDataAbort) << row.name;
      EXPECT_EQ(cpu().exit.esr & 0x1ff'ffff, row.iss) << row.name;
      EXPECT_EQ(cpu().exit.far, row.va + 0x24) << row.name;
    } else {
      EXPECT_EQ(cpu().sys.esr_el1 & 0x1ff'ffff, row.iss) << row.name;
      EXPECT_EQ(cpu().sys.far_el1, row.va + 0x24) << row.name;
    }
  }
}

TEST_F(SysregTest, AddressTranslation) {
  mmu_on();
  map_page(0x5000, kRam + 0x3000, kPte | kPteNormal | kPteUser | kPteInner);
  map_page(0x6000, kRam + 0x4000, kPte | kPteNormal | kPteReadOnly | kPteInner);
  map_page(0x7000, 0x0900'0000, kPte);        // no stage 2: AT S1 does not look
  map_page(0x8000, kRam, kPte | 2 << 2);      // Normal non-cacheable
  constexpr uint64_t kOk = 1 << 11 | 3 << 7;  // RES1, Inner Shareable
  constexpr uint64_t kNormal = uint64_t{0xff} << 56, kNc = uint64_t{0x44} << 56;
  constexpr auto fault = [](uint64_t fst) { return uint64_t{1} << 11 | fst << 1 | 1; };
  struct Row {
    const char* name;
    unsigned crm, op2;
    uint64_t va;
    bool pan;
    uint64_t par;
  } const kRows[] = {
      {"s1e1r", 8, 0, 0x5123, false, kNormal | (kRam + 0x3000) | kOk},
      {"s1e1w", 8, 1, 0x5123, false, kNormal | (kRam + 0x3000) | kOk},
      {"s1e1r ignores PAN", 8, 0, 0x5123, true, kNormal | (kRam + 0x3000) | kOk},
      {"s1e1rp obeys PAN", 9, 0, 0x5123, true, fault(0x0f)},
      {"s1e1rp without PAN", 9, 0, 0x5123, false, kNormal | (kRam + 0x3000) | kOk},
      {"s1e1wp, read-only", 9, 1, 0x6123, false, fault(0x0f)},
      {"s1e1w, read-only", 8, 1, 0x6123, false, fault(0x0f)},
      {"s1e0r", 8, 2, 0x5123, false, kNormal | (kRam + 0x3000) | kOk},
      {"s1e0r, kernel page", 8, 2, 0x6123, false, fault(0x0f)},
      {"s1e0w", 8, 3, 0x5123, true, kNormal | (kRam + 0x3000) | kOk},
      {"unmapped", 8, 0, 0xf000, false, fault(0x07)},
      {"out of range", 8, 0, uint64_t{1} << 50, false, fault(0x04)},
      {"device", 8, 0, 0x7008, false, 0x0900'0000 | 1 << 11 | 2 << 7},
      {"non-cacheable", 8, 0, 0x8000, false, kNc | kRam | 1 << 11 | 2 << 7},
  };
  for (const Row& row : kRows) {
    cpu().ps.pan = cpu().sys.mmu.pan = row.pan;
    cpu().r.x[1] = row.va;
    EXPECT_EQ(run(sys(0, 7, row.crm, row.op2, 1), 1), "ok") << row.name;
    EXPECT_EQ(cpu().sys.par_el1, row.par) << row.name << std::hex << ' ' << cpu().sys.par_el1;
  }
  cpu().sys.el1.ttbr0 = 0x0900'0000;
  update_regime(cpu());
  EXPECT_EQ(run(sys(0, 7, 8, 0, 1), 1), "exit");
  EXPECT_EQ(cpu().exit.esr & 0x1ff'ffff, 0x1c6u);  // CM, S1PTW, WnR, translation level 2
}

TEST(SysregTable, RowsAreConsistent) {
  std::vector<SysregId> seen;
  for (const SysregRow& row : sysreg_rows()) {
    ASSERT_NE(row.name, nullptr);
    EXPECT_EQ(find_sysreg(row.id), &row) << row.name;  // also: no duplicates
    if ((row.access & (kEl1Write | kEl0Write)) != 0) {
      EXPECT_TRUE(row.offset >= 0 || row.set != nullptr || row.effect == SysregEffect::kDevice)
          << row.name;
    }
  }
  EXPECT_STREQ(sysreg_name(kSctlrId), "SCTLR_EL1");
  EXPECT_EQ(sysreg_name(sysreg_id(3, 7, 15, 15, 7)), nullptr);
}

// Rule 3: any System word, at both levels, has a defined result.
TEST_F(SysregTest, EveryWordIsDefined) {
  for (unsigned el : {0u, 1u}) {
    for (uint32_t bits = 0; bits < 1u << 17; ++bits) {
      const uint32_t word = 0xd500'0000 | bits << 5 | (bits % 3 == 0 ? 31 : 1);
      vcpu->cpu().r.x[1] = bits * 0x9e37'79b9'7f4a'7c15;
      set_el_and_spsel(cpu(), el, el);
      cpu().sys.el1.sctlr = id::kSctlrReset;
      update_regime(cpu());
      g_engine_calls.clear();
      const Next next = execute_system(cpu(), word);
      ASSERT_LE(static_cast<unsigned>(next), 3u);
      ASSERT_EQ(cpu().r.x[kSlotXzr], 0u);
    }
  }
}

}  // namespace
}  // namespace trapline::soft
