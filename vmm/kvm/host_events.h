// kvm:* events of this host's guests, whichever VMM runs them: from tracefs, in an instance of our
// own, so that nobody else's tracing is disturbed.
#ifndef TRAPLINE_VMM_KVM_HOST_EVENTS_H_
#define TRAPLINE_VMM_KVM_HOST_EVENTS_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "vmm/config/result.h"

namespace trapline::kvm {

class HostEvents {
 public:
  // Of the process `pid`, all its threads and those that it starts; 0: of every VMM. The error is
  // one line: no arm64 host, no tracefs, no right to it, no kvm:* events, no such process.
  static Result<std::unique_ptr<HostEvents>> start(pid_t pid);
  // The instance is gone then.
  virtual ~HostEvents() = default;

  // What came since, in order of time: lines of ftrace's text, times with nanoseconds, with a line
  // "CPU:n [LOST n EVENTS]" where the kernel had no room. `all`: no more is awaited.
  virtual void drain(const std::function<void(std::string_view line)>& put, bool all) = 0;
};

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_HOST_EVENTS_H_
