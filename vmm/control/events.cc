#include "vmm/control/events.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace trapline {

void EventLog::add(const MachineEvent& event) {
  using std::chrono::duration;
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  nlohmann::ordered_json line;
  line["event"] = event.kind;
  std::lock_guard lock(mutex_);
  line["seq"] = first_ + lines_.size();
  line["unix_ms"] =
      duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  line["uptime_s"] = duration<double>(std::chrono::steady_clock::now() - start_).count();
  line["why"] = event.why.substr(0, kMaxWhy);
  if (event.status) line["status"] = *event.status;
  if (event.job) line["job"] = *event.job;
  if (event.result != nullptr) line["result"] = event.result;
  // A guest's words need not be UTF-8.
  lines_.push_back(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (lines_.size() > kKept) {
    lines_.pop_front();
    ++first_;
  }
}

uint64_t EventLog::since(uint64_t from, std::string& lines) const {
  std::lock_guard lock(mutex_);
  const uint64_t next = first_ + lines_.size();
  for (uint64_t i = std::max(from, first_); i < next; ++i) lines += lines_[i - first_];
  return next;
}

}  // namespace trapline
