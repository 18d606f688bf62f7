// tl_step(): the stepper on a struct tl_vcpu.
#include "mmio/gate.h"
#include "vmm/embed/cpu.h"
#include "vmm/embed/stepper.h"

namespace trapline::embed {
namespace {

class Words final : public WordSource {
 public:
  explicit Words(tl_vcpu& vcpu) : vcpu_(vcpu) {}
  bool word(uint64_t pc, uint32_t& word) override { return fetch(vcpu_, pc, word) == TL_DONE; }

 private:
  tl_vcpu& vcpu_;
};

constexpr NamedRegisters kAllGeneral{.general = ((uint64_t{1} << 31) - 1) | uint64_t{1} << kSlotSp};
constexpr uint64_t kNzcv = 0xf0000000;

// On to the next access; true: it is to be performed. Else the end is in vcpu.step_end.
[[gnu::noinline]] bool next_access(tl_vcpu& vcpu) {
  Words words(vcpu);
  vcpu.step_end = vcpu.stepper.next(words);
  if (vcpu.step_end != Stepper::End::kAccess) return false;
  vcpu.translations.count = 0;
  vcpu.va = effective_address(vcpu.stepper.access, vcpu.view);
  return true;
}

[[gnu::noinline]] bool perform(tl_vcpu& vcpu) {
  emulate_access(vcpu, vcpu.stepper.access, vcpu.va);
  return vcpu.stepper.performed(vcpu.outcome.status);
}

[[gnu::noinline]] tl_result leave(tl_vcpu& vcpu, tl_cpu& cpu, unsigned* steps, tl_fault* fault) {
  if (steps != nullptr) *steps = vcpu.stepper.steps();
  if (!write_registers(vcpu, kAllGeneral)) return TL_FAILED;
  cpu.pc = vcpu.view.pc;
  cpu.pstate = (cpu.pstate & ~kNzcv) | vcpu.view.nzcv;
  if (vcpu.step_end == Stepper::End::kExclusive) return TL_DONE;
  // The guest goes on by itself; what it had marked does not hold there.
  tl_vcpu_clear_monitor(&vcpu);
  if (vcpu.step_end == Stepper::End::kBeyond) return TL_BEYOND;
  return finish(vcpu, cpu, vcpu.stepper.access, fault);
}

}  // namespace
}  // namespace trapline::embed

extern "C" void tl_vcpu_clear_monitor(tl_vcpu* vcpu) {
  if (vcpu == nullptr) return;
  vcpu->monitor.valid = false;
  trapline::emulation::disarm(vcpu->context);
}

extern "C" tl_result tl_step(tl_vcpu* vcpu, tl_cpu* cpu, unsigned most, unsigned* steps,
                             tl_fault* fault) {
  using namespace trapline::embed;
  if (steps != nullptr) *steps = 0;
  if (vcpu == nullptr || cpu == nullptr) return TL_BAD_ARGUMENT;
  if (!begin(*vcpu, *cpu)) return TL_NOT_EMULATED;
  if (!read_registers(*vcpu, kAllGeneral)) return TL_FAILED;
  vcpu->stepper.start(most == 0 ? kMostSteps : most);
  while (next_access(*vcpu) && perform(*vcpu)) {
  }
  return leave(*vcpu, *cpu, steps, fault);
}
