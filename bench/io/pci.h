// Functions on bus 0 of PCIe.
#ifndef TRAPLINE_BENCH_IO_PCI_H_
#define TRAPLINE_BENCH_IO_PCI_H_

#include "bare.h"

// The configuration space of the first function whose word at `offset` is `value` under `mask`,
// with BARs in memory placed, memory and bus mastering on; 0 for none.
u64 pci_find(u32 offset, u32 mask, u32 value);
static inline u32 pci_device_id(u64 function) { return (u32)(function >> 12 & 0xffff); }
u64 pci_bar(u64 function, unsigned number);
// The next capability of this kind behind the one at `after`, or the first; 0 for none.
u64 pci_capability(u64 function, u8 kind, u64 after);

#endif  // TRAPLINE_BENCH_IO_PCI_H_
