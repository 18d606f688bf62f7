// `trapline report`: reads one or two profiles, selects, and writes one of the formats.
#ifndef TRAPLINE_VMM_CLI_REPORT_H_
#define TRAPLINE_VMM_CLI_REPORT_H_

#include "vmm/cli/report_options.h"

namespace trapline {

// The program's exit status.
int report_command(const ReportOptions& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_REPORT_H_
