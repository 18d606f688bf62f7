// The TLB's worlds: neither an exception to EL2 nor its return costs a translation, and a TLBI of
// one regime costs the other none.
#include <gtest/gtest.h>

#include <utility>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/soft/el2.h"
#include "vmm/soft/machine.h"

namespace trapline::soft {
namespace {

constexpr unsigned kRounds = 100;
constexpr uint64_t kVectorsEl2 = kRam + 0x40'0000, kGuestCode = kRam + 0x50'0000;
constexpr uint32_t kSmc0 = 0xd4000003;

// `word` in each of kRounds rounds between EL2 and EL1, which load from a page each. Returns the
// TLB's misses.
uint64_t fills_with(uint32_t word, uint16_t translate_after) {
  Bench bench;
  bench.clock.cpus.clear();
  const auto without_el2 = std::move(bench.machine);  // the memory goes on telling it
  bench.machine = make_soft_machine(bench.memory, bench.stage2, bench.clock, 1, false,
                                    translate_after, {.on = true, .vhe = true});
  bench.clock.cpus.push_back(&bench.cpu());
  bench.put(kVectorsEl2 + 0x400, {0xd1000400,  // sub x0, x0, #1
                                  0xb40000a0,  // cbz x0, to smc
                                  word,        //
                                  0xd51c4025,  // msr elr_el2, x5
                                  0xf9400022,  // ldr x2, [x1]
                                  0xd69f03e0,  // eret
                                  kSmc0});
  bench.put(kGuestCode, {0xf9400083, kHvc0});  // ldr x3, [x4]
  SoftVcpu& vcpu = bench.vcpu();
  Cpu& cpu = bench.cpu();
  vcpu.reset(kVectorsEl2 + 0x400, kRounds + 1);
  cpu.r.x[1] = kData;
  cpu.r.x[4] = kData + 0x1000;
  cpu.r.x[5] = kGuestCode;
  cpu.sys.el2.vbar = kVectorsEl2;
  cpu.sys.el2.spsr = 0x3c5;  // EL1h
  const Exit exit = go(vcpu, 100'000);
  EXPECT_EQ(exit.kind, ExitKind::kHvc);
  EXPECT_EQ(exit.esr >> 26, 0x17u) << "the SMC at the end";
  EXPECT_EQ(cpu.r.x[0], 0u);
  return engine_stats(cpu).tlb_fills;
}

TEST(EngineEl2, WorldsStayWhileElsChange) {
  struct Row {
    const char* name;
    uint32_t word;
    uint64_t least, most;
  };
  const Row rows[] = {{"nothing", kNop, 2, 4},
                      {"TLBI ALLE2", 0xd50c871f, kRounds, kRounds + 4},
                      {"TLBI ALLE1", 0xd50c879f, kRounds, kRounds + 4},
                      {"TLBI VMALLS12E1", 0xd50c87df, kRounds, kRounds + 4}};
  for (const uint16_t translate_after : {0, 1}) {
    for (const Row& row : rows) {
      SCOPED_TRACE(row.name);
      const uint64_t fills = fills_with(row.word, translate_after);
      EXPECT_GE(fills, row.least);
      EXPECT_LE(fills, row.most);
    }
  }
}

}  // namespace
}  // namespace trapline::soft
