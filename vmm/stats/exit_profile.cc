#include "vmm/stats/exit_profile.h"

#include "vmm/vcpu/host_clock.h"

namespace trapline {

ExitProfile::ExitProfile(unsigned vcpu, uint64_t start, RowBudget& budget, IrqProbe& irqs,
                         unsigned stacks)
    : vcpu_(vcpu), start_(start), irqs_(irqs), rows_(budget) {
  if (stacks != 0) stacks_.emplace(stacks);
}

// The word is read now: code of a kernel's init sections is gone when the report is made.
void ExitProfile::begin_row(Attribution::Row& row, const ExitRecord& record) {
  row.series = timeline_.series_of(row.target);
  if (record.exit->kind == ExitKind::kPrefetchAbort) return;
  const Fetched fetched = record.vcpu->fetch(record.exit->pc);
  if (fetched.ok) row.word = fetched.word;
}

void ExitProfile::exited(const ExitRecord& record) {
  const ExitTarget target(record);
  bool fresh = false;
  Attribution::Row& row = rows_.row(record.exit->pc, target, fresh);
  if (fresh) [[unlikely]] {
    begin_row(row, record);
  }
  Attribution::add(row, record);
  exits_ += record.total;
  timeline_.count(row.series, cycles_between(start_, record.start));
  last_ = &row;
  if (stacks_) stacks_->exited(record, target);
  constexpr SysregId kIar0 = sysreg_id(3, 0, 12, 8, 0), kIar1 = sysreg_id(3, 0, 12, 12, 0);
  if (target.is_sysreg() && !record.write &&
      (target.sysreg() == kIar1 || target.sysreg() == kIar0)) {
    const uint64_t cycles = irqs_.taken(vcpu_, static_cast<unsigned>(record.value & 0xffffff));
    if (cycles != 0) irq_to_iar_.record(cycles);
  }
}

ProfileReading ExitProfile::read() const {
  ProfileReading out;
  out.vcpu = vcpu_;
  const std::vector<const Attribution::Row*> rows = rows_.rows();
  out.rows.reserve(rows.size());
  for (const Attribution::Row* row : rows) out.rows.push_back(*row);
  out.other = rows_.other();
  out.timeline = timeline_;
  out.stacks = stacks_;
  out.irq_to_iar = irq_to_iar_;
  out.kick_to_exit = kick_to_exit_;
  out.guest = run_ > exits_ ? run_ - exits_ : 0;
  out.exits = exits_;
  out.idle = idle_;
  return out;
}

void ExitProfile::slept(uint64_t cycles) {
  idle_ += cycles;
  if (last_ != nullptr) last_->sleep += cycles;
}

}  // namespace trapline
