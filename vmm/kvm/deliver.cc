// Exceptions that the guest gets instead of its access: an external abort by KVM's own means, any
// other by writing the registers as AArch64.TakeException (J1.3.1) does.
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/walk_inl.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::kvm {
namespace {

constexpr uint8_t kDataAbortLower = 0x24, kPrefetchAbortLower = 0x20;
constexpr uint64_t kSctlrDssbs = uint64_t{1} << 44;

bool has_far(uint8_t ec) {
  return ec == kDataAbortLower || ec == kPrefetchAbortLower || ec == 0x22;
}

// Where it is taken from decides the vector, D1.3.2.
uint64_t vector_offset(uint64_t from) {
  if (pstate::el(from) == 0) return 0x400;
  return (from & pstate::kSpSel) != 0 ? 0x200 : 0;
}

// PSTATE at EL1h: what an exception sets, and what it leaves.
uint64_t pstate_at_el1(uint64_t from, uint64_t sctlr) {
  uint64_t to = pstate::kEl1h | pstate::kDaif | (from & (pstate::kNzcv | pstate::kDit));
  if ((from & pstate::kPan) != 0 || (sctlr & kSctlrSpan) == 0) to |= pstate::kPan;
  if ((sctlr & kSctlrDssbs) != 0) to |= pstate::kSsbs;
  return to;
}

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
  const uint64_t from = pstate(), sctlr = get(kSctlrEl1);
  uint8_t ec = fault.ec;
  uint32_t iss = fault.iss;
  if (has_far(ec)) set(kFarEl1, fault.far);
  if (ec == kDataAbortLower || ec == kPrefetchAbortLower) {
    iss |= fault.fsc | (fault.write ? iss::kWnr : 0);
    if (pstate::el(from) != 0) ++ec;  // from the same level
  }
  set(kEsrEl1, uint64_t{ec} << 26 | uint64_t{1} << 25 | iss);
  set(kElrEl1, at);
  set(kSpsrEl1, from);
  set(kPc, get(kVbarEl1) + vector_offset(from));
  set(kPstate, pstate_at_el1(from, sctlr));
  forget();
}

}  // namespace trapline::kvm
