#include "vmm/symbols/text_symbols.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "vmm/symbols/nm_symbols.h"

namespace trapline {
namespace {

constexpr size_t kMostFields = 8;

struct Fields {
  std::array<std::string_view, kMostFields> at;
  size_t count = 0;
};

Fields split(std::string_view line) {
  Fields fields;
  while (fields.count < kMostFields) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) break;
    line.remove_prefix(begin);
    const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    fields.at[fields.count++] = line.substr(0, end);
    line.remove_prefix(end);
  }
  return fields;
}

std::optional<uint64_t> number(std::string_view text, int base) {
  if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "virtio_net 65536 0 - Live 0xffff800000e50000", perhaps with taints behind it.
bool add_module(const Fields& fields, NmSymbols& symbols) {
  if (fields.count < 6) return false;
  const auto size = number(fields.at[1], 10), address = number(fields.at[5], 16);
  if (!size || !address || !fields.at[5].starts_with("0x")) return false;
  if (*address != 0) symbols.add_module(fields.at[0], *address, *size);
  return true;
}

bool add_symbol(const Fields& fields, NmSymbols& symbols, bool& all_zero) {
  if (fields.count < 3 || fields.at[1].size() != 1) return false;
  const auto address = number(fields.at[0], 16);
  if (!address) return false;
  if (*address != 0) all_zero = false;
  std::string_view module;
  if (fields.count >= 4 && fields.at[3].starts_with('[') && fields.at[3].ends_with(']')) {
    module = fields.at[3].substr(1, fields.at[3].size() - 2);
  }
  symbols.add(*address, fields.at[1][0], fields.at[2], module);
  return true;
}

std::string shown(std::string_view text) {
  std::string s;
  for (const char c : text.substr(0, 40)) s += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > 40 ? s + "..." : s;
}

}  // namespace

Result<SymbolTable> symbols_of_text(std::string_view text) {
  // Debian's linux-image packages have one line in place of System.map.
  if (text.size() < 1024 && text.find("real System.map is in") != std::string_view::npos) {
    return Error{
        "is Debian's placeholder: the kernel's Image has the symbols inside, and so has the "
        "vmlinux of the package linux-image-...-dbg"};
  }
  NmSymbols symbols;
  bool all_zero = true;
  for (uint64_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const Fields fields = split(line);
    if (fields.count == 0) continue;
    if (!add_symbol(fields, symbols, all_zero) && !add_module(fields, symbols)) {
      return Error{
          fmt::format("line {} is none of System.map, /proc/kallsyms or /proc/modules: '{}'",
                      line_number, shown(line))};
    }
  }
  if (symbols.size() != 0 && all_zero) {
    return Error{
        "has zeroes for all addresses: read /proc/kallsyms as root, with kernel.kptr_restrict not "
        "2"};
  }
  SymbolTable table = symbols.finish();
  if (table.empty()) return Error{"names no code"};
  return table;
}

}  // namespace trapline
