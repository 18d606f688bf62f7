// The two stages together.
#include "tests/vmm/soft/system_fixture.h"
#include "vmm/soft/mmu.h"

namespace trapline::soft {
namespace {

using Kind = MmuResult::Kind;

TEST_F(SystemTest, Stage2OfTheOutput) {
  struct Row {
    const char* name;
    uint64_t ipa;
    WalkFor purpose;
    Kind kind;
    unsigned fsc;
    bool ipa_valid;
  } constexpr kRows[] = {
      {"RAM", 0x4020'0000, WalkFor::kReadWrite, Kind::kOk, 0, true},
      {"RAM fetch", 0x4020'0000, WalkFor::kFetch, Kind::kOk, 0, true},
      {"hole, level 1", 0x8000'0000, WalkFor::kRead, Kind::kStage2Fault, 0x05, true},
      {"hole, level 2", 0x0900'0000, WalkFor::kWrite, Kind::kStage2Fault, 0x06, true},
      {"flash read", 0x1000, WalkFor::kRead, Kind::kOk, 0, true},
      {"flash write", 0x1000, WalkFor::kWrite, Kind::kStage2Fault, 0x0f, false},
      {"flash read-modify-write", 0x1000, WalkFor::kReadWrite, Kind::kStage2Fault, 0x0f, false},
      {"walk-only read", 0x10'1000, WalkFor::kRead, Kind::kStage2Fault, 0x0f, false},
      {"walk-only fetch", 0x10'1000, WalkFor::kFetch, Kind::kOk, 0, true},
  };
  for (const Row& row : kRows) {
    vcpu->reset(0, 0);
    const MmuResult off = mmu_translate(cpu(), row.ipa + 8, row.purpose, false);
    mmu_on();
    map_page(0x7000, row.ipa, kPte | kPteNormal);
    const MmuResult on = mmu_translate(cpu(), 0x7008, row.purpose, false);
    for (const MmuResult& result : {off, on}) {
      ASSERT_EQ(result.kind, row.kind) << row.name;
      EXPECT_EQ(result.ipa, row.ipa + 8) << row.name;
      EXPECT_EQ(result.ipa_valid, row.ipa_valid) << row.name;
      EXPECT_FALSE(result.s1ptw) << row.name;
      if (row.kind == Kind::kOk) {
        EXPECT_EQ(result.host, memory.host(row.ipa + 8, 1)) << row.name;
      } else {
        EXPECT_EQ(result.fsc, row.fsc) << row.name;
      }
    }
  }
}

TEST_F(SystemTest, CombinedAttributes) {
  mmu_on();
  map_page(0x7000, 0x1000, kPte | kPteNormal | kPteUser);
  const MmuResult normal = mmu_translate(cpu(), 0x7000, WalkFor::kRead, true);
  EXPECT_TRUE(normal.readable);
  EXPECT_FALSE(normal.writable);  // stage 2 says read-only
  EXPECT_TRUE(normal.executable);
  EXPECT_FALSE(normal.device);
  EXPECT_EQ(normal.page_log2, 12);
  map_page(0x8000, kRam, kPte);  // AttrIndx 0
  EXPECT_TRUE(mmu_translate(cpu(), 0x8000, WalkFor::kRead, false).device);
}

TEST_F(SystemTest, FaultsOnTheWalk) {
  mmu_on();
  struct Row {
    const char* name;
    uint64_t table;
    unsigned fsc;
  } constexpr kRows[] = {{"hole", 0x0900'0000, 0x06}, {"outside", 0x8000'0000, 0x05}};
  for (const Row& row : kRows) {
    cpu().sys.el1.ttbr0 = row.table;
    update_regime(cpu());
    const MmuResult result = mmu_translate(cpu(), 0x0000'0080'0000'7123, WalkFor::kWrite, false);
    EXPECT_EQ(result.kind, Kind::kStage2Fault) << row.name;
    EXPECT_TRUE(result.s1ptw) << row.name;
    EXPECT_TRUE(result.ipa_valid) << row.name;
    EXPECT_EQ(result.ipa & ~kPageMask, row.table) << row.name;
    EXPECT_EQ(result.fsc, row.fsc) << row.name;
  }
  // Tables in walk-only memory (`--flash trapped`) and in flash work.
  for (uint64_t base : {kWalkOnly, kFlash}) {
    cpu().sys.el1.ttbr0 = base;
    cpu().sys.el1.tcr = (cpu().sys.el1.tcr & ~uint64_t{63}) | 39;  // 25 bits: levels 2 and 3
    update_regime(cpu());
    auto* tables = reinterpret_cast<uint64_t*>(memory.host(base, 0x2000));
    tables[0] = (base + 0x1000) | 3;
    tables[512 + 7] = 0x4020'0000 | kPte | kPteNormal;
    const MmuResult result = mmu_translate(cpu(), 0x7123, WalkFor::kWrite, false);
    EXPECT_EQ(result.kind, Kind::kOk) << base;
    EXPECT_EQ(result.ipa, 0x4020'0123u) << base;
  }
}

}  // namespace
}  // namespace trapline::soft
