#include "mmio/emulate.h"

#include "mmio/single_access.h"
#include "mmio/transaction.h"

namespace trapline {
namespace {

// Apart, so that the fast path reserves no stack for it.
[[gnu::noinline]] Outcome emulate_on_stack(const Access& access, uint64_t va, CpuView& view,
                                           const BusMap* bus, EmulateContext& context) {
  emulation::Piece scratch[emulation::kMaxBytes];
  return emulation::emulate_in(scratch, access, va, view, bus, context);
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
