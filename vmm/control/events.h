// What happened to the machine, as JSON lines for those who subscribed; the last of it is kept for
// those who come later.
#ifndef TRAPLINE_VMM_CONTROL_EVENTS_H_
#define TRAPLINE_VMM_CONTROL_EVENTS_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "vmm/control/controlled.h"

namespace trapline {

class EventLog {
 public:
  static constexpr size_t kKept = 64;
  static constexpr size_t kMaxWhy = 512;  // bytes of it

  // Any thread.
  void add(const MachineEvent& event);
  // All lines from number `from` on that are kept; the number of the next one to come.
  uint64_t since(uint64_t from, std::string& lines) const;

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  mutable std::mutex mutex_;
  uint64_t first_ = 0;  // number of lines_.front()
  std::deque<std::string> lines_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_EVENTS_H_
