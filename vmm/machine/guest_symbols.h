// Symbols of what runs in a guest.
#ifndef TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_
#define TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_

#include <string>

#include "vmm/memory/guest_memory.h"
#include "vmm/symbols/symbols.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

struct GuestSymbols {
  SymbolTable table;
  std::string note;  // why there are none, or what is wrong with them; empty: nothing
};

// `choice`: --symbols. "auto": of the Linux kernel that runs at EL1, by its own tables in memory.
// VBAR_EL1, where it has its `vectors`, gives KASLR's offset, and shows symbols of another kernel.
GuestSymbols guest_symbols(const std::string& choice, const GuestMemory& memory, Vcpu& vcpu);

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_
