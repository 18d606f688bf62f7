#include "vmm/machine/guest_symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "vmm/symbols/kallsyms.h"
#include "vmm/symbols/kernel_fit.h"

namespace trapline {
namespace {

constexpr const char* kVectors = "vectors";  // Linux's, at VBAR_EL1
constexpr SysregId kVbarEl1 = sysreg_id(3, 0, 12, 0, 0);

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

// The memory around a kernel's vectors, which lie near the beginning of its Image. (The Image's
// header is gone: the kernel gives that page away.)
std::span<const uint8_t> kernel_memory(const GuestMemory& memory, Vcpu& vcpu, uint64_t vbar) {
  const Stage1Walk walk = vcpu.look_up(vbar, WalkFor::kFetch, false);
  const GuestMemory::Slot* slot =
      walk.status == Stage1Walk::Status::kOk ? memory.slot(walk.ipa) : nullptr;
  if (slot == nullptr) return {};
  constexpr uint64_t kBelow = uint64_t{2} << 20, kMost = uint64_t{128} << 20;
  const uint64_t at = walk.ipa - slot->base;
  const uint64_t begin = at > kBelow ? (at - kBelow) & ~uint64_t{kPageMask} : 0;
  return {slot->host + begin, std::min(kMost, slot->size - begin)};
}

GuestSymbols kernel_symbols(const KernelPlace& kernel) {
  GuestSymbols result;
  const std::span<const uint8_t> memory = kernel.memory;
  if (auto table = may_hold_kallsyms(memory) ? kallsyms_of_image(copy_of_shared(memory))
                                             : kallsyms_of_image({})) {
    result.table = std::move(*table);
    result.note = fit(result.table, kernel.vbar);
  } else {
    result.note = "no symbols: no Linux kernel with kallsyms runs in the guest (" + table.error() +
                  "); --symbols F gives others";
  }
  return result;
}

}  // namespace

KernelPlace kernel_place(const GuestMemory& memory, Vcpu& vcpu) {
  const uint64_t vbar = vcpu.get_sysreg(kVbarEl1);
  return {vbar, kernel_memory(memory, vcpu, vbar)};
}

GuestSymbols guest_symbols(const std::string& choice, const SymbolTable& given,
                           const KernelPlace& kernel) {
  if (choice == "none") return {};
  GuestSymbols own = kernel_symbols(kernel);
  if (choice == "auto") return own;
  GuestSymbols result{given, {}};
  result.note = fit(result.table, kernel.vbar);
  if (result.note.empty() && own.note.empty() && !agree(result.table, own.table)) {
    result.note = choice + ": symbols of another kernel than the guest's, whose own tables differ";
  }
  return result;
}

}  // namespace trapline
