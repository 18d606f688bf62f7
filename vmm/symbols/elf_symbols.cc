#include "vmm/symbols/elf_symbols.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "vmm/symbols/nm_symbols.h"

namespace trapline {
namespace {

template <typename T>
std::optional<T> read_at(std::span<const uint8_t> file, uint64_t offset) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

std::span<const uint8_t> content(std::span<const uint8_t> file, const Elf64_Shdr& section) {
  if (section.sh_type == SHT_NOBITS || section.sh_offset > file.size()) return {};
  return file.subspan(section.sh_offset,
                      std::min<uint64_t>(section.sh_size, file.size() - section.sh_offset));
}

std::string_view string_at(std::span<const uint8_t> strings, uint64_t offset) {
  constexpr uint64_t kLongest = 4096;
  if (offset >= strings.size()) return {};
  const auto* text = reinterpret_cast<const char*>(strings.data() + offset);
  return {text, strnlen(text, std::min<uint64_t>(strings.size() - offset, kLongest))};
}

}  // namespace

bool is_elf(std::span<const uint8_t> file) {
  return file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
}

Result<SymbolTable> symbols_of_elf(std::span<const uint8_t> file) {
  const auto header = read_at<Elf64_Ehdr>(file, 0);
  if (!header || !is_elf(file)) return Error{"is too short for an ELF file"};
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_AARCH64) {
    return Error{"is an ELF file, but not for arm64 (AArch64, little-endian)"};
  }
  if (header->e_type == ET_REL) {
    return Error{"is an object file without addresses (a module?): give the kernel's vmlinux"};
  }
  std::vector<Elf64_Shdr> sections;
  for (unsigned i = 0; i < header->e_shnum && header->e_shentsize == sizeof(Elf64_Shdr); ++i) {
    const auto section = read_at<Elf64_Shdr>(file, header->e_shoff + i * sizeof(Elf64_Shdr));
    if (!section) return Error{"is a truncated ELF file: its section headers are missing"};
    sections.push_back(*section);
  }
  const Elf64_Shdr* chosen = nullptr;
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type == SHT_SYMTAB) chosen = &section;
    if (section.sh_type == SHT_DYNSYM && chosen == nullptr) chosen = &section;
  }
  if (chosen == nullptr) return Error{"is an ELF file without symbols (stripped)"};
  const auto symbols = content(file, *chosen);
  if (symbols.size() < chosen->sh_size || chosen->sh_link >= sections.size()) {
    return Error{"is a truncated ELF file: its symbol table is missing"};
  }
  const auto strings = content(file, sections[chosen->sh_link]);
  NmSymbols names;
  for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= symbols.size(); at += sizeof(Elf64_Sym)) {
    const Elf64_Sym symbol = *read_at<Elf64_Sym>(symbols, at);
    const unsigned type = ELF64_ST_TYPE(symbol.st_info);
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= sections.size()) continue;
    if (type != STT_FUNC && type != STT_NOTYPE && type != STT_OBJECT) continue;
    const bool code =
        type != STT_OBJECT && (sections[symbol.st_shndx].sh_flags & SHF_EXECINSTR) != 0;
    names.add(symbol.st_value, code ? 'T' : 'D', string_at(strings, symbol.st_name));
  }
  if (names.code() == 0) return Error{"is an ELF file whose symbols name no code"};
  return names.finish();
}

}  // namespace trapline
