// Exits that a sink deals with while the CPU stays inside run().
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/machine.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

constexpr uint32_t kLoad = 0xb9400001;  // ldr w1, [x0]
constexpr uint32_t kAdd = 0x11000421;   // add w1, w1, #1
constexpr uint32_t kHvc1 = 0xd4000022;  // hvc #1

// Answers each data abort and system register with `value` in x1, unless told otherwise; leaves by
// the rest.
class Sink final : public ExitSink {
 public:
  Answer handle(const Exit& exit, CpuView& view) override {
    if (exit.brief) {
      plain.push_back({exit.esr, exit.ipa});
      if (!performs) return {Resume::kWhole};
      if (meanwhile) meanwhile();
      view.regs->x[1] = value;
      return {Resume::kGoOn};
    }
    const bool answered = exit.kind == ExitKind::kDataAbort || exit.kind == ExitKind::kSysreg ||
                          (exit.kind == ExitKind::kHvc && answers_hvc);
    if (!answered) {
      last = exit;
      return {Resume::kLeave};
    }
    exits.push_back(exit);
    if (instead) return instead(exit);
    view.regs->x[1] = value;
    return {Resume::kGoOn, leaves};
  }

  uint64_t value = 41;
  bool answers_hvc = false;
  bool leaves = false;
  bool performs = false;            // brief exits
  std::function<void()> meanwhile;  // while it does
  std::vector<std::pair<uint64_t, uint64_t>> plain;
  std::function<Answer(const Exit&)> instead;
  std::vector<Exit> exits;
  Exit last;
};

struct Inside : testing::Test {
  Inside() {
    bench.enable_mmu();
    bench.cpu().sys.vbar_el1 = kVectors;
    bench.cpu().r.x[0] = kDevice;
  }
  Exit run(uint64_t budget = 100'000) {
    bench.cpu().pc = kCode;
    bench.vcpu().run(budget, sink);
    return sink.last;
  }
  Bench bench;
  Sink sink;
};

TEST_F(Inside, TheBlockGoesOn) {
  bench.put(kCode, {kLoad, kAdd, kLoad, kAdd, kAdd, kHvc0});
  const Exit exit = run();
  EXPECT_EQ(exit.kind, ExitKind::kHvc);
  EXPECT_EQ(exit.esr & 0xffff, 0u);
  ASSERT_EQ(sink.exits.size(), 2u);
  EXPECT_EQ(sink.exits[0].pc, kCode);
  EXPECT_EQ(sink.exits[1].pc, kCode + 8);
  EXPECT_EQ(sink.exits[1].far, kDevice);
  EXPECT_EQ(bench.cpu().r.x[1], 43);
  EXPECT_EQ(bench.cpu().retired, 6);
  EXPECT_EQ(bench.cpu().pc, kCode + 24);
}

TEST_F(Inside, EveryInstructionCountsAgainstTheBudgetOnce) {
  bench.put(kCode, {kLoad, 0x17ffffff});  // b to the load
  EXPECT_EQ(run(1000).kind, ExitKind::kBudget);
  EXPECT_EQ(bench.cpu().retired, 1000);
  EXPECT_EQ(sink.exits.size(), 500u);
}

// As another CPU's IC IALLUIS does that is served there: the block may not go on.
TEST_F(Inside, AllCodeMayBeForgottenMeanwhile) {
  sink.performs = true;
  sink.meanwhile = [&] { icache_invalidate_all(bench.cpu(), false); };
  bench.put(kCode, {
                       kLoad,       // again: ldr w1, [x0]
                       0x94000004,  // bl f
                       0x71000442,  // subs w2, w2, #1
                       0x54ffffa1,  // b.ne again
                       kHvc0,
                       0x91000463,  // f: add x3, x3, #1
                       0xd65f03c0,  // ret
                   });
  bench.cpu().r.x[2] = 1000;
  EXPECT_EQ(run().kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[3], 1000);
  EXPECT_EQ(sink.plain.size() + sink.exits.size(), 1000u);  // the first misses the TLB
  const EngineStats stats = engine_stats(bench.cpu());
  EXPECT_GE(stats.blocks_built, 2900u) << "blocks of before were run";
}

TEST_F(Inside, FlagsSurvive) {
  bench.put(kCode, {
                       0xeb1f03ff,  // cmp xzr, xzr
                       kLoad,
                       0x54000040,  // b.eq over the next
                       kHvc1,
                       kHvc0,
                   });
  EXPECT_EQ(run().esr & 0xffff, 0u);
}

TEST_F(Inside, AnInjectedAbortGoesToTheVectors) {
  sink.instead = [&](const Exit& exit) {
    sink.fault = {.far = exit.far, .fsc = 0x10, .write = false};
    return Answer{Resume::kFault};
  };
  bench.put(kCode, {kLoad, kHvc0});
  const Exit exit = run();
  EXPECT_EQ(vector_of(exit), 0x200u);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode);
  EXPECT_EQ(bench.cpu().sys.esr_el1 & 0x3f, 0x10u);
  EXPECT_EQ(bench.cpu().retired, 1) << "the HVC of the vector";
}

TEST_F(Inside, ARetryRunsTheInstructionAgain) {
  unsigned refused = 0;
  sink.instead = [&](const Exit&) {
    return Answer{refused++ < 3 ? Resume::kAgain : Resume::kGoOn};
  };
  bench.put(kCode, {kLoad, kHvc0});
  EXPECT_EQ(run().kind, ExitKind::kHvc);
  EXPECT_EQ(sink.exits.size(), 4u);
  EXPECT_EQ(bench.cpu().retired, 2);
}

TEST_F(Inside, AKickByTheDeviceEndsRunBeforeTheNextInstruction) {
  sink.instead = [&](const Exit&) {
    bench.vcpu().kick();
    return Answer{Resume::kGoOn};
  };
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  EXPECT_EQ(run().kind, ExitKind::kKicked);
  EXPECT_EQ(bench.cpu().pc, kCode + 4);
  EXPECT_EQ(bench.cpu().retired, 1);
}

TEST_F(Inside, AnInterruptByTheDeviceIsTakenAtTheNextInstruction) {
  sink.instead = [&](const Exit&) {
    bench.vcpu().set_irq(true);
    return Answer{Resume::kGoOn};
  };
  bench.cpu().ps.daif = 0;
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  EXPECT_EQ(vector_of(run()), 0x280u);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 4);
}

TEST_F(Inside, CodeThatTheDeviceWritesIsTheCodeThatRuns) {
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  ASSERT_EQ(run().esr & 0xffff, 0u);
  sink.instead = [&](const Exit&) {
    bench.poke<uint32_t>(kCode + 8, kHvc1);  // as DMA: GuestMemory tells the CPUs
    return Answer{Resume::kGoOn};
  };
  EXPECT_EQ(run().esr & 0xffff, 1u);
}

TEST_F(Inside, MemoryThatTheDeviceUnmapsIsGone) {
  bench.put(kCode, {kLoad, 0xf9400043, kHvc0});  // ldr x3, [x2]
  bench.cpu().r.x[2] = kData;
  ASSERT_EQ(run().kind, ExitKind::kHvc);
  unsigned from_memory = 0;
  sink.instead = [&](const Exit& exit) {
    if (exit.far == kData) ++from_memory;
    bench.machine->unmap(kData, 0x1000);
    return Answer{Resume::kGoOn};
  };
  EXPECT_EQ(run().kind, ExitKind::kHvc);
  EXPECT_EQ(from_memory, 1u);
}

// As under icount: what was answered is done, and then run() returns.
TEST_F(Inside, AnAnswerMayLeave) {
  sink.leaves = true;
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  run();
  EXPECT_EQ(sink.exits.size(), 1u);
  EXPECT_EQ(bench.cpu().r.x[1], 41u);
  EXPECT_EQ(bench.cpu().pc, kCode + 4);
  EXPECT_EQ(bench.cpu().retired, 1);
  bench.vcpu().run(100, sink);
  EXPECT_EQ(sink.last.kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[1], 42u);
  EXPECT_EQ(bench.cpu().retired, 3);
}

TEST_F(Inside, AFaultAndARetryMayLeave) {
  bench.put(kCode, {kLoad, kHvc0});
  sink.instead = [&](const Exit&) { return Answer{Resume::kAgain, true}; };
  run();
  EXPECT_EQ(bench.cpu().pc, kCode);
  EXPECT_EQ(bench.cpu().retired, 0);
  sink.instead = [&](const Exit& exit) {
    sink.fault = {.far = exit.far, .fsc = 0x10, .write = false};
    return Answer{Resume::kFault, true};
  };
  run();
  EXPECT_EQ(bench.cpu().pc, kVectors + 0x200);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode);
}

// The guest's own single step (MDSCR_EL1.SS) ends after an instruction that exited, too, and not
// before one that is to run again.
TEST_F(Inside, ASoftwareStepEndsAfterTheAnswer) {
  for (const bool leaves : {false, true}) {
    for (const uint32_t word : {kLoad, 0xd538cc01u}) {  // mrs x1, ICC_IAR1_EL1
      Bench fresh;
      fresh.enable_mmu();
      Cpu& cpu = fresh.cpu();
      cpu.r.x[0] = kDevice;
      cpu.sys.oslar_locked = 0;
      cpu.sys.mdscr_el1 = kMdscrSs | kMdscrKde;
      cpu.ps.daif &= 7;
      cpu.ps.ss = true;
      debug_context_changed(cpu);
      Sink steps;
      unsigned refused = 0;
      steps.instead = [&](const Exit&) {
        return Answer{refused++ == 0 && word == kLoad ? Resume::kAgain : Resume::kGoOn, leaves};
      };
      fresh.put(kCode, {word, kAdd, kHvc0});
      cpu.pc = kCode;
      for (int i = 0; i < 4 && steps.last.kind != ExitKind::kHvc; ++i) fresh.vcpu().run(100, steps);
      EXPECT_EQ(vector_of(steps.last), 0x200u);
      EXPECT_EQ(cpu.sys.esr_el1 >> 26, 0x33u) << "software step, same EL";
      EXPECT_EQ(cpu.sys.elr_el1, kCode + 4);
    }
  }
}

// --- brief exits ---

struct Brief : Inside {
  Brief() { sink.performs = true; }
};

TEST_F(Brief, SyndromeAndIpaAreTheExits) {
  struct Case {
    const char* name;
    uint32_t word;
    bool asked;
  };
  for (const Case& c : {Case{"ldr w1, [x0]", kLoad, true},
                        {"ldr x1, [x0, #8]", 0xf9400401, true},
                        {"strb w1, [x0, #5]", 0x39001401, true},
                        {"str xzr, [x0]", 0xf900001f, true},
                        {"ldrsw x1, [x0]", 0xb9800001, true},
                        {"ldr w1, [x0], #0", 0xb8400401, false},
                        {"ldr w1, [x2, x0]", 0xb8606841, true}}) {
    SCOPED_TRACE(c.name);
    bench.cpu().r.x[2] = 0;
    bench.put(kCode, {c.word, kHvc0});
    sink.performs = false;  // first as an exit
    ASSERT_EQ(run().kind, ExitKind::kHvc);
    ASSERT_EQ(run().kind, ExitKind::kHvc);  // the TLB knows the page
    ASSERT_FALSE(sink.exits.empty());
    const Exit exit = sink.exits.back();
    sink.plain.clear();
    sink.exits.clear();
    sink.performs = true;
    ASSERT_EQ(run().kind, ExitKind::kHvc);
    ASSERT_EQ(sink.plain.size(), c.asked ? 1u : 0u);
    EXPECT_EQ(sink.exits.empty(), c.asked);
    if (c.asked) {
      EXPECT_EQ(sink.plain[0].first, exit.esr);
      EXPECT_EQ(sink.plain[0].second, exit.ipa);
    }
  }
}

TEST_F(Brief, TheBlockGoesOn) {
  bench.put(kCode, {kLoad, kAdd, kLoad, kAdd, kAdd, kHvc0});
  EXPECT_EQ(run().kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[1], 43);
  EXPECT_EQ(bench.cpu().retired, 6);
  EXPECT_EQ(bench.cpu().pc, kCode + 24);
}

TEST_F(Brief, EveryInstructionCountsAgainstTheBudgetOnce) {
  bench.put(kCode, {kLoad, 0x17ffffff});  // b to the load
  EXPECT_EQ(run(1000).kind, ExitKind::kBudget);
  EXPECT_EQ(bench.cpu().retired, 1000);
}

TEST_F(Brief, AKickByTheDeviceEndsRunBeforeTheNextInstruction) {
  sink.meanwhile = [&] { bench.vcpu().kick(); };
  bench.put(kCode, {0xb9400003, kLoad, kAdd, kHvc0});  // ldr w3, [x0]
  sink.performs = false;
  ASSERT_EQ(run().kind, ExitKind::kHvc);
  sink.performs = true;
  EXPECT_EQ(run().kind, ExitKind::kKicked);
  EXPECT_EQ(bench.cpu().pc, kCode + 4);
  EXPECT_EQ(bench.cpu().retired, 5);
}

TEST_F(Brief, AnInterruptByTheDeviceIsTakenAtTheNextInstruction) {
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  ASSERT_EQ(run().kind, ExitKind::kHvc);
  sink.meanwhile = [&] { bench.vcpu().set_irq(true); };
  bench.cpu().ps.daif = 0;
  EXPECT_EQ(vector_of(run()), 0x280u);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 4);
}

TEST_F(Brief, NotWithoutSyndromes) {
  bench.put(kCode, {kLoad, kHvc0});
  bench.cpu().isv_never = true;
  ASSERT_EQ(run().kind, ExitKind::kHvc);
  ASSERT_EQ(run().kind, ExitKind::kHvc);
  EXPECT_TRUE(sink.plain.empty());
}

// --- HVC ---

TEST_F(Inside, AnAnsweredHvcIsAnInstruction) {
  sink.answers_hvc = true;
  bench.put(kCode, {kHvc1, kAdd, kHvc0, kAdd, 0x14000000});  // b .
  EXPECT_EQ(run(6).kind, ExitKind::kBudget);
  ASSERT_EQ(sink.exits.size(), 2u);
  EXPECT_EQ(sink.exits[0].esr & 0xffff, 1u);
  EXPECT_EQ(sink.exits[0].pc, kCode);
  EXPECT_EQ(sink.exits[1].pc, kCode + 8);
  EXPECT_EQ(bench.cpu().r.x[1], 42);
  EXPECT_EQ(bench.cpu().pc, kCode + 16);
  EXPECT_EQ(bench.cpu().retired, 6);
}

// As after an ISB: what was written and invalidated before it is what runs after it.
TEST_F(Inside, AnHvcSynchronises) {
  sink.answers_hvc = true;
  bench.put(kCode, {0xb9000062, 0xd50b7523, 0xd5033b9f,  // str w2, [x3]; ic ivau, x3; dsb ish
                    kHvc1, kAdd, 0x14000000});
  bench.cpu().r.x[2] = 0x11000821;  // add w1, w1, #2
  bench.cpu().r.x[3] = kCode + 16;
  EXPECT_EQ(run(6).kind, ExitKind::kBudget);
  EXPECT_EQ(bench.cpu().r.x[1], 43);
}

TEST_F(Inside, SystemRegistersToo) {
  sink.value = 0x3ff;
  bench.put(kCode, {0xd538cc01, kAdd, kHvc0});  // mrs x1, ICC_IAR1_EL1
  EXPECT_EQ(run().kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[1], 0x400);
}

// After an HVC a software step's syndrome does not say what was stepped (ISV=0), answered or not:
// to EL1 it is an exception return from EL2.
TEST_F(Inside, ASoftwareStepOfAnHvc) {
  sink.answers_hvc = true;
  Cpu& cpu = bench.cpu();
  cpu.sys.oslar_locked = 0;
  cpu.sys.mdscr_el1 = kMdscrSs | kMdscrKde;
  cpu.ps.daif &= 7;
  cpu.ps.ss = true;
  debug_context_changed(cpu);
  bench.put(kCode, {kHvc1, kAdd, kHvc0});
  cpu.pc = kCode;
  bench.vcpu().run(2, sink);  // the HVC, and the first of the vector
  EXPECT_EQ(cpu.sys.esr_el1, 0xce000022u);
  EXPECT_EQ(cpu.sys.elr_el1, kCode + 4);
}

// A debugger's step deals with the exit of its instruction, and stops behind it.
TEST_F(Inside, ADebuggersStep) {
  for (const bool brief : {false, true}) {
    sink.performs = brief;
    sink.exits.clear();
    bench.put(kCode, {kLoad, kHvc0});
    bench.cpu().pc = kCode;
    bench.vcpu().step(sink);
    EXPECT_EQ(sink.last.kind, ExitKind::kDebug);
    EXPECT_EQ(sink.exits.size(), brief ? 0u : 1u);
    EXPECT_EQ(bench.cpu().r.x[1], 41u);
    EXPECT_EQ(bench.cpu().pc, kCode + 4);
  }
}

// A CPU in a device is not waited for, and what it was asked for meanwhile it has done when it is
// back in the guest.
TEST(InsideOfTwo, MaintenanceDoesNotWaitForADevice) {
  Bench bench(2);
  bench.enable_mmu();
  bench.put(kCode, {kLoad, 0xf9400043, kHvc0});  // ldr x3, [x2]
  Sink sink;
  std::atomic<int> stage{0};
  sink.instead = [&](const Exit& exit) {
    if (exit.far == kDevice) {
      stage = 1;
      while (stage != 2) std::this_thread::yield();
    } else {
      ++stage;
    }
    return Answer{Resume::kGoOn};
  };
  std::thread guest([&] {
    bench.cpu(0).r.x[0] = kDevice;
    bench.cpu(0).r.x[2] = kData;
    bench.cpu(0).pc = kCode;
    bench.vcpu(0).run(100, sink);
    EXPECT_EQ(sink.last.kind, ExitKind::kHvc);
  });
  while (stage != 1) std::this_thread::yield();
  bench.machine->unmap(kData, 0x1000);  // complete on return, with CPU 0 in its device
  stage = 2;
  guest.join();
  EXPECT_EQ(stage, 3) << "the load after it found nothing mapped";
}

}  // namespace
}  // namespace trapline::soft
