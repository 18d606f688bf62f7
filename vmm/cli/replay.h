// The command `replay`.
#ifndef TRAPLINE_VMM_CLI_REPLAY_H_
#define TRAPLINE_VMM_CLI_REPLAY_H_

#include <string>

namespace trapline {

struct ReplayCommandOptions {
  std::string file, stats;
  std::string decoder, icache;  // by name; empty: as recorded
  unsigned repeat = 1;
};

// Status 0: every exit gives what was recorded; 1: it does not, or the trace cannot be read.
int replay_command(const ReplayCommandOptions& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_REPLAY_H_
