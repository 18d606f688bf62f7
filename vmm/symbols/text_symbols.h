// Symbols as text: System.map, /proc/kallsyms, /proc/modules.
#ifndef TRAPLINE_VMM_SYMBOLS_TEXT_SYMBOLS_H_
#define TRAPLINE_VMM_SYMBOLS_TEXT_SYMBOLS_H_

#include <string_view>

#include "vmm/config/result.h"
#include "vmm/symbols/symbols.h"

namespace trapline {

// Lines "ADDRESS TYPE NAME [MODULE]", and between or behind them those of /proc/modules: they end a
// module's last symbol, and name the code of a module that has no other. An error's text is without
// the file's name.
Result<SymbolTable> symbols_of_text(std::string_view text);

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_TEXT_SYMBOLS_H_
