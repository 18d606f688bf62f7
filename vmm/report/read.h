// Any file that holds a profile: its first bytes say which reader takes it.
#ifndef TRAPLINE_VMM_REPORT_READ_H_
#define TRAPLINE_VMM_REPORT_READ_H_

#include <string>

#include "vmm/config/result.h"
#include "vmm/report/ftrace.h"
#include "vmm/report/profile.h"

namespace trapline {

Result<Profile> read_profile(const std::string& path, const HostTraceOptions& host);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_READ_H_
