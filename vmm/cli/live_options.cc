#include "vmm/cli/live_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "vmm/control/names.h"

namespace trapline {
namespace {

constexpr double kLeastS = 0.1, kMostS = 86400;

CLI::App* add_command(CLI::App& app, LiveOptions& options, LiveOptions::Command command,
                      const char* name, const char* help) {
  CLI::App* added = app.add_subcommand(name, help);
  added->callback([&options, command] { options.command = command; });
  return added;
}

CLI::Option* add_name(CLI::App* app, LiveOptions& options, const char* help) {
  return app->add_option("name", options.name, help)->type_name("NAME");
}

void add_interval(CLI::App* app, LiveOptions& options, const char* help) {
  app->add_option_function<std::string>(
         "--interval",
         [&options](const std::string& text) {
           const char* const end = text.data() + text.size();
           const auto [stop, code] = std::from_chars(text.data(), end, options.interval_s);
           if (code != std::errc() || stop != end ||
               !(options.interval_s >= kLeastS && options.interval_s <= kMostS)) {
             throw CLI::ValidationError(
                 fmt::format("--interval {}: give seconds, from {} to {}", text, kLeastS, kMostS));
           }
         },
         help)
      ->type_name("S");
}

}  // namespace

void add_live_commands(CLI::App& app, LiveOptions& options) {
  using Command = LiveOptions::Command;
  add_command(app, options, Command::kList, "list", "The VMs that run with a name");
  CLI::App* stat =
      add_command(app, options, Command::kStat, "stat", "What a running VM has counted so far");
  add_name(stat, options, "as given to run --name")->required();
  stat->add_flag("--json", options.json, "as JSON: what --stats writes, and the vCPUs");
  add_interval(stat, options, "again every S seconds, and what came in between; JSON: a line each");
  CLI::App* top = add_command(app, options, Command::kTop, "top",
                              "A running VM's exits a second, on a screen that is kept up to date");
  add_name(top, options, "as given to run --name; with --kvm a VMM's process, or nothing");
  top->add_flag("--kvm", options.kvm, "guests of other VMMs on this arm64 host, by kvm:* events");
  top->add_flag("--once", options.once, "one interval, as text");
  add_interval(top, options, "seconds between two looks; without it 1");
  CLI::App* ctl = add_command(
      app, options, Command::kCtl, "ctl",
      "Steers a running VM: status, stats, events, profile start|stop|reset, profile report FILE,\n"
      "pause, resume, reset, power-off, stop, save FILE, migrate DEST, cancel, screenshot FILE,\n"
      "balloon SIZE, console");
  add_name(ctl, options, "as given to run --name")->required();
  ctl->add_option("words", options.words, "what to do")->required()->type_name("VERB");
  ctl->add_option("--since", options.since,
                  "save: only what was written since that file, the last save")
      ->type_name("FILE");
  ctl->add_flag("--compress", options.compress, "save: by zstd; smaller, and read as a whole");
  ctl->add_option("--downtime", options.downtime,
                  "migrate: how long the guest may stand still, in ms; without it 300")
      ->type_name("MS");
  CLI::App* record =
      add_command(app, options, Command::kRecord, "record",
                  "What guests of other VMMs cost this arm64 host, for `report` (Ctrl-C ends it)");
  record->add_flag("--kvm", options.kvm, "kvm:* events of this host")->required();
  record->add_option("--pid", options.pid, "of this VMM alone")
      ->check(CLI::PositiveNumber)
      ->type_name("P");
  record->add_option("-o", options.output, "the recording")->required()->type_name("F");
}

std::string check_live_options(LiveOptions& options) {
  using Command = LiveOptions::Command;
  if (options.command == Command::kList || options.command == Command::kRecord) return {};
  if (options.command == Command::kTop && options.kvm) {
    const char* const end = options.name.data() + options.name.size();
    const auto [stop, code] = std::from_chars(options.name.data(), end, options.pid);
    const bool number = code == std::errc() && stop == end && options.pid > 0;
    if (options.name.empty() || number) return {};
    return fmt::format("top --kvm {}: give the number of a VMM's process", options.name);
  }
  if (options.name.empty()) return "top: NAME is required, or --kvm";
  return check_vm_name(options.name);
}

}  // namespace trapline
