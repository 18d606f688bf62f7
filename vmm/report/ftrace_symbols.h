// Names and instructions for the rows of a recording.
#ifndef TRAPLINE_VMM_REPORT_FTRACE_SYMBOLS_H_
#define TRAPLINE_VMM_REPORT_FTRACE_SYMBOLS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "vmm/config/result.h"
#include "vmm/report/ftrace.h"
#include "vmm/report/profile.h"
#include "vmm/symbols/kernel_file.h"
#include "vmm/symbols/kernel_fit.h"
#include "vmm/symbols/symbols.h"

namespace trapline {

class TraceSymbols {
 public:
  // By symbols, image and KASLR's offset of `files`, each of which may be missing. An Image among
  // the symbols gives instructions, too.
  static Result<TraceSymbols> load(const HostTraceOptions& files);

  // Fills in symbol, word and text, moved by KASLR's offset: the one given, else found; or says in
  // a note why not: they are another kernel's.
  void name(Profile& profile);

 private:
  std::optional<uint64_t> offset_of(Profile& profile) const;

  std::string symbols_path_, image_path_;
  std::optional<uint64_t> given_offset_;
  SymbolTable symbols_;
  std::optional<KernelFile> image_;
  uint64_t image_base_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FTRACE_SYMBOLS_H_
