// What a report shows of a trace.
#ifndef TRAPLINE_VMM_TRACE_TRACE_PROFILE_H_
#define TRAPLINE_VMM_TRACE_TRACE_PROFILE_H_

#include <string>

#include "vmm/config/result.h"
#include "vmm/report/profile.h"

namespace trapline::trace {

// Whether the file at `path` begins as a trace does; false where it cannot be read.
bool is_trace(const std::string& path);

// Each exit is in Profile::events, up to some millions. A trace that was cut off is read as far as
// it goes; Profile::broken and a note say so.
Result<Profile> read_trace_profile(const std::string& path);

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_TRACE_PROFILE_H_
