// Exclusives and atomics, on devices and on RAM; and both against other vCPUs.
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/mmio/table.h"

namespace trapline::test {
namespace {

TEST(Atomic, OnADevice) {
  check_all({
      {0xb8208022, "swp w0, w2, [x1]", "x0=5 x1=9000010", "A.r4@10=13121110 A.w4@10=5",
       "x2=13121110"},
      {0xf8e08022, "swpal x0, x2, [x1]", "x0=5 x1=9000010", "A.r8@10=1716151413121110 A.w8@10=5",
       "x2=1716151413121110"},
      {0x38208022, "swpb w0, w2, [x1]", "x0=105 x1=9000010", "A.r1@10=10 A.w1@10=5", "x2=10"},
      {0xb8200022, "ldadd w0, w2, [x1]", "x0=ffffffff x1=9000010",
       "A.r4@10=13121110 A.w4@10=1312110f", "x2=13121110"},
      {0x38200022, "ldaddb w0, w2, [x1]", "x0=ff x1=90000ff", "A.r1@ff=ff A.w1@ff=fe", "x2=ff"},
      {0xf860003f, "staddl x0, [x1]", "x0=1 x1=9000010",
       "A.r8@10=1716151413121110 A.w8@10=1716151413121111", ""},
      {0xb8201022, "ldclr w0, w2, [x1]", "x0=ffff x1=9000010", "A.r4@10=13121110 A.w4@10=13120000",
       "x2=13121110"},
      {0x78202022, "ldeorh w0, w2, [x1]", "x0=ffff x1=9000010", "A.r2@10=1110 A.w2@10=eeef",
       "x2=1110"},
      {0xb8203022, "ldset w0, w2, [x1]", "x0=f x1=9000010", "A.r4@10=13121110 A.w4@10=1312111f",
       "x2=13121110"},
      // Signed and unsigned, in the element's own size.
      {0x38204022, "ldsmaxb w0, w2, [x1]", "x0=1 x1=9000080", "A.r1@80=80 A.w1@80=1", "x2=80"},
      {0x38206022, "ldumaxb w0, w2, [x1]", "x0=1 x1=9000080", "A.r1@80=80 A.w1@80=80", "x2=80"},
      {0x38205022, "ldsminb w0, w2, [x1]", "x0=1 x1=9000080", "A.r1@80=80 A.w1@80=80", "x2=80"},
      {0x38207022, "lduminb w0, w2, [x1]", "x0=1 x1=9000080", "A.r1@80=80 A.w1@80=1", "x2=80"},
      {0xf8205022, "ldsmin x0, x2, [x1]", "x0=ffffffffffffffff x1=9000010",
       "A.r8@10=1716151413121110 A.w8@10=ffffffffffffffff", "x2=1716151413121110"},
      {0xf8207022, "ldumin x0, x2, [x1]", "x0=ffffffffffffffff x1=9000010",
       "A.r8@10=1716151413121110 A.w8@10=1716151413121110", "x2=1716151413121110"},
      {0xb820803f, "swp w0, wzr, [x1]", "x0=5 x1=9000010", "A.r4@10=13121110 A.w4@10=5", ""},
      {0xf8208020, "swp x0, x0, [x1]", "x0=5 x1=9000010", "A.r8@10=1716151413121110 A.w8@10=5",
       "x0=1716151413121110"},
  });
}

TEST(Atomic, CompareAndSwap) {
  check_all({
      {0x88a07c22, "cas w0, w2, [x1]", "x0=ffffffff13121110 x1=9000010 x2=7",
       "A.r4@10=13121110 A.w4@10=7", "x0=13121110"},
      {0x88a07c22, "cas w0, w2, [x1]", "x0=13121111 x1=9000010 x2=7", "A.r4@10=13121110",
       "x0=13121110"},
      {0x08e0fc22, "casalb w0, w2, [x1]", "x0=210 x1=9000010 x2=307", "A.r1@10=10 A.w1@10=7",
       "x0=10"},
      {0x08247c26, "casp w4, w5, w6, w7, [x1]", "x1=9000010 x4=13121110 x5=17161514 x6=1 x7=2",
       "A.r4@10=13121110 A.r4@14=17161514 A.w4@10=1 A.w4@14=2", ""},
      {0x48247c26, "casp x4, x5, x6, x7, [x1]", "x1=9000010 x4=1716151413121110 x5=0 x6=1 x7=2",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918", "x5=1f1e1d1c1b1a1918"},
      {0x4864fc26, "caspal x4, x5, x6, x7, [x1]",
       "x1=9000010 x4=1716151413121110 x5=1f1e1d1c1b1a1918 x6=1 x7=2",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918 A.w8@10=1 A.w8@18=2", ""},
      {0x48247c26, "casp x4, x5, x6, x7, [x1]", "x1=9000018", "", "", "fault 21 9000018 r"},
      {0x88a07c22, "cas w0, w2, [x1]", "be=1 x0=10111213 x1=9000010 x2=7",
       "A.r4@10=13121110 A.w4@10=7000000", ""},
  });
}

// FEAT_LSE128, from the descriptions of LDCLRP, LDSETP and SWPP (C6.2): the operands are Xt1 (lower
// address) and Xt2, which receive the old value.
TEST(Atomic, Lse128) {
  check_all({
      {0x19228020, "swpp x0, x2, [x1]", "x0=1 x1=9000010 x2=2",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918 A.w8@10=1 A.w8@18=2",
       "x0=1716151413121110 x2=1f1e1d1c1b1a1918"},
      {0x19e21020, "ldclrpal x0, x2, [x1]", "x0=ff x1=9000010 x2=ff00",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918 A.w8@10=1716151413121100 "
       "A.w8@18=1f1e1d1c1b1a0018",
       "x0=1716151413121110 x2=1f1e1d1c1b1a1918"},
      {0x19223020, "ldsetp x0, x2, [x1]", "x0=ff x1=9000010 x2=ff00",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918 A.w8@10=17161514131211ff "
       "A.w8@18=1f1e1d1c1b1aff18",
       "x0=1716151413121110 x2=1f1e1d1c1b1a1918"},
      {0x19228020, "swpp x0, x2, [x1]", "be=1 x0=1 x1=9000010 x2=2",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918 A.w8@10=100000000000000 "
       "A.w8@18=200000000000000",
       "x0=1011121314151617 x2=18191a1b1c1d1e1f"},
      {0x19228020, "swpp x0, x2, [x1]", "x0=1 x1=9000018 x2=2", "", "", "fault 21 9000018 r"},
      {0x19228020, "swpp x0, x2, [x1]", "x0=1 x1=9002010 x2=2", "",
       "x0=1716151413121110 x2=1f1e1d1c1b1a1918", "done", "9002010+16"},
  });
}

TEST(Atomic, OnRam) {
  check_all({
      {0xb8200022, "ldadd w0, w2, [x1]", "x0=1 x1=9002010", "", "x2=13121110", "done", "9002010+4"},
      {0x78200022, "ldaddh w0, w2, [x1]", "x0=1 x1=9002012", "", "x2=1312", "done", "9002012+2"},
      {0x88a07c22, "cas w0, w2, [x1]", "x0=0 x1=9002010 x2=7", "", "x0=13121110"},
      {0xc8a07c22, "cas x0, x2, [x1]", "x0=1716151413121110 x1=9002010 x2=7", "", "", "done",
       "9002010+8"},
      {0x48247c26, "casp x4, x5, x6, x7, [x1]", "x1=9002010", "",
       "x4=1716151413121110 x5=1f1e1d1c1b1a1918"},
      {0xf8200022, "ldadd x0, x2, [x1]", "lse2=1 x1=9002014", "", "", "unsupported"},
  });
  Machine machine;
  machine.set("x0=fff0 x1=9002010 x2=f0ff");
  EXPECT_EQ(machine.run(0x19221020), "done");  // ldclrp x0, x2, [x1]
  EXPECT_EQ(machine.memory(kBase + 0x2010, 8), 0x1716151413120000u);
  EXPECT_EQ(machine.memory(kBase + 0x2018, 8), 0x1f1e1d1c1b1a0900u);
}

struct Step {
  uint32_t word;
  const char* text;
};

// Runs the steps on one machine; the log, then "| changes".
template <size_t kCount>
std::string run_steps(const char* before, const Step (&steps)[kCount]) {
  Machine machine;
  machine.set(before);
  std::string outcome;
  for (const Step& step : steps) {
    outcome = machine.run(step.word);
    if (outcome != "done") return outcome;
  }
  return trimmed(machine.log) + " | " + trimmed(machine.changes());
}

TEST(Exclusive, PairOnADevice) {
  const char* const kState = "x1=9000010 x2=7 x4=8 x5=9 x6=9000020 x7=9001010 x3=5";
  EXPECT_EQ(run_steps(kState, {{0x885f7c20, "ldxr w0, [x1]"}, {0x88037c22, "stxr w3, w2, [x1]"}}),
            "A.r4@10=13121110 A.w4@10=7 | x0=13121110 x3=0");
  EXPECT_EQ(run_steps(kState, {{0xc85ffc20, "ldaxr x0, [x1]"}, {0xc803fc22, "stlxr w3, x2, [x1]"}}),
            "A.r8@10=1716151413121110 A.w8@10=7 | x0=1716151413121110 x3=0");
  EXPECT_EQ(
      run_steps(kState, {{0x887f2020, "ldxp w0, w8, [x1]"}, {0x88231424, "stxp w3, w4, w5, [x1]"}}),
      "A.r4@10=13121110 A.r4@14=17161514 A.w4@10=8 A.w4@14=9 | x0=13121110 x3=0 x8=17161514");
  EXPECT_EQ(run_steps(kState,
                      {{0xc87fa020, "ldaxp x0, x8, [x1]"}, {0xc8239424, "stlxp w3, x4, x5, [x1]"}}),
            "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918 A.w8@10=8 A.w8@18=9 | "
            "x0=1716151413121110 x3=0 x8=1f1e1d1c1b1a1918");
  // No load-exclusive, a second store, another address, another size, another device.
  EXPECT_EQ(run_steps(kState, {{0x88037c22, "stxr w3, w2, [x1]"}}), " | x3=1");
  EXPECT_EQ(run_steps(kState, {{0x885f7c20, "ldxr w0, [x1]"},
                               {0x88037c22, "stxr w3, w2, [x1]"},
                               {0x88087c22, "stxr w8, w2, [x1]"}}),
            "A.r4@10=13121110 A.w4@10=7 | x0=13121110 x3=0 x8=1");
  EXPECT_EQ(run_steps(kState, {{0x885f7c20, "ldxr w0, [x1]"}, {0x88037cc2, "stxr w3, w2, [x6]"}}),
            "A.r4@10=13121110 | x0=13121110 x3=1");
  EXPECT_EQ(run_steps(kState, {{0x085f7c20, "ldxrb w0, [x1]"}, {0x88037c22, "stxr w3, w2, [x1]"}}),
            "A.r1@10=10 | x0=10 x3=1");
  EXPECT_EQ(run_steps(kState, {{0x885f7c20, "ldxr w0, [x1]"}, {0x88037ce2, "stxr w3, w2, [x7]"}}),
            "A.r4@10=13121110 | x0=13121110 x3=1");
  // A store to the device in between, of the same vCPU; a load does no harm.
  EXPECT_EQ(run_steps(kState, {{0x885f7c20, "ldxr w0, [x1]"},
                               {0xb90000c2, "str w2, [x6]"},
                               {0x88037c22, "stxr w3, w2, [x1]"}}),
            "A.r4@10=13121110 A.w4@20=7 | x0=13121110 x3=1");
  EXPECT_EQ(run_steps(kState, {{0x885f7c20, "ldxr w0, [x1]"},
                               {0xb94000c8, "ldr w8, [x6]"},
                               {0x88037c22, "stxr w3, w2, [x1]"}}),
            "A.r4@10=13121110 A.r4@20=23222120 A.w4@10=7 | x0=13121110 x3=0 x8=23222120");
  // The base or the data register as status: the old value is used, the status written last.
  EXPECT_EQ(run_steps(kState, {{0x885f7c20, "ldxr w0, [x1]"}, {0x88017c22, "stxr w1, w2, [x1] "}}),
            "A.r4@10=13121110 A.w4@10=7 | x0=13121110 x1=0");
}

// Two vCPUs' contexts, one gate.
TEST(Exclusive, AnotherVcpuIntervenes) {
  constexpr uint32_t kLdxr = 0x885f7c20, kStxr = 0x88037c22, kStr = 0xb9000022;
  constexpr uint32_t kLdadd = 0xb8220028, kLdr = 0xb9400028, kClrex = 0;
  struct {
    uint32_t other;
    const char* text;
    uint64_t status;
  } const kCases[] = {
      {kStr, "str w2, [x1]", 1}, {kLdadd, "ldadd w2, w8, [x1]", 1},
      {kLdr, "ldr w8, [x1]", 0}, {kLdxr, "ldxr w0, [x1]", 0},
      {kClrex, "clrex", 1},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.text);
    Machine machine;
    FakeView& first = machine.view;
    FakeView second;
    second.page(kBase, kDevicePage);
    second.vcpu = 1;
    EmulateContext second_context;
    second_context.gate = &machine.gate;
    machine.set("x1=9000010 x2=7 x3=9");
    second.general = first.general;
    const auto run = [&](FakeView& view, EmulateContext& context, uint32_t word) {
      Access access;
      ASSERT_EQ(decode(word, access), DecodeStatus::kAccess);
      const Outcome outcome =
          emulate(access, effective_address(access, view), view, &machine.bus, context);
      EXPECT_EQ(outcome.status, Outcome::Status::kDone);
    };
    run(first, machine.context, kLdxr);
    EXPECT_EQ(machine.gate.slots[0].armed.load(), 1u);
    if (c.other == kClrex) {
      first.exclusive.valid = false;
    } else {
      run(second, second_context, c.other);
    }
    run(first, machine.context, kStxr);
    EXPECT_EQ(first.general.x[3], c.status);
    // Nothing stays armed once the monitors are gone.
    second.exclusive.valid = false;
    run(second, second_context, kLdr);
    EXPECT_EQ(machine.gate.slots[0].armed.load(), 0u);
  }
}

TEST(Exclusive, OnRam) {
  constexpr uint32_t kLdxp = 0xc87f2020, kStxp = 0xc8231424;  // x0, x8 / w3, x4, x5, [x1]
  constexpr uint32_t kLdxr = 0x885f7c20, kStxr = 0x88037c24;
  for (const bool intervene : {false, true}) {
    for (const bool pair : {false, true}) {
      Machine machine;
      machine.set("x1=9002010 x3=9 x4=44 x5=55");
      EXPECT_EQ(machine.run(pair ? kLdxp : kLdxr), "done");
      EXPECT_EQ(machine.view.general.x[0], pair ? 0x1716151413121110u : 0x13121110u);
      EXPECT_EQ(machine.view.general.x[8], pair ? 0x1f1e1d1c1b1a1918u : 0u);
      if (intervene) *machine.view.host(kBase + (pair ? 0x201f : 0x2010)) = 0x77;
      EXPECT_EQ(machine.run(pair ? kStxp : kStxr), "done");
      EXPECT_EQ(machine.view.general.x[3], intervene ? 1u : 0u);
      EXPECT_EQ(machine.view.written, intervene ? "" : pair ? "9002010+16 " : "9002010+4 ");
      EXPECT_EQ(machine.memory(kBase + 0x2010, 1), intervene && !pair ? 0x77u
                                                   : intervene        ? 0x10u
                                                                      : 0x44u);
      EXPECT_FALSE(machine.view.exclusive.valid);
    }
  }
}

// vCPUs that mix plain stores, atomics and exclusive pairs on one register of a device: every add
// must survive, on the device as on RAM.
void hammer(uint64_t address) {
  class Counter final : public Device {
   public:
    MmioResult read(uint64_t offset, unsigned, unsigned) override {
      return {cell[offset / 8].load(std::memory_order_relaxed), false};
    }
    MmioResult write(uint64_t offset, unsigned, uint64_t value, unsigned) override {
      cell[offset / 8].store(value, std::memory_order_relaxed);
      return {};
    }
    void reset() override {}
    void save(StateWriter&) const override {}
    bool load(StateReader&) override { return true; }
    std::string_view name() const override { return "counter"; }
    std::atomic<uint64_t> cell[512] = {};
  } device;
  Bus bus;
  ASSERT_EQ(bus.add(kBase, 0x1000, &device), "");
  DeviceGate gate;
  alignas(4096) static uint8_t ram[4096];
  std::memset(ram, 0, sizeof ram);
  class View final : public CpuView {
   public:
    Translation translate(uint64_t va, unsigned, Direction, bool) override {
      Translation t{};
      t.ipa = va;
      return t;
    }
    uint8_t* ram(uint64_t ipa, Direction) override {
      return ipa >= kBase + 0x1000 ? memory + (ipa & 0xfff) : nullptr;
    }
    void ram_written(uint64_t, unsigned) override {}
    uint8_t* memory = nullptr;
  };
  constexpr unsigned kThreads = 3, kRounds = 4000;
  const auto work = [&](unsigned vcpu) {
    GeneralRegisters general{};
    Vreg vectors[32] = {};
    ExclusiveMonitor monitor{};
    View view;
    view.regs = &general;
    view.v = vectors;
    view.monitor = &monitor;
    view.vcpu = vcpu;
    view.memory = ram;
    EmulateContext context;
    context.gate = &gate;
    const auto run = [&](uint32_t word) {
      Access access;
      decode(word, access);
      emulate(access, effective_address(access, view), view, &bus, context);
    };
    general.x[1] = address;
    for (unsigned i = 0; i < kRounds; ++i) {
      general.x[0] = 1;
      if (i % 2 == 0) {
        run(0xf8200022);  // ldadd x0, x2, [x1]
      } else {
        do {
          run(0xc85f7c22);  // ldxr x2, [x1]
          ++general.x[2];
          run(0xc8037c22);  // stxr w3, x2, [x1]
        } while (general.x[3] != 0);
      }
      // A plain counter of its own beside it, that nothing may lose either.
      general.x[4] = address + 8 + 8 * vcpu;
      run(0xf9400085);  // ldr x5, [x4]
      ++general.x[5];
      run(0xf9000085);  // str x5, [x4]
    }
  };
  std::thread threads[kThreads];
  for (unsigned i = 0; i < kThreads; ++i) threads[i] = std::thread(work, i);
  for (std::thread& thread : threads) thread.join();
  const auto value = [&](unsigned index) {
    if (address < kBase + 0x1000) return device.cell[index].load();
    uint64_t v;
    std::memcpy(&v, ram + 8 * index, 8);
    return v;
  };
  EXPECT_EQ(value(0), uint64_t{kThreads} * kRounds);
  for (unsigned i = 0; i < kThreads; ++i) EXPECT_EQ(value(1 + i), kRounds);
}

TEST(Exclusive, ThreadsOnADevice) { hammer(kBase); }
TEST(Exclusive, ThreadsOnRam) { hammer(kBase + 0x1000); }

// A plain store never falls between the read and the write of another vCPU's read-modify-write.
TEST(Exclusive, PlainStoresAgainstAtomics) {
  class Flag final : public Device {
   public:
    MmioResult read(uint64_t, unsigned, unsigned) override { return {value.load(), false}; }
    MmioResult write(uint64_t, unsigned, uint64_t v, unsigned vcpu) override {
      if (vcpu == 1) {
        value.store(v);
        return {};
      }
      // The writer of an RMW: what it read must still be there.
      if ((value.load() & ~uint64_t{0xff}) != (v & ~uint64_t{0xff})) lost.fetch_add(1);
      value.store(v);
      return {};
    }
    void reset() override {}
    void save(StateWriter&) const override {}
    bool load(StateReader&) override { return true; }
    std::string_view name() const override { return "flag"; }
    std::atomic<uint64_t> value{0}, lost{0};
  } device;
  Bus bus;
  ASSERT_EQ(bus.add(kBase, 0x1000, &device), "");
  DeviceGate gate;
  const auto worker = [&](unsigned vcpu, uint32_t word) {
    FakeView view;
    view.page(kBase, kDevicePage);
    view.vcpu = vcpu;
    EmulateContext context;
    context.gate = &gate;
    Access access;
    decode(word, access);
    view.general.x[1] = kBase;
    for (uint64_t i = 1; i < 30000; ++i) {
      view.general.x[0] = vcpu == 1 ? i << 8 : 1;
      emulate(access, kBase, view, &bus, context);
    }
  };
  std::thread rmw(worker, 0, 0xf8203022);    // ldset x0, x2, [x1]
  std::thread plain(worker, 1, 0xf9000020);  // str x0, [x1]
  rmw.join();
  plain.join();
  EXPECT_EQ(device.lost.load(), 0u);
}

}  // namespace
}  // namespace trapline::test
