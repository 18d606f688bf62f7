#include "vmm/machine/guest_symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "vmm/symbols/kallsyms.h"
#include "vmm/symbols/kernel_fit.h"
#include "vmm/symbols/load.h"

namespace trapline {
namespace {

constexpr const char* kVectors = "vectors";  // Linux's, at VBAR_EL1

// Moves the table to where the kernel runs; else why it is another kernel's.
std::string fit(SymbolTable& table, uint64_t vbar) {
  if (table.address_of(kVectors) == 0 || vbar == 0) return {};  // firmware, or nothing has run
  const std::optional<uint64_t> offset = kaslr_offset(table, kVectors, vbar);
  if (!offset) {
    return fmt::format(
        "the symbols are of another kernel: its vectors are at {:#x}, and the guest's "
        "VBAR_EL1 is {:#x}",
        table.address_of(kVectors), vbar);
  }
  if (*offset != 0) table.relocate(*offset);
  return {};
}

// Whether both name the same code, as far as a few functions at the ends of a kernel's text tell.
bool agree(const SymbolTable& a, const SymbolTable& b) {
  for (const char* name : {"start_kernel", "schedule", "__memcpy"}) {
    const uint64_t one = a.address_of(name), other = b.address_of(name);
    if (one != 0 && other != 0 && one != other) return false;
  }
  return true;
}

// Where a slot holds the header of an arm64 Image: its magic, at 56 (Documentation/arm64/booting).
std::vector<std::span<const uint8_t>> images_in(const GuestMemory::Slot& slot) {
  constexpr uint64_t kStep = 0x1'0000, kHeader = 64, kMagicAt = 56, kSizeAt = 16;
  constexpr uint32_t kMagic = 0x644d'5241;
  std::vector<std::span<const uint8_t>> found;
  for (uint64_t at = 0; at + kHeader <= slot.size; at += kStep) {
    uint32_t magic;
    uint64_t size;
    std::memcpy(&magic, slot.host + at + kMagicAt, sizeof magic);
    if (magic != kMagic) continue;
    std::memcpy(&size, slot.host + at + kSizeAt, sizeof size);
    found.emplace_back(slot.host + at, std::min(size, slot.size - at));
  }
  return found;
}

GuestSymbols kernel_symbols(const GuestMemory& memory, uint64_t vbar) {
  GuestSymbols result;
  result.note =
      "no symbols: there is no Linux kernel with kallsyms in guest memory; --symbols F "
      "gives others";
  for (const GuestMemory::Slot& slot : memory.slots()) {
    // A boot loader may have left other copies: the one that fits is the one that runs.
    for (const std::span<const uint8_t> image : images_in(slot)) {
      auto table = kallsyms_of_image(image);
      if (!table) continue;
      std::string note = fit(*table, vbar);
      if (!result.table.empty() && !note.empty()) continue;
      result.table = std::move(*table);
      result.note = std::move(note);
      if (result.note.empty()) return result;
    }
  }
  return result;
}

}  // namespace

GuestSymbols guest_symbols(const std::string& choice, const GuestMemory& memory, uint64_t vbar) {
  if (choice == "none") return {};
  if (choice == "auto") return kernel_symbols(memory, vbar);
  GuestSymbols result;
  auto table = load_symbols(choice);
  if (!table) {
    result.note = "no symbols: " + table.error();
    return result;
  }
  result.table = std::move(*table);
  result.note = fit(result.table, vbar);
  const GuestSymbols own = kernel_symbols(memory, vbar);
  if (result.note.empty() && own.note.empty() && !agree(result.table, own.table)) {
    result.note = choice + ": symbols of another kernel than the guest's, whose own tables differ";
  }
  return result;
}

}  // namespace trapline
