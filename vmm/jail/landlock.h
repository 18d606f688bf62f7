// Landlock, by raw system calls: glibc has none for it.
#ifndef TRAPLINE_VMM_JAIL_LANDLOCK_H_
#define TRAPLINE_VMM_JAIL_LANDLOCK_H_

#include <cstdint>
#include <span>
#include <string>

namespace trapline::jail {

// A file, or a folder with all that is below it.
struct Opened {
  enum Rights : uint8_t { kRead = 1, kWrite = 2, kRun = 4 };
  std::string path;
  unsigned rights;
};

// A domain in which nothing new can be had: no path but those that are `opened`, no abstract socket
// and, unless it is `tcp`, no TCP port, as far as the kernel knows of these. What is open stays so.
class Landlock {
 public:
  explicit Landlock(std::span<const Opened> opened, bool tcp = false);
  ~Landlock();
  Landlock(const Landlock&) = delete;
  Landlock& operator=(const Landlock&) = delete;

  int ruleset() const { return ruleset_; }  // a descriptor; -1: none here
  // One line for the user; empty: all of it is closed.
  std::string what_is_left_open() const;

 private:
  int ruleset_ = -1;
  int version_ = 0;  // of the kernel's interface; 0: it has none
};

// The calling thread, for ever; 0 or an errno. May be called in a signal's handler.
int restrict_to(int ruleset);

}  // namespace trapline::jail

#endif  // TRAPLINE_VMM_JAIL_LANDLOCK_H_
