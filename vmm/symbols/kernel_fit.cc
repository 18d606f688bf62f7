#include "vmm/symbols/kernel_fit.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace trapline {
namespace {

constexpr size_t kEnough = 8;
constexpr size_t kMostSites = 2048;

bool is_kernel_address(uint64_t address) { return address >> 55 == 0x1ff; }

KernelFit fit_at(const KernelCode& code, std::span<const CodeSite> sites, uint64_t offset) {
  KernelFit fit{.offset = offset};
  for (const CodeSite& site : sites) {
    const auto word = code.word(site.pc - offset);
    if (!word) continue;
    ++fit.sites;
    if (site.agrees(*word)) ++fit.agree;
  }
  fit.fits = fit.agree >= std::min(kEnough, sites.size()) && fit.agree * 8 >= fit.sites * 7 &&
             fit.sites * 2 >= sites.size();
  return fit;
}

}  // namespace

std::string_view linux_banner(std::span<const uint8_t> kernel) {
  const std::string_view all(reinterpret_cast<const char*>(kernel.data()), kernel.size());
  constexpr std::string_view kBegin = "Linux version ";
  for (size_t at = all.find(kBegin); at != std::string_view::npos; at = all.find(kBegin, at + 1)) {
    const std::string_view line = all.substr(at, 512);
    const size_t end = line.find_first_of(std::string_view("\n\0", 2));
    const char first = line.size() > kBegin.size() ? line[kBegin.size()] : 'x';
    // linux_proc_banner is a format: "Linux version %s (...".
    if (end != std::string_view::npos && first >= '0' && first <= '9') return line.substr(0, end);
  }
  return {};
}

std::optional<uint64_t> kaslr_offset(const SymbolTable& symbols, std::string_view name,
                                     uint64_t runtime) {
  const uint64_t linked = symbols.address_of(name);
  if (linked == 0 || (runtime - linked) % kKaslrStep != 0) return std::nullopt;
  return runtime - linked;
}

CodeSite code_site(uint64_t pc, unsigned exception_class) {
  switch (exception_class) {
    case 0x01:  // WFE, WFI, WFET, WFIT
      return {pc, 0xffff'0000, 0xd503'0000};
    case 0x16:  // HVC
      return {pc, 0xffe0'001f, 0xd400'0002};
    case 0x17:  // SMC
      return {pc, 0xffe0'001f, 0xd400'0003};
    case 0x18:  // MSR, MRS, SYS
      return {pc, 0xffc0'0000, 0xd500'0000};
    case 0x24:  // loads and stores (C4.1: op0 x1x0)
      return {pc, 0x0a00'0000, CodeSite::kLoadStore};
    default:
      return {pc, 0, 0};
  }
}

std::optional<uint32_t> KernelCode::word(uint64_t address) const {
  const uint64_t at = address - base;
  if (address % 4 != 0 || at >= image.size() || image.size() - at < 4) return std::nullopt;
  uint32_t word;
  std::memcpy(&word, image.data() + at, sizeof word);
  return word;
}

KernelFit fit_kernel(const KernelCode& code, std::span<const CodeSite> sites) {
  std::vector<CodeSite> useful;
  for (const CodeSite& site : sites) {
    if (site.mask != 0 && is_kernel_address(site.pc) && useful.size() < kMostSites) {
      useful.push_back(site);
    }
  }
  KernelFit best = fit_at(code, useful, 0);
  if (best.fits || useful.empty()) return best;
  // The middle site must come to lie in the Image: modules may be below or above.
  std::nth_element(useful.begin(), useful.begin() + static_cast<ptrdiff_t>(useful.size() / 2),
                   useful.end(), [](const CodeSite& a, const CodeSite& b) { return a.pc < b.pc; });
  const uint64_t middle = useful[useful.size() / 2].pc;
  const uint64_t lowest =
      (middle - (code.base + code.image.size()) + kKaslrStep - 1) / kKaslrStep * kKaslrStep;
  for (uint64_t i = 0; i <= code.image.size() / kKaslrStep; ++i) {
    const KernelFit fit = fit_at(code, useful, lowest + i * kKaslrStep);
    if (fit.agree > best.agree) best = fit;
  }
  return best;
}

KernelFit fit_names(const SymbolTable& symbols, std::span<const CodeSite> sites) {
  struct Anchor {
    const char* name;
    uint32_t value;  // CodeSite's
  };
  constexpr Anchor kAnchors[] = {{"cpu_do_idle", 0xd503'0000}, {"__arm_smccc_hvc", 0xd400'0002}};
  KernelFit best{.fits = true};
  for (const Anchor& anchor : kAnchors) {
    const SymbolTable::Symbol* symbol = symbols.find(symbols.address_of(anchor.name));
    if (symbol == nullptr || symbol->name != anchor.name) continue;
    for (const CodeSite& site : sites) {
      if (site.value != anchor.value || site.mask == 0 || !is_kernel_address(site.pc)) continue;
      ++best.sites;
      const uint64_t offset = (site.pc - symbol->address) / kKaslrStep * kKaslrStep;
      if (site.pc - offset - symbol->address >= std::max<uint64_t>(symbol->size, 4)) continue;
      if (best.agree != 0 && offset != best.offset) continue;
      best.offset = offset;
      ++best.agree;
    }
  }
  best.fits = best.sites == 0 || best.agree != 0;
  return best;
}

}  // namespace trapline
