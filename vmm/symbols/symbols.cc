#include "vmm/symbols/symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace trapline {

namespace {

// A linker script's mark: nobody's function, but at the address of one.
bool is_boundary(std::string_view name) {
  if (name == "_text" || name == "_stext" || name == "_etext" || name == "_sinittext") return true;
  return name.starts_with("__") &&
         (name.ends_with("_start") || name.ends_with("_end") || name.ends_with("_begin"));
}

}  // namespace

void SymbolTable::seal() {
  // Of several names at one address: a global's before a local's is not known here, so the one
  // without a dot or dollar (compiler-made) and then the shortest.
  const auto rank = [](const Symbol& s) {
    return std::tuple(s.address, is_boundary(s.name),
                      s.name.find_first_of(".$") != std::string::npos, s.name.size());
  };
  std::stable_sort(symbols_.begin(), symbols_.end(),
                   [&](const Symbol& a, const Symbol& b) { return rank(a) < rank(b); });
  const auto same = [](const Symbol& a, const Symbol& b) { return a.address == b.address; };
  symbols_.erase(std::unique(symbols_.begin(), symbols_.end(), same), symbols_.end());
}

void SymbolTable::relocate(uint64_t offset) {
  for (Symbol& symbol : symbols_) {
    if (symbol.module.empty()) symbol.address += offset;
  }
  if (text_begin_ != 0) text_begin_ += offset;
  if (text_end_ != 0) text_end_ += offset;
  seal();
}

const SymbolTable::Symbol* SymbolTable::find(uint64_t address) const {
  auto next = std::upper_bound(symbols_.begin(), symbols_.end(), address,
                               [](uint64_t a, const Symbol& s) { return a < s.address; });
  if (next == symbols_.begin()) return nullptr;
  const Symbol& symbol = *(next - 1);
  if (symbol.size != 0 && address - symbol.address >= symbol.size) return nullptr;
  return &symbol;
}

std::string SymbolTable::describe(uint64_t address) const {
  const Symbol* symbol = find(address);
  if (symbol == nullptr) return {};
  const std::string module = symbol->module.empty() ? "" : symbol->module + ":";
  return fmt::format("{}{}+{:#x}", module, symbol->name, address - symbol->address);
}

uint64_t SymbolTable::address_of(std::string_view name) const {
  const auto found = std::find_if(symbols_.begin(), symbols_.end(),
                                  [&](const Symbol& s) { return s.name == name; });
  return found == symbols_.end() ? 0 : found->address;
}

}  // namespace trapline
