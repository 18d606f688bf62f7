// Names for a guest's addresses.
#ifndef TRAPLINE_VMM_SYMBOLS_SYMBOLS_H_
#define TRAPLINE_VMM_SYMBOLS_SYMBOLS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trapline {

// A sorted table of code symbols. A symbol reaches to the next one, or to its size where known.
class SymbolTable {
 public:
  struct Symbol {
    uint64_t address = 0;
    uint64_t size = 0;  // 0: to the next one
    std::string name{};
    std::string module{};  // empty: the kernel's own
  };

  void add(Symbol symbol) { symbols_.push_back(std::move(symbol)); }
  // Once all are in: sorts, keeps the best name of those at one address.
  void seal();
  // Moves every symbol outside of modules by `offset` (KASLR).
  void relocate(uint64_t offset);

  // Where a kernel's code lies: its `_text` and `_etext`; 0: not known.
  void set_text(uint64_t begin, uint64_t end) { text_begin_ = begin, text_end_ = end; }
  uint64_t text_begin() const { return text_begin_; }
  uint64_t text_end() const { return text_end_; }

  const Symbol* find(uint64_t address) const;
  // "name+0x10", "module:name+0x10"; empty: none covers it.
  std::string describe(uint64_t address) const;
  uint64_t address_of(std::string_view name) const;  // 0: none
  size_t size() const { return symbols_.size(); }
  bool empty() const { return symbols_.empty(); }

 private:
  std::vector<Symbol> symbols_;
  uint64_t text_begin_ = 0, text_end_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_SYMBOLS_H_
