// What one CPU may rely on of another: maintenance, predecoded instructions, counts. An x86 host
// hides most of what a weaker one would do; the arguments stand where the code stands, and here is
// what can be shown.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <thread>

#include "mmio/bus.h"
#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/engine/soft_view.h"
#include "vmm/soft/machine.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

// Long enough for another thread to finish what it need not wait for.
void give_time() { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }

// --- RAM while an exit is emulated ---

struct Emulating : testing::Test {
  Emulating() : view(bench.cpu(0)) {
    bench.enable_mmu();
    bench.map_page(kData, kData, kPage | kAf);
    view.refresh(kCode);
  }
  void invalidate_by_another() {
    tlb_invalidate(bench.cpu(1), {}, TlbiScope::kVa, kData, 0, true);
    maintenance_wait(bench.cpu(1), *bench.cpu(1).engine);  // its DSB
  }
  Bench bench{2};
  SoftView view;
};

TEST_F(Emulating, TlbiWaitsForATouchOfRamAndNotForTheRest) {
  ASSERT_EQ(view.translate(kData, 8, Direction::kRead, false).status, Translation::Status::kOk);
  ASSERT_TRUE(view.begin_ram());
  std::atomic<bool> complete{false};
  std::thread other([&] {
    invalidate_by_another();
    complete = true;
  });
  give_time();
  EXPECT_FALSE(complete) << "the page may be another process's by now";
  view.end_ram();
  other.join();
  EXPECT_TRUE(complete);
}

TEST_F(Emulating, ATranslationOfBeforeATlbiIsNotUsed) {
  ASSERT_EQ(view.translate(kData, 8, Direction::kRead, false).status, Translation::Status::kOk);
  invalidate_by_another();  // nobody is waited for
  EXPECT_FALSE(view.begin_ram());
  EXPECT_EQ(bench.cpu(0).engine->presence.load(), Presence::kOutside);
  EXPECT_TRUE(bench.vcpu(0).fetch_overtaken());
  // Served when the CPU runs again.
  bench.put(kCode, {kHvc0});
  ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
  view.refresh(kCode);
  EXPECT_TRUE(view.begin_ram());
  view.end_ram();
  EXPECT_FALSE(bench.vcpu(0).fetch_overtaken());
}

TEST_F(Emulating, SoIsOneOfBeforeAChangeOfStage2) {
  bench.machine->unmap(kData, 0x1000);
  EXPECT_FALSE(view.begin_ram());
}

// The walk may have read a table that was none any more.
TEST_F(Emulating, AFaultThatOverlapsATlbiIsNobodys) {
  *bench.descriptor(kData) = 0;
  EXPECT_EQ(view.translate(kData, 8, Direction::kRead, false).status, Translation::Status::kFault);
  invalidate_by_another();
  EXPECT_EQ(view.translate(kData, 8, Direction::kRead, false).status, Translation::Status::kRetry);
}

// A whole access across RAM and a device, by the way of every exit: it runs again until what was
// asked for is served.
TEST_F(Emulating, APageCrossingStoreRunsAgain) {
  struct Register final : Device {
    MmioResult read(uint64_t, unsigned, unsigned) override { return {0, false}; }
    MmioResult write(uint64_t, unsigned, uint64_t value, unsigned) override {
      written = value;
      return {};
    }
    bool accepts(uint64_t, unsigned, bool) const override { return true; }
    void reset() override {}
    void save(StateWriter&) const override {}
    bool load(StateReader&) override { return true; }
    std::string_view name() const override { return "register"; }
    uint64_t written = 0;
  } device;
  Bus bus;
  bus.add(kDevice, 0x1000, &device);
  bench.map_page(kData + 0x1000, kDevice, kPage | kAf);
  Access access{};
  access.op = trapline::Op::kStore;
  access.size_log2 = 3;
  access.count = 2;
  access.rt = 2;
  access.rt2 = 3;
  access.rn = 1;
  access.mode = AddressMode::kBase;
  bench.cpu(0).r.x[1] = kData + 0xff8;
  bench.cpu(0).r.x[2] = 0x1111;
  bench.cpu(0).r.x[3] = 0x2222;
  EmulateContext context;
  invalidate_by_another();
  EXPECT_EQ(emulate(access, kData + 0xff8, view, &bus, context).status, Outcome::Status::kRetry);
  EXPECT_EQ(bench.peek<uint64_t>(kData + 0xff8), 0u);
  EXPECT_EQ(device.written, 0u);
  bench.put(kCode, {kHvc0});
  ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
  view.refresh(kCode);
  bench.cpu(0).r.x[1] = kData + 0xff8;
  EXPECT_EQ(emulate(access, kData + 0xff8, view, &bus, context).status, Outcome::Status::kDone);
  EXPECT_EQ(bench.peek<uint64_t>(kData + 0xff8), 0x1111u);
  EXPECT_EQ(device.written, 0x2222u);
}

// --- at a device ---

class AtDevice final : public ExitSink {
 public:
  Answer handle(const Exit& exit, CpuView& view) override {
    if (exit.brief) return {Resume::kWhole};
    if (exit.kind != ExitKind::kDataAbort) {
      last = exit;
      return {Resume::kLeave};
    }
    if (meanwhile) meanwhile();
    view.regs->x[1] = 0;
    return {Resume::kGoOn};
  }
  ExitKind run(Bench& bench) {
    bench.cpu(0).pc = kCode;
    bench.vcpu(0).run(100'000, *this);
    return last.kind;
  }
  std::function<void()> meanwhile;
  Exit last;
};

// It waits for others there (a change of stage 2), but what others ask of it meanwhile it does
// when it is back: the access that is being emulated was translated before.
TEST(OrderOfTwo, NothingIsServedInsideADevice) {
  Bench bench(2);
  bench.enable_mmu();
  bench.put(kCode, {0xb9400001, kHvc0});  // ldr w1, [x0]
  // CPU 1's code is on a page of its own and has been met: marking a page as code asks CPU 0, too.
  constexpr uint64_t kLoop = kCode + 0x1000;
  bench.put(kLoop, {0x14000000});  // b .
  bench.cpu(1).pc = kLoop;
  go(bench.vcpu(1), 1000);
  AtDevice sink;
  bench.cpu(0).r.x[0] = kDevice;
  std::atomic<bool> stop{false};
  std::atomic<bool> asked{false};
  sink.meanwhile = [&] {
    bench.memory.dma_done(kCode, 4);  // asks every CPU to forget the page's instructions
    asked = true;
    bench.machine->unmap(kData, 0x1000);  // waits for CPU 1 to serve it
    EXPECT_NE(bench.cpu(0).attention.load() & Cpu::kMaintenance, 0u);
    EXPECT_LT(bench.cpu(0).engine->done.load(), bench.cpu(0).engine->queued.load());
  };
  std::thread other([&] {
    while (!stop) go(bench.vcpu(1), 1000);
  });
  EXPECT_EQ(sink.run(bench), ExitKind::kHvc);
  EXPECT_TRUE(asked);
  EXPECT_EQ(bench.cpu(0).engine->done.load(), bench.cpu(0).engine->queued.load());
  stop = true;
  other.join();
}

#if defined(__x86_64__) || defined(__aarch64__)
// Makes membarrier(2) fail on this thread: the expedited command, or all.
bool forbid_membarrier(bool all) {
  constexpr uint32_t kExpedited = 8;  // MEMBARRIER_CMD_PRIVATE_EXPEDITED
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kExpedited, 0, static_cast<uint8_t>(all ? 0 : 1)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{sizeof filter / sizeof *filter, filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// CPU 0 is at a device until `leave`; another thread changes stage 2. Whether that was complete
// while CPU 0 was still there.
void change_while_at_device(bool all_fail, bool& possible, bool& complete_early) {
  Bench bench(2);
  bench.enable_mmu();
  bench.put(kCode, {0xb9400001, kHvc0});  // ldr w1, [x0]
  AtDevice sink;
  bench.cpu(0).r.x[0] = kDevice;
  std::atomic<int> stage{0};
  sink.meanwhile = [&] {
    stage = 1;
    while (stage != 2) std::this_thread::yield();
  };
  std::thread guest([&] { EXPECT_EQ(sink.run(bench), ExitKind::kHvc); });
  while (stage != 1) std::this_thread::yield();
  std::atomic<bool> complete{false}, forbidden{false}, tried{false};
  std::thread other([&] {
    forbidden = forbid_membarrier(all_fail);
    tried = true;
    bench.machine->unmap(kData, 0x1000);
    complete = true;
  });
  while (!tried) std::this_thread::yield();
  if (all_fail) {
    give_time();
  } else {
    for (unsigned i = 0; i < 1000 && !complete; ++i) give_time();
  }
  complete_early = complete;
  possible = forbidden;
  stage = 2;
  guest.join();
  other.join();
}

TEST(OrderOfTwo, ABarrierThatFailsIsReplacedByTheSlowOne) {
  bool possible, complete_early;
  change_while_at_device(false, possible, complete_early);
  if (!possible) GTEST_SKIP() << "no seccomp here";
  EXPECT_TRUE(complete_early);
}

TEST(OrderOfTwo, WithoutAnyBarrierADeviceIsWaitedFor) {
  bool possible, complete_early;
  change_while_at_device(true, possible, complete_early);
  if (!possible) GTEST_SKIP() << "no seccomp here";
  if (!has_process_barrier) GTEST_SKIP() << "CPUs that come back pass a fence of their own";
  EXPECT_FALSE(complete_early);
}
#endif

// --- instructions that a device writes while they are predecoded ---

// Until it is `value`: at once if the other runs, but not for its host CPU's whole time slice.
void wait_for(const std::atomic<unsigned>& word, unsigned value) {
  for (unsigned spins = 0; word.load(std::memory_order_acquire) != value; ++spins) {
    if (spins > 1000) std::this_thread::yield();
  }
}

// Either the builder sees the new word, or the writer sees the flag: what runs afterwards is new.
TEST(OrderOfTwo, ADeviceWritesWhatIsBeingPredecoded) {
  constexpr unsigned kRounds = 5'000;
  Bench bench(1);
  bench.put(kCode, {0xd2800001, kHvc0});  // mov x1, #0
  std::atomic<unsigned> round{0}, done{0};
  std::thread device([&] {
    for (unsigned i = 1; i <= kRounds; ++i) {
      wait_for(round, i);
      // At every moment of what the CPU does.
      for (unsigned wait = i % 2048; wait != 0; --wait) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
      const uint32_t word = 0xd2800001 | (i & 0xffff) << 5;  // mov x1, #i
      bench.poke_silently(kCode, word);
      bench.memory.dma_done(kCode, sizeof word);
      done.store(i, std::memory_order_release);
    }
  });
  unsigned stale = 0;
  for (unsigned i = 1; i <= kRounds; ++i) {
    bench.memory.dma_done(kCode, 4);  // the page has no instructions now
    round.store(i, std::memory_order_release);
    bench.run();
    wait_for(done, i);
    bench.run();
    stale += bench.cpu().r.x[1] != (i & 0xffff);
  }
  device.join();
  EXPECT_EQ(stale, 0u);
}

// --- exclusives ---

// Two CPUs count in one number of 128 bits, whose halves carry into each other all the time.
TEST(OrderOfTwo, CountByExclusivePairs) {
  constexpr uint64_t kRounds = 200'000, kStep = uint64_t{3} << 62;
  Bench bench(2);
  bench.put(kCode, {
                       0xc87f8801,  // ldaxp x1, x2, [x0]
                       0xab070024,  // adds x4, x1, x7
                       0x9a1f0045,  // adc x5, x2, xzr
                       0xc8239404,  // stlxp w3, x4, x5, [x0]
                       0x35ffff83,  // cbnz w3, .-16
                       0xf10004c6,  // subs x6, x6, #1
                       0x54ffff41,  // b.ne .-24
                       kHvc0,
                   });
  std::thread threads[2];
  for (unsigned i = 0; i < 2; ++i) {
    Cpu& cpu = bench.cpu(i);
    cpu.pc = kCode;
    cpu.r.x[0] = kData;
    cpu.r.x[6] = kRounds;
    cpu.r.x[7] = kStep;
    threads[i] = std::thread([&bench, i] { go(bench.vcpu(i), ~uint64_t{0} >> 1); });
  }
  for (std::thread& thread : threads) thread.join();
  const auto sum = static_cast<unsigned __int128>(kStep) * (2 * kRounds);
  EXPECT_EQ(bench.peek<uint64_t>(kData), static_cast<uint64_t>(sum));
  EXPECT_EQ(bench.peek<uint64_t>(kData + 8), static_cast<uint64_t>(sum >> 64));
}

// --- counts ---

TEST(OrderOfTwo, AnotherThreadReadsTheRetiredCount) {
  Bench bench(1);
  bench.put(kCode, {0xd503201f, 0x17ffffff});  // nop; b .-4
  bench.cpu().pc = kCode;
  std::atomic<bool> stop{false};
  std::thread guest([&] {
    while (!stop) go(bench.vcpu(), 1000);
  });
  uint64_t last = 0;
  for (unsigned seen = 0; seen < 20;) {
    const uint64_t now = bench.vcpu().retired();
    EXPECT_GE(now, last);
    seen += now != last;
    last = now;
    std::this_thread::yield();
  }
  stop = true;
  guest.join();
  EXPECT_EQ(bench.vcpu().retired() % 1000, 0u);
}

}  // namespace
}  // namespace trapline::soft
