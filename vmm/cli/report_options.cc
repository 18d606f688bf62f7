#include "vmm/cli/report_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "vmm/config/size.h"

namespace trapline {
namespace {

const std::vector<std::pair<std::string, ReportFormat>>& formats() {
  static const std::vector<std::pair<std::string, ReportFormat>> kFormats{
      {"text", ReportFormat::kText},         {"html", ReportFormat::kHtml},
      {"csv", ReportFormat::kCsv},           {"nested-csv", ReportFormat::kNestedCsv},
      {"folded", ReportFormat::kFolded},     {"pprof", ReportFormat::kPprof},
      {"perfetto", ReportFormat::kPerfetto}, {"json", ReportFormat::kJson}};
  return kFormats;
}

// A number not below 0 with ns, us, ms or s behind it; without, `plain` is its unit. False: none.
bool parse_time(std::string_view text, double plain, double& ns) {
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), ns);
  if (code != std::errc() || !std::isfinite(ns) || ns < 0) return false;
  const std::string_view unit = text.substr(static_cast<size_t>(stop - text.data()));
  const double scale = unit.empty()   ? plain
                       : unit == "ns" ? 1
                       : unit == "us" ? 1e3
                       : unit == "ms" ? 1e6
                       : unit == "s"  ? 1e9
                                      : 0;
  ns *= scale;
  return scale != 0;
}

void add_time(CLI::App* app, const std::string& name, double plain, double& target,
              const std::string& help) {
  app->add_option_function<std::string>(
         name,
         [name, plain, &target](const std::string& text) {
           if (!parse_time(text, plain, target)) {
             throw CLI::ValidationError(
                 fmt::format("{} {}: not a time (as 1.5s, 20ms, 300us, 80ns)", name, text));
           }
         },
         help)
      ->type_name("T");
}

// By the output's name; text if it says nothing.
ReportFormat format_of(const std::string& path) {
  static constexpr std::pair<std::string_view, ReportFormat> kEndings[] = {
      {".html", ReportFormat::kHtml},        {".csv", ReportFormat::kCsv},
      {".folded", ReportFormat::kFolded},    {".pb.gz", ReportFormat::kPprof},
      {".pprof", ReportFormat::kPprof},      {".perfetto-trace", ReportFormat::kPerfetto},
      {".pftrace", ReportFormat::kPerfetto}, {".json", ReportFormat::kJson}};
  for (const auto& [ending, format] : kEndings) {
    if (path.ends_with(ending)) return format;
  }
  return ReportFormat::kText;
}

}  // namespace

CLI::App* add_report_command(CLI::App& app, ReportOptions& options) {
  CLI::App* command = app.add_subcommand(
      "report",
      "Who exits, where, how often and how long: of --stats JSON made with --profile, of a\n"
      "recording (run --record) or a KVM host's trace; of two, also what changed to the second");
  command->add_option("files", options.files, "one input, or two to compare")
      ->required()
      ->expected(1, 2)
      ->type_name("FILE");
  command->add_option("--format", options.format, "without it: by -o's ending, else text")
      ->transform(CLI::Transformer(formats()).description(""))
      ->transform(CLI::IsMember(formats()))
      ->type_name("NAME");
  command->add_option("-o,--output", options.output,
                      "where to; without it standard output (html needs it)");
  Selection& selection = options.selection;
  command
      ->add_option_function<std::string>(
          "--vcpu",
          [&selection](const std::string& text) {
            constexpr int kMost = 65535;
            const char* const end = text.data() + text.size();
            const auto [stop, code] = std::from_chars(text.data(), end, selection.vcpu);
            if (code != std::errc() || stop != end || selection.vcpu < 0 ||
                selection.vcpu > kMost) {
              throw CLI::ValidationError(fmt::format("--vcpu {}: not a number of a vCPU", text));
            }
          },
          "exits of this vCPU")
      ->type_name("N");
  add_time(command, "--from", 1e9, selection.from_ns,
           "exits from this time on, since the start: 1.5s, 20ms; needs single exits");
  add_time(command, "--to", 1e9, selection.to_ns, "exits before this time; needs single exits");
  command->add_option("--filter", selection.filter,
                      "exits with this text in class, device, register, symbol or instruction");
  add_time(command, "--min-ns", 1, selection.min_ns,
           "exits that took so long to handle; needs single exits");
  command->add_option("--symbols", options.host.symbols,
                      "names of the guest's code (vmlinux, System.map, Image)");
  command->add_option("--image", options.host.image,
                      "the guest's kernel: instructions, and names if --symbols gives none");
  command
      ->add_option_function<std::string>(
          "--kaslr-offset",
          [&options](const std::string& text) {
            uint64_t number = 0;
            if (std::string error = parse_number(text, 0, ~uint64_t{0}, number); !error.empty()) {
              throw CLI::ValidationError(fmt::format("--kaslr-offset {}: {}", text, error));
            }
            options.host.kaslr_offset = number;
          },
          "how far above these files' addresses the kernel runs; without it that is found")
      ->type_name("N");
  command->add_option("--dtb", options.host.dtb,
                      "of a host's trace: the guest's device tree, for the devices");
  command->add_option("--map", options.host.map,
                      "of a host's trace: devices as text, '0xADDRESS SIZE NAME' a line");
  return command;
}

std::string check_report_options(const CLI::App& command, ReportOptions& options) {
  if (command.count("--format") == 0) options.format = format_of(options.output);
  if (options.format == ReportFormat::kHtml && options.output.empty()) {
    return "--format html needs -o FILE.html";
  }
  if (options.selection.to_ns <= options.selection.from_ns) return "--to is not after --from";
  if (options.files.size() == 2) {
    if (options.format == ReportFormat::kPprof) {
      return "--format pprof takes one input; `pprof -diff_base A B` compares two";
    }
    if (options.format == ReportFormat::kJson) return "--format json takes one input";
  }
  return {};
}

}  // namespace trapline
