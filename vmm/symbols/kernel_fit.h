// Whether symbols or an Image are those of the kernel that runs, and where it runs.
#ifndef TRAPLINE_VMM_SYMBOLS_KERNEL_FIT_H_
#define TRAPLINE_VMM_SYMBOLS_KERNEL_FIT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "vmm/symbols/symbols.h"

namespace trapline {

// Linux's own line about itself, "Linux version 6.1.0-56-cloud-arm64 (...) #1 SMP ...", in an Image
// or in guest memory, without the newline; empty: none. Two kernels of equal banners are one build.
std::string_view linux_banner(std::span<const uint8_t> kernel);

// KASLR moves a kernel by multiples of this (arm64: MIN_KIMG_ALIGN is 2 MiB, but the physical
// address's part below that comes along, a multiple of 64 KiB).
inline constexpr uint64_t kKaslrStep = 0x1'0000;

// How far the kernel runs above its symbols if what they call `name` is at `runtime`: `vectors` is
// where VBAR_EL1 points to. nullopt: no such symbol, or no distance that KASLR makes, so that these
// are another kernel's symbols.
std::optional<uint64_t> kaslr_offset(const SymbolTable& symbols, std::string_view name,
                                     uint64_t runtime);

// What is known of the instruction at an address of the running kernel: its bits `mask` are
// `value`. A word that was read has mask ~0; an exit's class says what it must have been.
struct CodeSite {
  uint64_t pc = 0;
  uint32_t mask = 0, value = 0;

  bool agrees(uint32_t word) const {
    // What aborts on data is a load or store, or DC or IC by address.
    const bool maintenance = value == kLoadStore && (word & 0xfff8'f000) == 0xd508'7000;
    return (word & mask) == value || maintenance;
  }
  static constexpr uint32_t kLoadStore = 0x0800'0000;
};
// Of an exit by ESR_EL2.EC, mask 0 where it says nothing.
CodeSite code_site(uint64_t pc, unsigned exception_class);

// A kernel's Image and the link-time address of its first byte.
struct KernelCode {
  std::span<const uint8_t> image;
  uint64_t base = 0;

  std::optional<uint32_t> word(uint64_t address) const;
};

struct KernelFit {
  bool fits = false;
  uint64_t offset = 0;  // KASLR's
  size_t sites = 0;     // in the kernel's address range, at that offset
  size_t agree = 0;     // of those
};
// The offset at which the Image agrees with the sites: none is tried first, then all that lead the
// sites into it. Some sites must differ: Linux patches itself when it boots (alternatives, static
// keys); and some lie in modules. So it fits where at least 8 agree, those are 7 of 8 in the Image,
// and half of the sites are in it.
KernelFit fit_kernel(const KernelCode& code, std::span<const CodeSite> sites);

// The same of symbols alone, from where a kernel waits and calls its hypervisor: WFI is in
// `cpu_do_idle`, HVC in `__arm_smccc_hvc`. Symbols or sites without either fit as they are, since
// nothing speaks against them.
KernelFit fit_names(const SymbolTable& symbols, std::span<const CodeSite> sites);

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_KERNEL_FIT_H_
