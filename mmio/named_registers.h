// Which registers an access names: for backends where reading one costs a system call, and for the
// recorder. Freestanding.
#ifndef TRAPLINE_MMIO_NAMED_REGISTERS_H_
#define TRAPLINE_MMIO_NAMED_REGISTERS_H_

#include <cstdint>

#include "decode/access.h"
#include "mmio/cpu_view.h"

namespace trapline {

// Masks by slot of GeneralRegisters (0 to 30, kSlotSp), and by number of vector registers. Of the
// results nothing depends on the values before.
struct NamedRegisters {
  uint64_t general = 0, general_results = 0;
  uint32_t vectors = 0, vector_results = 0;
};

NamedRegisters named_registers(const Access& access);

}  // namespace trapline

#endif  // TRAPLINE_MMIO_NAMED_REGISTERS_H_
