// The words of `trapline report`.
#ifndef TRAPLINE_VMM_CLI_REPORT_OPTIONS_H_
#define TRAPLINE_VMM_CLI_REPORT_OPTIONS_H_

#include <string>
#include <vector>

#include "vmm/report/ftrace.h"
#include "vmm/report/profile.h"

namespace CLI {
class App;
}

namespace trapline {

enum class ReportFormat { kText, kHtml, kCsv, kNestedCsv, kFolded, kPprof, kPerfetto, kJson };

struct ReportOptions {
  std::vector<std::string> files;  // one or two
  ReportFormat format = ReportFormat::kText;
  std::string output;  // empty: standard output
  Selection selection;
  HostTraceOptions host;
};

// Adds the command to `app`; `options` is filled when it parses, with default or checked values.
CLI::App* add_report_command(CLI::App& app, ReportOptions& options);
// What is wrong with the options as a whole; empty if nothing. Takes the format from the output's
// name where none was given.
std::string check_report_options(const CLI::App& command, ReportOptions& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_REPORT_OPTIONS_H_
