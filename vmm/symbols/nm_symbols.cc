#include "vmm/symbols/nm_symbols.h"

#include <algorithm>

namespace trapline {
namespace {

// Where the kernel's end is not known, its last function is not taken to be longer; of a module,
// which lies in pages of its own, not to leave its page: behind it may be a module without symbols.
constexpr uint64_t kLongestLast = 0x1'0000, kPage = 0x1000;
constexpr size_t kMostModules = 4096;

bool is_code(char type) { return type == 't' || type == 'T' || type == 'w' || type == 'W'; }

}  // namespace

uint32_t NmSymbols::module_index(std::string_view name) {
  if (name.empty()) return 0;
  // A module's symbols stand together.
  for (size_t i = modules_.size(); i-- > 1;) {
    if (modules_[i].name == name) return static_cast<uint32_t>(i);
    if (modules_.size() > 256 && modules_.size() - i > 16) break;
  }
  if (modules_.size() >= kMostModules) return static_cast<uint32_t>(modules_.size() - 1);
  modules_.push_back({.name = std::string(name)});
  return static_cast<uint32_t>(modules_.size() - 1);
}

void NmSymbols::add(uint64_t address, char type, std::string_view name, std::string_view module) {
  if (type == 'a' || type == 'A' || type == 'U' || name.empty()) return;
  // Mapping symbols: where code and data begin in a section (AAELF64 5.5.8).
  if (name.front() == '$' && name.size() >= 2 && (name[1] == 'x' || name[1] == 'd')) return;
  if (module.empty() && name == "_text") text_ = address;
  if (module.empty() && name == "_etext") etext_ = address;
  const bool code = is_code(type) && address != 0;
  const uint32_t index = module_index(module);
  if (code) {
    ++code_;
    modules_[index].has_code = true;
  }
  entries_.push_back({address, code, index, code ? std::string(name) : std::string()});
}

void NmSymbols::add_module(std::string_view name, uint64_t address, uint64_t size) {
  Module& module = modules_[module_index(name)];
  module.address = address;
  module.size = size;
}

SymbolTable NmSymbols::finish() {
  for (size_t i = 1; i < modules_.size(); ++i) {
    const Module& module = modules_[i];
    if (module.has_code || module.address == 0 || module.size == 0) continue;
    entries_.push_back({module.address, true, static_cast<uint32_t>(i), ".text"});
  }
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.address < b.address; });
  SymbolTable table;
  uint64_t next_address = 0;  // of the first entry above the one at hand
  uint32_t next_module = 0;
  for (size_t i = entries_.size(); i-- > 0;) {
    Entry& entry = entries_[i];
    if (i + 1 < entries_.size() && entries_[i + 1].address != entry.address) {
      next_address = entries_[i + 1].address;
      next_module = entries_[i + 1].module;
    }
    if (!entry.code) continue;
    const Module& module = modules_[entry.module];
    uint64_t size = next_address > entry.address ? next_address - entry.address : kLongestLast;
    if (module.size != 0 && entry.address - module.address < module.size) {
      size = std::min(size, module.size - (entry.address - module.address));
    } else if (next_module != entry.module) {
      size = std::min(size, entry.module == 0 ? kLongestLast : kPage - entry.address % kPage);
    }
    table.add({entry.address, size, std::move(entry.name), module.name});
  }
  entries_.clear();
  table.set_text(text_, etext_);
  table.seal();
  return table;
}

}  // namespace trapline
