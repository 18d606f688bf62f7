// A sample of a running VM as lines of text.
#ifndef TRAPLINE_VMM_CLI_LIVE_VIEW_H_
#define TRAPLINE_VMM_CLI_LIVE_VIEW_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vmm/cli/live_sample.h"

namespace trapline {

enum class LiveOrder { kCount, kTime, kLatency, kName };
const char* order_name(LiveOrder order);

struct LiveViewOptions {
  LiveOrder order = LiveOrder::kCount;
  bool rates = true;         // a second; else sums
  size_t most_lines = 1000;  // rows of registers are left out first
};

// The first line names `title`.
std::vector<std::string> live_view(const std::string& title, const LiveSample& sample,
                                   const LiveViewOptions& options);

// "1:02:03".
std::string duration_text(double seconds);
// Of a reply; 0 or "?" where there is no such field of that type. What would move a terminal's
// cursor is not in it.
double number_of(const nlohmann::json& object, const char* key);
std::string text_of(const nlohmann::json& object, const char* key);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_LIVE_VIEW_H_
