// Profiles as a trace that ui.perfetto.dev opens: a process a profile; a track a vCPU with its
// exits, where the source has single exits; else counters, exits a second of each register.
#ifndef TRAPLINE_VMM_REPORT_PERFETTO_WRITER_H_
#define TRAPLINE_VMM_REPORT_PERFETTO_WRITER_H_

#include <string>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

std::string write_perfetto(const std::vector<Profile>& profiles);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_PERFETTO_WRITER_H_
