// tl_emulate() and tl_handle_abort(): registers in, the access, registers out.
#include "decode/c_access.h"
#include "mmio/agree.h"
#include "vmm/embed/cpu.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::embed {
namespace {

constexpr uint64_t kPageOffset = 0xfff;

// Rule 1 (docs/design.md) where no FAR says which byte failed: one of the access's pages must lead
// to the IPA. It is then known to be translated.
bool leads_to(tl_vcpu& vcpu, uint64_t va, bool write, uint64_t ipa) {
  const uint64_t page = va & ~kPageOffset;
  const Translation t = vcpu.view.translate(va, 1, write ? Direction::kWrite : Direction::kRead,
                                            vcpu.access.unprivileged != 0);
  if (t.status != Translation::Status::kOk || (t.ipa ^ ipa) > kPageOffset) return false;
  vcpu.view.known_va_page = page;
  vcpu.view.known_ipa_page = ipa & ~kPageOffset;
  return true;
}

bool page_agrees(tl_vcpu& vcpu, uint64_t va, bool write, uint64_t ipa) {
  const Access& access = vcpu.access;
  if (access.op == Op::kCacheMaintenance || access.op == Op::kPrefetch) return true;
  if (access.op >= Op::kCopyForwardProlog && access.op <= Op::kSetTagEpilog) {
    return leads_to(vcpu, emulation::mops_next_address(access, vcpu.view, !write), write, ipa);
  }
  const uint64_t last = va + access.bytes() - 1;
  return leads_to(vcpu, va, write, ipa) ||
         ((last ^ va) > kPageOffset && leads_to(vcpu, last, write, ipa));
}

// Whether vcpu.access can be what trapped; then `va` is its address, and its page is known.
bool agrees(tl_vcpu& vcpu, const tl_abort& abort, uint64_t& va) {
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

// vcpu.access, for an abort or (null) for its own sake.
tl_result perform(tl_vcpu& vcpu, tl_cpu& cpu, const tl_abort* abort, tl_fault* fault) {
  const Access& access = vcpu.access;
  const NamedRegisters named = named_registers(access);
  if (lacks_vectors(vcpu, named)) return TL_NOT_EMULATED;
  if (!read_registers(vcpu, named)) return TL_FAILED;
  uint64_t va;
  if (abort == nullptr) {
    va = effective_address(access, vcpu.view);
  } else if (!agrees(vcpu, *abort, va)) {
    return TL_RETRY;
  }
  const Outcome outcome =
      emulation::emulate_in(vcpu.scratch, access, va, vcpu.view, &vcpu.map, vcpu.context);
  const tl_result result = finish(vcpu, cpu, access, outcome, fault);
  const bool done = result <= TL_PROGRESS;
  if (done && !write_registers(vcpu, named)) return TL_FAILED;
  return result;
}

constexpr unsigned kEcShift = 26, kEcAbort = 0x24;

}  // namespace
}  // namespace trapline::embed

using trapline::DataAbort;

extern "C" tl_result tl_emulate(tl_vcpu* vcpu, tl_cpu* cpu, const tl_access* access,
                                tl_fault* fault) {
  if (vcpu == nullptr || cpu == nullptr || access == nullptr) return TL_BAD_ARGUMENT;
  if (!trapline::access_from_c(*access, vcpu->access)) return TL_BAD_ARGUMENT;
  if (!trapline::embed::begin(*vcpu, *cpu)) return TL_NOT_EMULATED;
  return trapline::embed::perform(*vcpu, *cpu, nullptr, fault);
}

extern "C" tl_result tl_handle_abort(tl_vcpu* vcpu, tl_cpu* cpu, const tl_abort* abort,
                                     tl_fault* fault) {
  using namespace trapline::embed;
  if (vcpu == nullptr || cpu == nullptr || abort == nullptr) return TL_BAD_ARGUMENT;
  // An ISS alone (KVM) has no class; what has another one is no data abort of a guest.
  const uint64_t ec = abort->esr >> kEcShift & 63;
  if (ec != 0 && ec != kEcAbort) return TL_BAD_ARGUMENT;
  if (!begin(*vcpu, *cpu)) return TL_NOT_EMULATED;
  const DataAbort syndrome{abort->esr};
  // Tables do not lie in devices, and a device holds nothing that cache maintenance could reach.
  if (syndrome.s1ptw()) {
    if (fault != nullptr) tl_external_abort(cpu, abort, fault);
    return TL_FAULT;
  }
  if (syndrome.cache_maintenance()) {
    cpu->pc += 4;
    return TL_DONE;
  }
  if (syndrome.valid()) {
    vcpu->access = trapline::access_from_syndrome(syndrome);
    return perform(*vcpu, *cpu, abort, fault);
  }
  const uint64_t pc = cpu->pc;
  const tl_result found = find_access(*vcpu, pc);
  if (found != TL_DONE) return found;
  const tl_result result = perform(*vcpu, *cpu, abort, fault);
  if (result == TL_RETRY) drop_cached(*vcpu, pc);
  return result;
}

extern "C" void tl_external_abort(const tl_cpu* cpu, const tl_abort* abort, tl_fault* fault) {
  if (cpu == nullptr || abort == nullptr || fault == nullptr) return;
  const DataAbort syndrome{abort->esr};
  trapline::GuestFault external{};
  external.far = abort->far;
  external.fsc = syndrome.s1ptw() ? trapline::kFscExternalOnWalk | (syndrome.dfsc() & 3)
                                  : trapline::kFscExternal;
  external.write = syndrome.write();
  const bool far_valid = (abort->valid & TL_ABORT_FAR) != 0 && !syndrome.far_not_valid();
  if (!far_valid) external.iss = trapline::iss::kFnv;
  trapline::embed::fill_fault(*cpu, external, *fault);
}
