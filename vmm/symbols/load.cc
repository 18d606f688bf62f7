#include "vmm/symbols/load.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "vmm/symbols/elf_symbols.h"
#include "vmm/symbols/kallsyms.h"
#include "vmm/symbols/kernel_file.h"
#include "vmm/symbols/text_symbols.h"

namespace trapline {
namespace {

bool is_image(std::span<const uint8_t> file) {
  return file.size() >= 64 && std::memcmp(file.data() + 56, "ARM\x64", 4) == 0;
}

bool is_text(std::span<const uint8_t> file) {
  const auto head = file.subspan(0, std::min<size_t>(file.size(), 4096));
  return std::all_of(head.begin(), head.end(), [](uint8_t c) {
    return c == '\n' || c == '\r' || c == '\t' || (c >= ' ' && c != 0x7f);
  });
}

Result<SymbolTable> symbols_of(std::span<const uint8_t> file) {
  if (file.empty()) return Error{"is empty"};
  if (is_elf(file)) return symbols_of_elf(file);
  if (is_image(file)) return kallsyms_of_image(file);
  if (is_text(file)) {
    return symbols_of_text({reinterpret_cast<const char*>(file.data()), file.size()});
  }
  // Perhaps a dump of a guest's memory.
  Result<SymbolTable> table = kallsyms_of_image(file);
  if (table) return table;
  return Error{
      "is none of: arm64 Image (plain, gzip, zstd, EFI zboot), ELF, System.map, /proc/kallsyms"};
}

}  // namespace

Result<SymbolTable> load_symbols(const std::string& path) {
  Result<KernelFile> file = KernelFile::open(path);
  if (!file) return Error{file.error()};
  Result<SymbolTable> table = symbols_of(file->bytes());
  if (!table) return Error{path + ": " + table.error()};
  return table;
}

}  // namespace trapline
