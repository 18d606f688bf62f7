// Exits that a sink deals with while the CPU stays inside run().
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/soft/machine.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

constexpr uint32_t kLoad = 0xb9400001;  // ldr w1, [x0]
constexpr uint32_t kAdd = 0x11000421;   // add w1, w1, #1
constexpr uint32_t kHvc1 = 0xd4000022;  // hvc #1

// Answers each data abort with `value` in w1, unless told otherwise.
class Sink final : public ExitSink {
 public:
  explicit Sink(SoftVcpu& vcpu) : vcpu_(vcpu) { vcpu.set_exit_sink(this); }
  Inside handle_inside(const Exit& exit, CpuView& view) override {
    if (exit.kind == ExitKind::kHvc && !answers_hvc) return Inside::kReturned;
    exits.push_back(exit);
    if (instead) {
      instead(exit);
      return Inside::kEnded;
    }
    view.regs->x[1] = value;
    return Inside::kPerformed;
  }
  bool perform_inside(uint64_t esr, uint64_t ipa, CpuView& view) override {
    plain.push_back({esr, ipa});
    if (!performs) return false;
    if (meanwhile) meanwhile();
    view.regs->x[1] = value;
    return true;
  }

  uint64_t value = 41;
  bool answers_hvc = false;
  bool performs = false;            // what perform_inside() is asked for
  std::function<void()> meanwhile;  // while it does
  std::vector<std::pair<uint64_t, uint64_t>> plain;
  std::function<void(const Exit&)> instead;
  std::vector<Exit> exits;

 private:
  SoftVcpu& vcpu_;
};

struct Inside : testing::Test {
  Inside() : sink(bench.vcpu()) {
    bench.enable_mmu();
    bench.cpu().sys.vbar_el1 = kVectors;
    bench.cpu().r.x[0] = kDevice;
  }
  Bench bench;
  Sink sink;
};

TEST_F(Inside, TheBlockGoesOn) {
  bench.put(kCode, {kLoad, kAdd, kLoad, kAdd, kAdd, kHvc0});
  const Exit exit = bench.run();
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
  EXPECT_EQ(bench.run(1000).kind, ExitKind::kBudget);
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
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
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
  EXPECT_EQ(bench.run().esr & 0xffff, 0u);
}

TEST_F(Inside, AnInjectedAbortGoesToTheVectors) {
  sink.instead = [&](const Exit& exit) { bench.vcpu().inject_external_abort(exit); };
  bench.put(kCode, {kLoad, kHvc0});
  const Exit exit = bench.run();
  EXPECT_EQ(vector_of(exit), 0x200u);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode);
  EXPECT_EQ(bench.cpu().sys.esr_el1 & 0x3f, 0x10u);
  EXPECT_EQ(bench.cpu().retired, 1) << "the HVC of the vector";
}

TEST_F(Inside, ARetryRunsTheInstructionAgain) {
  unsigned refused = 0;
  sink.instead = [&](const Exit& exit) {
    Outcome outcome;
    if (refused++ < 3) outcome.status = Outcome::Status::kRetry;
    bench.vcpu().complete(exit, access_from_syndrome(DataAbort{exit.esr}), outcome);
  };
  bench.put(kCode, {kLoad, kHvc0});
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(sink.exits.size(), 4u);
  EXPECT_EQ(bench.cpu().retired, 2);
}

TEST_F(Inside, AKickByTheDeviceEndsRunBeforeTheNextInstruction) {
  sink.instead = [&](const Exit& exit) {
    bench.vcpu().kick();
    bench.vcpu().complete(exit, access_from_syndrome(DataAbort{exit.esr}), Outcome{});
  };
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  EXPECT_EQ(bench.run().kind, ExitKind::kKicked);
  EXPECT_EQ(bench.cpu().pc, kCode + 4);
  EXPECT_EQ(bench.cpu().retired, 1);
}

TEST_F(Inside, AnInterruptByTheDeviceIsTakenAtTheNextInstruction) {
  sink.instead = [&](const Exit& exit) {
    bench.vcpu().set_irq(true);
    bench.vcpu().complete(exit, access_from_syndrome(DataAbort{exit.esr}), Outcome{});
  };
  bench.cpu().ps.daif = 0;
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  EXPECT_EQ(vector_of(bench.run()), 0x280u);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 4);
}

TEST_F(Inside, CodeThatTheDeviceWritesIsTheCodeThatRuns) {
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  ASSERT_EQ(bench.run().esr & 0xffff, 0u);
  sink.instead = [&](const Exit& exit) {
    bench.poke<uint32_t>(kCode + 8, kHvc1);  // as DMA: GuestMemory tells the CPUs
    bench.vcpu().complete(exit, access_from_syndrome(DataAbort{exit.esr}), Outcome{});
  };
  EXPECT_EQ(bench.run().esr & 0xffff, 1u);
}

TEST_F(Inside, MemoryThatTheDeviceUnmapsIsGone) {
  bench.put(kCode, {kLoad, 0xf9400043, kHvc0});  // ldr x3, [x2]
  bench.cpu().r.x[2] = kData;
  ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
  unsigned from_memory = 0;
  sink.instead = [&](const Exit& exit) {
    if (exit.far == kData) ++from_memory;
    bench.machine->backend().unmap(kData, 0x1000);
    bench.vcpu().complete(exit, access_from_syndrome(DataAbort{exit.esr}), Outcome{});
  };
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(from_memory, 1u);
}

TEST_F(Inside, AnExitThatTheSinkEndsByComplete) {
  sink.instead = [&](const Exit& exit) {
    bench.cpu().r.x[1] = 7;
    bench.vcpu().complete(exit, access_from_syndrome(DataAbort{exit.esr}), Outcome{});
  };
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[1], 8);
  EXPECT_EQ(bench.cpu().retired, 3);
}

// --- without an Exit ---

struct InsideWithoutExit : Inside {
  InsideWithoutExit() { sink.performs = true; }
};

TEST_F(InsideWithoutExit, SyndromeAndIpaAreTheExits) {
  struct Case {
    const char* name;
    uint32_t word;
    bool asked;
  };
  for (const Case& c : {Case{"ldr w1, [x0]", kLoad, true},
                        {"ldr x1, [x0, #8]", 0xf9400401, true},
                        {"strb w1, [x0, #5]", 0x39001401, true},
                        {"str xzr, [x0]", 0xf900001f, true},
                        {"ldrsw x1, [x0]", 0xb9800001, false},
                        {"ldr w1, [x0], #0", 0xb8400401, false},
                        {"ldr w1, [x2, x0]", 0xb8606841, false}}) {
    SCOPED_TRACE(c.name);
    bench.cpu().r.x[2] = 0;
    bench.put(kCode, {c.word, kHvc0});
    sink.performs = false;  // first as an exit
    ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
    ASSERT_EQ(bench.run().kind, ExitKind::kHvc);  // the TLB knows the page
    ASSERT_FALSE(sink.exits.empty());
    const Exit exit = sink.exits.back();
    sink.plain.clear();
    sink.exits.clear();
    sink.performs = true;
    ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
    ASSERT_EQ(sink.plain.size(), c.asked ? 1u : 0u);
    EXPECT_EQ(sink.exits.empty(), c.asked);
    if (c.asked) {
      EXPECT_EQ(sink.plain[0].first, exit.esr);
      EXPECT_EQ(sink.plain[0].second, exit.ipa);
    }
  }
}

TEST_F(InsideWithoutExit, TheBlockGoesOn) {
  bench.put(kCode, {kLoad, kAdd, kLoad, kAdd, kAdd, kHvc0});
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[1], 43);
  EXPECT_EQ(bench.cpu().retired, 6);
  EXPECT_EQ(bench.cpu().pc, kCode + 24);
}

TEST_F(InsideWithoutExit, EveryInstructionCountsAgainstTheBudgetOnce) {
  bench.put(kCode, {kLoad, 0x17ffffff});  // b to the load
  EXPECT_EQ(bench.run(1000).kind, ExitKind::kBudget);
  EXPECT_EQ(bench.cpu().retired, 1000);
}

TEST_F(InsideWithoutExit, AKickByTheDeviceEndsRunBeforeTheNextInstruction) {
  sink.meanwhile = [&] { bench.vcpu().kick(); };
  bench.put(kCode, {0xb9400003, kLoad, kAdd, kHvc0});  // ldr w3, [x0]
  sink.performs = false;
  ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
  sink.performs = true;
  EXPECT_EQ(bench.run().kind, ExitKind::kKicked);
  EXPECT_EQ(bench.cpu().pc, kCode + 4);
  EXPECT_EQ(bench.cpu().retired, 5);
}

TEST_F(InsideWithoutExit, AnInterruptByTheDeviceIsTakenAtTheNextInstruction) {
  bench.put(kCode, {kLoad, kAdd, kHvc0});
  ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
  sink.meanwhile = [&] { bench.vcpu().set_irq(true); };
  bench.cpu().ps.daif = 0;
  EXPECT_EQ(vector_of(bench.run()), 0x280u);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 4);
}

TEST_F(InsideWithoutExit, NotWithTheDebuggersStepNorWithoutSyndromes) {
  bench.put(kCode, {kLoad, kHvc0});
  ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
  sink.plain.clear();
  bench.cpu().pc = kCode;
  EXPECT_EQ(bench.vcpu().step().kind, ExitKind::kDataAbort);
  bench.cpu().isv_never = true;
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_TRUE(sink.plain.empty());
}

// --- HVC ---

TEST_F(Inside, AnAnsweredHvcIsAnInstruction) {
  sink.answers_hvc = true;
  bench.put(kCode, {kHvc1, kAdd, kHvc0, kAdd, 0x14000000});  // b .
  EXPECT_EQ(bench.run(6).kind, ExitKind::kBudget);
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
  EXPECT_EQ(bench.run(6).kind, ExitKind::kBudget);
  EXPECT_EQ(bench.cpu().r.x[1], 43);
}

TEST_F(Inside, SystemRegistersToo) {
  sink.value = 0x3ff;
  bench.put(kCode, {0xd538cc01, kAdd, kHvc0});  // mrs x1, ICC_IAR1_EL1
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[1], 0x400);
}

TEST_F(Inside, ADebuggersStepReturnsTheExit) {
  bench.put(kCode, {kLoad, kHvc0});
  bench.cpu().pc = kCode;
  EXPECT_EQ(bench.vcpu().step().kind, ExitKind::kDataAbort);
  EXPECT_TRUE(sink.exits.empty());
}

// A CPU in a device is not waited for, and what it was asked for meanwhile it has done when it is
// back in the guest.
TEST(InsideOfTwo, MaintenanceDoesNotWaitForADevice) {
  Bench bench(2);
  bench.enable_mmu();
  bench.put(kCode, {kLoad, 0xf9400043, kHvc0});  // ldr x3, [x2]
  Sink sink(bench.vcpu(0));
  std::atomic<int> stage{0};
  sink.instead = [&](const Exit& exit) {
    if (exit.far == kDevice) {
      stage = 1;
      while (stage != 2) std::this_thread::yield();
    } else {
      ++stage;
    }
    bench.vcpu(0).complete(exit, access_from_syndrome(DataAbort{exit.esr}), Outcome{});
  };
  std::thread guest([&] {
    bench.cpu(0).r.x[0] = kDevice;
    bench.cpu(0).r.x[2] = kData;
    EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  });
  while (stage != 1) std::this_thread::yield();
  bench.machine->backend().unmap(kData, 0x1000);  // complete on return, with CPU 0 in its device
  stage = 2;
  guest.join();
  EXPECT_EQ(stage, 3) << "the load after it found nothing mapped";
}

}  // namespace
}  // namespace trapline::soft
