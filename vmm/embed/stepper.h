// After an emulated load-exclusive the hardware's monitor is not set, so the guest's
// store-exclusive would fail for ever. The stepper executes what lies between the two, and the
// store-exclusive, on the same view, bus and monitor. For the C library and for backends.
// Freestanding.
#ifndef TRAPLINE_VMM_EMBED_STEPPER_H_
#define TRAPLINE_VMM_EMBED_STEPPER_H_

#include <cstdint>

#include "mmio/emulate.h"

namespace trapline::embed {

inline constexpr unsigned kMostSteps = 64;

// The instruction words of the guest, as it would fetch them.
class WordSource {
 public:
  // False: nothing can be fetched there.
  virtual bool word(uint64_t pc, uint32_t& word) = 0;

 protected:
  ~WordSource() = default;
};

// Executes from view.pc; all general registers of the view must be there, and view.pc and view.nzcv
// are exact after each call.
//
//   stepper.start(kMostSteps);
//   while (stepper.next(words) == Stepper::End::kAccess) {
//     ...perform stepper.access on the view: emulate()...
//     if (!stepper.performed(outcome.status)) break;   // a fault: of the instruction at view.pc
//   }
class Stepper {
 public:
  enum class End : uint8_t {
    kAccess,     // `access` is to be performed
    kExclusive,  // the store-exclusive is done, or CLREX
    kBeyond,     // an instruction that is not stepped, or `most` are used up: it is at view.pc
  };

  Stepper(CpuView& view, EmulateContext& context) : view_(view), context_(context) {}

  // At most `most` instructions, and no more than kMostSteps.
  void start(unsigned most) {
    left_ = most_ = most < kMostSteps ? most : kMostSteps;
    done_ = false;
    view_.known_va_page = ~uint64_t{0};
  }
  End next(WordSource& words);
  // False: this was the end, by a fault or whatever `status` says.
  bool performed(Outcome::Status status);

  Access access{};
  unsigned steps() const { return most_ - left_; }  // instructions executed

 private:
  CpuView& view_;
  EmulateContext& context_;
  unsigned left_ = 0, most_ = 0;
  bool done_ = false;
};

// One instruction of "Data Processing -- Immediate", "-- Register", "Branches", or a hint or
// barrier without effect on an emulated access. False: none of these, and nothing has changed.
bool step_integer(uint32_t word, CpuView& view);

}  // namespace trapline::embed

#endif  // TRAPLINE_VMM_EMBED_STEPPER_H_
