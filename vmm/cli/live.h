// The commands that look at running VMs, through their control sockets. Each returns the program's
// exit status.
#ifndef TRAPLINE_VMM_CLI_LIVE_H_
#define TRAPLINE_VMM_CLI_LIVE_H_

#include "vmm/cli/live_options.h"

namespace trapline {

int list_command();
int stat_command(const LiveOptions& options);
int top_command(const LiveOptions& options);
int ctl_command(const LiveOptions& options);
int record_command(const LiveOptions& options);
// Until the VM ends, or Ctrl-A x.
int attach_console(const std::string& socket);

inline int live_command(const LiveOptions& options) {
  switch (options.command) {
    case LiveOptions::Command::kStat:
      return stat_command(options);
    case LiveOptions::Command::kTop:
      return top_command(options);
    case LiveOptions::Command::kCtl:
      return ctl_command(options);
    case LiveOptions::Command::kRecord:
      return record_command(options);
    default:
      return list_command();
  }
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_LIVE_H_
