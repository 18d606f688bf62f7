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
  if (command != LiveOptions::Command::kList) {
    added->add_option("name", options.name, "as given to run --name")
        ->required()
        ->type_name("NAME");
  }
  return added;
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
  stat->add_flag("--json", options.json, "as JSON: what --stats writes, and the vCPUs");
  add_interval(stat, options, "again every S seconds, and what came in between; JSON: a line each");
  CLI::App* top = add_command(app, options, Command::kTop, "top",
                              "A running VM's exits a second, on a screen that is kept up to date");
  top->add_flag("--once", options.once, "one interval, as text");
  add_interval(top, options, "seconds between two looks; without it 1");
  CLI::App* ctl = add_command(
      app, options, Command::kCtl, "ctl",
      "Steers a running VM: status, events, profile start|stop|reset, profile report FILE,\n"
      "pause, resume, reset, power-off, stop");
  ctl->add_option("words", options.words, "what to do")->required()->type_name("VERB");
}

std::string check_live_options(const LiveOptions& options) {
  if (options.command == LiveOptions::Command::kList) return {};
  return check_vm_name(options.name);
}

}  // namespace trapline
