// Exceptions that the guest gets instead of its access: an external abort by KVM's own means, any
// other by writing the registers as AArch64.TakeException (J1.3.1) does.
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/hypervisor.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::kvm {
namespace {

constexpr uint8_t kDataAbortLower = 0x24, kPrefetchAbortLower = 0x20;

bool has_far(uint8_t ec) {
  return ec == kDataAbortLower || ec == kPrefetchAbortLower || ec == 0x22;
}

// Where an exception of EL1 or EL2 goes.
struct Target {
  uint64_t esr, far, elr, spsr, vbar, sctlr, mode;
};
constexpr Target kToEl1{kEsrEl1, kFarEl1, kElrEl1, kSpsrEl1, kVbarEl1, kSctlrEl1, pstate::kEl1h};
constexpr Target kToEl2{kEsrEl2, kFarEl2, kElrEl2, kSpsrEl2, kVbarEl2, kSctlrEl2, pstate::kEl2h};

}  // namespace

// At the address of the exit, which KVM remembers.
bool KvmVcpu::inject_abort() {
  if (!shared_.can_abort) return false;
  kvm_vcpu_events events{};
  if (fd_.call(KVM_GET_VCPU_EVENTS, &events) != 0) return false;
  events.exception.ext_dabt_pending = 1;
  ioctls_ += 2;
  return fd_.call(KVM_SET_VCPU_EVENTS, &events) == 0;
}

// An access without a syndrome, of which a kernel without KVM_CAP_ARM_NISV_TO_USER says no more
// than that: where it went is not known.
void KvmVcpu::refuse_undescribed() {
  if (inject_abort()) {
    ++counts_.aborts;
    return;
  }
  write_exception({.far = 0, .fsc = kFscExternal, .write = false, .iss = iss::kFnv}, pc());
}

// `described`: of KVM_EXIT_MMIO. Then the access is KVM's to finish, and an abort stops that.
void KvmVcpu::deliver(const GuestFault& fault, bool described) {
  const bool external = fault.ec == kDataAbortLower && fault.fsc == kFscExternal;
  if (external && inject_abort()) {
    ++counts_.aborts;
    return;
  }
  if (described) complete();  // past the instruction: without KVM's means the access reads as zero
  write_exception(fault, described ? pc() - 4 : pc());
}

// Of the instruction at `at`, with all other registers as it found them.
void KvmVcpu::write_exception(const GuestFault& fault, uint64_t at) {
  ++counts_.exceptions;
  // EL2's own, and with TGE those of EL0: EL2 gets it; without E2H there is no SPAN.
  const uint64_t from = pstate();
  const unsigned el = pstate::el(from);
  const bool to_el2 = el == 2 || (el == 0 && (hcr() & kHcrTge) != 0);
  const Target& to = to_el2 ? kToEl2 : kToEl1;
  uint64_t sctlr = get(to.sctlr);
  if (to_el2 && (hcr() & kHcrE2h) == 0) sctlr |= kSctlrSpan;
  uint8_t ec = fault.ec;
  uint32_t iss = fault.iss;
  if (has_far(ec)) set(to.far, fault.far);
  if (ec == kDataAbortLower || ec == kPrefetchAbortLower) {
    iss |= fault.fsc | (fault.write ? iss::kWnr : 0);
    if (el == pstate::el(to.mode)) ++ec;  // from the same level
  }
  set(to.esr, uint64_t{ec} << 26 | uint64_t{1} << 25 | iss);
  const ExceptionEntry entry = exception_entry(at, from, sctlr, get(to.vbar), to.mode);
  set(to.elr, entry.elr);
  set(to.spsr, entry.spsr);
  set(kPc, entry.pc);
  set(kPstate, entry.pstate);
  forget();
}

}  // namespace trapline::kvm
