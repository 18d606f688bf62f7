#include "vmm/cli/run.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "decode/capstone_adapter.h"
#include "devices/virtio/nbd_dial.h"
#include "devices/virtio/net_process.h"
#include "devices/virtio/qemu_nbd.h"
#include "devices/virtio/report.h"
#include "vmm/cli/backend.h"
#include "vmm/cli/display.h"
#include "vmm/cli/serial.h"
#include "vmm/cli/signals.h"
#include "vmm/control/server.h"
#include "vmm/host/later_files.h"
#include "vmm/host/messages.h"
#include "vmm/host/output_file.h"
#include "vmm/host/sound_process.h"
#include "vmm/jail/broker.h"
#include "vmm/jail/jail.h"
#include "vmm/machine/console.h"
#include "vmm/machine/machine.h"
#include "vmm/state/arrival.h"
#include "vmm/state/keeper.h"

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

// A machine that goes on here, and its options; null: it boots.
Result<std::unique_ptr<state::Arrival>> await_machine(const CommandLine& line, Options& options) {
  options = line.options;
  if (options.restore.empty() && options.incoming.empty()) {
    return std::unique_ptr<state::Arrival>();
  }
  auto arrival = options.restore.empty() ? state::receive(options.incoming, trapline_version())
                                         : state::open_saved(options.restore, trapline_version());
  if (!arrival) return Error{arrival.error()};
  std::vector<const char*> words;
  for (const std::string& word : line.argv) words.push_back(word.c_str());
  auto whole =
      parse_command_line(static_cast<int>(words.size()), words.data(), (*arrival)->config());
  if (!whole) {
    (*arrival)->fails(whole.error());
    return Error{whole.error()};
  }
  options = whole->options;
  return arrival;
}

// What may still be opened, written or removed once the jail is closed.
std::string name_files(const Options& options, const Machine& machine,
                       const ControlServer::Sockets& sockets, const SerialLine& serial,
                       const Display& display, jail::Broker& broker) {
  broker.may_write(options.stats);
  // A machine that did not boot here reads them at its first reset.
  if (!options.restore.empty() || !options.incoming.empty()) {
    for (const std::string* path :
         {&options.kernel, &options.raw, &options.initrd, &options.firmware}) {
      broker.may_read(*path);
    }
    for (const Options::BootModule& module : options.modules) broker.may_read(module.path);
  }
  for (const auto* socket : {&sockets.control, &sockets.metrics}) {
    if (*socket && !(*socket)->path().empty()) broker.may_remove((*socket)->path());
  }
  for (const StateFile& file : machine.state_files()) {
    if (!file.server.empty()) broker.may_connect(file.server);
  }
  for (const ListeningSocket& socket : serial.listeners()) {
    if (!socket.path().empty()) broker.may_remove(socket.path());
  }
  if (display.socket && !display.socket->path().empty()) {
    broker.may_remove(display.socket->path());
  }
  return broker.seal();
}

std::string close_jail(const Options& options, const Machine& machine, jail::Broker& broker) {
  const auto has_net = [&](std::string_view kind) {
    return std::any_of(options.nets.begin(), options.nets.end(),
                       [&](std::string_view net) { return net.starts_with(kind); });
  };
  std::string note;
  const std::vector<StateFile> files = machine.state_files();
  const bool nbd = std::any_of(files.begin(), files.end(),
                               [](const StateFile& file) { return !file.server.empty(); });
  std::string error = jail::close(
      {.kvm = options.backend == BackendChoice::kKvm, .tap = has_net("tap"), .nbd = nbd}, note);
  if (!note.empty()) message("trapline: " + note + "\n");
  if (error.empty()) {
    set_later_files(&broker);
    virtio::set_nbd_dial(open_connection);
  }
  return error;
}

// `arrival` may be null; `broker` is without a jail.
int run_machine(Options options, state::Arrival* arrival, jail::Broker* broker) {
  const auto fail = [arrival](const std::string& text) {
    if (arrival != nullptr) arrival->fails(text);
    return trapline::fail(text);
  };
  std::string note;
  if (std::string error = choose_backend(options, note); !error.empty()) return fail(error);
  if (!note.empty()) message("trapline: " + note + "\n");
  if (options.decoder == DecoderChoice::kCapstone) {
    const std::string missing = CapstoneDecoder::missing();
    if (!missing.empty()) return fail("--decoder capstone: " + missing + "; use native");
  }
  auto sockets = listen_for(options);
  if (!sockets) return fail(sockets.error());
  const bool live = sockets->control || sockets->metrics;
  // A profile has the texts of its instructions, and the jail lets no library be loaded.
  if (options.profile || sockets->control) static_cast<void>(CapstoneDecoder::missing());
  auto display = open_display(options.dump_dtb.empty() ? options.display : "",
                              broker != nullptr ? jail::close_viewers : nullptr);
  if (!display) return fail(display.error());
  SignalWatch signals;
  auto serial = SerialLine::open(options.serial, options.dump_dtb.empty() ? options.name : "");
  if (!serial) return fail(serial.error());
  Console console((*serial)->in(), (*serial)->out());
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
  if (arrival != nullptr) {
    std::string error = arrival->load(**machine, options.accept_changed_disks);
    if (!error.empty()) return fail(error);
  }
  if (broker != nullptr) {
    std::string error = name_files(options, **machine, *sockets, **serial, *display, *broker);
    if (!error.empty()) return fail("--sandbox: " + error);
  }
  if (display->viewers != nullptr) (*machine)->show_to(*display->viewers);
  struct Released {
    SignalWatch& signals;
    ~Released() { signals.set({}); }
  } released{signals};  // before the machine goes
  Messages messages;
  Report::set_sink([](std::string_view line) { message(std::string(line) + "\n"); });
  signals.set({.stop = [&](int status) { (*machine)->stop(status); },
               .report = [&] { report_now(options, **machine); }});
  std::optional<ControlServer> control;
  std::optional<state::Keeper> keeper;
  if (live) {
    control.emplace(std::move(*sockets), options.name, trapline_version());
    (*machine)->tell_events_to(&*control);
    keeper.emplace(**machine, *control, trapline_version(),
                   arrival != nullptr ? arrival->id() : state::Id{});
    control->start(**machine, &*keeper, (*serial)->console_socket());
  }
  if (arrival != nullptr) arrival->begins(**machine);
  if (broker != nullptr) {
    if (std::string error = close_jail(options, **machine, *broker); !error.empty()) {
      (*machine)->stop(kBadInput, "no jail");
      message("trapline: --sandbox: " + error + " (--sandbox off runs the guest without a jail)\n");
    }
  }
  int status = (*machine)->run();
  if (arrival != nullptr) arrival->ends();
  keeper.reset();  // its last event is told
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
  if (!error.empty()) return trapline::fail(error);
  return status;
}

}  // namespace

int run_command(const CommandLine& line) {
  Options options;
  std::unique_ptr<jail::Broker> broker;
  if (line.sandbox) {
    virtio::keep_user_net_apart(jail::close_network);
    virtio::keep_qemu_nbd_apart(jail::close_disk);
    keep_sound_apart(jail::close_sound);
    if (std::string error = jail::why_not(); !error.empty()) {
      return fail("--sandbox on: " + error + ": --sandbox off runs the guest without a jail");
    }
    broker = jail::Broker::start();  // before there are threads
    if (broker == nullptr) return fail(std::string("--sandbox: ") + std::strerror(errno));
  }
  auto arrival = await_machine(line, options);
  if (!arrival) return fail(arrival.error());
  return run_machine(std::move(options), arrival->get(), broker.get());
}

}  // namespace trapline
