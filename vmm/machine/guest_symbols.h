// Symbols of what runs in a guest.
#ifndef TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_
#define TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_

#include <cstdint>
#include <string>

#include "vmm/memory/guest_memory.h"
#include "vmm/symbols/symbols.h"

namespace trapline {

struct GuestSymbols {
  SymbolTable table;
  std::string note;  // why there are none, or what is wrong with them; empty: nothing
};

// `choice`: --symbols. "auto": of the Linux kernel in guest memory, by its own tables. `vbar`:
// where a kernel that runs at EL1 has its `vectors`, by which KASLR's offset is found, and another
// kernel's symbols are found out.
GuestSymbols guest_symbols(const std::string& choice, const GuestMemory& memory, uint64_t vbar);

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_
