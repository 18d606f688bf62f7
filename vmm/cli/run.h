// `trapline run`.
#ifndef TRAPLINE_VMM_CLI_RUN_H_
#define TRAPLINE_VMM_CLI_RUN_H_

#include <string>

#include "vmm/cli/command_line.h"

namespace trapline {

// Assembles the machine, runs it to its end, and says what it cost; the exit status.
int run_command(const CommandLine& line);

// Says what is wrong in one line on standard error; kBadInput.
int fail(std::string text);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_RUN_H_
