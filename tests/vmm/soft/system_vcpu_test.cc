// SoftVcpu: deliveries, fetch, waiting, state.
#include <chrono>
#include <thread>

#include "tests/vmm/soft/system_fixture.h"
#include "vmm/memory/walk_inl.h"
#include "vmm/soft/engine/soft_view.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/pmu.h"

namespace trapline::soft {
namespace {

TEST_F(SystemTest, Deliveries) {
  struct Row {
    const char* name;
    GuestFault fault;
    uint64_t esr, far;
  } const kRows[] = {
      {"write", {.far = 0xabc, .fsc = 0x07, .write = true}, 0x9600'0047, 0xabc},
      {"alignment", {.far = 0xabd, .fsc = 0x21, .write = false}, 0x9600'0021, 0xabd},
      {"SP alignment", {.far = 1, .fsc = 0, .write = false, .ec = 0x26}, 0x9a00'0000, 0xabd},
      {"no FAR", {.far = 0, .fsc = 0x10, .write = true, .iss = 0x400}, 0x9600'0450, 0},
      {"prefetch", {.far = 8, .fsc = 0x10, .write = false, .ec = 0x20}, 0x8600'0010, 8},
      {"undefined", {.far = 1, .fsc = 0, .write = false, .ec = 0}, 0x0200'0000, 8},
  };
  for (const Row& row : kRows) {
    cpu().pc = 0x4000'0200;
    deliver(cpu(), row.fault, 0x4000'0100);
    EXPECT_EQ(cpu().pc, 0x200u) << row.name;
    EXPECT_EQ(cpu().sys.esr_el1, row.esr) << row.name;
    EXPECT_EQ(cpu().sys.far_el1, row.far) << row.name;
    EXPECT_EQ(cpu().sys.elr_el1, 0x4000'0100u) << row.name;
  }
}

// What a debugger reads is as new as the last instruction.
TEST_F(SystemTest, CountersThatADebuggerReads) {
  constexpr SysregId kPmccntr = sysreg_id(3, 3, 9, 13, 0), kPmevcntr1 = sysreg_id(3, 3, 14, 8, 1);
  set_pmu_type(cpu(), 1, kPmuInstRetired);
  set_pmu_bits(cpu(), PmuBits::kEnabled, 1u << Pmu::kCycles | 1u << 1, true);
  set_pmu_control(cpu(), 1);
  cpu().retired = cpu().retired + 1000;
  EXPECT_EQ(vcpu->get_sysreg(kPmccntr), 1000u);
  cpu().retired = cpu().retired + 1;
  EXPECT_EQ(vcpu->get_sysreg(kPmevcntr1), 1001u);
}

TEST_F(SystemTest, LevelOfTheTableThatStage2Refuses) {
  mmu_on();
  cpu().sys.el1.ttbr0 = 0x0900'0000;
  update_regime(cpu());
  for (const WalkFor purpose : {WalkFor::kRead, WalkFor::kFetch}) {
    const Stage1Walk walk = vcpu->look_up(0x9008, purpose, false);
    EXPECT_EQ(walk.status, Stage1Walk::Status::kTableFault);
    EXPECT_EQ(walk.level, 0);
  }
}

TEST_F(SystemTest, FetchAndRecheckPointers) {
  mmu_on();
  map_page(0x40'0000, kRam + 0x5000, kPte | kPteNormal);
  map_page(0x50'0000, kWalkOnly, kPte | kPteNormal);
  map_page(0x60'0000, 0x0900'0000, kPte | kPteNormal);
  map_page(0x70'0000, kRam, kPte | kPteNormal | uint64_t{1} << 53);  // PXN
  set_ram(kRam + 0x5010, 0xf800'8041'dead'beef);
  const Fetched good = vcpu->fetch(0x40'0014);
  ASSERT_TRUE(good.ok);
  EXPECT_EQ(good.word, 0xf800'8041u);
  EXPECT_EQ(good.ipa, kRam + 0x5014);
  EXPECT_EQ(good.loads, 4);
  for (unsigned i = 0; i < 4; ++i) {
    ASSERT_NE(good.desc_host[i], nullptr);
    EXPECT_EQ(*good.desc_host[i], good.desc[i]);
    EXPECT_EQ(ram(good.desc_ipa[i]), good.desc[i]);
  }
  EXPECT_EQ(*good.word_host, good.word);
  EXPECT_TRUE(vcpu->fetch(0x50'0000).ok) << "walk-only memory";
  EXPECT_FALSE(vcpu->fetch(0x60'0000).ok) << "a device";
  EXPECT_FALSE(vcpu->fetch(0x70'0000).ok) << "execute-never";
  EXPECT_FALSE(vcpu->fetch(0x40'0012).ok) << "misaligned";
  EXPECT_FALSE(vcpu->fetch(0x80'0000).ok) << "unmapped";
}

TEST_F(SystemTest, ViewTranslatesAndChecks) {
  mmu_on();
  map_page(0x5000, kRam, kPte | kPteNormal);
  map_page(0x6000, 0x0900'0000, kPte | kPteUser | kPteReadOnly);
  SoftView view(cpu());
  view.refresh(0x4000'0100);
  EXPECT_EQ(view.known_va_page, ~uint64_t{0}) << "ExitHandler's to fill in";
  EXPECT_EQ(view.pc, 0x4000'0100u);
  struct Row {
    const char* name;
    uint64_t va;
    Direction dir;
    bool unprivileged;
    bool ok;
    unsigned fsc;
    bool write;
  } constexpr kRows[] = {
      {"kernel page", 0x5010, Direction::kReadWrite, false, true, 0, false},
      {"kernel page, LDTR", 0x5010, Direction::kRead, true, false, 0x0f, false},
      {"user page, LDTR", 0x6010, Direction::kRead, true, true, 0, false},
      {"read-only", 0x6010, Direction::kWrite, false, false, 0x0f, true},
      {"read-only, RMW", 0x6010, Direction::kReadWrite, false, false, 0x0f, true},
      {"unmapped, RMW", 0x7010, Direction::kReadWrite, false, false, 0x07, false},
      {"unmapped, write", 0x7010, Direction::kWrite, false, false, 0x07, true},
  };
  for (const Row& row : kRows) {
    const Translation t = view.translate(row.va, 4, row.dir, row.unprivileged);
    EXPECT_EQ(t.status == Translation::Status::kOk, row.ok) << row.name;
    if (row.ok) continue;
    EXPECT_EQ(t.fault.far, row.va) << row.name;
    EXPECT_EQ(t.fault.fsc, row.fsc) << row.name;
    EXPECT_EQ(t.fault.write, row.write) << row.name;
    EXPECT_EQ(t.fault.ec, 0x24) << row.name;
  }
  EXPECT_NE(view.ram(kRam, Direction::kReadWrite), nullptr);
  EXPECT_NE(view.ram(kFlash, Direction::kRead), nullptr);
  EXPECT_EQ(view.ram(kFlash, Direction::kWrite), nullptr);
  EXPECT_EQ(view.ram(kWalkOnly, Direction::kRead), nullptr);
  EXPECT_EQ(view.ram(0x0900'0000, Direction::kRead), nullptr);
}

TEST_F(SystemTest, WritesToWatchedPagesAreHeard) {
  SoftView view(cpu());
  view.ram_written(kRam + 0x2004, 4);
  EXPECT_TRUE(g_engine_calls.empty());
  EXPECT_TRUE(machine->watch(kRam + 0x2004));
  EXPECT_FALSE(machine->watch(0x0900'0000));
  view.ram_written(kRam + 0x2004, 4);
  const std::vector<std::string> expected = {"demote 0x40002000", "written 0x40002004 0x4"};
  EXPECT_EQ(g_engine_calls, expected);
}

TEST_F(SystemTest, BackendInvalidates) {
  machine->unmap(kFlash, 0x1'0000);
  EXPECT_FALSE(stage2.walk(kFlash).ok);
  ExitCatcher catcher;
  vcpu->run(0, catcher);  // now this thread is a vCPU's
  machine->map(kFlash, 0x1'0000, memory.host(kFlash, 1), kS2Read);
  EXPECT_TRUE(stage2.walk(kFlash).ok);
  const std::vector<std::string> expected = {"stage2 0 0x10000", "stage2 0 0x10000 by cpu"};
  EXPECT_EQ(g_engine_calls, expected);
}

TEST_F(SystemTest, WaitingWakes) {
  struct Row {
    const char* name;
    void (*wake)(SoftVcpu&);
    bool wfe;
  } constexpr kRows[] = {
      {"irq", [](SoftVcpu& v) { v.set_irq(true); }, false},
      {"fiq", [](SoftVcpu& v) { v.set_fiq(true); }, false},
      {"kick", [](SoftVcpu& v) { v.kick(); }, false},
      {"wfe: kick", [](SoftVcpu& v) { v.kick(); }, true},
      {"wfe: irq", [](SoftVcpu& v) { v.set_irq(true); }, true},
      {"wfe: event", [](SoftVcpu& v) { raise_attention(v.cpu(), Cpu::kEvent); }, true},
  };
  for (const Row& row : kRows) {
    cpu().attention = 0;
    cpu().ps.daif = 0;
    const auto start = std::chrono::steady_clock::now();
    std::thread waker([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      row.wake(*vcpu);
    });
    vcpu->wait_for_event(60'000'000'000, row.wfe);
    waker.join();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30)) << row.name;
  }
  EXPECT_EQ(cpu().attention.load(), 0u) << "the event is consumed";
  vcpu->wait_for_event(1'000'000);  // times out
  vcpu->kick();
  vcpu->wait_for_event(60'000'000'000);  // already there
  EXPECT_EQ(cpu().attention.load(), uint32_t{Cpu::kKick}) << "a kick is run()'s to consume";
}

TEST_F(SystemTest, WhoWatchesSleepSaysHowLong) {
  struct Watch final : SleepWatch {
    uint64_t falls_asleep() override {
      ++sleeps;
      return most;
    }
    void wakes() override {
      ++wakings;
      if (vcpu != nullptr) vcpu->set_irq(true);
    }
    uint64_t most = 2'000'000;
    unsigned sleeps = 0, wakings = 0;
    SoftVcpu* vcpu = nullptr;
  } watch;
  watch.vcpu = vcpu;
  vcpu->watch_sleep(&watch);
  cpu().attention = 0;
  vcpu->wait_for_event(60'000'000'000);
  EXPECT_TRUE(vcpu->wakeup_pending());
  EXPECT_EQ(watch.sleeps, 1u);
  EXPECT_EQ(watch.wakings, 1u);
  vcpu->wait_for_event(60'000'000'000);  // already there: no sleep
  EXPECT_EQ(watch.sleeps, 1u);
  vcpu->set_irq(false);
  vcpu->wait_for_event(1'000'000, true);  // WFE is woken otherwise
  EXPECT_EQ(watch.sleeps, 1u);
  vcpu->watch_sleep(nullptr);
}

TEST_F(SystemTest, WhatEndsWfe) {
  cpu().ps.daif = 0xf;
  vcpu->set_irq(true);
  vcpu->set_fiq(true);
  EXPECT_TRUE(vcpu->wakeup_pending());
  EXPECT_FALSE(vcpu->event_pending()) << "masked";
  vcpu->wait_for_event(1'000'000, true);  // times out
  cpu().ps.daif = 0xd;
  EXPECT_TRUE(vcpu->event_pending()) << "IRQ";
  cpu().ps.daif = 0xe;
  EXPECT_TRUE(vcpu->event_pending()) << "FIQ";
  cpu().ps.daif = 0xf;

  for (void (*set)(Cpu&) : {+[](Cpu& c) { c.event = true; }, +[](Cpu& c) { exception_return(c); },
                            +[](Cpu& c) { raise_attention(c, Cpu::kEvent); }}) {
    set(cpu());
    cpu().ps.daif = 0xf;
    EXPECT_TRUE(vcpu->event_pending());
    vcpu->wait_for_event(60'000'000'000, true);
    EXPECT_FALSE(vcpu->event_pending()) << "it is used up";
  }
}

TEST_F(SystemTest, StoreToMarkedMemoryEndsWfe) {
  struct Row {
    uint8_t bytes;
    uint64_t at, old_low, old_high;  // what the monitor saw, in memory at 8-byte steps
    uint64_t store_at, stored;
    bool ends;
  } constexpr kRows[] = {
      {8, 0, 1, 0, 0, 2, true},         {8, 0, 1, 0, 8, 2, false},  // beside it
      {8, 0, 1, 0, 0, 1, false},                                    // the same value: not seen
      {4, 0, 1, 0, 0, 3, true},         {4, 0, 1, 0, 0, 0x5'0000'0001, false},
      {2, 0, 1, 0, 0, 0x1'0001, false}, {1, 0, 1, 0, 0, 0x101, false},
      {1, 0, 1, 0, 0, 2, true},         {16, 0, 1, 2, 8, 3, true},
      {16, 0, 1, 2, 0, 3, true},        {16, 0, 1, 2, 16, 3, false},
  };
  for (const Row& row : kRows) {
    set_ram(kRam, row.old_low);
    set_ram(kRam + 8, row.old_high);
    cpu().monitor = {true, false, row.bytes, kRam + row.at, {row.old_low, row.old_high}, 0};
    EXPECT_FALSE(vcpu->event_pending());
    set_ram(kRam + row.store_at, row.stored);
    EXPECT_EQ(vcpu->event_pending(), row.ends) << int{row.bytes} << ": " << row.stored;
    vcpu->wait_for_event(0, true);
    EXPECT_EQ(cpu().monitor.valid, !row.ends) << "the store opened the monitor";
    EXPECT_FALSE(vcpu->event_pending());
  }
  // Nobody calls: the waiting CPU looks.
  set_ram(kRam, 7);
  cpu().monitor = {true, false, 8, kRam, {7, 0}, 0};
  auto* word = reinterpret_cast<uint64_t*>(memory.host(kRam, 8));
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    __atomic_store_n(word, 8, __ATOMIC_RELEASE);
  });
  const auto start = std::chrono::steady_clock::now();
  vcpu->wait_for_event(60'000'000'000, true);
  writer.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  // What a damaged snapshot may hold.
  for (const auto& m : {ExclusiveMonitor{true, false, 8, 0x900'0000, {}, 0},
                        {true, false, 3, kRam, {}, 0},
                        {true, false, 16, kRam + 8, {}, 0},
                        {true, false, 0, kRam, {}, 0},
                        {true, true, 8, kRam, {}, 0},
                        {true, false, 8, ~uint64_t{7}, {}, 0}}) {
    cpu().monitor = m;
    EXPECT_FALSE(vcpu->event_pending());
  }
}

TEST_F(SystemTest, EventStreamBoundsWfe) {
  // The counter stands at 12345 = 0b11'0000'0011'1001.
  struct Row {
    uint64_t cntkctl, ticks;
  } constexpr kRows[] = {
      {1 << 2 | 0 << 4, 2},               // bit 0 becomes 1: at 12347
      {1 << 2 | 1 << 3 | 0 << 4, 1},      // becomes 0
      {1 << 2 | 2 << 4, 3},               // bit 2: 12348
      {1 << 2 | 1 << 3 | 3 << 4, 7},      // bit 3 becomes 0: 12352
      {1 << 2 | 15 << 4, 32768 - 12345},  // bit 15
  };
  for (const Row& row : kRows) {
    cpu().sys.cntkctl_el1 = row.cntkctl;
    EXPECT_EQ(vcpu->longest_event_wait(), row.ticks * Clock::kNsPerTick) << row.cntkctl;
  }
  cpu().sys.cntkctl_el1 = 0;
  EXPECT_GT(vcpu->longest_event_wait(), 0u);
  EXPECT_LE(vcpu->longest_event_wait(), 10'000'000u);
}

TEST_F(SystemTest, SaveAndLoad) {
  for (unsigned i = 0; i < 31; ++i) cpu().r.x[i] = 0x1000 + i;
  cpu().r.x[kSlotSp] = 0x9999;
  cpu().v[31] = {7, 8};
  cpu().nzcv = 0x6000'0000;
  cpu().fpcr = 1 << 24;
  cpu().retired = 42;
  cpu().monitor = {true, false, 8, 0x4000'0000, {1, 2}, 3};
  mmu_on();
  cpu().sys.dbgbvr[5] = 0x1230;
  spsr_to_pstate(cpu(), 0x8040'0280 | 0);
  cpu().event = true;
  vcpu->set_irq(true);
  StateWriter out;
  vcpu->save(out);
  const uint64_t pstate = vcpu->get_register(kRegPstate);

  vcpu->reset(0, 0);
  vcpu->set_irq(false);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(vcpu->load(in));
  EXPECT_EQ(in.left(), 0u);
  StateWriter again;
  vcpu->save(again);
  EXPECT_EQ(out.buffer(), again.buffer());
  EXPECT_EQ(vcpu->get_register(30), 0x1000u + 30);
  EXPECT_EQ(vcpu->get_register(kRegPstate), pstate);
  EXPECT_EQ(vcpu->get_vector(31), (Vreg{7, 8}));
  EXPECT_EQ(vcpu->translation_regs().el, 0);
  EXPECT_TRUE(vcpu->translation_regs().pan);
  EXPECT_TRUE(vcpu->wakeup_pending());
  EXPECT_NE(cpu().attention.load() & Cpu::kEvent, 0u);
  EXPECT_EQ(vcpu->retired(), 42u);

  // Every truncation is refused, and none harms.
  for (size_t size = 0; size < out.buffer().size(); size += 7) {
    StateReader cut(out.buffer().data(), size);
    EXPECT_FALSE(vcpu->load(cut)) << size;
  }
  // Bytes of no legal state become one.
  std::vector<uint8_t> noise(out.buffer().size(), 0xff);
  noise[0] = 1, noise[1] = noise[2] = noise[3] = 0;
  StateReader bad(noise.data(), noise.size());
  vcpu->load(bad);
  EXPECT_LE(cpu().ps.el, 1);
  EXPECT_EQ(cpu().r.x[kSlotXzr], 0u);
}

TEST_F(SystemTest, RegistersByIndexAndBatch) {
  vcpu->reset(0x4000'0000, 0x4800'0000);
  EXPECT_EQ(vcpu->get_register(0), 0x4800'0000u);
  vcpu->set_register(kRegSp, 5);
  vcpu->set_register(kRegPc, 6);
  uint64_t batch[4];
  vcpu->get_registers(1 | uint64_t{1} << kRegSp | uint64_t{1} << kRegPc | uint64_t{1} << kRegPstate,
                      batch);
  EXPECT_EQ(batch[0], 0x4800'0000u);
  EXPECT_EQ(batch[1], 5u);
  EXPECT_EQ(batch[2], 6u);
  EXPECT_EQ(batch[3], 0x3c5u);  // EL1h, DAIF
  EXPECT_EQ(vcpu->get_sysreg(sysreg_id(3, 0, 1, 0, 0)), 0x30d0'0980u);
  EXPECT_EQ(vcpu->get_sysreg(sysreg_id(3, 7, 15, 0, 0)), 0u);
}

}  // namespace
}  // namespace trapline::soft
