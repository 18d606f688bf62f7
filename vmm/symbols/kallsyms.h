// The symbols that a Linux kernel carries inside itself for /proc/kallsyms.
#ifndef TRAPLINE_VMM_SYMBOLS_KALLSYMS_H_
#define TRAPLINE_VMM_SYMBOLS_KALLSYMS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/config/result.h"
#include "vmm/symbols/symbols.h"

namespace trapline {

// `image`: an uncompressed arm64 Image of Linux 4.20 or newer with CONFIG_KALLSYMS, or the guest
// memory that holds one, from its first byte (a multiple of 8 after it in either case). Addresses
// are those that the tables lead to: the link-time ones of a file, in the memory of a guest that
// runs those with its KASLR offset (where the tables hold a base; those of 7.x do not, and give the
// link-time ones). What is not there is an error's text without the file's name.
Result<SymbolTable> kallsyms_of_image(std::span<const uint8_t> image);

// Whether there is in `memory` what its search begins with: a fraction of its time where no Linux
// is. Other threads may write there meanwhile. Begins at a multiple of 8.
bool may_hold_kallsyms(std::span<const uint8_t> memory);

// What others may change while it is looked at, as it was once.
std::vector<uint8_t> copy_of_shared(std::span<const uint8_t> memory);

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_KALLSYMS_H_
