// From what `nm` would print of a kernel and its modules to a table of its code.
#ifndef TRAPLINE_VMM_SYMBOLS_NM_SYMBOLS_H_
#define TRAPLINE_VMM_SYMBOLS_NM_SYMBOLS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/symbols/symbols.h"

namespace trapline {

// Data symbols are not kept, but end the function before them: an address in data has no name.
class NmSymbols {
 public:
  // `type`: nm's letter. `module`: empty for the kernel's own.
  void add(uint64_t address, char type, std::string_view name, std::string_view module = {});
  // A module as /proc/modules has it: bounds its last symbol; without symbols it has one, ".text".
  void add_module(std::string_view name, uint64_t address, uint64_t size);

  size_t code() const { return code_; }
  size_t size() const { return entries_.size(); }
  SymbolTable finish();

 private:
  struct Entry {
    uint64_t address;
    bool code;
    uint32_t module;  // index into modules_; 0: the kernel
    std::string name;
  };
  struct Module {
    std::string name{};
    uint64_t address = 0, size = 0;  // size 0: not known
    bool has_code = false;
  };

  uint32_t module_index(std::string_view name);

  std::vector<Entry> entries_;
  std::vector<Module> modules_{1};
  size_t code_ = 0;
  uint64_t text_ = 0, etext_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_NM_SYMBOLS_H_
