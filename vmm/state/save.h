// `ctl NAME save F`: the machine as a file. That it appears whole or not at all is the caller's
// doing: the file is a new one, which takes F's place once it is done.
#ifndef TRAPLINE_VMM_STATE_SAVE_H_
#define TRAPLINE_VMM_STATE_SAVE_H_

#include <cstdint>
#include <string>

#include "vmm/control/controlled.h"
#include "vmm/machine/machine.h"
#include "vmm/state/dirty_log.h"
#include "vmm/state/format.h"
#include "vmm/state/job.h"

namespace trapline::state {

using SaveRequest = StateKeeper::SaveRequest;

struct SaveResult {
  std::string error;  // one line; empty: all of it is on the disk
  Id id{};
  double pause_ms = 0;  // that no vCPU ran
  uint64_t pages = 0;   // written, again ones too
};

// `last`: what the last save, or the restored file, is called, whose later pages `log` has; zero:
// there was none. While the machine runs, which it goes on to do in any case.
SaveResult save(Machine& machine, DirtyLog& log, const Id& last, const SaveRequest& request,
                const std::string& version, Job& job);

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_SAVE_H_
