#include "vmm/exit/exit.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <optional>

#include "mmio/agree.h"
#include "mmio/single_access.h"
#include "vmm/host/messages.h"

namespace trapline {
namespace {

// Rule 1: a legal guest may contradict itself for a moment (break-before-make, a stale predecoded
// word). An external abort comes only after this long without progress.
constexpr uint64_t kPatienceNs = 1'000'000'000;
constexpr uint64_t kPatienceRounds = 1000;

uint64_t steady_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

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

ExitClass class_of(ExitKind kind) {
  switch (kind) {
    case ExitKind::kPrefetchAbort:
      return ExitClass::kPrefetchAbort;
    case ExitKind::kSysreg:
      return ExitClass::kSysreg;
    case ExitKind::kHvc:
      return ExitClass::kHvc;
    case ExitKind::kWfi:
    case ExitKind::kWfe:
      return ExitClass::kWfx;
    default:
      return ExitClass::kOther;
  }
}

// What goes to x0, if that depends on x0 and x1 alone.
bool hvc_answer(uint64_t esr, const uint64_t* x, uint64_t& value) {
  if ((esr & 0xffff) == 0) return psci_answer(x[0], x[1], value);
  value = ~uint64_t{0};  // NOT_SUPPORTED
  return true;
}

const Outcome kDone{};

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
    : vcpu_(vcpu), services_(services), instructions_(vcpu, choice) {
  emulate_.gate = services.gate;
  emulate_.observer = &statistics_;
}

AfterExit ExitHandler::handle(const Exit& exit) {
  if (exit.kind != ExitKind::kDataAbort) return handle_other(exit);
  const DataAbort abort{exit.esr};
  const ExitClass exit_class =
      abort.valid() ? ExitClass::kDataAbortIsv1 : ExitClass::kDataAbortIsv0;
  statistics_.exit(exit_class);
  if (statistics_.latency == nullptr) [[likely]] {
    data_abort(exit, abort, NoClock{});
  } else {
    data_abort(exit, abort, StageClock((*statistics_.latency)[static_cast<size_t>(exit_class)]));
  }
  return AfterExit::kResume;
}

ExitSink::Inside ExitHandler::handle_inside(const Exit& exit, CpuView& view) {
  uint64_t* const x = view.regs->x;
  switch (exit.kind) {
    case ExitKind::kSysreg: {
      if (statistics_.latency != nullptr) break;
      statistics_.exit(ExitClass::kSysreg);
      uint64_t value = 0;
      if (!sysreg(exit, value)) return Inside::kEnded;
      if (!exit.sysreg_write) x[exit.sysreg_rt == kRegZr ? kSlotDiscard : exit.sysreg_rt] = value;
      return Inside::kPerformed;
    }
    case ExitKind::kHvc: {
      uint64_t answer;
      if (statistics_.latency != nullptr || !hvc_answer(exit.esr, x, answer)) {
        return Inside::kReturned;
      }
      statistics_.exit(ExitClass::kHvc);
      x[0] = answer;
      return Inside::kPerformed;
    }
    default:
      break;
  }
  handle(exit);
  return Inside::kEnded;
}

// A device that refuses has done nothing: it is asked again on the long way.
bool ExitHandler::perform_inside(uint64_t esr, uint64_t ipa, CpuView& view) {
  using emulation::Single;
  const Access& access = syndrome_access(esr);
  if (statistics_.latency != nullptr || DataAbort{esr}.acquire_release()) return false;
  const Single done =
      emulation::access_at<false>(access, ipa, view, *services_.bus, emulate_, statistics_);
  if (done != Single::kDone) return false;
  statistics_.exit(ExitClass::kDataAbortIsv1);
  stuck_pc_ = ~uint64_t{0};
  return true;
}

AfterExit ExitHandler::handle_other(const Exit& exit) {
  switch (exit.kind) {
    case ExitKind::kBudget:
      return AfterExit::kBudget;
    case ExitKind::kKicked:
      return AfterExit::kKicked;
    case ExitKind::kDebug:
      return AfterExit::kDebug;
    default:
      break;
  }
  const ExitClass exit_class = class_of(exit.kind);
  statistics_.exit(exit_class);
  std::optional<StageClock> clock;
  if (statistics_.latency != nullptr) [[unlikely]] {
    clock.emplace((*statistics_.latency)[static_cast<size_t>(exit_class)]);
  }
  switch (exit.kind) {
    case ExitKind::kSysreg: {
      uint64_t value = 0;
      if (sysreg(exit, value)) vcpu_.complete_sysreg(exit, value);
      return AfterExit::kResume;
    }
    case ExitKind::kHvc:
      return hvc(exit);
    case ExitKind::kWfi:
      return AfterExit::kWait;
    case ExitKind::kWfe:
      return AfterExit::kWaitEvent;
    case ExitKind::kPrefetchAbort:
      log_guest("vcpu %u: instruction fetch from %#" PRIx64 ", where there is no memory", exit.vcpu,
                exit.pc);
      external_abort(exit);
      return AfterExit::kResume;
    case ExitKind::kShutdown:
      return AfterExit::kSystemOff;
    case ExitKind::kReset:
      return AfterExit::kSystemReset;
    case ExitKind::kCrashed:
      return AfterExit::kCrashed;
    default:
      return AfterExit::kFailed;
  }
}

template <typename Clock>
[[gnu::always_inline]] inline void ExitHandler::data_abort(const Exit& exit, DataAbort abort,
                                                           Clock&& clock) {
  // A table walk is never emulated: tables do not live in devices (design: test S1PTW before CM).
  if (abort.s1ptw()) [[unlikely]] {
    return external_abort(exit);
  }
  if (abort.cache_maintenance()) [[unlikely]] {
    return cache_maintenance(exit);
  }
  const Access* found;
  if (abort.valid()) {
    found = &syndrome_access(exit.esr);
  } else {
    const auto status = instructions_.find(exit.pc, found, statistics_, clock);
    if (status != InstructionSource::Status::kOk) [[unlikely]] {
      if (status == InstructionSource::Status::kRetry) return retry(exit, *found, true);
      return unsupported_instruction(exit);
    }
  }

  const Access& access = *found;
  CpuView& view = vcpu_.view(exit, access);
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
        !agrees_with_syndrome(access, va, abort.write(), (exit.valid_mask & Exit::kFar) != 0,
                              exit.far, view)) {
      return retry(exit, access, true);
    }
  }

  using emulation::Single;
  const Single single =
      emulation::single_access(access, va, view, *services_.bus, emulate_, statistics_, plain);
  if (single == Single::kDone) [[likely]] {
    clock.lap(Stage::kEmulate);
    stuck_pc_ = ~uint64_t{0};
    return vcpu_.complete(exit, access, kDone);
  }
  const Outcome outcome = single == Single::kAbort
                              ? Outcome{Outcome::Status::kFault, emulation::refused(access, va), 0}
                              : emulate(access, va, view, services_.bus, emulate_);
  clock.lap(Stage::kEmulate);
  emulated(exit, access, va, outcome);
}

// Any end of an emulation.
void ExitHandler::emulated(const Exit& exit, const Access& access, uint64_t va,
                           const Outcome& outcome) {
  switch (outcome.status) {
    case Outcome::Status::kRetry:
      return retry(exit, access, false);
    case Outcome::Status::kUnsupported:
      ++statistics_.counters.unsupported_accesses;
      log_guest("vcpu %u: unsupported access to a device at pc %#" PRIx64 ", address %#" PRIx64,
                exit.vcpu, exit.pc, va);
      return external_abort(exit);
    case Outcome::Status::kFault:
      if (outcome.fault.ec == 0x24 && outcome.fault.fsc == emulation::kFscExternal) {
        ++statistics_.counters.external_aborts;
        log_guest("vcpu %u: external abort: %s %#" PRIx64 " at pc %#" PRIx64, exit.vcpu,
                  outcome.fault.write ? "write to" : "read of", va, exit.pc);
      }
      break;
    default:
      break;
  }
  stuck_pc_ = ~uint64_t{0};
  vcpu_.complete(exit, access, outcome);
}

void ExitHandler::unsupported_instruction(const Exit& exit) {
  ++statistics_.counters.unsupported_accesses;
  log_guest("vcpu %u: unsupported instruction %08x accesses a device at pc %#" PRIx64, exit.vcpu,
            instructions_.last_word(), exit.pc);
  external_abort(exit);
}

// CM = 1: a device holds nothing that maintenance could reach.
void ExitHandler::cache_maintenance(const Exit& exit) {
  Access maintenance{};
  maintenance.op = Op::kCacheMaintenance;
  vcpu_.complete(exit, maintenance, kDone);
}

// Nothing is emulated: what was remembered of this PC goes, and the guest runs the instruction
// again.
void ExitHandler::retry(const Exit& exit, const Access& access, bool disagreement) {
  ++statistics_.counters.retries;
  if (disagreement) ++statistics_.counters.disagreements;
  instructions_.drop(exit.pc);
  if (patience_is_over(exit)) {
    ++statistics_.counters.stuck_aborts;
    log_guest("vcpu %u: no progress at pc %#" PRIx64 ": external abort", exit.vcpu, exit.pc);
    return external_abort(exit);
  }
  Outcome outcome;
  outcome.status = Outcome::Status::kRetry;
  vcpu_.complete(exit, access, outcome);
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

void ExitHandler::external_abort(const Exit& exit) {
  ++statistics_.counters.external_aborts;
  vcpu_.inject_external_abort(exit);
}

// The device's answer to a read in `value`. False: nobody answers, and UNDEFINED was delivered.
bool ExitHandler::sysreg(const Exit& exit, uint64_t& value) {
  statistics_.sysreg_access(exit.sysreg, exit.sysreg_write);
  // ICC_* have CRn 4 (PMR) or 12; CNT* have CRn 14.
  SysregDevice* device = (exit.sysreg >> 7 & 15) == 14 ? services_.timer : services_.gic;
  const bool known = exit.sysreg_write
                         ? device->sysreg_write(exit.sysreg, exit.vcpu, exit.sysreg_value)
                         : device->sysreg_read(exit.sysreg, exit.vcpu, value);
  if (!known) {
    ++statistics_.counters.undefined;
    vcpu_.inject_undefined(exit);
  }
  return known;
}

AfterExit ExitHandler::hvc(const Exit& exit) {
  uint64_t args[4];
  vcpu_.get_registers(0xf, args);
  uint64_t answer;
  if (hvc_answer(exit.esr, args, answer)) {
    vcpu_.set_register(0, answer);
    return AfterExit::kResume;
  }
  PsciResult result = psci_call(*services_.power, args);
  switch (result.action) {
    case PsciResult::Action::kReturn:
      vcpu_.set_register(0, result.value);
      return AfterExit::kResume;
    case PsciResult::Action::kSuspend:
      vcpu_.set_register(0, result.value);
      return AfterExit::kSuspend;
    case PsciResult::Action::kSuspendEntry:
      restart_entry_ = result.entry;
      restart_context_ = result.context;
      return AfterExit::kRestart;
    case PsciResult::Action::kCpuOff:
      return AfterExit::kCpuOff;
    case PsciResult::Action::kSystemOff:
      return AfterExit::kSystemOff;
    case PsciResult::Action::kSystemReset:
      return AfterExit::kSystemReset;
  }
  return AfterExit::kResume;
}

}  // namespace trapline
