// Folded stacks, a line "outermost;...;innermost COUNT": what flamegraph.pl, speedscope and inferno
// read.
#ifndef TRAPLINE_VMM_REPORT_FOLDED_WRITER_H_
#define TRAPLINE_VMM_REPORT_FOLDED_WRITER_H_

#include <string>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

// The stacks that lead to exits, each ending in what exited; of a source without stacks each exit
// as class, device, register and symbol.
std::vector<StackRow> stacks_or_rows(const Profile& profile);

std::string write_folded(const Profile& profile);
// Two counts a line, as difffolded.pl writes them.
std::string write_folded(const Profile& a, const Profile& b);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FOLDED_WRITER_H_
