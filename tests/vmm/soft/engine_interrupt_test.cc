// Interrupts are taken before the instruction after the one that lets them through or shows what
// they are about; tests/guest/cpu/pending.c asks the same of the whole machine.
#include <gtest/gtest.h>

#include "tests/vmm/soft/engine_fixture.h"

namespace trapline::soft {
namespace {

constexpr uint32_t kMrsCntvct = 0xd53be040, kMrsCntpct = 0xd53be020;  // x0
constexpr SysregId kCntpct = sysreg_id(3, 3, 14, 0, 1), kCntvct = sysreg_id(3, 3, 14, 0, 2);
constexpr uint64_t kUnmasked = 5;  // EL1h

TEST(EngineInterrupt, AnExceptionReturnLetsItThrough) {
  for (const uint64_t target : {kCode + 0x40, kCode + 0x1040}) {
    Bench bench;
    bench.put(kCode, {0xd5184001, 0xd5184022, 0xd69f03e0});  // msr spsr, x1; msr elr, x2; eret
    bench.put(target, {kNop, kNop, kNop, kHvc0});
    bench.cpu().r.x[1] = kUnmasked | 0x3c0;
    bench.cpu().r.x[2] = target;
    EXPECT_EQ(vector_of(bench.run()), ~0u);  // the target is known from here on
    bench.cpu().r.x[1] = kUnmasked;
    bench.vcpu().set_irq(true);
    EXPECT_EQ(vector_of(bench.run()), 0x280u);
    EXPECT_EQ(bench.cpu().sys.elr_el1, target);
  }
}

// One that comes while the counter is read, as from a timer that this read is about.
TEST(EngineInterrupt, TakenAfterTheCounterWasRead) {
  for (const uint32_t word : {kMrsCntvct, kMrsCntpct}) {
    Bench bench;
    bench.put(kCode, {kNop, word, kNop, kNop, kHvc0});
    bench.cpu().ps.daif = 0;
    EXPECT_EQ(vector_of(bench.run()), ~0u);
    bench.clock.meanwhile = [&] { bench.vcpu().set_irq(true); };
    EXPECT_EQ(vector_of(bench.run()), 0x280u);
    EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 8);
    EXPECT_EQ(bench.cpu().r.x[0], 6u);  // the instructions before
  }
}

// A count that shows a timer's condition is the timer's to give: it raises the interrupt first.
TEST(EngineInterrupt, TheCounterLeavesOnceATimerIsDue) {
  for (const uint32_t word : {kMrsCntvct, kMrsCntpct}) {
    for (const unsigned timer : {0, 1}) {
      for (const unsigned el : {0, 1}) {
        Bench bench;
        bench.enable_mmu();
        bench.map_page(kCode, kCode, kReadOnly | kUser);
        bench.put(kCode, {word, word, word, 0xd4000001});  // svc #0
        Cpu& cpu = bench.cpu();
        cpu.sys.cntkctl_el1 = 3;  // EL0 may read it
        if (el == 0) {
          cpu.ps.el = 0;
          cpu.ps.sp_sel = 0;
          engine_reset(cpu);
        }
        bench.vcpu().timers_due()[timer] = 2;
        const Exit exit = bench.run();
        ASSERT_EQ(exit.kind, ExitKind::kSysreg) << std::hex << word << " EL" << el;
        EXPECT_EQ(exit.pc, kCode + 8);
        EXPECT_EQ(exit.sysreg, word == kMrsCntvct ? kCntvct : kCntpct);
        EXPECT_EQ(exit.sysreg_rt, 0u);
        EXPECT_FALSE(exit.sysreg_write);
        EXPECT_EQ(cpu.r.x[0], 1u);
        bench.vcpu().timers_due()[timer] = ~uint64_t{0};
      }
    }
  }
}

}  // namespace
}  // namespace trapline::soft
