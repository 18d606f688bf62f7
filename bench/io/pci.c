#include "pci.h"

#define ECAM 0x4010000000ul
enum { kWindow = 0x10000000, kBars = 6 };

// From each BAR's size. A BAR of 64 bits stands in the lower window, too.
static void place_bars(u64 function) {
  static u64 next = kWindow;
  for (unsigned n = 0; n < kBars; ++n) {
    const u64 bar = function + 0x10 + 4 * n;
    set(bar, ~0u);
    const u32 mask = get(bar);
    if (mask == 0 || (mask & 1) != 0) continue;  // none, or ports
    const u64 size = ~(mask & ~0xfu) + 1u;
    next = (next + size - 1) & ~(size - 1);
    set(bar, (u32)next);
    next += size;
    if ((mask & 4) != 0) {
      set(bar + 4, 0);
      ++n;
    }
  }
  set_u16(function + 4, 2 | 4);
}

u64 pci_find(u32 offset, u32 mask, u32 value) {
  if (!has_messages()) return 0;
  for (u64 device = 0; device < 32; ++device) {
    const u64 function = ECAM + (device << 15);
    if (get_u16(function) == 0xffff || (get(function + offset) & mask) != value) continue;
    place_bars(function);
    return function;
  }
  return 0;
}
u64 pci_bar(u64 function, unsigned number) { return get(function + 0x10 + 4 * number) & ~0xful; }
u64 pci_capability(u64 function, u8 kind, u64 after) {
  u8 at = get_u8(after == 0 ? function + 0x34 : after + 1);
  for (int n = 0; at != 0 && n < 48; ++n) {
    if (get_u8(function + at) == kind) return function + at;
    at = get_u8(function + at + 1);
  }
  return 0;
}
