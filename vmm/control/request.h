// One line of a client's, read with suspicion. docs/control.md is the protocol.
#ifndef TRAPLINE_VMM_CONTROL_REQUEST_H_
#define TRAPLINE_VMM_CONTROL_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/config/result.h"

namespace trapline {

inline constexpr unsigned kControlProtocol = 1;
inline constexpr size_t kMaxRequest = 4096;  // bytes of a line

struct Request {
  enum class Verb : uint8_t {
    kStatus,
    kStat,
    kEvents,
    kProfileStart,
    kProfileStop,
    kProfileReset,
    kProfileReport,
    kPause,
    kResume,
    kReset,
    kPowerOff,
    kStop,
    kSave,
    kMigrate,
    kScreenshot,
    kBalloon,
    kCancel,
    kConsole,
  };
  Verb verb;
  std::string file, since;  // kSave
  bool compress = false;
  std::string to;  // kMigrate
  uint64_t downtime_ms = 300;
  uint64_t bytes = 0;  // kBalloon
};

// `line` without its end.
Result<Request> parse_request(std::string_view line);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_REQUEST_H_
