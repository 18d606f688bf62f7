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

Stepper::End Stepper::next(WordSource& words) {
  for (; !done_; --left_) {
    uint32_t word;
    if (left_ == 0 || !words.word(view_.pc, word)) return End::kBeyond;
    if ((word & kClrexMask) == kClrex) {
      if (view_.monitor != nullptr) view_.monitor->valid = false;
      emulation::disarm(context_);
      view_.pc += 4;
      done_ = true;
    } else if (!step_integer(word, view_)) {
      const bool is_access = decode(word, access) == DecodeStatus::kAccess && is_stepped(access);
      return is_access ? End::kAccess : End::kBeyond;
    }
  }
  return End::kExclusive;
}

bool Stepper::performed(Outcome::Status status) {
  if (status != Outcome::Status::kDone && status != Outcome::Status::kProgress) return false;
  --left_;
  if (status == Outcome::Status::kDone) {
    view_.pc += 4;
    done_ = access.op == Op::kStoreExclusive;
  }
  return true;
}

}  // namespace trapline::embed
