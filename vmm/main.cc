// The command line: `trapline run | decode ...`. See design.md, "The command line".
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "decode/format.h"
#include "vmm/command_line.h"
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
  auto line = parse_command_line(argc, argv);
  if (!line) return fail(line.error());
  switch (line->command) {
    case CommandLine::Command::kHelp:
      std::fputs(line->help.c_str(), stdout);
      return 0;
    case CommandLine::Command::kDecode:
      return decode_main(line->words, std::cin, std::cout, std::cerr);
    case CommandLine::Command::kRun:
      return run(line->options);
  }
  return kBadInput;
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
