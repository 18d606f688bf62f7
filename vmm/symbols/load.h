// Symbols from a file, whatever it is.
#ifndef TRAPLINE_VMM_SYMBOLS_LOAD_H_
#define TRAPLINE_VMM_SYMBOLS_LOAD_H_

#include <string>

#include "vmm/config/result.h"
#include "vmm/symbols/symbols.h"

namespace trapline {

// A Linux arm64 Image (plain, gzip'd, zstd'd or EFI zboot), any ELF file, System.map, or the text
// of /proc/kallsyms. The table is sealed and not empty.
Result<SymbolTable> load_symbols(const std::string& path);

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_LOAD_H_
