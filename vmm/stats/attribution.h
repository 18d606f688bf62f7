// Exits by what they were: guest instruction, class, device and register. One table a vCPU, written
// only by its thread; any thread may take rows() meanwhile, and merge() their times.
#ifndef TRAPLINE_VMM_STATS_ATTRIBUTION_H_
#define TRAPLINE_VMM_STATS_ATTRIBUTION_H_

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "mmio/sysreg.h"
#include "vmm/exit/observer.h"
#include "vmm/stats/histogram.h"

namespace trapline {

// What an exit reached, in one word: class, and a device's region and register, as VcpuCounters
// tells them apart, or a system register.
class ExitTarget {
 public:
  ExitTarget() = default;
  explicit ExitTarget(const ExitRecord& record) : ExitTarget(record.exit_class) {
    if (record.exit->kind == ExitKind::kSysreg) {
      reach(record.exit->sysreg);
    } else if (record.region != nullptr) {
      uint16_t index = record.region->index;
      uint64_t size = record.region->size, offset = record.offset;
      if (record.region->has_parts) [[unlikely]] {
        offset = register_in_window(*record.region, offset, index);
        size = 0;
      }
      reach(index, size, offset);
    }
  }
  // Of nothing yet.
  explicit ExitTarget(ExitClass c) : bits_(uint64_t{static_cast<uint8_t>(c)} << kClassShift) {}
  void reach(SysregId id) { bits_ |= kSysreg | id; }
  void reach(uint16_t region, uint64_t window_size, uint64_t offset) {
    bits_ |= kDevice | uint64_t{region} << kRegionShift |
             (register_offset(window_size, offset) & kOffsetMask);
  }

  ExitClass exit_class() const { return static_cast<ExitClass>(bits_ >> kClassShift); }
  bool is_sysreg() const { return (bits_ & kSysreg) != 0; }
  bool is_device() const { return (bits_ & kDevice) != 0; }
  SysregId sysreg() const { return static_cast<SysregId>(bits_); }
  size_t region() const { return bits_ >> kRegionShift & 0xffff; }
  uint64_t offset() const { return bits_ & kOffsetMask; }
  uint64_t bits() const { return bits_; }
  friend auto operator<=>(const ExitTarget&, const ExitTarget&) = default;

 private:
  static constexpr unsigned kClassShift = 56, kRegionShift = 32;
  static constexpr uint64_t kSysreg = uint64_t{1} << 54, kDevice = uint64_t{1} << 55;
  static constexpr uint64_t kOffsetMask = 0xffff'ffff;
  uint64_t bits_ = 0;
};

// How many rows all tables of a machine may still make: 4,096 of 9 KB are 36 MB.
struct RowBudget {
  static constexpr size_t kRows = 4096;
  explicit RowBudget(size_t rows = kRows) : left(rows) {}
  std::atomic<size_t> left;
};

class Attribution {
 public:
  struct Row {
    uint64_t pc = 0;  // 0: not told apart
    ExitTarget target;
    uint32_t word = 0;  // the instruction; 0: could not be read
    uint16_t series = 0;
    uint64_t sleep = 0;   // cycles
    uint64_t staged = 0;  // cycles: of the exits whose stages were timed
    std::array<uint64_t, static_cast<size_t>(Stage::kCount)> stages{};  // sums over the same
    Histogram time;                                                     // of all that were recorded
  };

  explicit Attribution(RowBudget& budget);

  // The row of what did not fit is other().
  [[gnu::always_inline]] Row& row(uint64_t pc, ExitTarget target, bool& fresh) {
    const Slot& slot = slots_[home(pc, target)];
    if (slot.row != nullptr && slot.pc == pc && slot.target == target) [[likely]] {
      return *slot.row;
    }
    return find_row(pc, target, fresh);
  }
  [[gnu::always_inline]] static void add(Row& row, const ExitRecord& record) {
    row.time.record(record.total);
    if (record.staged) add_stages(row, record);
  }

  // They live, and stay where they are, until clear().
  std::vector<const Row*> rows() const;
  const Row& other() const { return other_; }
  void clear();

 private:
  static constexpr unsigned kSlotsLog2 = 13;
  static constexpr size_t kSlots = size_t{1} << kSlotsLog2;
  struct Slot {
    uint64_t pc = 0;
    ExitTarget target;
    Row* row = nullptr;
  };
  static size_t home(uint64_t pc, ExitTarget target) {
    return ((pc >> 2 ^ target.bits() * 0xff51afd7ed558ccd) * 0x9e3779b97f4a7c15) >>
           (64 - kSlotsLog2);
  }
  Row& find_row(uint64_t pc, ExitTarget target, bool& fresh);
  static void add_stages(Row& row, const ExitRecord& record);

  RowBudget& budget_;
  std::vector<Slot> slots_;
  mutable std::mutex rows_mutex_;  // of the list, which seldom grows
  std::vector<std::unique_ptr<Row>> rows_;
  Row other_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_ATTRIBUTION_H_
