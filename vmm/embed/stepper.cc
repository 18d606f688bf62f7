#include "vmm/embed/stepper.h"

#include "decode/a64_decoder.h"
#include "mmio/gate.h"

namespace trapline::embed {
namespace {

// What is neither stepped nor worth it: vector registers, caches, whole blocks.
bool is_stepped(const Access& access) {
  return !access.vector && access.op != Op::kCacheMaintenance && access.op != Op::kLoadMultiple &&
         !(access.op >= Op::kLoad64B && access.op <= Op::kStoreTagZeroMultiple) &&
         !(access.op >= Op::kZeroBlock && access.op <= Op::kZeroBlockBoth);
}

constexpr uint32_t kClrexMask = 0xfffff0ff, kClrex = 0xd503305f;

}  // namespace

StepResult step_to_exclusive(CpuView& view, const BusMap& bus, EmulateContext& context,
                             emulation::Piece* scratch, WordSource& words, unsigned most) {
  StepResult result;
  view.known_va_page = ~uint64_t{0};
  for (; result.steps < most; ++result.steps) {
    uint32_t word;
    if (!words.word(view.pc, word)) return result;
    if ((word & kClrexMask) == kClrex) {
      if (view.monitor != nullptr) view.monitor->valid = false;
      emulation::disarm(context);
      view.pc += 4;
      ++result.steps;
      result.end = StepResult::End::kExclusive;
      return result;
    }
    if (step_integer(word, view)) continue;
    Access access;
    if (decode(word, access) != DecodeStatus::kAccess || !is_stepped(access)) return result;
    result.outcome = emulation::emulate_in(scratch, access, effective_address(access, view), view,
                                           &bus, context);
    if (result.outcome.status == Outcome::Status::kProgress) continue;
    if (result.outcome.status != Outcome::Status::kDone) {
      result.end = StepResult::End::kAccess;
      return result;
    }
    view.pc += 4;
    if (access.op == Op::kStoreExclusive) {
      ++result.steps;
      result.end = StepResult::End::kExclusive;
      return result;
    }
  }
  return result;
}

}  // namespace trapline::embed
