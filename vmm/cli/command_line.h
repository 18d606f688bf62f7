// The command line: argument words in, what to do out. See design.md, "The command line".
#ifndef TRAPLINE_VMM_CLI_COMMAND_LINE_H_
#define TRAPLINE_VMM_CLI_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "vmm/cli/live_options.h"
#include "vmm/cli/replay.h"
#include "vmm/cli/report_options.h"
#include "vmm/config/options.h"
#include "vmm/config/result.h"

namespace trapline {

struct CommandLine {
  enum class Command { kRun, kDecode, kReplay, kReport, kLive, kWrap, kHelp, kVersion };
  Command command = Command::kHelp;
  Options options;                 // kRun: checked, unless the machine is still to arrive
  bool sandbox = true;             // kRun: vmm/jail, once the machine is assembled
  std::vector<std::string> argv;   // kRun: from which options were made
  std::vector<std::string> words;  // kDecode, kWrap
  ReplayCommandOptions replay;     // kReplay
  ReportOptions report;            // kReport: checked
  LiveOptions live;                // kLive: checked
  std::string help;                // kHelp: text for standard output
};

// The error is one line (a library's line breaks may be in it) without the program's name.
// `machine`: what `--restore` or `--incoming` brought, as JSON. Before that is known, little of
// such a command line can be checked: nothing but these two is looked at in its options.
Result<CommandLine> parse_command_line(int argc, const char* const* argv,
                                       const std::string& machine = {});

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_COMMAND_LINE_H_
