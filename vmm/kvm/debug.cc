// gdb: the host's debug registers and single step, lent to the guest's debugger by
// KVM_SET_GUEST_DEBUG. Guest memory is left alone.
#include <algorithm>
#include <bit>
#include <utility>

#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::kvm {
namespace {

// EC of ESR_EL2 as KVM_EXIT_DEBUG gives it, D17.2.37.
constexpr unsigned kEcStep = 0x32, kEcWatchpoint = 0x34;
constexpr unsigned ec_of(uint64_t esr) { return static_cast<unsigned>(esr >> 26 & 63); }

// DBGBCR<n>_EL1 and DBGWCR<n>_EL1, D17.3: enabled at EL1 and EL0.
constexpr uint64_t kEnabled = 1, kEl1And0 = 3 << 1, kFourBytes = 15 << 5;

// DBGWCR of a watchpoint: bytes of one doubleword, or an aligned power of two of doublewords. 0: it
// is neither.
uint64_t watch_control(const Watchpoint& w) {
  uint64_t control = kEnabled | kEl1And0 | (w.read ? 1 << 3 : 0) | (w.write ? 1 << 4 : 0);
  const uint64_t first = w.va & 7;
  if (w.size == 0) return 0;
  if (first + w.size <= 8) {
    return control | ((uint64_t{1} << w.size) - 1) << first << 5;  // BAS
  }
  if (!std::has_single_bit(w.size) || (w.va & (w.size - 1)) != 0 || w.size > uint64_t{1} << 31) {
    return 0;
  }
  control |= uint64_t{255} << 5 | static_cast<uint64_t>(std::countr_zero(w.size)) << 24;  // MASK
  return control;
}

}  // namespace

void KvmVcpu::set_breakpoints(const uint64_t* pcs, unsigned count) {
  breakpoints_.assign(pcs, pcs + count);
  stopped_at_ = pc();
  arm_debug();
}

bool KvmVcpu::set_watchpoints(const Watchpoint* list, unsigned count) {
  watchpoints_.clear();
  bool all = count <= shared_.watchpoints;
  for (unsigned i = 0; i < count && all; ++i) all = watch_control(list[i]) != 0;
  if (all) watchpoints_.assign(list, list + count);
  stopped_at_ = pc();
  arm_debug();
  return all;
}

bool KvmVcpu::at_breakpoint(uint64_t pc) const {
  return std::find(breakpoints_.begin(), breakpoints_.end(), pc) != breakpoints_.end();
}

// With more breakpoints than the host has registers: step by step, and a look at each PC.
void KvmVcpu::arm_debug() {
  kvm_guest_debug debug{};
  const bool one_step = stepping_ || passing_;
  const bool by_register = breakpoints_.size() <= shared_.breakpoints;
  if (one_step || !by_register) debug.control |= KVM_GUESTDBG_SINGLESTEP;
  // A step ends behind its instruction, whatever stands there.
  for (size_t i = 0; !one_step && by_register && i < breakpoints_.size(); ++i) {
    debug.arch.dbg_bvr[i] = breakpoints_[i];
    debug.arch.dbg_bcr[i] = kEnabled | kEl1And0 | kFourBytes;
    debug.control |= KVM_GUESTDBG_USE_HW;
  }
  for (size_t i = 0; !passing_ && i < watchpoints_.size(); ++i) {
    debug.arch.dbg_wvr[i] = watchpoints_[i].va & ~uint64_t{7};
    debug.arch.dbg_wcr[i] = watch_control(watchpoints_[i]);
    debug.control |= KVM_GUESTDBG_USE_HW;
  }
  if (debug.control == 0 && !armed_) return;
  armed_ = debug.control != 0;
  if (armed_) debug.control |= KVM_GUESTDBG_ENABLE;
  fd_.call(KVM_SET_GUEST_DEBUG, &debug);
}

// run() begins where the debugger has stopped: it goes on past what stands there.
void KvmVcpu::begin_past() {
  if (!stepping_ && armed_ && pc() == stopped_at_) {
    passing_ = true;
    arm_debug();
  }
  stopped_at_ = kNowhere;
}

KvmVcpu::Next KvmVcpu::debug_stop(ExitSink& sink, bool watched) {
  Exit exit;
  exit.kind = ExitKind::kDebug;
  exit.vcpu = static_cast<uint8_t>(index_);
  exit.pc = stopped_at_ = pc();
  if (watched) {
    exit.valid_mask = Exit::kFar | Exit::kEsr;
    exit.esr = run_->debug.arch.hsr;
    exit.far = run_->debug.arch.far;
  }
  sink.handle(exit, view_);
  return Next::kLeave;
}

// An instruction was executed under single step, by the CPU or by us.
KvmVcpu::Next KvmVcpu::stepped(ExitSink& sink) {
  complete();
  if (stepping_) return debug_stop(sink, false);
  if (std::exchange(passing_, false)) arm_debug();
  return at_breakpoint(pc()) ? debug_stop(sink, false) : Next::kRun;
}

KvmVcpu::Next KvmVcpu::debug(ExitSink& sink) {
  const unsigned ec = ec_of(run_->debug.arch.hsr);
  return ec == kEcStep ? stepped(sink) : debug_stop(sink, ec == kEcWatchpoint);
}

void KvmVcpu::step(ExitSink& sink) {
  stepping_ = true;
  arm_debug();
  run(1, sink);
  stepping_ = false;
  arm_debug();
}

}  // namespace trapline::kvm
