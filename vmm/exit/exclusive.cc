// A load-exclusive that was emulated for a CPU whose own monitor has not seen it.
#include <cinttypes>

#include "mmio/gate.h"
#include "vmm/embed/stepper.h"
#include "vmm/exit/exit.h"

namespace trapline {
namespace {

class Words final : public embed::WordSource {
 public:
  explicit Words(Vcpu& vcpu) : vcpu_(vcpu) {}
  bool word(uint64_t pc, uint32_t& word) override {
    const Fetched fetched = vcpu_.fetch(pc);
    word = fetched.word;
    return fetched.ok;
  }

 private:
  Vcpu& vcpu_;
};

}  // namespace

Answer ExitHandler::finish_exclusive(const Exit& exit, CpuView& view) {
  using embed::Stepper;
  Words words(vcpu_);
  Stepper stepper(view, emulate_);
  stepper.start(embed::kMostSteps);
  bump(counters_.counters.exclusives);
  Outcome outcome;
  Stepper::End end;
  while ((end = stepper.next(words)) == Stepper::End::kAccess) {
    outcome = emulate(stepper.access, effective_address(stepper.access, view), view, services_.bus,
                      emulate_);
    if (!stepper.performed(outcome.status)) break;
  }
  if (end == Stepper::End::kExclusive) return {Resume::kGoOn};
  view.monitor->valid = false;
  emulation::disarm(emulate_);
  if (end == Stepper::End::kAccess) {
    if (outcome.status != Outcome::Status::kFault) return {Resume::kAgain};
    fault = outcome.fault;
    return {Resume::kFault};
  }
  bump(counters_.counters.exclusives_beyond);
  log_guest("vcpu %u: the load-exclusive of a device at pc %#" PRIx64
            " is not followed by a store-exclusive within reach",
            exit.vcpu, exit.pc);
  view.pc = exit.pc;
  return {external_abort(exit)};
}

}  // namespace trapline
