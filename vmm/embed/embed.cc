// The rest of the C interface: what a vCPU and a gate are made of, the walk, texts.
#include <cstring>
#include <new>

#include "vmm/embed/cpu.h"

// The members that the first version has; a later caller's larger struct is cut.
static_assert(offsetof(tl_ops, size) == 0);

struct alignas(64) tl_gate {
  trapline::DeviceGate gate;
};

extern "C" const char* tl_version(void) { return TRAPLINE_VERSION; }

extern "C" size_t tl_vcpu_size(void) { return sizeof(tl_vcpu); }

extern "C" tl_vcpu* tl_vcpu_init(void* memory, size_t size, const tl_ops* ops, void* arg) {
  if (memory == nullptr || (reinterpret_cast<uintptr_t>(memory) & 63) != 0 ||
      size < sizeof(tl_vcpu) || ops == nullptr || ops->size != sizeof(tl_ops)) {
    return nullptr;
  }
  if (ops->read_gpr == nullptr || ops->write_gpr == nullptr || ops->mmio_read == nullptr ||
      ops->mmio_write == nullptr) {
    return nullptr;
  }
  return new (memory) tl_vcpu(*ops, arg);
}

extern "C" void tl_vcpu_set_cache(tl_vcpu* vcpu, tl_cache* cache) {
  if (vcpu != nullptr) vcpu->cache = cache;
}

extern "C" size_t tl_gate_size(void) { return sizeof(tl_gate); }

extern "C" tl_gate* tl_gate_init(void* memory, size_t size) {
  if (memory == nullptr || (reinterpret_cast<uintptr_t>(memory) & 63) != 0 ||
      size < sizeof(tl_gate)) {
    return nullptr;
  }
  return new (memory) tl_gate();
}

extern "C" void tl_vcpu_set_gate(tl_vcpu* vcpu, tl_gate* gate, unsigned index) {
  if (vcpu == nullptr) return;
  tl_vcpu_clear_monitor(vcpu);
  vcpu->context.gate = gate == nullptr ? nullptr : &gate->gate;
  vcpu->view.vcpu = index;
}

extern "C" tl_result tl_walk(tl_vcpu* vcpu, const tl_cpu* cpu, uint64_t va, tl_direction direction,
                             int unprivileged, tl_translation* to) {
  using namespace trapline::embed;
  if (vcpu == nullptr || cpu == nullptr || to == nullptr) return TL_BAD_ARGUMENT;
  if (direction < TL_READ || direction > TL_FETCH) return TL_BAD_ARGUMENT;
  if (!begin(*vcpu, *cpu)) return TL_NOT_EMULATED;
  const bool is_fetch = direction == TL_FETCH;
  const auto dir = static_cast<trapline::Direction>(is_fetch ? TL_READ : direction);
  walk(*vcpu, va, dir, is_fetch, unprivileged != 0 || as_el0(*cpu));
  *to = vcpu->walked.to;
  return vcpu->walked.result;
}

extern "C" tl_result tl_fetch(tl_vcpu* vcpu, const tl_cpu* cpu, uint64_t pc, uint32_t* word) {
  if (vcpu == nullptr || cpu == nullptr || word == nullptr) return TL_BAD_ARGUMENT;
  if (!trapline::embed::begin(*vcpu, *cpu)) return TL_NOT_EMULATED;
  return trapline::embed::fetch(*vcpu, pc, *word);
}

extern "C" const char* tl_result_text(tl_result result) {
  switch (static_cast<int>(result)) {
    case TL_DONE:
      return "done";
    case TL_DONE_EXCLUSIVE:
      return "done, and a store-exclusive is to follow";
    case TL_PROGRESS:
      return "a part is done";
    case TL_FAULT:
      return "a fault for the guest";
    case TL_RETRY:
      return "not what trapped: the guest tries again";
    case TL_NOT_EMULATED:
      return "an access that is not emulated";
    case TL_BEYOND:
      return "beyond the stepper";
    case TL_FAILED:
      return "a register callback failed";
    case TL_BAD_ARGUMENT:
      return "a bad argument";
    default:
      return "no result of this library";
  }
}
