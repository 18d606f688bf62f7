#include "vmm/exit/exit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <type_traits>
#include <vector>

#include "mmio/agree.h"
#include "mmio/single_access.h"
#include "vmm/exit/stage_clock.h"
#include "vmm/host/messages.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline {
namespace {

// Rule 1: a legal guest may contradict itself for a moment (break-before-make, a stale predecoded
// word). An external abort comes only after this long without progress.
constexpr uint64_t kPatienceNs = 1'000'000'000;
constexpr uint64_t kPatienceRounds = 1000;

constexpr uint64_t kPageOffset = 0xfff;

// effective_address() of an access marked kPlain.
inline uint64_t plain_address(const Access& access, const CpuView& view) {
  const bool before = access.mode == AddressMode::kOffset || access.mode == AddressMode::kPreIndex;
  return view.regs->x[access.rn] + static_cast<uint64_t>(int64_t{before ? access.imm : 0});
}

// access_from_syndrome() of every ISS with ISV, by its bits 23:14 and WnR: an exit reads its Access
// where it would have to put it together.
constexpr auto kSyndromeAccesses = [] {
  std::array<Access, 2048> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    table[i] = access_from_syndrome(DataAbort{(i & 0x3ff) << 14 | (i >> 10) << 6});
  }
  return table;
}();
const Access& syndrome_access(uint64_t esr) {
  return kSyndromeAccesses[(esr >> 14 & 0x3ff) | (esr >> 6 & 1) << 10];
}

// No exit of the guest's: its vCPU is wanted, or has run long enough.
bool is_event(ExitKind kind) {
  return kind == ExitKind::kBudget || kind == ExitKind::kKicked || kind == ExitKind::kDebug;
}

}  // namespace

void log_guest(const char* format, ...) {
  // A token bucket: eight lines at once, then two a second.
  static std::atomic<uint64_t> next_ns{0};
  constexpr uint64_t kPeriod = 500'000'000, kBurst = 8;
  uint64_t now = steady_ns(), next = next_ns.load(std::memory_order_relaxed), base;
  do {
    base = next + kBurst * kPeriod < now ? now - kBurst * kPeriod : next;
    if (base > now) return;
  } while (!next_ns.compare_exchange_weak(next, base + kPeriod));
  va_list args;
  va_start(args, format);
  char line[512];
  std::vsnprintf(line, sizeof line, format, args);
  va_end(args);
  message(fmt::format("trapline: guest: {}\n", line));
}

ExitHandler::ExitHandler(Vcpu& vcpu, const ExitServices& services, InstructionSource::Choice choice)
    : vcpu_(vcpu),
      services_(services),
      instructions_(vcpu, choice),
      takes_brief_(!services.icount) {
  record_.vcpu = &vcpu_;
  record_.fault = &fault;
  emulate_.gate = services.gate;
  emulate_.observer = &counters_;
}

void ExitHandler::add_observer(ExitObserver* observer, Attention attention) {
  (attention == Attention::kSample ? of_samples_ : of_exits_).push_back(observer);
  if (attention == Attention::kEveryAccess) of_accesses_.push_back(observer);
  watch();
}

void ExitHandler::remove_observer(ExitObserver* observer) {
  for (auto* list : {&of_samples_, &of_exits_, &of_accesses_}) std::erase(*list, observer);
  watch();
}

void ExitHandler::watch() {
  wants = !of_accesses_.empty() ? Wants::kAll : !of_exits_.empty() ? Wants::kPc : Wants::kNothing;
  until_observed_ = !of_exits_.empty() ? 1 : !of_samples_.empty() ? next_sample() : kNever;
}

// 1 to 2n - 1, as likely each.
int64_t ExitHandler::next_sample() {
  sample_state_ ^= sample_state_ << 13;
  sample_state_ ^= sample_state_ >> 17;
  sample_state_ ^= sample_state_ << 5;
  const uint64_t span = 2 * uint64_t{sample_every_} - 1;
  return 1 + static_cast<int64_t>(sample_state_ * span >> 32);
}

// --- the way of an exit --------------------------------------------------------------------------

// A device that refuses has done nothing: it is asked again on the long way.
Answer ExitHandler::brief_access(const Exit& exit, CpuView& view) {
  using emulation::Single;
  if (!takes_brief_ || until_observed_ <= 1 || DataAbort{exit.esr}.acquire_release()) {
    return {Resume::kWhole};
  }
  const Single done = emulation::access_at<false>(syndrome_access(exit.esr), exit.ipa, view,
                                                  *services_.bus, emulate_, counters_);
  if (done != Single::kDone) return {Resume::kWhole};
  counters_.exit(ExitClass::kDataAbortIsv1);
  --until_observed_;
  stuck_pc_ = ~uint64_t{0};
  return {Resume::kGoOn};
}

template <typename Clock>
[[gnu::always_inline]] inline Answer ExitHandler::dispatch(const Exit& exit, CpuView& view,
                                                           Clock&& clock) {
  switch (exit.kind) {
    case ExitKind::kDataAbort:
      return data_abort(exit, view, clock);
    case ExitKind::kSysreg: {
      const Answer answer = sysreg(exit, view.regs->x);
      clock.lap(Stage::kEmulate);
      return answer;
    }
    case ExitKind::kHvc: {
      const Answer answer = hvc(exit, view.regs->x);
      clock.lap(Stage::kEmulate);
      return answer;
    }
    default:
      return other(exit);
  }
}

// Jumps only: each kind's function has the frame that it needs.
Answer ExitHandler::handle(const Exit& exit, CpuView& view) {
  if (exit.brief) return brief_access(exit, view);
  if (--until_observed_ > 0) [[likely]] {
    return dispatch(exit, view, NoClock{});
  }
  return observed(exit, view);
}

Answer ExitHandler::observed(const Exit& exit, CpuView& view) {
  if (is_event(exit.kind)) {
    watch();
    return dispatch(exit, view, NoClock{});
  }
  bool sampled = true;
  if (!of_exits_.empty()) {
    until_observed_ = 1;
    sampled = --until_sample_ <= 0;
    if (sampled) until_sample_ = next_sample();
  } else {
    until_observed_ = next_sample();
  }
  ExitRecord& record = record_;
  record.exit = &exit;
  record.exit_class = class_of(exit);
  record.access = nullptr;
  record.region = nullptr;
  record.view = &view;
  record.staged = sampled;
  emulate_.observer = &watcher_;
  CpuView* through = &view;
  for (ExitObserver* o : of_accesses_) through = &o->begins(exit, *through);
  if (sampled) {
    record.stages_passed = 0;
    record.stages.fill(0);
    record.start = host_cycles();
    record.answer = dispatch(exit, *through, StageClock(record));
  } else {
    record.start = host_cycles();
    record.answer = dispatch(exit, *through, NoStages{});
  }
  record.total = cycles_between(record.start, host_cycles());
  emulate_.observer = &counters_;
  if (exit.kind == ExitKind::kSysreg) {
    record.write = exit.sysreg_write;
    record.value = exit.sysreg_write
                       ? exit.sysreg_value
                       : view.regs->x[exit.sysreg_rt == kRegZr ? kSlotDiscard : exit.sysreg_rt];
  }
  if (sampled) {
    for (ExitObserver* o : of_samples_) o->exited(record);
  }
  for (ExitObserver* o : of_exits_) o->exited(record);
  return record.answer;
}

void ExitHandler::Watcher::device_access(const Bus::Region& region, uint64_t offset, unsigned size,
                                         bool write, uint64_t value, bool abort) {
  handler_.counters_.device_access(region, offset, size, write, value, abort);
  ExitRecord& record = handler_.record_;
  if (record.region != nullptr) [[unlikely]] {
    handler_.tell_access();
  }
  record.region = &region;
  record.offset = offset;
  record.size = static_cast<uint8_t>(size);
  record.write = write;
  record.value = value;
  record.abort = abort;
}

[[gnu::noinline]] void ExitHandler::tell_access() {
  for (ExitObserver* o : of_accesses_) o->accessed(record_);
}

void ExitHandler::Watcher::unmapped_access(uint64_t ipa, unsigned size, bool write) {
  handler_.counters_.unmapped_access(ipa, size, write);
}

// --- data aborts ---------------------------------------------------------------------------------

template <typename Clock>
[[gnu::noinline]] Answer ExitHandler::data_abort(const Exit& exit, CpuView& view, Clock& clock) {
  const DataAbort abort{exit.esr};
  counters_.exit(abort.valid() ? ExitClass::kDataAbortIsv1 : ExitClass::kDataAbortIsv0);
  return resumed(perform(exit, abort, view, clock));
}

template <typename Clock>
[[gnu::always_inline]] inline Resume ExitHandler::perform(const Exit& exit, DataAbort abort,
                                                          CpuView& view, Clock& clock) {
  constexpr bool kObserved = Clock::kObserved;
  // A table walk is never emulated: tables do not live in devices (design: test S1PTW before CM).
  if (abort.s1ptw()) [[unlikely]] {
    return external_abort(exit);
  }
  // A device holds nothing that cache maintenance could reach.
  if (abort.cache_maintenance()) [[unlikely]] {
    return Resume::kGoOn;
  }
  const Access* found;
  if (abort.valid()) {
    found = &syndrome_access(exit.esr);
  } else {
    const auto status = instructions_.find(exit.pc, found, counters_, clock);
    if (status != InstructionSource::Status::kOk) [[unlikely]] {
      if (status == InstructionSource::Status::kRetry) return retry(exit, true);
      return unsupported_instruction(exit);
    }
  }

  const Access& access = *found;
  if constexpr (kObserved) record_.access = found;
  // The page of the fault is translated already: by the hardware, for this very access.
  constexpr uint8_t kBoth = Exit::kFar | Exit::kIpa;
  const bool page_known = (exit.valid_mask & kBoth) == kBoth && !abort.far_not_valid();
  view.known_va_page = page_known ? exit.far & ~kPageOffset : ~uint64_t{0};
  view.known_ipa_page = exit.ipa & ~kPageOffset;

  uint64_t va = exit.far;
  bool plain = false;
  if (abort.valid()) {
    // Without FAR the view identity-maps.
    if (!page_known && (exit.valid_mask & Exit::kFar) == 0) va = exit.ipa;
  } else {
    plain = access.spare == emulation::kPlain;
    va = plain ? plain_address(access, view) : effective_address(access, view);
    // What agrees_with_syndrome() asks, of an access of one element.
    static_assert(static_cast<uint8_t>(Op::kStore) == static_cast<uint8_t>(Op::kLoad) + 1);
    const unsigned op = static_cast<unsigned>(Op::kLoad) + abort.write();
    if (!(plain && page_known && va == exit.far && static_cast<unsigned>(access.op) == op) &&
        !agrees(exit, access, abort.write(), va, view)) {
      return retry(exit, true);
    }
  }

  using emulation::Single;
  std::conditional_t<kObserved, Watcher, VcpuCounters>* observer;
  if constexpr (kObserved) {
    observer = &watcher_;
  } else {
    observer = &counters_;
  }
  const Single single =
      emulation::single_access(access, va, view, *services_.bus, emulate_, *observer, plain);
  if (single == Single::kDone) [[likely]] {
    clock.lap(Stage::kEmulate);
    stuck_pc_ = ~uint64_t{0};
    return Resume::kGoOn;
  }
  const Outcome outcome = single == Single::kAbort
                              ? Outcome{Outcome::Status::kFault, emulation::refused(access, va), 0}
                              : emulate(access, va, view, services_.bus, emulate_);
  clock.lap(Stage::kEmulate);
  return emulated(exit, va, outcome);
}

// Rule 1, where it is not plain to see. Without FAR the backend knows the IPA to the byte, and the
// registers from which `va` was made are still to be brought.
[[gnu::noinline]] bool ExitHandler::agrees(const Exit& exit, const Access& access, bool write,
                                           uint64_t& va, CpuView& view) {
  const bool far_known = (exit.valid_mask & Exit::kFar) != 0;
  if (far_known || (exit.valid_mask & Exit::kIpa) == 0) {
    return agrees_with_syndrome(access, va, write, far_known, exit.far, view);
  }
  vcpu_.bring(access);
  va = effective_address(access, view);
  return agrees_with_ipa(access, va, write, exit.ipa, view);
}

// Any end of an emulation.
Resume ExitHandler::emulated(const Exit& exit, uint64_t va, const Outcome& outcome) {
  switch (outcome.status) {
    case Outcome::Status::kRetry:
      return retry(exit, false);
    case Outcome::Status::kUnsupported:
    case Outcome::Status::kNeedsExit:  // not with a bus
      bump(counters_.counters.unsupported_accesses);
      log_guest("vcpu %u: unsupported access to a device at pc %#" PRIx64 ", address %#" PRIx64,
                exit.vcpu, exit.pc, va);
      return external_abort(exit);
    case Outcome::Status::kFault:
      if (outcome.fault.ec == 0x24 && outcome.fault.fsc == emulation::kFscExternal) {
        bump(counters_.counters.external_aborts);
        log_guest("vcpu %u: external abort: %s %#" PRIx64 " at pc %#" PRIx64, exit.vcpu,
                  outcome.fault.write ? "write to" : "read of", va, exit.pc);
      }
      stuck_pc_ = ~uint64_t{0};
      fault = outcome.fault;
      return Resume::kFault;
    case Outcome::Status::kProgress:
      stuck_pc_ = ~uint64_t{0};
      return Resume::kAgain;
    case Outcome::Status::kDone:
      break;
  }
  stuck_pc_ = ~uint64_t{0};
  return Resume::kGoOn;
}

Resume ExitHandler::unsupported_instruction(const Exit& exit) {
  bump(counters_.counters.unsupported_accesses);
  log_guest("vcpu %u: unsupported instruction %08x accesses a device at pc %#" PRIx64, exit.vcpu,
            instructions_.last_word(), exit.pc);
  return external_abort(exit);
}

// Nothing is emulated: what was remembered of this PC goes, and the guest runs the instruction
// again.
Resume ExitHandler::retry(const Exit& exit, bool disagreement) {
  bump(counters_.counters.retries);
  if (disagreement) bump(counters_.counters.disagreements);
  instructions_.drop(exit.pc);
  if (!patience_is_over(exit)) return Resume::kAgain;
  bump(counters_.counters.stuck_aborts);
  log_guest("vcpu %u: no progress at pc %#" PRIx64 ": external abort", exit.vcpu, exit.pc);
  return external_abort(exit);
}

bool ExitHandler::patience_is_over(const Exit& exit) {
  if (stuck_pc_ != exit.pc) {
    stuck_pc_ = exit.pc;
    stuck_rounds_ = 0;
    if (!services_.icount) stuck_since_ns_ = steady_ns();
    return false;
  }
  ++stuck_rounds_;
  bool over = services_.icount ? stuck_rounds_ >= kPatienceRounds
                               : steady_ns() - stuck_since_ns_ >= kPatienceNs;
  if (over) stuck_pc_ = ~uint64_t{0};
  return over;
}

// Of what the exit tried to reach: synchronous, on the access or on the walk to it.
Resume ExitHandler::external_abort(const Exit& exit) {
  constexpr uint8_t kPrefetch = 0x20, kData = 0x24;  // EC, from a lower EL
  bump(counters_.counters.external_aborts);
  const bool prefetch = exit.kind == ExitKind::kPrefetchAbort;
  const bool far_known = (exit.valid_mask & Exit::kFar) != 0;
  const DataAbort abort{exit.esr};
  fault = {.far = far_known ? exit.far : 0, .fsc = emulation::kFscExternal, .write = false};
  fault.ec = prefetch ? kPrefetch : kData;
  if (abort.s1ptw() && far_known) {
    const WalkFor purpose = prefetch ? WalkFor::kFetch : WalkFor::kRead;
    fault.fsc = fsc_at(kFscExternalOnWalk, vcpu_.look_up(exit.far, purpose, false).level);
  }
  if (!far_known) fault.iss |= iss::kFnv;
  if (!prefetch) {
    fault.write = abort.write();
    fault.iss |= static_cast<uint32_t>(exit.esr) & iss::kCm;
  }
  return Resume::kFault;
}

// --- other exits ---------------------------------------------------------------------------------

Answer ExitHandler::other(const Exit& exit) {
  if (is_event(exit.kind)) {
    if (exit.kind == ExitKind::kKicked) return leave(exit, AfterExit::kKicked);
    if (exit.kind == ExitKind::kDebug) return leave(exit, AfterExit::kDebug);
    return {Resume::kLeave};
  }
  counters_.exit(class_of(exit));
  switch (exit.kind) {
    case ExitKind::kWfi:
      return leave(exit, AfterExit::kWait);
    case ExitKind::kWfe:
      return leave(exit, AfterExit::kWaitEvent);
    case ExitKind::kPrefetchAbort:
      log_guest("vcpu %u: instruction fetch from %#" PRIx64 ", where there is no memory", exit.vcpu,
                exit.pc);
      return resumed(external_abort(exit));
    case ExitKind::kShutdown:
      return leave(exit, AfterExit::kSystemOff);
    case ExitKind::kReset:
      return leave(exit, AfterExit::kSystemReset);
    case ExitKind::kCrashed:
      return leave(exit, AfterExit::kCrashed);
    default:
      return leave(exit, AfterExit::kFailed);
  }
}

// MRS, MSR of a register that a device answers for. `x`: GeneralRegisters.
Answer ExitHandler::sysreg(const Exit& exit, uint64_t* x) {
  counters_.exit(ExitClass::kSysreg);
  counters_.sysreg_access(exit.sysreg, exit.sysreg_write);
  // ICC_* have CRn 4 (PMR) or 12; CNT* have CRn 14.
  SysregDevice* device = (exit.sysreg >> 7 & 15) == 14 ? services_.timer : services_.gic;
  uint64_t value = exit.sysreg_value;
  const bool known = exit.sysreg_write ? device->sysreg_write(exit.sysreg, exit.vcpu, value)
                                       : device->sysreg_read(exit.sysreg, exit.vcpu, value);
  if (!known) {
    bump(counters_.counters.undefined);
    fault = {.far = 0, .fsc = 0, .write = false, .ec = 0};
    return resumed(Resume::kFault);
  }
  if (!exit.sysreg_write) x[exit.sysreg_rt == kRegZr ? kSlotDiscard : exit.sysreg_rt] = value;
  return resumed(Resume::kGoOn);
}

Answer ExitHandler::hvc(const Exit& exit, uint64_t* x) {
  counters_.exit(ExitClass::kHvc);
  uint64_t answer = ~uint64_t{0};  // NOT_SUPPORTED
  if ((exit.esr & 0xffff) != 0 || psci_answer(x[0], x[1], answer)) {
    x[0] = answer;
    return resumed(Resume::kGoOn);
  }
  return power_call(exit, x);
}

// PSCI that asks something of the machine.
[[gnu::noinline]] Answer ExitHandler::power_call(const Exit& exit, uint64_t* x) {
  const PsciResult result = psci_call(*services_.power, x);
  switch (result.action) {
    case PsciResult::Action::kReturn:
      x[0] = result.value;
      return resumed(Resume::kGoOn);
    case PsciResult::Action::kSuspend:
      x[0] = result.value;
      return leave(exit, AfterExit::kWait);
    case PsciResult::Action::kSuspendEntry:
      restart_entry_ = result.entry;
      restart_context_ = result.context;
      return leave(exit, AfterExit::kRestart);
    case PsciResult::Action::kCpuOff:
      return leave(exit, AfterExit::kCpuOff);
    case PsciResult::Action::kSystemOff:
      return leave(exit, AfterExit::kSystemOff);
    case PsciResult::Action::kSystemReset:
      return leave(exit, AfterExit::kSystemReset);
  }
  return resumed(Resume::kGoOn);
}

}  // namespace trapline
