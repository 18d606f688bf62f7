// Looks for a Linux kernel's last words in what the guest writes on its consoles.
#ifndef TRAPLINE_VMM_MACHINE_PANIC_WATCH_H_
#define TRAPLINE_VMM_MACHINE_PANIC_WATCH_H_

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace trapline {

class PanicWatch {
 public:
  // `told` gets the line, once a panic; with a device's lock held.
  explicit PanicWatch(std::function<void(const std::string& line)> told) : told_(std::move(told)) {}

  // Any thread: the bytes may come one by one.
  void output(std::string_view bytes) {
    std::lock_guard lock(mutex_);
    for (const char c : bytes) {
      if (matched_ < kWords.size()) {
        // The first letter comes only once in the words: nothing else can begin within them.
        matched_ = c == kWords[matched_] ? matched_ + 1 : c == kWords[0] ? 1 : 0;
        continue;
      }
      if (c != '\r' && c != '\n' && line_.size() < kMostOfLine) {
        line_ += c;
        continue;
      }
      told_(std::string(kWords) + line_);
      line_.clear();
      matched_ = 0;
    }
  }

 private:
  static constexpr std::string_view kWords = "Kernel panic - not syncing";
  static constexpr size_t kMostOfLine = 256;

  std::mutex mutex_;
  std::function<void(const std::string&)> told_;
  size_t matched_ = 0;
  std::string line_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_PANIC_WATCH_H_
