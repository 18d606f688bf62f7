// The command line: `trapline run | decode ...`. See design.md, "The command line".
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "decode/format.h"
#include "vmm/console.h"
#include "vmm/machine.h"
#include "vmm/options.h"

namespace trapline {
namespace {

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

// SIGINT, SIGTERM and SIGHUP end the run in order: the terminal is restored, the statistics
// written.
constexpr int kSignalStatus = 128;

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  return set;
}

class SignalWatch {
 public:
  // ending_signals() are blocked in all threads already.
  explicit SignalWatch(std::function<void(int)> stop)
      : thread_([stop = std::move(stop)] {
          sigset_t set = ending_signals();
          int number = 0;
          while (sigwait(&set, &number) == 0 && number != SIGUSR1) stop(number);
        }) {}
  ~SignalWatch() {
    pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  std::thread thread_;
};

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

int write_file(const std::string& path, const void* data, size_t size) {
  std::ofstream out(path, std::ios::binary);
  out.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  out.close();
  if (!out) return fail(path + ": cannot write: " + std::strerror(errno));
  return 0;
}

int run(const Options& options) {
  sigset_t set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before the first thread
  Console console;
  auto machine = Machine::create(options, console);
  if (!machine) return fail(machine.error());
  if (!options.dump_dtb.empty()) {
    const std::vector<uint8_t>& tree = (*machine)->device_tree();
    return write_file(options.dump_dtb, tree.data(), tree.size());
  }
  // The statistics file must be writable before the guest runs for an hour.
  if (!options.stats.empty()) {
    if (int status = write_file(options.stats, "{}\n", 3); status != 0) return status;
  }
  for (int number : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE}) {
    std::signal(number, on_fatal_signal);
  }
  std::signal(SIGPIPE, SIG_IGN);

  int status = 0;
  {
    SignalWatch watch([&](int number) { (*machine)->stop(kSignalStatus + number); });
    status = (*machine)->run();
  }
  RunReport report = (*machine)->report();
  std::fputs(report_table(report).c_str(), stderr);
  if (!options.stats.empty()) {
    std::string text = report_json(report).dump(2) + "\n";
    if (int failed = write_file(options.stats, text.data(), text.size()); failed != 0) {
      return failed;
    }
  }
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
  run_command->add_option(
      "--gdb", options.gdb_port,
      "wait for gdb on this TCP port of the loopback interface. Every user and process of "
      "this host that connects to it controls the guest and its memory");
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
  try {
    return trapline::main_checked(argc, argv);
  } catch (const std::exception& error) {
    return trapline::fail(error.what());
  }
}
