// tl_emulate() and tl_handle_abort(): registers in, the access, registers out.
#include "decode/c_access.h"
#include "decode/mops.h"
#include "mmio/agree.h"
#include "vmm/embed/cpu.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::embed {
namespace {

constexpr uint64_t kPageOffset = 0xfff;

// Rule 1 (docs/design.md) where no FAR says which byte failed: one of the access's pages must lead
// to the IPA. It is then known to be translated.
[[gnu::noinline]] bool leads_to(tl_vcpu& vcpu, uint64_t va, bool write, uint64_t ipa) {
  const uint64_t page = va & ~kPageOffset;
  const Direction dir = write ? Direction::kWrite : Direction::kRead;
  if (translate_now(vcpu, page, dir, vcpu.access.unprivileged != 0) != TL_DONE) return false;
  if (((vcpu.walked.to.ipa ^ ipa) & ~kPageOffset) != 0) return false;
  vcpu.view.known_va_page = page;
  vcpu.view.known_ipa_page = ipa & ~kPageOffset;
  return true;
}

bool page_agrees(tl_vcpu& vcpu, uint64_t va, bool write, uint64_t ipa) {
  const Access& access = vcpu.access;
  if (access.op == Op::kCacheMaintenance || access.op == Op::kPrefetch) return true;
  if (is_mops(access.op)) {
    return leads_to(vcpu, emulation::mops_next_address(access, vcpu.view, !write), write, ipa);
  }
  const uint64_t last = va + access.bytes() - 1;
  return leads_to(vcpu, va, write, ipa) ||
         ((last ^ va) > kPageOffset && leads_to(vcpu, last, write, ipa));
}

// Whether vcpu.access can be what trapped; then vcpu.va is its address, and its page is known.
bool agrees(tl_vcpu& vcpu, const tl_abort& abort) {
  uint64_t& va = vcpu.va;
  const DataAbort syndrome{abort.esr};
  const bool far_valid = (abort.valid & TL_ABORT_FAR) != 0 && !syndrome.far_not_valid();
  const bool ipa_valid = (abort.valid & TL_ABORT_IPA) != 0;
  View& view = vcpu.view;
  if (syndrome.valid()) {
    // The syndrome is the access; without FAR the IPA stands for its address.
    va = far_valid ? abort.far : abort.ipa;
    if (ipa_valid) {
      view.known_va_page = va & ~kPageOffset;
      view.known_ipa_page = abort.ipa & ~kPageOffset;
    }
    return far_valid || ipa_valid;
  }
  va = effective_address(vcpu.access, view);
  if (!agrees_with_syndrome(vcpu.access, va, syndrome.write(), far_valid, abort.far, view)) {
    return false;
  }
  if (!ipa_valid) return true;
  if (!far_valid) return page_agrees(vcpu, va, syndrome.write(), abort.ipa);
  view.known_va_page = abort.far & ~kPageOffset;
  view.known_ipa_page = abort.ipa & ~kPageOffset;
  return true;
}

bool lacks_vectors(const tl_vcpu& vcpu, const NamedRegisters& named) {
  return named.vectors != 0 && (vcpu.ops.read_vreg == nullptr || vcpu.ops.write_vreg == nullptr);
}

// Before the access: its registers, and its address. Each phase returns before the next begins, so
// that their stacks do not add up.
[[gnu::noinline]] tl_result prepare(tl_vcpu& vcpu, const tl_abort* abort) {
  vcpu.named = named_registers(vcpu.access);
  if (lacks_vectors(vcpu, vcpu.named)) return TL_NOT_EMULATED;
  if (!read_registers(vcpu, vcpu.named)) return TL_FAILED;
  if (abort != nullptr) return agrees(vcpu, *abort) ? TL_DONE : TL_RETRY;
  vcpu.va = effective_address(vcpu.access, vcpu.view);
  return TL_DONE;
}

[[gnu::noinline]] tl_result complete(tl_vcpu& vcpu, tl_cpu& cpu, tl_fault* fault) {
  const tl_result result = finish(vcpu, cpu, vcpu.access, fault);
  const bool done = result <= TL_PROGRESS;
  return done && !write_registers(vcpu, vcpu.named) ? TL_FAILED : result;
}

// vcpu.access, for an abort or (null) for its own sake.
[[gnu::noinline]] tl_result perform(tl_vcpu& vcpu, tl_cpu& cpu, const tl_abort* abort,
                                    tl_fault* fault) {
  tl_result result = prepare(vcpu, abort);
  if (result == TL_DONE) {
    emulate_access(vcpu, vcpu.access, vcpu.va);
    result = complete(vcpu, cpu, fault);
  }
  if (result == TL_RETRY && vcpu.cached) drop_cached(vcpu, cpu.pc);
  return result;
}

// What of an abort is no access, and vcpu.access for the rest of them, which is TL_DONE with
// `is_access`.
[[gnu::noinline]] tl_result find(tl_vcpu& vcpu, tl_cpu& cpu, const tl_abort& abort, tl_fault* fault,
                                 bool& is_access) {
  constexpr unsigned kEcShift = 26, kEcAbort = 0x24;
  is_access = false;
  // An ISS alone (KVM) has no class; what has another one is no data abort of a guest.
  const uint64_t ec = abort.esr >> kEcShift & 63;
  if (ec != 0 && ec != kEcAbort) return TL_BAD_ARGUMENT;
  if (!begin(vcpu, cpu)) return TL_NOT_EMULATED;
  const DataAbort syndrome{abort.esr};
  // Tables do not lie in devices, and a device holds nothing that cache maintenance could reach.
  if (syndrome.s1ptw()) {
    if (fault != nullptr) tl_external_abort(&cpu, &abort, fault);
    return TL_FAULT;
  }
  if (syndrome.cache_maintenance()) {
    cpu.pc += 4;
    return TL_DONE;
  }
  is_access = true;
  vcpu.cached = !syndrome.valid();
  if (vcpu.cached) return find_access(vcpu, cpu.pc);
  vcpu.access = access_from_syndrome(syndrome);
  return TL_DONE;
}

}  // namespace
}  // namespace trapline::embed

extern "C" tl_result tl_emulate(tl_vcpu* vcpu, tl_cpu* cpu, const tl_access* access,
                                tl_fault* fault) {
  if (vcpu == nullptr || cpu == nullptr || access == nullptr) return TL_BAD_ARGUMENT;
  if (!trapline::access_from_c(*access, vcpu->access)) return TL_BAD_ARGUMENT;
  if (!trapline::embed::begin(*vcpu, *cpu)) return TL_NOT_EMULATED;
  vcpu->cached = false;
  return trapline::embed::perform(*vcpu, *cpu, nullptr, fault);
}

extern "C" tl_result tl_handle_abort(tl_vcpu* vcpu, tl_cpu* cpu, const tl_abort* abort,
                                     tl_fault* fault) {
  if (vcpu == nullptr || cpu == nullptr || abort == nullptr) return TL_BAD_ARGUMENT;
  const tl_result found = trapline::embed::find(*vcpu, *cpu, *abort, fault, vcpu->is_access);
  if (found != TL_DONE || !vcpu->is_access) return found;
  return trapline::embed::perform(*vcpu, *cpu, abort, fault);
}

extern "C" void tl_external_abort(const tl_cpu* cpu, const tl_abort* abort, tl_fault* fault) {
  if (cpu == nullptr || abort == nullptr || fault == nullptr) return;
  const trapline::DataAbort syndrome{abort->esr};
  trapline::GuestFault external{};
  external.far = abort->far;
  external.fsc = syndrome.s1ptw() ? trapline::kFscExternalOnWalk | (syndrome.dfsc() & 3)
                                  : trapline::kFscExternal;
  external.write = syndrome.write();
  const bool far_valid = (abort->valid & TL_ABORT_FAR) != 0 && !syndrome.far_not_valid();
  if (!far_valid) external.iss = trapline::iss::kFnv;
  trapline::embed::fill_fault(*cpu, external, *fault);
}
