#include "vmm/cli/report.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/cli/run.h"
#include "vmm/host/output_file.h"
#include "vmm/report/csv_writer.h"
#include "vmm/report/folded_writer.h"
#include "vmm/report/ftrace_symbols.h"
#include "vmm/report/json_writer.h"
#include "vmm/report/nested.h"
#include "vmm/report/page_writer.h"
#include "vmm/report/perfetto_writer.h"
#include "vmm/report/pprof_writer.h"
#include "vmm/report/read.h"
#include "vmm/report/select.h"
#include "vmm/report/text_writer.h"
#include "vmm/trace/trace_profile.h"

namespace trapline {
namespace {

// A profile or a recording, with names by files where they are given. read_profile() does that for
// a host's trace itself.
Result<Profile> read_input(const std::string& file, const HostTraceOptions& host) {
  const bool recorded = trace::is_trace(file);
  Result<Profile> profile = recorded ? trace::read_trace_profile(file) : read_profile(file, host);
  if (!profile || (host.symbols.empty() && host.image.empty())) return profile;
  if (!recorded && !profile->events.empty()) return profile;
  Result<TraceSymbols> symbols = TraceSymbols::load(host);
  if (!symbols) return Error{symbols.error()};
  symbols->name(*profile);
  return profile;
}

std::string written(ReportFormat format, const std::vector<Profile>& profiles) {
  const Profile& first = profiles.front();
  const bool two = profiles.size() == 2;
  switch (format) {
    case ReportFormat::kText:
      return two ? write_text(first, profiles[1]) : write_text(first);
    case ReportFormat::kHtml:
      return write_page(profiles);
    case ReportFormat::kCsv:
      return write_csv(profiles);
    case ReportFormat::kNestedCsv:
      return nested_csv(profiles);
    case ReportFormat::kFolded:
      return two ? write_folded(first, profiles[1]) : write_folded(first);
    case ReportFormat::kPprof:
      return write_pprof(first);
    case ReportFormat::kPerfetto:
      return write_perfetto(profiles);
    case ReportFormat::kJson:
      return write_json(first);
  }
  return {};
}

// A reader that has seen enough (`head`) ends the report, in order.
std::string put_to_standard_output(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return {};
    if (n < 0) return std::string("standard output: ") + std::strerror(errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace

int report_command(const ReportOptions& options) {
  const bool binary =
      options.format == ReportFormat::kPprof || options.format == ReportFormat::kPerfetto;
  if (binary && options.output.empty() && isatty(STDOUT_FILENO) == 1) {
    return fail("this format is not for a terminal: give -o FILE");
  }
  if (!options.output.empty()) {
    if (std::string error = check_output(options.output); !error.empty()) return fail(error);
  }
  std::vector<Profile> profiles;
  for (const std::string& file : options.files) {
    Result<Profile> profile = read_input(file, options.host);
    if (!profile) return fail(profile.error());
    Result<Profile> selected = select(std::move(*profile), options.selection);
    if (!selected) return fail(selected.error());
    add_timeline(*selected);
    profiles.push_back(std::move(*selected));
  }
  const std::string text = written(options.format, profiles);
  const std::string error =
      options.output.empty() ? put_to_standard_output(text) : write_output(options.output, text);
  if (!error.empty()) return fail(error);
  for (const Profile& profile : profiles) {
    if (!profile.broken.empty()) return fail(profile.broken);
  }
  return 0;
}

}  // namespace trapline
