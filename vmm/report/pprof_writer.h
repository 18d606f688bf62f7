// A profile as pprof reads it: gzip'd profile.proto, with sample types exits/count and
// time/nanoseconds.
#ifndef TRAPLINE_VMM_REPORT_PPROF_WRITER_H_
#define TRAPLINE_VMM_REPORT_PPROF_WRITER_H_

#include <string>

#include "vmm/report/profile.h"

namespace trapline {

// A sample a row, at the guest's instruction, or a sample a stack where there are stacks; class,
// device and register are labels (`pprof -tagleaf register`).
std::string write_pprof(const Profile& profile);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_PPROF_WRITER_H_
