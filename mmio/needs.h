// Which registers an instruction names: where a CPU's registers cost something to read or to write,
// or to keep, no more are than these.
#ifndef TRAPLINE_MMIO_NEEDS_H_
#define TRAPLINE_MMIO_NEEDS_H_

#include <cstdint>

#include "decode/access.h"

namespace trapline {

struct Needs {
  // Masks of GeneralRegisters: all that are named, and those of them that are only written.
  uint64_t registers = 0, results = 0;
  bool vectors = false;  // vector registers, see vectors_of()
  bool state = false;    // flags and the exclusive monitor
};

Needs needs_of(const Access& access);

struct VectorNeeds {
  uint32_t named = 0, results = 0;  // masks of V0 to V31
};
VectorNeeds vectors_of(const Access& access);

}  // namespace trapline

#endif  // TRAPLINE_MMIO_NEEDS_H_
