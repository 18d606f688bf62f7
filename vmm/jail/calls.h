// The system calls of a running VM, as data. docs/sandbox.md lists them; a test compares.
#ifndef TRAPLINE_VMM_JAIL_CALLS_H_
#define TRAPLINE_VMM_JAIL_CALLS_H_

#include <cstdint>
#include <span>

namespace trapline::jail {

// What a row is for: it is in the filter of a VM that has such a thing.
enum class Need : uint8_t { kAlways, kKvm, kTap, kNbd };

// What holds of one argument.
enum class Test : uint8_t { kNone, kEquals, kHasNone, kIsThisProcess };

struct Call {
  const char* name;
  const char* only;  // the test in words, "" without one
  Test test;
  unsigned argument;
  uint64_t value;  // kEquals, kHasNone: bits
  Need need;
  const char* why;
};

std::span<const Call> allowed_calls();  // the VM
std::span<const Call> network_calls();  // the process of `--net user`
std::span<const Call> viewers_calls();  // the process of `--display vnc:`

// These answer with an error instead of killing the process: a library that tries one goes on.
struct Refused {
  const char* name;
  int error;
  const char* why;
};
std::span<const Refused> refused_calls();

}  // namespace trapline::jail

#endif  // TRAPLINE_VMM_JAIL_CALLS_H_
