// Keys as viewers name them (X11 keysyms, RFC 6143, 7.5.4) and as a keyboard has them.
#ifndef TRAPLINE_VMM_DISPLAY_KEYS_H_
#define TRAPLINE_VMM_DISPLAY_KEYS_H_

#include <cstdint>

namespace trapline {

// The key of a US keyboard that bears the symbol, shifted or not, as linux/input-event-codes.h
// numbers it; 0: none does.
uint16_t key_of(uint32_t keysym);

}  // namespace trapline

#endif  // TRAPLINE_VMM_DISPLAY_KEYS_H_
