// What an arm64 KVM host traced of its guests, whichever VMM ran them: the text of ftrace (`trace`,
// `trace_pipe`, `trace-cmd report`) or of `perf script`, with kvm:* events in it.
#ifndef TRAPLINE_VMM_REPORT_FTRACE_H_
#define TRAPLINE_VMM_REPORT_FTRACE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/config/result.h"
#include "vmm/report/profile.h"

namespace trapline {

// Files that say more than the events do; empty: none.
struct HostTraceOptions {
  std::string symbols{};  // names for the guest's code: whatever load_symbols() reads
  std::string image{};    // the guest's kernel: the instructions at the exits
  std::optional<uint64_t> kaslr_offset{};  // of both; none: found
  std::string dtb{};                       // the guest's device tree: names for addresses
  std::string map{};  // the same as text: "0xADDRESS SIZE NAME" a line, '#' begins a comment
};

// Whether these are the first bytes of such a file, gzip'd ones included: of another architecture,
// too, so that read_host_trace() can say what is wrong with it.
bool looks_like_host_trace(std::string_view first_kilobytes);

Result<Profile> read_host_trace(const std::string& path, const HostTraceOptions& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FTRACE_H_
