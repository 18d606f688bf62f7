#include "vmm/cli/run.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "decode/capstone_adapter.h"
#include "devices/virtio/report.h"
#include "vmm/cli/backend.h"
#include "vmm/cli/signals.h"
#include "vmm/control/server.h"
#include "vmm/host/messages.h"
#include "vmm/host/output_file.h"
#include "vmm/machine/console.h"
#include "vmm/machine/machine.h"

// Of the build; see cmake/version.cmake.
const char* trapline_version();

namespace trapline {

int fail(std::string text) {
  // One line, whatever a library put into the text.
  std::replace(text.begin(), text.end(), '\n', ' ');
  message("trapline: " + text + "\n");
  return kBadInput;
}

namespace {

std::string write_statistics(const Options& options, const RunReport& report) {
  return write_output(options.stats, report_json_text(report));
}

// USR1: the figures so far, and the guest goes on.
void report_now(const Options& options, Machine& machine) {
  const std::optional<RunReport> report = machine.report_now();
  if (!report) return;
  if (options.stats.empty()) {
    message(report_table(*report));
  } else if (std::string error = write_statistics(options, *report); !error.empty()) {
    fail(error);
  }
}

// Empty where neither is asked for. The error is one line.
Result<ControlServer::Sockets> listen_for(const Options& options) {
  ControlServer::Sockets sockets;
  if (!options.dump_dtb.empty()) return sockets;
  if (!options.name.empty()) {
    auto control = listen_as(options.name);
    if (!control) return Error{"--name " + options.name + ": " + control.error()};
    sockets.control = std::move(*control);
  }
  if (!options.metrics.empty()) {
    auto metrics = listen_for_metrics(options.metrics);
    if (!metrics) return Error{"--metrics " + options.metrics + ": " + metrics.error()};
    sockets.metrics = std::move(*metrics);
  }
  return sockets;
}

}  // namespace

int run_command(const Options& asked) {
  Options options = asked;
  std::string note;
  if (std::string error = choose_backend(options, note); !error.empty()) return fail(error);
  if (!note.empty()) message("trapline: " + note + "\n");
  if (options.decoder == DecoderChoice::kCapstone && !CapstoneDecoder::built_in()) {
    return fail("--decoder capstone: this program was built without Capstone; use native");
  }
  auto sockets = listen_for(options);
  if (!sockets) return fail(sockets.error());
  const bool live = sockets->control || sockets->metrics;
  SignalWatch signals;
  Console console;
  auto machine = Machine::create(options, console, make_backend);
  if (!machine) return fail(machine.error());
  if (!options.dump_dtb.empty()) {
    const std::vector<uint8_t>& tree = (*machine)->device_tree();
    std::string error =
        write_output(options.dump_dtb, {reinterpret_cast<const char*>(tree.data()), tree.size()});
    return error.empty() ? 0 : fail(error);
  }
  // The statistics file must be writable before the guest runs for an hour.
  if (!options.stats.empty()) {
    if (std::string error = check_output(options.stats); !error.empty()) return fail(error);
  }
  struct Released {
    SignalWatch& signals;
    ~Released() { signals.set({}); }
  } released{signals};  // before the machine goes
  Messages messages;
  Report::set_sink([](std::string_view line) { message(std::string(line) + "\n"); });
  signals.set({.stop = [&](int status) { (*machine)->stop(status); },
               .report = [&] { report_now(options, **machine); }});
  std::optional<ControlServer> control;
  if (live) {
    control.emplace(std::move(*sockets), options.name, trapline_version());
    (*machine)->tell_events_to(&*control);
    control->start(**machine);
  }
  int status = (*machine)->run();
  if (control) control->stop();

  const RunReport report = (*machine)->report();
  std::string error;
  if (!options.stats.empty()) error = write_statistics(options, report);
  if (!options.record.empty()) {
    const std::string broken = (*machine)->finish_recording(report);
    if (!broken.empty()) error = "--record " + broken;
  }
  if (!error.empty()) status = kBadInput;
  // Nothing is left to lose: whoever is tired of waiting for a reader of our messages ends it here.
  signals.set({.stop = [status](int) { _exit(status); }, .report = {}});
  message(report_table(report));
  if (!error.empty()) return fail(error);
  return status;
}

}  // namespace trapline
