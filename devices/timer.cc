#include "devices/timer.h"

#include <algorithm>

namespace trapline {
namespace {

constexpr uint32_t kStateVersion = 2;

// Of a timer that was handed over: by then the clock's thread does it after all.
constexpr uint64_t kGrace = Clock::kFrequency / 50;

constexpr SysregId kCntfrq = sysreg_id(3, 3, 14, 0, 0);
constexpr SysregId kCntpct = sysreg_id(3, 3, 14, 0, 1);
constexpr SysregId kCntvct = sysreg_id(3, 3, 14, 0, 2);
constexpr SysregId kCntpTval = sysreg_id(3, 3, 14, 2, 0);
constexpr SysregId kCntpCtl = sysreg_id(3, 3, 14, 2, 1);
constexpr SysregId kCntpCval = sysreg_id(3, 3, 14, 2, 2);
constexpr SysregId kCntvTval = sysreg_id(3, 3, 14, 3, 0);
constexpr SysregId kCntvCtl = sysreg_id(3, 3, 14, 3, 1);
constexpr SysregId kCntvCval = sysreg_id(3, 3, 14, 3, 2);
constexpr SysregId kCntvoff = sysreg_id(3, 4, 14, 0, 3);
constexpr SysregId kCnthpTval = sysreg_id(3, 4, 14, 2, 0);
constexpr SysregId kCnthpCtl = sysreg_id(3, 4, 14, 2, 1);
constexpr SysregId kCnthpCval = sysreg_id(3, 4, 14, 2, 2);
constexpr SysregId kCnthvTval = sysreg_id(3, 4, 14, 3, 0);
constexpr SysregId kCnthvCtl = sysreg_id(3, 4, 14, 3, 1);
constexpr SysregId kCnthvCval = sysreg_id(3, 4, 14, 3, 2);

constexpr uint64_t with_half(uint64_t old, unsigned half, uint32_t value) {
  const unsigned shift = half * 32;
  return (old & ~(uint64_t{0xffff'ffff} << shift)) | uint64_t{value} << shift;
}

}  // namespace

// --- CompareTimer
// ------------------------------------------------------------------------------------

CompareTimer::~CompareTimer() {
  Clock::Handle last;
  {
    std::lock_guard lock(mutex_);
    last = alarm_.retire();
  }
  alarm_.cancel(last);
}

void CompareTimer::set_line(bool level) {
  if (level == level_) return;
  level_ = level;
  if (line_ != nullptr) line_->set(level);
}

bool CompareTimer::met(uint64_t now) {
  const bool met = now - offset_ >= compare_;
  if (met && (control_ & (kEnable | kImask)) == kEnable) {
    set_line(true);
    set_due(kNever);
  }
  return met;
}

Clock::Handle CompareTimer::update() {
  if ((control_ & (kEnable | kImask)) != kEnable) {
    set_due(kNever);
    set_line(false);
    return 0;  // an armed alarm finds nothing to do
  }
  const uint64_t now = clock_.now();
  if (met(now)) return 0;
  set_line(false);
  const uint64_t wait = compare_ - (now - offset_);
  if (wait > Alarm::kHorizon) {
    set_due(kNever);
    return 0;
  }
  set_due(now + wait);
  return alarm_.arm(now, now + wait);
}

void CompareTimer::fire(void* self, uint64_t generation) {
  auto* timer = static_cast<CompareTimer*>(self);
  std::lock_guard lock(timer->mutex_);
  if (!timer->alarm_.accept(generation)) return;
  // Nothing is armed now, so nothing becomes stale.
  (void)timer->update();
}

uint32_t CompareTimer::control() {
  std::lock_guard lock(mutex_);
  if ((control_ & kEnable) == 0) return control_;
  return control_ | (met(clock_.now()) ? kIstatus : 0u);
}

uint64_t CompareTimer::compare() {
  std::lock_guard lock(mutex_);
  return compare_;
}

uint64_t CompareTimer::offset() {
  std::lock_guard lock(mutex_);
  return offset_;
}

uint32_t CompareTimer::remaining() {
  std::lock_guard lock(mutex_);
  const uint64_t now = clock_.now();
  met(now);
  return static_cast<uint32_t>(compare_ - (now - offset_));
}

uint64_t CompareTimer::count() {
  std::lock_guard lock(mutex_);
  const uint64_t now = clock_.now();
  met(now);
  return now - offset_;
}

void CompareTimer::look() { count(); }

uint64_t CompareTimer::hand_over() {
  std::lock_guard lock(mutex_);
  if ((control_ & (kEnable | kImask)) != kEnable || level_) return kNever;
  const uint64_t now = clock_.now();
  if (met(now)) return now;
  const uint64_t wait = compare_ - (now - offset_);
  if (wait > Alarm::kHorizon) return kNever;
  alarm_.postpone(now + wait + kGrace);
  return now + wait;
}

void CompareTimer::take_over() {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    stale = update();
  }
  alarm_.cancel(stale);
}

void CompareTimer::set_control(uint32_t value) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    control_ = value & (kEnable | kImask);
    stale = update();
  }
  alarm_.cancel(stale);
}

void CompareTimer::set_compare(uint64_t value) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    compare_ = value;
    stale = update();
  }
  alarm_.cancel(stale);
}

void CompareTimer::set_compare_half(unsigned half, uint32_t value) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    compare_ = with_half(compare_, half, value);
    stale = update();
  }
  alarm_.cancel(stale);
}

void CompareTimer::set_remaining(uint32_t value) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    const auto delta = static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)});
    compare_ = clock_.now() - offset_ + delta;
    stale = update();
  }
  alarm_.cancel(stale);
}

void CompareTimer::set_offset(uint64_t value) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    offset_ = value;
    stale = update();
  }
  alarm_.cancel(stale);
}

void CompareTimer::set_offset_half(unsigned half, uint32_t value) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    offset_ = with_half(offset_, half, value);
    stale = update();
  }
  alarm_.cancel(stale);
}

void CompareTimer::reset() {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    control_ = 0;
    compare_ = 0;
    offset_ = 0;
    stale = alarm_.disarm();
    set_due(kNever);
    level_ = true;  // whatever the wire says now, say low
    set_line(false);
  }
  alarm_.cancel(stale);
}

void CompareTimer::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(control_);
  out.put(compare_);
  out.put(offset_);
}

bool CompareTimer::load(StateReader& in) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    control_ = in.get<uint32_t>() & (kEnable | kImask);
    compare_ = in.get<uint64_t>();
    offset_ = in.get<uint64_t>();
    stale = alarm_.disarm();
    (void)update();                            // nothing is armed now, so nothing becomes stale
    if (line_ != nullptr) line_->set(level_);  // whatever the wire says now, and in one step
  }
  alarm_.cancel(stale);
  return in.ok();
}

// --- GenericTimer
// ------------------------------------------------------------------------------------

GenericTimer::GenericTimer(Clock& clock, unsigned num_cpus) {
  for (unsigned n = 0; n < num_cpus; ++n) cpus_.emplace_back(clock);
}

void GenericTimer::connect(unsigned cpu, IrqLine* virtual_line, IrqLine* physical_line) {
  cpus_[cpu].virt.connect(virtual_line);
  cpus_[cpu].physical.connect(physical_line);
}

void GenericTimer::publish_due(unsigned cpu, std::atomic<uint64_t>* virtual_due,
                               std::atomic<uint64_t>* physical_due) {
  cpus_[cpu].virt.publish_due(virtual_due);
  cpus_[cpu].physical.publish_due(physical_due);
}

void GenericTimer::connect_el2(unsigned cpu, IrqLine* virtual_line, IrqLine* physical_line) {
  cpus_[cpu].el2_virtual.connect(virtual_line);
  cpus_[cpu].el2_physical.connect(physical_line);
}

CompareTimer* GenericTimer::find(SysregId id, unsigned vcpu) {
  Cpu& cpu = cpus_[vcpu];
  switch (id) {
    case kCntpTval:
    case kCntpCtl:
    case kCntpCval:
      return &cpu.physical;
    case kCntvTval:
    case kCntvCtl:
    case kCntvCval:
      return &cpu.virt;
    case kCnthpTval:
    case kCnthpCtl:
    case kCnthpCval:
      return &cpu.el2_physical;
    case kCnthvTval:
    case kCnthvCtl:
    case kCnthvCval:
      return &cpu.el2_virtual;
    default:
      return nullptr;
  }
}

namespace {

enum TimerRegister : unsigned { kTval = 0, kCtl = 1, kCval = 2 };  // op2 of all of them

}  // namespace

bool GenericTimer::sysreg_read(SysregId id, unsigned vcpu, uint64_t& value) {
  if (vcpu >= cpus_.size()) return false;
  if (CompareTimer* timer = find(id, vcpu)) {
    const unsigned which = id & 7;
    value = which == kCtl    ? timer->control()
            : which == kCval ? timer->compare()
                             : timer->remaining();
    return true;
  }
  Cpu& cpu = cpus_[vcpu];
  switch (id) {
    case kCntvct:  // without EL2 CNTVOFF is 0: both are the counter, and show either condition
    case kCntpct:
      value = cpu.virt.count();
      cpu.physical.look();
      return true;
    case kCntfrq:
      value = Clock::kFrequency;
      return true;
    case kCntvoff:
      value = cpu.virt.offset();
      return true;
    default:
      return false;
  }
}

bool GenericTimer::sysreg_write(SysregId id, unsigned vcpu, uint64_t value) {
  if (vcpu >= cpus_.size()) return false;
  if (CompareTimer* timer = find(id, vcpu)) {
    switch (id & 7) {
      case kCtl:
        timer->set_control(static_cast<uint32_t>(value));
        break;
      case kCval:
        timer->set_compare(value);
        break;
      default:
        timer->set_remaining(static_cast<uint32_t>(value));
        break;
    }
    return true;
  }
  switch (id) {
    case kCntvoff:
      cpus_[vcpu].virt.set_offset(value);
      return true;
    case kCntfrq:
      // Writable at the highest EL. It never changes the counter's rate (D11.1.2), and what it
      // reads as is fixed.
      return true;
    default:
      return false;
  }
}

std::string_view GenericTimer::register_name(SysregId id) const {
  switch (id) {
    case kCntfrq:
      return "CNTFRQ_EL0";
    case kCntpct:
      return "CNTPCT_EL0";
    case kCntvct:
      return "CNTVCT_EL0";
    case kCntpTval:
      return "CNTP_TVAL_EL0";
    case kCntpCtl:
      return "CNTP_CTL_EL0";
    case kCntpCval:
      return "CNTP_CVAL_EL0";
    case kCntvTval:
      return "CNTV_TVAL_EL0";
    case kCntvCtl:
      return "CNTV_CTL_EL0";
    case kCntvCval:
      return "CNTV_CVAL_EL0";
    case kCntvoff:
      return "CNTVOFF_EL2";
    case kCnthpTval:
      return "CNTHP_TVAL_EL2";
    case kCnthpCtl:
      return "CNTHP_CTL_EL2";
    case kCnthpCval:
      return "CNTHP_CVAL_EL2";
    case kCnthvTval:
      return "CNTHV_TVAL_EL2";
    case kCnthvCtl:
      return "CNTHV_CTL_EL2";
    case kCnthvCval:
      return "CNTHV_CVAL_EL2";
    default:
      return {};
  }
}

uint64_t GenericTimer::falls_asleep(unsigned cpu) {
  return std::min(cpus_[cpu].virt.hand_over(), cpus_[cpu].physical.hand_over());
}

void GenericTimer::wakes(unsigned cpu) {
  cpus_[cpu].virt.take_over();
  cpus_[cpu].physical.take_over();
}

void GenericTimer::reset() {
  for (unsigned n = 0; n < cpus_.size(); ++n) reset_cpu(n);
}

void GenericTimer::reset_cpu(unsigned cpu) {
  for (CompareTimer* timer : all(cpus_[cpu])) timer->reset();
}

void GenericTimer::save(StateWriter& out) const {
  out.put(kStateVersion);
  out.put(static_cast<uint32_t>(cpus_.size()));
  for (const Cpu& cpu : cpus_) {
    for (const CompareTimer* timer : all(cpu)) timer->save(out);
  }
}

bool GenericTimer::load(StateReader& in) {
  if (in.get<uint32_t>() != kStateVersion || in.get<uint32_t>() != cpus_.size()) return false;
  for (Cpu& cpu : cpus_) {
    for (CompareTimer* timer : all(cpu)) {
      if (!timer->load(in)) return false;
    }
  }
  return true;
}

}  // namespace trapline
