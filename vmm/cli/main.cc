// The program: command line in, exit status out. See design.md, "The command line".
#include <cstdio>
#include <exception>
#include <iostream>

#include "decode/format.h"
#include "vmm/cli/command_line.h"
#include "vmm/cli/live.h"
#include "vmm/cli/process.h"
#include "vmm/cli/replay.h"
#include "vmm/cli/report.h"
#include "vmm/cli/run.h"
#include "vmm/cli/wrap.h"
#include "vmm/machine/machine.h"

// Of the build; see cmake/version.cmake.
const char* trapline_version();

namespace trapline {
namespace {

int main_checked(int argc, char** argv) {
  auto line = parse_command_line(argc, argv);
  if (!line) return fail(line.error());
  switch (line->command) {
    case CommandLine::Command::kHelp:
      std::fputs(line->help.c_str(), stdout);
      return 0;
    case CommandLine::Command::kVersion:
      std::printf("trapline %s\n", trapline_version());
      return 0;
    case CommandLine::Command::kDecode:
      return decode_main(line->words, std::cin, std::cout, std::cerr);
    case CommandLine::Command::kReport:
      return report_command(line->report);
    case CommandLine::Command::kLive:
      return live_command(line->live);
    case CommandLine::Command::kWrap:
      return wrap_command(line->words);
    case CommandLine::Command::kReplay:
      return replay_command(line->replay);
    case CommandLine::Command::kRun:
      return run_command(*line);
  }
  return kBadInput;
}

}  // namespace
}  // namespace trapline

int main(int argc, char** argv) {
  trapline::prepare_process();
  try {
    return trapline::main_checked(argc, argv);
  } catch (const std::exception& error) {
    return trapline::fail(error.what());
  }
}
