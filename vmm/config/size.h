// Numbers and sizes as a user writes them, and sizes as messages print them.
#ifndef TRAPLINE_VMM_CONFIG_SIZE_H_
#define TRAPLINE_VMM_CONFIG_SIZE_H_

#include <cstdint>
#include <string>

namespace trapline {

// Bytes: decimal or 0x-hexadecimal, with a unit or none: K, M, G, T, in either case, alone or as
// KiB or KB. All units are powers of 1024. A decimal number may have a fraction, if that makes
// whole bytes: "512M", "0x20000000", "1.5GiB", "65536". What is wrong with the text; empty if
// nothing, and only then `bytes` is set.
std::string parse_size(const std::string& text, uint64_t& bytes);

// A decimal or 0x-hexadecimal number from `least` to `most`. As parse_size().
std::string parse_number(const std::string& text, uint64_t least, uint64_t most, uint64_t& number);

// "REQUIRED of memory, but the guest has PRESENT", both in the same unit: MiB where both are whole,
// else KiB. `required` is rounded up, so that the two never look equal when required > present.
std::string needs_but_has(uint64_t required, uint64_t present);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONFIG_SIZE_H_
