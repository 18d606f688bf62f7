// A line of ftrace's or perf script's text, taken apart.
#ifndef TRAPLINE_VMM_REPORT_FTRACE_LINE_H_
#define TRAPLINE_VMM_REPORT_FTRACE_LINE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace trapline {

// All views are into the line.
struct TraceLine {
  enum class Kind {
    kEvent,
    kLost,     // `lost` events are missing here, on `cpu`
    kNothing,  // a comment, a header, a call chain
    kUnknown,
  };
  Kind kind = Kind::kUnknown;
  std::string_view thread{};  // its name, which may hold blanks, slashes and dashes
  std::string_view event{};   // "kvm_exit"
  std::string_view text{};    // what the event says
  uint64_t time_ns = 0;
  uint64_t lost = 0;
  uint32_t pid = 0;
  uint32_t cpu = 0;
  bool perf = false;  // `perf script` wrote it: "kvm:kvm_exit"
};

// Forms, whose blanks are any number of them:
//   ftrace, trace-cmd   NAME-PID [(TGID)] [CPU] [FLAGS] SECONDS.FRACTION: EVENT: TEXT
//   perf script         NAME PID[/TID] [CPU] SECONDS.FRACTION: [PERIOD] SYSTEM:EVENT: TEXT
TraceLine parse_trace_line(std::string_view line);

// The number after `key` in an event's text, hexadecimal with 0x or without if `base` is 16.
std::optional<uint64_t> number_after(std::string_view text, std::string_view key, int base);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FTRACE_LINE_H_
