#include "mmio/emulate.h"

#include "mmio/single_access.h"
#include "mmio/transaction.h"

namespace trapline {
namespace {

// Apart, so that the fast path reserves no stack for it.
[[gnu::noinline]] Outcome emulate_on_stack(const Access& access, uint64_t va, CpuView& view,
                                           const BusMap* bus, EmulateContext& context) {
  emulation::Workspace work;
  Outcome outcome;
  emulation::Transaction t{access, va, view, bus, context, outcome, work};
  emulation::general_access(t);
  return outcome;
}

}  // namespace

Outcome emulate(const Access& access, uint64_t va, CpuView& view, const BusMap* bus,
                EmulateContext& context) {
  using emulation::Single;
  if (bus != nullptr) {
    emulation::MaybeObserved observer{context.observer};
    const Single single = emulation::single_access(access, va, view, *bus, context, observer);
    if (single == Single::kDone) return {};
    if (single == Single::kAbort) {
      return {Outcome::Status::kFault, emulation::refused(access, va), 0};
    }
  }
  return emulate_on_stack(access, va, view, bus, context);
}

}  // namespace trapline
