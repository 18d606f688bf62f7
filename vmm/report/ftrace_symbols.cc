#include "vmm/report/ftrace_symbols.h"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "vmm/symbols/disassemble.h"
#include "vmm/symbols/kallsyms.h"
#include "vmm/symbols/load.h"

namespace trapline {
namespace {

unsigned exception_class_of(const std::string& exit_class) {
  static const std::map<std::string, unsigned> kClasses = {
      {"WFx", 0x01}, {"HVC64", 0x16}, {"SMC64", 0x17}, {"SYS64", 0x18}, {"DABT_LOW", 0x24}};
  const auto at = kClasses.find(exit_class);
  return at == kClasses.end() ? 0 : at->second;
}

CodeSite site_of(const ProfileRow& row) {
  return code_site(row.pc, exception_class_of(row.key.exit_class));
}

bool is_image(std::span<const uint8_t> file) {
  return file.size() >= 64 && std::memcmp(file.data() + 56, "ARM\x64", 4) == 0;
}

}  // namespace

Result<TraceSymbols> TraceSymbols::load(const HostTraceOptions& files) {
  const std::string &symbols = files.symbols, &image = files.image;
  TraceSymbols out;
  out.given_offset_ = files.kaslr_offset;
  out.symbols_path_ = symbols;
  out.image_path_ = image.empty() ? symbols : image;
  if (!symbols.empty()) {
    Result<SymbolTable> table = load_symbols(symbols);
    if (!table) return Error{table.error()};
    out.symbols_ = std::move(*table);
  }
  if (out.image_path_.empty()) return out;
  Result<KernelFile> file = KernelFile::open(out.image_path_);
  if (!file) return Error{file.error()};
  if (!is_image(file->bytes())) {
    if (image.empty()) return out;
    return Error{image + ": is no arm64 Image (plain, gzip, zstd, EFI zboot)"};
  }
  // Where it is linked to, its own tables say; an Image without them lies where the symbols do.
  out.image_base_ = out.symbols_.text_begin();
  if (!image.empty() || out.image_base_ == 0) {
    if (Result<SymbolTable> own = kallsyms_of_image(file->bytes())) {
      out.image_base_ = own->text_begin();
      if (symbols.empty()) out.symbols_ = std::move(*own);
    }
  }
  if (out.image_base_ == 0) {
    return Error{image + ": does not say where it is linked to: give its System.map (--symbols)"};
  }
  out.image_.emplace(std::move(*file));
  return out;
}

// KASLR's offset; none: the files are another kernel's, which a note says.
std::optional<uint64_t> TraceSymbols::offset_of(Profile& profile) const {
  std::map<uint64_t, CodeSite> by_pc;
  for (const ProfileRow& row : profile.rows) {
    const CodeSite site = site_of(row);
    if (!row.other && site.mask != 0) by_pc.emplace(row.pc, site);
  }
  std::vector<CodeSite> sites;
  sites.reserve(by_pc.size());
  for (const auto& [pc, site] : by_pc) sites.push_back(site);
  if (!image_) {
    const KernelFit fit = fit_names(symbols_, sites);
    if (fit.fits) return fit.offset;
    profile.notes.push_back(fmt::format(
        "{}: another kernel's symbols: its idle and hypercall functions are at none of {} exits "
        "that come from them; no names are shown",
        symbols_path_, fit.sites));
    return std::nullopt;
  }
  const KernelFit fit = fit_kernel({image_->bytes(), image_base_}, sites);
  if (fit.fits) {
    if (fit.agree != fit.sites) {
      profile.notes.push_back(fmt::format(
          "{}: at {} of {} instructions that exit it has one that cannot: patched by the guest, or "
          "another build",
          image_path_, fit.sites - fit.agree, fit.sites));
    }
    return fit.offset;
  }
  profile.notes.push_back(fmt::format(
      "{}: another kernel's: its instructions agree with {} of {} exits at best; no names and no "
      "instructions are shown",
      image_path_, fit.agree, fit.sites));
  return std::nullopt;
}

void TraceSymbols::name(Profile& profile) {
  if (symbols_.empty() && !image_) return;
  const auto offset = given_offset_ ? given_offset_ : offset_of(profile);
  if (!offset) return;
  if (*offset != 0) {
    profile.notes.push_back(
        fmt::format("the guest's kernel runs {:#x} above its link address (KASLR)", *offset));
    symbols_.relocate(*offset);
  }
  for (ProfileRow& row : profile.rows) {
    if (row.other) continue;
    if (std::string symbol = symbols_.describe(row.pc); !symbol.empty())
      row.symbol = std::move(symbol);
    if (!image_ || row.word != 0) continue;
    const auto word = KernelCode{image_->bytes(), image_base_ + *offset}.word(row.pc);
    // Linux patches itself: what trapped cannot have been that.
    const CodeSite site = site_of(row);
    if (!word || !site.agrees(*word)) continue;
    row.word = *word;
    row.text = disassemble(*word, row.pc);
  }
}

}  // namespace trapline
