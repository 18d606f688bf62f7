#include "vmm/stats/attribution.h"

#include <utility>

namespace trapline {

Attribution::Attribution(RowBudget& budget) : budget_(budget), slots_(kSlots) {}

// Linear probing; a guest that sprays PCs fills the table and lands in other_.
Attribution::Row& Attribution::find_row(uint64_t pc, ExitTarget target, bool& fresh) {
  constexpr size_t kProbes = 16;
  size_t at = home(pc, target);
  for (size_t probe = 0; probe < kProbes; ++probe, at = (at + 1) % kSlots) {
    Slot& slot = slots_[at];
    if (slot.row != nullptr) {
      if (slot.pc == pc && slot.target == target) return *slot.row;
      continue;
    }
    size_t left = budget_.left.load(std::memory_order_relaxed);
    do {
      if (left == 0) return other_;
    } while (!budget_.left.compare_exchange_weak(left, left - 1, std::memory_order_relaxed));
    auto row = std::make_unique<Row>();
    row->pc = pc;
    row->target = target;
    slot = {pc, target, row.get()};
    std::lock_guard lock(rows_mutex_);
    rows_.push_back(std::move(row));
    fresh = true;
    return *slot.row;
  }
  return other_;
}

std::vector<const Attribution::Row*> Attribution::rows() const {
  std::lock_guard lock(rows_mutex_);
  std::vector<const Row*> rows;
  rows.reserve(rows_.size());
  for (const auto& row : rows_) rows.push_back(row.get());
  return rows;
}

void Attribution::add_stages(Row& row, const ExitRecord& record) {
  bump(row.staged, record.total);
  for (size_t i = 0; i < row.stages.size(); ++i) {
    if ((record.stages_passed >> i & 1) != 0) bump(row.stages[i], record.stages[i]);
  }
}

void Attribution::clear() {
  budget_.left.fetch_add(rows_.size(), std::memory_order_relaxed);
  rows_.clear();
  slots_.assign(kSlots, {});
  other_ = Row{};
}

}  // namespace trapline
