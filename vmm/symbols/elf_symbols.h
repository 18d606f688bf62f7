// The symbols of an ELF file: vmlinux, or firmware.
#ifndef TRAPLINE_VMM_SYMBOLS_ELF_SYMBOLS_H_
#define TRAPLINE_VMM_SYMBOLS_ELF_SYMBOLS_H_

#include <cstdint>
#include <span>

#include "vmm/config/result.h"
#include "vmm/symbols/symbols.h"

namespace trapline {

bool is_elf(std::span<const uint8_t> file);
// Of .symtab, else of .dynsym. An error's text is without the file's name.
Result<SymbolTable> symbols_of_elf(std::span<const uint8_t> file);

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_ELF_SYMBOLS_H_
