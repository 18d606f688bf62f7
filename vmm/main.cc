// The command line: `trapline run | decode ...`. See design.md, "The command line".
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "decode/format.h"
#include "vmm/console.h"
#include "vmm/machine.h"
#include "vmm/options.h"
#include "vmm/output_file.h"
#include "vmm/signals.h"

namespace trapline {
namespace {

// How long a message may wait for a reader of standard error once a signal asked for the end.
constexpr int kShortPatienceMs = 200;

// Writes to standard error; gives up when nobody reads for `patience_ms` (-1: never).
void print_message(std::string_view text, int patience_ms = -1) {
  while (!text.empty()) {
    pollfd fd{STDERR_FILENO, POLLOUT, 0};
    if (poll(&fd, 1, patience_ms) == 0) return;
    // What poll() promises room for: a page of a pipe.
    const ssize_t n = write(STDERR_FILENO, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

int fail(const std::string& text) {
  // One line, whatever a library put into the text.
  std::string line = text;
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  std::fprintf(stderr, "trapline: %s\n", line.c_str());
  return kBadInput;
}

void on_fatal_signal(int number) {
  restore_terminal();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

// What nothing caught: the host refused memory to a thread, say. One line, and no core.
[[noreturn]] void on_terminate() {
  restore_terminal();
  std::string text = "trapline: internal error\n";
  if (std::exception_ptr error = std::current_exception()) {
    try {
      std::rethrow_exception(error);
    } catch (const std::bad_alloc&) {
      text = "trapline: the host has no memory left\n";
    } catch (const std::exception& known) {
      text = std::string("trapline: ") + known.what() + "\n";
    } catch (...) {
    }
  }
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, text.data(), text.size());
  _exit(kBadInput);
}

// Before anything is opened: a file that got descriptor 1 or 2 would receive what is printed.
void occupy_standard_descriptors() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) _exit(kBadInput);
  }
}

void prepare_process() {
  occupy_standard_descriptors();
  std::set_terminate(on_terminate);
  for (int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) std::signal(number, on_fatal_signal);
  // Writing where nobody reads, or past the limit of a file's size, is an error of that write.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

// "512M", "2G", "65536K", or plain bytes.
std::string parse_size(const std::string& text, uint64_t& bytes) {
  size_t used = 0;
  try {
    bytes = std::stoull(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || text[0] == '-') return "is not a size such as 512M";
  unsigned shift = 0;
  if (used < text.size()) {
    switch (text[used]) {
      case 'K':
      case 'k':
        shift = 10;
        break;
      case 'M':
      case 'm':
        shift = 20;
        break;
      case 'G':
      case 'g':
        shift = 30;
        break;
      default:
        return "is not a size such as 512M";
    }
    if (used + 1 != text.size()) return "is not a size such as 512M";
  }
  if (bytes > (~uint64_t{0} >> shift)) return "is too large";
  bytes <<= shift;
  return {};
}

// What is wrong with the options as a whole; empty if nothing.
std::string check(const Options& o, const std::string& memory_text) {
  constexpr uint64_t kLeast = uint64_t{1} << 20, kMost = uint64_t{255} << 30;
  int sources = int{!o.kernel.empty()} + int{!o.raw.empty()} + int{!o.firmware.empty()};
  if (sources == 0) return "run needs --kernel, --raw or --firmware";
  if (sources > 1) return "--kernel, --raw and --firmware exclude each other";
  if (o.memory < kLeast || o.memory > kMost || (o.memory & 0xfff) != 0) {
    return "--memory " + memory_text + ": give from 1M to 255G, a multiple of 4K";
  }
  if (o.cpus < 1 || o.cpus > platform::kMaxCpus) {
    return fmt::format("--cpus {}: give from 1 to {}", o.cpus, platform::kMaxCpus);
  }
  if (o.gdb_port > 65535) return fmt::format("--gdb {}: not a TCP port", o.gdb_port);
  constexpr size_t kMaxAppend = 16 * 1024;
  if (o.append.size() > kMaxAppend) return "--append: longer than 16384 characters";
  if (!o.initrd.empty() && o.kernel.empty()) return "--initrd needs --kernel";
  if (!o.vars.empty() && o.firmware.empty()) return "--vars needs --firmware";
  if (o.flash_trapped && o.firmware.empty()) return "--flash trapped needs --firmware";
  return {};
}

std::string write_statistics(const Options& options, const RunReport& report) {
  return write_output(options.stats, report_json(report).dump(2) + "\n");
}

// USR1: the figures so far, and the guest goes on.
void report_now(const Options& options, Machine& machine) {
  const std::optional<RunReport> report = machine.report_now();
  if (!report) return;
  if (options.stats.empty()) {
    print_message(report_table(*report), kShortPatienceMs);  // TERM may come behind it
  } else if (std::string error = write_statistics(options, *report); !error.empty()) {
    fail(error);
  }
}

int run(const Options& options) {
  SignalWatch signals;
  Console console;
  auto machine = Machine::create(options, console);
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
  signals.set({.stop = [&](int status) { (*machine)->stop(status); },
               .report = [&] { report_now(options, **machine); }});
  int status = (*machine)->run();

  const RunReport report = (*machine)->report();
  std::string error;
  if (!options.stats.empty()) error = write_statistics(options, report);
  if (!error.empty()) status = kBadInput;
  // Nothing is left to lose: whoever is tired of waiting for a reader of our messages ends it here.
  signals.set({.stop = [status](int) { _exit(status); }, .report = {}});
  print_message(report_table(report), status >= SignalWatch::kStatus ? kShortPatienceMs : -1);
  if (!error.empty()) return fail(error);
  return status;
}

int main_checked(int argc, char** argv) {
  CLI::App app{"An arm64 VMM for the exits that hardware does not describe", "trapline"};
  app.require_subcommand(1);

  Options options;
  std::string memory = "512M";
  CLI::App* run_command = app.add_subcommand("run", "Boot a guest");
  run_command->add_option("--kernel", options.kernel, "arm64 Image (also gzip) or ELF");
  run_command->add_option("--raw", options.raw, "bare binary, entered at RAM + 0x80000");
  run_command->add_option("--initrd", options.initrd, "initial RAM disk");
  run_command->add_option("--firmware", options.firmware, "EDK2 or U-Boot, in flash at address 0");
  run_command->add_option("--vars", options.vars, "file that keeps the second flash bank");
  run_command->add_option("--disk", options.disks, "F[,ro]: virtio disk, raw or qcow2; repeatable")
      ->allow_extra_args(false);
  run_command
      ->add_option("--net", options.nets,
                   "user[,hostfwd=tcp::2222-:22] or tap,ifname=NAME: virtio network")
      ->allow_extra_args(false);
  run_command->add_flag("--rng", options.rng, "virtio entropy device");
  run_command->add_flag("--virtio-console", options.virtio_console,
                        "virtio console (hvc0) that gets standard input");
  run_command->add_option("--append", options.append, "kernel command line");
  run_command->add_option("--memory", memory, "RAM size, e.g. 512M")->capture_default_str();
  run_command->add_option("--cpus", options.cpus, "1 to 8")->capture_default_str();
  std::string backend = "soft", flash = "mapped", virtio = "modern", clock = "host", isv = "auto",
              decoder = "native", policy = "recheck";
  run_command->add_option("--backend", backend, "soft")
      ->check(CLI::IsMember({"soft"}))
      ->capture_default_str();
  run_command->add_option("--flash", flash, "trapped: every data read of flash is an exit")
      ->check(CLI::IsMember({"mapped", "trapped"}))
      ->capture_default_str();
  run_command->add_option("--virtio", virtio, "legacy: virtio-mmio version 1")
      ->check(CLI::IsMember({"modern", "legacy"}))
      ->capture_default_str();
  run_command->add_option("--clock", clock, "host or icount: time is instructions, reproducible")
      ->check(CLI::IsMember({"host", "icount"}))
      ->capture_default_str();
  run_command->add_option("--isv", isv, "never: every data abort needs decoding")
      ->check(CLI::IsMember({"auto", "never"}))
      ->capture_default_str();
  run_command->add_option("--decoder", decoder, "on a cache miss")
      ->check(CLI::IsMember({"native", "capstone"}))
      ->capture_default_str();
  run_command->add_option("--icache", policy, "off, rewalk, recheck or protect")
      ->check(CLI::IsMember({"off", "rewalk", "recheck", "protect"}))
      ->capture_default_str();
  run_command->add_flag("--icache-check", options.icache_check,
                        "check every cache hit against a fresh walk, fetch and decode");
  run_command
      ->add_option("--translate-after", options.translate_after,
                   "runs of a block until it is translated to host code; 0: never")
      ->check(CLI::Range(0, 65535));
  run_command->add_option("--stats", options.stats, "write statistics as JSON");
  run_command->add_option("--max-insns", options.max_insns, "stop after so many: status 124")
      ->check([](const std::string& text) {
        const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
        return digits ? std::string{} : text + " is not a number of instructions";
      });
  run_command->add_option("--dump-dtb", options.dump_dtb, "write the device tree and exit");
  run_command->add_flag("--no-reboot", options.no_reboot, "a guest's reset ends the run");
  run_command->add_option("--gdb", options.gdb_port, "wait for gdb on this TCP port (loopback)");
  run_command->add_flag("--kaslr-seed", options.kaslr_seed, "let the kernel randomise its address");

  CLI::App* decode_command =
      app.add_subcommand("decode", "What instruction words do: hex words, or - for standard input");
  std::vector<std::string> words;
  decode_command->add_option("words", words, "32-bit hex words");

  const std::string command = argc > 1 ? argv[1] : "-";
  if (command[0] != '-' && command != "run" && command != "decode") {
    return fail(fmt::format("unknown command '{}' (see trapline --help)", command));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail(std::string(error.what()) + " (see trapline --help)");
  }
  if (decode_command->parsed()) return decode_main(words, std::cin, std::cout, std::cerr);

  options.icount = clock == "icount";
  options.flash_trapped = flash == "trapped";
  options.virtio_legacy = virtio == "legacy";
  options.isv_never = isv == "never";
  options.decoder = decoder == "native" ? DecoderChoice::kNative : DecoderChoice::kCapstone;
  static const std::map<std::string, CachePolicy> kPolicies = {{"off", CachePolicy::kOff},
                                                               {"rewalk", CachePolicy::kRewalk},
                                                               {"recheck", CachePolicy::kRecheck},
                                                               {"protect", CachePolicy::kProtect}};
  options.icache = kPolicies.at(policy);
  if (std::string error = parse_size(memory, options.memory); !error.empty()) {
    return fail("--memory " + memory + ": " + error);
  }
  if (std::string error = check(options, memory); !error.empty()) return fail(error);
  return run(options);
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
