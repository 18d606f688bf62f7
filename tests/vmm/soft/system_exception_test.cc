// Exception entry and return: PSTATE, SPSR, ESR, vectors, stack pointers.
#include "tests/vmm/soft/system_fixture.h"
#include "vmm/memory/walk_inl.h"
#include "vmm/soft/exception.h"

namespace trapline::soft {
namespace {

constexpr uint64_t kVbar = 0x4008'0000;
constexpr uint64_t kN = 0x8000'0000, kPan = 1 << 22, kSs = 1 << 21, kIl = 1 << 20;
constexpr uint64_t kDaif = 0x3c0;

TEST_F(SystemTest, VectorOffsets) {
  struct Row {
    unsigned el, sp_sel;
    VectorKind kind;
    uint64_t offset;
  } constexpr kRows[] = {
      {1, 0, VectorKind::kSync, 0x000}, {1, 0, VectorKind::kIrq, 0x080},
      {1, 1, VectorKind::kSync, 0x200}, {1, 1, VectorKind::kIrq, 0x280},
      {1, 1, VectorKind::kFiq, 0x300},  {1, 1, VectorKind::kSError, 0x380},
      {0, 0, VectorKind::kSync, 0x400}, {0, 0, VectorKind::kIrq, 0x480},
      {0, 0, VectorKind::kFiq, 0x500},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0x4000'1000, 0);
    cpu().sys.vbar_el1 = kVbar;
    set_el_and_spsel(cpu(), row.el, row.sp_sel);
    if (row.kind == VectorKind::kSync) {
      take_sync(cpu(), Ec::kBrk, 7, cpu().pc);
    } else {
      take_interrupt(cpu(), row.kind, 1);
    }
    EXPECT_EQ(cpu().pc, kVbar + row.offset);
    EXPECT_EQ(cpu().sys.elr_el1, 0x4000'1000u);
    EXPECT_EQ(cpu().ps.el, 1);
    EXPECT_EQ(cpu().ps.sp_sel, 1);
    EXPECT_EQ(cpu().ps.daif, 0xf);
  }
}

TEST_F(SystemTest, EntrySavesPstate) {
  struct Row {
    const char* name;
    uint64_t spsr;  // state before, as SPSR
    bool span;      // SCTLR_EL1.SPAN
    bool pan_after;
  } constexpr kRows[] = {
      {"EL0t, flags, unmasked", kN | 0, true, false},
      {"EL0t, SPAN=0 sets PAN", 0, false, true},
      {"EL1h, PAN stays", 5 | kPan | kDaif, true, true},
      {"EL1t, SS", 4 | kSs, true, false},
      {"EL1h, IL", 5 | kIl, true, false},
      {"EL1h, only I", 5 | 1 << 7, false, true},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0x4000'1000, 0);
    if (!row.span) cpu().sys.el1.sctlr &= ~uint64_t{kSctlrSpan};
    update_regime(cpu());
    spsr_to_pstate(cpu(), row.spsr);
    EXPECT_EQ(pstate_to_spsr(cpu()), row.spsr) << row.name;
    take_sync(cpu(), Ec::kBrk, 0, 0x4000'1000);
    EXPECT_EQ(cpu().sys.spsr_el1, row.spsr) << row.name;
    EXPECT_EQ(cpu().ps.pan, row.pan_after) << row.name;
    EXPECT_EQ(cpu().sys.mmu.pan, row.pan_after) << row.name;
    EXPECT_FALSE(cpu().ps.il || cpu().ps.ss) << row.name;
    EXPECT_EQ(cpu().nzcv, row.spsr & 0xf000'0000) << row.name;
    // And back.
    exception_return(cpu());
    EXPECT_EQ(pstate_to_spsr(cpu()), row.spsr & ~kSs) << row.name;
    EXPECT_EQ(cpu().pc, 0x4000'1000u) << row.name;
  }
}

TEST_F(SystemTest, ClassesOfSameAndLowerLevel) {
  struct Row {
    Ec ec;
    unsigned lower, same;
  } constexpr kRows[] = {
      {Ec::kInstAbortLower, 0x20, 0x21},
      {Ec::kDataAbortLower, 0x24, 0x25},
      {Ec::kBreakpointLower, 0x30, 0x31},
      {Ec::kStepLower, 0x32, 0x33},
      {Ec::kWatchpointLower, 0x34, 0x35},
      {Ec::kSvc64, 0x15, 0x15},
      {Ec::kUnknown, 0, 0},
      {Ec::kPcAlignment, 0x22, 0x22},
  };
  for (const Row& row : kRows) {
    for (unsigned el : {0u, 1u}) {
      vcpu->reset(0, 0);
      set_el_and_spsel(cpu(), el, el);
      take_abort(cpu(), row.ec, 0x47, 0xabcd, 0x4000'1000);
      EXPECT_EQ(cpu().sys.esr_el1 >> 26, el == 0 ? row.lower : row.same);
      EXPECT_EQ(cpu().sys.esr_el1 & 0x3ff'ffff, 0x200'0047u);  // IL
      EXPECT_EQ(cpu().sys.far_el1, 0xabcdu);
    }
  }
}

TEST_F(SystemTest, InterruptsLeaveEsrAndFar) {
  cpu().sys.esr_el1 = 0x1111;
  cpu().sys.far_el1 = 0x2222;
  take_interrupt(cpu(), VectorKind::kIrq, 1);
  EXPECT_EQ(cpu().sys.esr_el1, 0x1111u);
  EXPECT_EQ(cpu().sys.far_el1, 0x2222u);
}

TEST_F(SystemTest, StackPointers) {
  cpu().r.x[kSlotSp] = 0x1111;  // SP_EL1
  cpu().sys.sp_el0 = 0x2222;
  set_el_and_spsel(cpu(), 1, 0);
  EXPECT_EQ(cpu().r.x[kSlotSp], 0x2222u);
  EXPECT_EQ(cpu().sys.sp_el1, 0x1111u);
  cpu().r.x[kSlotSp] = 0x3333;
  set_el_and_spsel(cpu(), 0, 0);
  EXPECT_EQ(cpu().r.x[kSlotSp], 0x3333u);
  take_sync(cpu(), Ec::kSvc64, 0, 0);
  EXPECT_EQ(cpu().r.x[kSlotSp], 0x1111u);
  EXPECT_EQ(cpu().sys.sp_el0, 0x3333u);
}

TEST_F(SystemTest, ReturnModes) {
  struct Row {
    uint64_t mode;
    bool legal;
    unsigned el, sp_sel;
  } constexpr kRows[] = {
      {0b00000, true, 0, 0},  {0b00100, true, 1, 0},
      {0b00101, true, 1, 1},  {0b00001, false, 1, 1},  // EL0h
      {0b01000, false, 1, 1},                          // EL2t
      {0b01001, false, 1, 1}, {0b01101, false, 1, 1},
      {0b00110, false, 1, 1}, {0b10000, false, 1, 1},  // AArch32 User
      {0b10011, false, 1, 1}, {0b11111, false, 1, 1},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0, 0);
    cpu().sys.elr_el1 = 0x4000'2000;
    cpu().sys.spsr_el1 = row.mode | kN | kPan | 1 << 7;
    cpu().monitor.valid = true;
    exception_return(cpu());
    EXPECT_EQ(cpu().ps.il, !row.legal) << row.mode;
    EXPECT_EQ(cpu().ps.el, row.el) << row.mode;
    EXPECT_EQ(cpu().ps.sp_sel, row.sp_sel) << row.mode;
    EXPECT_EQ(cpu().sys.mmu.el, row.el) << row.mode;
    // Restored in either case.
    EXPECT_EQ(cpu().nzcv, kN);
    EXPECT_EQ(cpu().ps.daif, 2);
    EXPECT_TRUE(cpu().ps.pan);
    EXPECT_EQ(cpu().pc, 0x4000'2000u);
    EXPECT_FALSE(cpu().monitor.valid);
  }
}

TEST_F(SystemTest, ReturnStripsTagsByTbi) {
  cpu().sys.elr_el1 = 0xab00'0000'4000'2000;
  cpu().sys.spsr_el1 = 5;
  exception_return(cpu());
  EXPECT_EQ(cpu().pc, 0xab00'0000'4000'2000u);
  cpu().sys.el1.tcr = uint64_t{1} << 37;
  update_regime(cpu());
  exception_return(cpu());
  EXPECT_EQ(cpu().pc, 0x4000'2000u);
}

// D2.12: a kernel steps EL0: SS goes from SPSR to PSTATE and comes back with an abort, not an SVC.
TEST_F(SystemTest, SoftwareStepState) {
  cpu().sys.oslar_locked = 0;
  cpu().sys.mdscr_el1 = kMdscrSs;
  cpu().sys.spsr_el1 = kSs;
  exception_return(cpu());
  EXPECT_TRUE(cpu().ps.ss);
  EXPECT_TRUE(step_enabled(cpu()));
  EXPECT_FALSE(step_pending(cpu()));
  take_abort(cpu(), Ec::kDataAbortLower, 4, 0, 0);
  EXPECT_EQ(cpu().sys.spsr_el1 & kSs, kSs);

  exception_return(cpu());
  take_sync(cpu(), Ec::kSvc64, 0, 4);
  EXPECT_EQ(cpu().sys.spsr_el1 & kSs, 0u);

  cpu().sys.spsr_el1 = kSs;
  exception_return(cpu());
  step_advance(cpu());
  EXPECT_TRUE(step_pending(cpu()));
  cpu().ps.stepped = true;
  take_software_step(cpu(), true);
  EXPECT_EQ(cpu().sys.esr_el1, uint64_t{0x32} << 26 | 1 << 25 | 1 << 24 | 1 << 6 | 0x22);
  EXPECT_FALSE(step_enabled(cpu()));  // EL1 without KDE

  // Locked, or with debug enabled at the source, SPSR.SS does not count.
  cpu().sys.oslar_locked = 1;
  cpu().sys.spsr_el1 = kSs;
  exception_return(cpu());
  EXPECT_FALSE(cpu().ps.ss);
}

TEST_F(SystemTest, FutileExceptions) {
  for (unsigned i = 1; i <= 5; ++i) {
    take_sync(cpu(), Ec::kUnknown, 0, 0);
    EXPECT_EQ(cpu().futile_exceptions, i);
  }
  ++cpu().retired;
  take_sync(cpu(), Ec::kUnknown, 0, 0);
  EXPECT_EQ(cpu().futile_exceptions, 1u);
}

}  // namespace
}  // namespace trapline::soft
