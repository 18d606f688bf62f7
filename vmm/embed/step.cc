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
  Words words(*vcpu);
  const unsigned limit = most == 0 || most > kMostSteps ? kMostSteps : most;
  const StepResult result =
      step_to_exclusive(vcpu->view, vcpu->map, vcpu->context, vcpu->scratch, words, limit);
  if (steps != nullptr) *steps = result.steps;
  if (!write_registers(*vcpu, kAllGeneral)) return TL_FAILED;
  cpu->pc = vcpu->view.pc;
  cpu->pstate = (cpu->pstate & ~kNzcv) | vcpu->view.nzcv;
  if (result.end == StepResult::End::kExclusive) return TL_DONE;
  // The guest goes on by itself; what it had marked does not hold there.
  tl_vcpu_clear_monitor(vcpu);
  if (result.end == StepResult::End::kBeyond) return TL_BEYOND;
  return finish(*vcpu, *cpu, trapline::Access{}, result.outcome, fault);
}
