// EL2: reset, routing, returns, names, traps, the scopes of TLBI, and what an exit's fetch tells of
// an inner guest. What whole programs see stands beside QEMU in tests/guest/el2.
#include "tests/vmm/soft/system_fixture.h"
#include "vmm/soft/el2.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/machine.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

class El2Test : public SystemTest {
 protected:
  El2Test() { make({.on = true, .vhe = true}); }
  void make(El2Choice choice) {
    machine.reset();
    machine = make_soft_machine(memory, stage2, clock, 1, false, kTranslateAfter, choice);
    vcpu = &machine->vcpu(0);
    vcpu->reset(kRam, 0);
    g_engine_calls.clear();
  }
  // At `el` with HCR_EL2 and a PC on an instruction.
  void at(unsigned el, uint64_t hcr) {
    vcpu->reset(kRam + 0x100, 0);
    cpu().sys.el2.hcr = hcr | kHcrRw;
    cpu().sys.vbar_el1 = 0x1'0000;
    cpu().sys.el2.vbar = 0x2'0000;
    set_el_and_spsel(cpu(), el, el == 0 ? 0 : 1);
    update_regime(cpu());
    g_engine_calls.clear();
  }
  unsigned ec_el2() { return cpu().sys.el2.esr >> 26 & 0x3f; }
};

constexpr uint32_t word_of(SysregId id, bool read, unsigned rt) {
  return 0xd510'0000 | (read ? 1u << 21 : 0) | uint32_t{id} << 5 | rt;
}
constexpr uint32_t kTlbi = 0xd508'0000;  // op0 = 1, to be completed
constexpr uint32_t tlbi(unsigned op1, unsigned crm, unsigned op2, unsigned rt) {
  return kTlbi | op1 << 16 | 8 << 12 | crm << 8 | op2 << 5 | rt;
}

TEST_F(El2Test, ResetIsAtEl2) {
  EXPECT_EQ(cpu().ps.el, 2);
  EXPECT_EQ(cpu().ps.sp_sel, 1);
  EXPECT_EQ(cpu().sys.mmu.regime, Regime::kEl2);
  EXPECT_EQ(vcpu->get_sysreg(sysreg_id(3, 0, 4, 2, 2)), 2u << 2) << "CurrentEL";
}

TEST_F(El2Test, IdRegistersShowWhatIsThere) {
  struct Row {
    El2Choice choice;
    unsigned el2, vh, debug;
  };
  for (const Row& row : {Row{{.on = false}, 0, 0, 6}, Row{{.on = true, .vhe = false}, 1, 0, 6},
                         Row{{.on = true, .vhe = true}, 1, 1, 7}}) {
    make(row.choice);
    EXPECT_EQ(vcpu->get_sysreg(sysreg_id(3, 0, 0, 4, 0)) >> 8 & 15, row.el2) << "PFR0.EL2";
    EXPECT_EQ(vcpu->get_sysreg(sysreg_id(3, 0, 0, 7, 1)) >> 8 & 15, row.vh) << "MMFR1.VH";
    EXPECT_EQ(vcpu->get_sysreg(sysreg_id(3, 0, 0, 5, 0)) & 15, row.debug) << "DFR0.DebugVer";
  }
}

TEST_F(El2Test, SynchronousExceptionsAreRouted) {
  struct Row {
    const char* name;
    unsigned el;
    uint64_t hcr;
    uint64_t mdcr;
    Ec ec;
    unsigned target;
    uint64_t vector;
  };
  const Row rows[] = {
      {"SVC of a guest's program", 0, 0, 0, Ec::kSvc64, 1, 0x1'0400},
      {"SVC under TGE", 0, kHcrTge, 0, Ec::kSvc64, 2, 0x2'0400},
      {"SVC of the host's EL0", 0, kHcrTge | kHcrE2h, 0, Ec::kSvc64, 2, 0x2'0400},
      {"SVC at EL1", 1, kHcrImo, 0, Ec::kSvc64, 1, 0x1'0200},
      {"SVC at EL2", 2, 0, 0, Ec::kSvc64, 2, 0x2'0200},
      {"BRK", 1, 0, 0, Ec::kBrk, 1, 0x1'0200},
      {"BRK by TDE", 1, 0, kMdcrTde, Ec::kBrk, 2, 0x2'0400},
      {"UNDEFINED under TDE", 1, 0, kMdcrTde, Ec::kUnknown, 1, 0x1'0200},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    at(row.el, row.hcr);
    cpu().sys.el2.mdcr = row.mdcr;
    take_sync(cpu(), row.ec, 0, kRam + 0x100);
    EXPECT_EQ(cpu().ps.el, row.target);
    EXPECT_EQ(cpu().pc, row.vector);
    const uint64_t spsr = row.target == 1 ? cpu().sys.spsr_el1 : cpu().sys.el2.spsr;
    EXPECT_EQ(spsr >> 2 & 3, row.el);
    EXPECT_EQ(row.target == 1 ? cpu().sys.elr_el1 : cpu().sys.el2.elr, kRam + 0x100);
  }
}

TEST_F(El2Test, InterruptsAreLetThroughByHcr) {
  struct Row {
    const char* name;
    unsigned el;
    uint64_t hcr;
    uint32_t masked, open;  // of Cpu::attention, with DAIF.IF set and clear
  };
  constexpr uint32_t kBoth = Cpu::kIrq | Cpu::kFiq;
  constexpr uint32_t kVirtualIrq = Cpu::kVirq | Cpu::kSetVirq;
  const Row rows[] = {
      {"EL1, none routed", 1, 0, 0, kBoth},
      {"EL1, IMO: not EL1's to mask", 1, kHcrImo, Cpu::kIrq, kBoth | kVirtualIrq},
      {"EL1, IMO FMO", 1, kHcrImo | kHcrFmo, kBoth,
       kBoth | kVirtualIrq | Cpu::kVfiq | Cpu::kSetVfiq},
      {"EL2, none routed: they wait", 2, 0, 0, 0},
      {"EL2, IMO: no virtual ones here", 2, kHcrImo, 0, Cpu::kIrq},
      {"the host at EL2", 2, kHcrTge | kHcrE2h, 0, kBoth},
      {"the host's EL0 has its masks", 0, kHcrTge | kHcrE2h, 0, kBoth},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    at(row.el, row.hcr);
    EXPECT_EQ(cpu().interrupt_bits[3], row.masked);
    EXPECT_EQ(cpu().interrupt_bits[0], row.open);
  }
}

TEST_F(El2Test, ReturnsFromEl2) {
  struct Row {
    const char* name;
    uint64_t hcr, mode;
    bool legal;
  };
  for (const Row& row : {Row{"EL1h", 0, 5, true}, Row{"EL1t", 0, 4, true}, Row{"EL0", 0, 0, true},
                         Row{"EL2t", 0, 8, true}, Row{"EL1h under TGE", kHcrTge, 5, false},
                         Row{"EL0 under TGE", kHcrTge, 0, true}, Row{"EL3", 0, 13, false},
                         Row{"AArch32", 0, 0x13, false}, Row{"EL0h", 0, 1, false}}) {
    SCOPED_TRACE(row.name);
    at(2, row.hcr);
    cpu().sys.el2.spsr = row.mode;
    cpu().sys.el2.elr = kRam + 0x40;
    exception_return(cpu());
    EXPECT_EQ(cpu().ps.il, !row.legal);
    EXPECT_EQ(cpu().ps.el, row.legal ? row.mode >> 2 : 2u);
    EXPECT_EQ(cpu().pc, kRam + 0x40);
  }
  at(1, 0);
  cpu().sys.spsr_el1 = 9;
  exception_return(cpu());
  EXPECT_TRUE(cpu().ps.il) << "EL1 to EL2";
  EXPECT_EQ(cpu().ps.el, 1);
}

TEST_F(El2Test, NamesUnderE2h) {
  constexpr SysregId kFarEl1 = sysreg_id(3, 0, 6, 0, 0), kFarEl2 = sysreg_id(3, 4, 6, 0, 0);
  constexpr SysregId kFarEl12 = sysreg_id(3, 5, 6, 0, 0);
  constexpr SysregId kCpacrEl1 = sysreg_id(3, 0, 1, 0, 2), kCptrEl2 = sysreg_id(3, 4, 1, 1, 2);
  constexpr SysregId kCntvCtl = sysreg_id(3, 3, 14, 3, 1), kCnthvCtl = sysreg_id(3, 4, 14, 3, 1);
  constexpr SysregId kCntvCtlEl02 = sysreg_id(3, 5, 14, 3, 1);
  constexpr SysregId kParEl1 = sysreg_id(3, 0, 7, 4, 0);
  struct Row {
    unsigned el;
    uint64_t hcr;
    SysregId id, meant;
  };
  const Row rows[] = {
      {2, 0, kFarEl1, kFarEl1},  // as Linux's probe for a CPU that knows E2H alone needs it
      {2, kHcrE2h, kFarEl1, kFarEl2},
      {2, kHcrE2h, kFarEl12, kFarEl1},
      {2, 0, kFarEl12, 0},
      {1, kHcrE2h, kFarEl12, 0},
      {1, kHcrE2h, kFarEl1, kFarEl1},
      {2, kHcrE2h, kCpacrEl1, kCptrEl2},
      {2, kHcrE2h, kCntvCtl, kCnthvCtl},
      {2, kHcrE2h, kCntvCtlEl02, kCntvCtl},
      {0, kHcrE2h | kHcrTge, kCntvCtl, kCnthvCtl},
      {0, kHcrE2h, kCntvCtl, kCntvCtl},
      {2, kHcrE2h, kParEl1, kParEl1},
  };
  for (const Row& row : rows) {
    at(row.el, row.hcr);
    EXPECT_EQ(canonical_sysreg(cpu(), row.id), row.meant)
        << "EL" << row.el << ", HCR " << std::hex << row.hcr << ", " << row.id;
  }
}

TEST_F(El2Test, TrapsByHcr) {
  constexpr SysregId kTtbr0 = sysreg_id(3, 0, 2, 0, 0), kIdPfr0 = sysreg_id(3, 0, 0, 4, 0);
  constexpr SysregId kActlr = sysreg_id(3, 0, 1, 0, 1), kClidr = sysreg_id(3, 1, 0, 0, 1);
  constexpr SysregId kRevidr = sysreg_id(3, 0, 0, 0, 6), kImpdef = sysreg_id(3, 0, 11, 0, 0);
  struct Row {
    const char* name;
    uint64_t bit;
    uint32_t word;
    bool trapped;
  };
  const Row rows[] = {
      {"TVM, write", kHcrTvm, word_of(kTtbr0, false, 1), true},
      {"TVM, read", kHcrTvm, word_of(kTtbr0, true, 1), false},
      {"TRVM, read", kHcrTrvm, word_of(kTtbr0, true, 1), true},
      {"TRVM, write", kHcrTrvm, word_of(kTtbr0, false, 1), false},
      {"TID1", kHcrTid1, word_of(kRevidr, true, 1), true},
      {"TID2", kHcrTid2, word_of(kClidr, true, 1), true},
      {"TID3", kHcrTid3, word_of(kIdPfr0, true, 1), true},
      {"TID3, CLIDR", kHcrTid3, word_of(kClidr, true, 1), false},
      {"TACR", kHcrTacr, word_of(kActlr, false, 1), true},
      {"TIDCP", kHcrTidcp, word_of(kImpdef, true, 1), true},
      {"TTLB", kHcrTtlb, tlbi(0, 7, 0, 31), true},
      {"FB", kHcrFb, tlbi(0, 7, 0, 31), false},
      {"TSW, DC CISW", kHcrTsw, 0xd508'7e41, true},
      {"TPC, DC CVAC", kHcrTpc, 0xd50b'7a21, true},
      {"TPU, IC IALLU", kHcrTpu, 0xd508'751f, true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    at(1, row.bit);
    cpu().r.x[1] = kRam;
    const Next next = execute_system(cpu(), row.word);
    EXPECT_EQ(cpu().ps.el, row.trapped ? 2 : 1);
    if (!row.trapped) continue;
    EXPECT_EQ(next, Next::kJump);
    EXPECT_EQ(ec_el2(), 0x18u);
    EXPECT_EQ(cpu().sys.el2.esr & 0x1ff'ffff, sysreg_iss(row.word));
    EXPECT_EQ(cpu().sys.el2.elr, kRam + 0x100) << "the instruction's own address";
  }
}

// Whose translations each TLBI names: the regime and, of EL1&0, the VMID.
TEST_F(El2Test, TlbiNamesItsRegime) {
  struct Row {
    const char* name;
    unsigned el;
    uint64_t hcr;
    uint32_t word;
    const char* call;
  };
  const Row rows[] = {
      {"VMALLE1 of a guest", 1, kHcrVm, tlbi(0, 7, 0, 31), "tlbi all 0 asid 0 of EL1&0 vmid 7"},
      {"with FB", 1, kHcrVm | kHcrFb, tlbi(0, 7, 0, 31),
       "tlbi all 0 asid 0 of EL1&0 vmid 7 broadcast"},
      {"VMALLE1IS at EL2", 2, 0, tlbi(0, 3, 0, 31), "tlbi all 0 asid 0 of EL1&0 vmid 7 broadcast"},
      {"VMALLE1 of the host", 2, kHcrE2h | kHcrTge, tlbi(0, 7, 0, 31),
       "tlbi all 0 asid 0 of EL2&0"},
      {"ALLE1IS", 2, 0, tlbi(4, 3, 4, 31), "tlbi all 0 asid 0 broadcast"},
      {"ALLE2", 2, 0, tlbi(4, 7, 0, 31), "tlbi all 0 asid 0 of EL2"},
      {"ALLE2, E2H", 2, kHcrE2h, tlbi(4, 7, 0, 31), "tlbi all 0 asid 0 of EL2&0"},
      {"VMALLS12E1IS", 2, 0, tlbi(4, 3, 6, 31), "tlbi all 0 asid 0 of EL1&0 vmid 7 broadcast"},
      {"IPAS2E1IS", 2, 0, tlbi(4, 0, 1, 1), "tlbi all 0 asid 0 of EL1&0 vmid 7 broadcast"},
      {"VAE2", 2, 0, tlbi(4, 7, 1, 1), "tlbi vaa 0x5000 asid 0 of EL2"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    at(row.el, row.hcr);
    cpu().sys.el2.vttbr = uint64_t{7} << 48;
    cpu().r.x[1] = 5;
    EXPECT_EQ(execute_system(cpu(), row.word), Next::kResync);
    ASSERT_FALSE(g_engine_calls.empty());
    EXPECT_EQ(g_engine_calls[0], row.call);
  }
  at(1, 0);
  execute_system(cpu(), tlbi(4, 7, 0, 31));
  EXPECT_EQ(cpu().sys.esr_el1 >> 26 & 0x3f, 0u) << "UNDEFINED at EL1";
}

// Of an inner guest's instruction an exit's fetch hands out the word and the descriptors of both
// stages, to keep it by.
TEST_F(El2Test, FetchBehindAHypervisorsStage2) {
  constexpr uint64_t kTable = kRam + 0x20'0000;
  at(1, kHcrVm);
  // 4 KiB, 32-bit input from level 1: its entries are blocks of 1 GiB, the second all of RAM.
  cpu().sys.el2.vtcr = 32 | 1 << 6 | uint64_t{2} << 16;
  cpu().sys.el2.vttbr = kTable;
  set_ram(kTable + 8, kRam | 1 << 10 | 3 << 6 | 0xf << 2 | 1);
  update_regime(cpu());
  set_ram(kRam + 0x5000, 0xf800'8041);
  Fetched fetched = vcpu->fetch(kRam + 0x5000);
  ASSERT_TRUE(fetched.ok);
  EXPECT_EQ(fetched.word, 0xf800'8041u);
  ASSERT_EQ(fetched.loads, 1);
  EXPECT_EQ(fetched.desc_ipa[0], kTable + 8);
  EXPECT_EQ(*fetched.desc_host[0], fetched.desc[0]);
  set_ram(kTable + 8, 0);
  EXPECT_FALSE(vcpu->fetch(kRam + 0x5000).ok);
  at(1, 0);
  EXPECT_EQ(vcpu->fetch(kRam + 0x5000).loads, 0);
}

}  // namespace
}  // namespace trapline::soft
