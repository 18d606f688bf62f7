// A part of a profile: what `report --vcpu --from --to --filter --min-ns` asks for.
#ifndef TRAPLINE_VMM_REPORT_SELECT_H_
#define TRAPLINE_VMM_REPORT_SELECT_H_

#include "vmm/config/result.h"
#include "vmm/report/profile.h"

namespace trapline {

// What holds for all exits only (a timeline over all vCPUs, say) is left out, and a note says so.
// An error where the selection needs single exits and the source has sums.
Result<Profile> select(Profile profile, const Selection& selection);

// The timeline out of the events, where the source has events and no timeline.
void add_timeline(Profile& profile);

// The bucket that holds a time: 32 an octave, as in statistics.
Distribution::Bucket bucket_of(double ns);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_SELECT_H_
