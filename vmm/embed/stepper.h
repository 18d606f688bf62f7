// After an emulated load-exclusive the hardware's monitor is not set, so the guest's
// store-exclusive would fail for ever. The stepper executes what lies between the two, and the
// store-exclusive, on the same view, bus and monitor. For the C library and for backends.
// Freestanding.
#ifndef TRAPLINE_VMM_EMBED_STEPPER_H_
#define TRAPLINE_VMM_EMBED_STEPPER_H_

#include <cstdint>

#include "mmio/transaction.h"

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

struct StepResult {
  enum class End : uint8_t {
    kExclusive,  // the store-exclusive is done, or CLREX
    kBeyond,     // an instruction that is not stepped, or `most` are used up
    kAccess,     // an access did not come to its end: `outcome`
  };
  End end = End::kBeyond;
  unsigned steps = 0;  // instructions executed
  Outcome outcome;
};

// Executes from view.pc; all general registers of the view must be there. view.pc and view.nzcv are
// exact at the end: of kBeyond and kAccess the PC is the instruction that was not executed.
StepResult step_to_exclusive(CpuView& view, const BusMap& bus, EmulateContext& context,
                             emulation::Piece* scratch, WordSource& words, unsigned most);

// One instruction of "Data Processing -- Immediate", "-- Register", "Branches", or a hint or
// barrier without effect on an emulated access. False: none of these, and nothing has changed.
bool step_integer(uint32_t word, CpuView& view);

}  // namespace trapline::embed

#endif  // TRAPLINE_VMM_EMBED_STEPPER_H_
