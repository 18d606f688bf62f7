#include "vmm/stats/attribution.h"

#include <gtest/gtest.h>

#include "vmm/stats/timeline.h"

namespace trapline {
namespace {

ExitRecord record_of(const Exit& exit, ExitClass c, uint64_t total) {
  ExitRecord record;
  record.exit = &exit;
  record.exit_class = c;
  record.total = total;
  return record;
}

Exit read_of(SysregId id) {
  Exit exit;
  exit.kind = ExitKind::kSysreg;
  exit.sysreg = id;
  return exit;
}

TEST(Attribution, TellsApartPcsClassesAndRegisters) {
  RowBudget budget;
  Attribution table(budget);
  const Exit iar = read_of(sysreg_id(3, 0, 12, 12, 0)), eoi = read_of(sysreg_id(3, 0, 12, 12, 1));
  for (const Exit* exit : {&iar, &eoi, &iar}) {
    for (const uint64_t pc : {uint64_t{0x1000}, uint64_t{0x1004}}) {
      const ExitRecord record = record_of(*exit, ExitClass::kSysreg, 100);
      bool fresh = false;
      Attribution::add(table.row(pc, ExitTarget(record), fresh), record);
    }
  }
  ASSERT_EQ(table.rows().size(), 4u);
  uint64_t total = 0;
  for (const auto& row : table.rows()) {
    EXPECT_TRUE(row->target.is_sysreg());
    EXPECT_EQ(row->time.count(), row->target.sysreg() == iar.sysreg ? 2u : 1u);
    total += row->time.count();
  }
  EXPECT_EQ(total, 6u);
}

TEST(Attribution, WhatDoesNotFitIsCountedAsOther) {
  RowBudget budget;
  Attribution table(budget), second(budget);
  const Exit exit = read_of(sysreg_id(3, 0, 12, 12, 0));
  const ExitRecord record = record_of(exit, ExitClass::kSysreg, 7);
  constexpr uint64_t kExits = 3 * RowBudget::kRows;
  for (uint64_t i = 0; i < kExits; ++i) {
    bool fresh = false;
    Attribution::add((i % 2 == 0 ? table : second).row(4 * i, ExitTarget(record), fresh), record);
  }
  EXPECT_EQ(table.rows().size() + second.rows().size(), RowBudget::kRows);
  uint64_t total = table.other().time.count() + second.other().time.count();
  for (const Attribution* one : {&table, &second}) {
    for (const auto& row : one->rows()) total += row->time.count();
  }
  EXPECT_EQ(total, kExits);
  table.clear();
  EXPECT_TRUE(table.rows().empty());
  EXPECT_GT(budget.left.load(), 0u);
}

TEST(Timeline, ALongRunStaysWithinItsSlices) {
  Timeline timeline;
  const Exit exit = read_of(sysreg_id(3, 0, 12, 12, 0));
  const ExitRecord record = record_of(exit, ExitClass::kSysreg, 7);
  const uint16_t series = timeline.series_of(ExitTarget(record));
  EXPECT_NE(series, 0);
  EXPECT_EQ(timeline.series_of(ExitTarget(record)), series);
  uint64_t counted = 0;
  for (uint64_t at = 0; at < uint64_t{1} << 36; at += 1 << 24, ++counted)
    timeline.count(series, at);
  const auto all = timeline.series(timeline.slice_log2() + 1);
  uint64_t sum = 0;
  for (const uint64_t n : all[series].counts) sum += n;
  EXPECT_EQ(sum, counted);
  EXPECT_EQ(all[series].counts.back(), 0u);
}

}  // namespace
}  // namespace trapline
