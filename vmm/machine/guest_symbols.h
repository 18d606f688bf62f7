// Symbols of what runs in a guest.
#ifndef TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_
#define TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_

#include <cstdint>
#include <span>
#include <string>

#include "vmm/memory/guest_memory.h"
#include "vmm/symbols/symbols.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

struct GuestSymbols {
  SymbolTable table;
  std::string note;  // why there are none, or what is wrong with them; empty: nothing
};

// Where the kernel at EL1 is: its vectors, and the memory around them.
struct KernelPlace {
  uint64_t vbar = 0;
  std::span<const uint8_t> memory;
};
// While the vCPU does not run.
KernelPlace kernel_place(const GuestMemory& memory, Vcpu& vcpu);

// `choice`: --symbols; `given`: what that file holds. "auto": of the Linux kernel that runs at EL1,
// by its own tables in memory. VBAR_EL1, where it has its `vectors`, gives KASLR's offset, and
// shows symbols of another kernel. The guest may run meanwhile.
GuestSymbols guest_symbols(const std::string& choice, const SymbolTable& given,
                           const KernelPlace& kernel);

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_GUEST_SYMBOLS_H_
